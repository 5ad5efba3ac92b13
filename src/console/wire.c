/* wire.c - see wire.h. */
#include "console/wire.h"

#include <stdint.h>
#include <string.h>

#include "core/err.h"

#define HEAD ((size_t)5)

void ruc_wire_init(ruc_wire_t *wire)
{
    *wire = (ruc_wire_t){0};
    ruc_buf_init(&wire->in, HEAD + RUC_WIRE_FRAME + RUC_WIRE_FEED);
}

void ruc_wire_free(ruc_wire_t *wire)
{
    ruc_buf_free(&wire->in);
    wire->done = 0;
}

int ruc_wire_feed(ruc_wire_t *wire, const char *data, size_t len)
{
    if (wire->done == wire->in.len && wire->in.cap > 2 * RUC_WIRE_FEED) {
        ruc_buf_free(&wire->in); /* a long line is over: its memory is not kept */
    } else {
        ruc_buf_drop(&wire->in, wire->done);
    }
    wire->done = 0;
    size_t skip = len < wire->skip ? len : wire->skip;
    wire->skip -= skip;
    return ruc_buf_add(&wire->in, data + skip, len - skip);
}

int ruc_wire_next(ruc_wire_t *wire, const char **body, size_t *len)
{
    size_t have = wire->in.len - wire->done;
    if (have < HEAD) {
        return 0;
    }
    const unsigned char *head = (const unsigned char *)wire->in.data + wire->done;
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (size < 1 || size > RUC_WIRE_SKIP || head[4] != RUC_WIRE_VERSION) {
        return RUC_EPROTO;
    }
    if (size > RUC_WIRE_FRAME) {
        size_t here = have < 4 + size ? have : 4 + size;
        wire->done += here;
        wire->skip = 4 + size - here;
        return RUC_ETOOBIG;
    }
    if (have < 4 + size) {
        return 0;
    }
    *body = (const char *)head + HEAD;
    *len = size - 1;
    wire->done += 4 + size;
    return 1;
}

int ruc_wire_begin(ruc_buf_t *out, size_t *at)
{
    static const char head[HEAD] = {0, 0, 0, 0, RUC_WIRE_VERSION};
    *at = out->len;
    return ruc_buf_add(out, head, sizeof head);
}

int ruc_wire_end(ruc_buf_t *out, size_t at)
{
    size_t size = out->len - at - 4;
    if (size > RUC_WIRE_FRAME) {
        return RUC_ETOOBIG;
    }
    const unsigned char head[4] = {(unsigned char)(size >> 24), (unsigned char)(size >> 16),
                                   (unsigned char)(size >> 8), (unsigned char)size};
    memcpy(out->data + at, head, sizeof head);
    return 0;
}
