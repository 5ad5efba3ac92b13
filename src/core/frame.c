/* frame.c - see frame.h. */
#include "core/frame.h"

#include <stdint.h>

#include "core/err.h"

void ruc_frame_reader_init(ruc_frame_reader_t *reader)
{
    *reader = (ruc_frame_reader_t){0};
    ruc_buf_init(&reader->in, 4 + RUC_FRAME_MAX + RUC_FRAME_FEED);
}

void ruc_frame_reader_free(ruc_frame_reader_t *reader)
{
    ruc_buf_free(&reader->in);
    reader->done = 0;
}

int ruc_frame_feed(ruc_frame_reader_t *reader, const void *data, size_t len)
{
    ruc_buf_drop(&reader->in, reader->done);
    reader->done = 0;
    return ruc_buf_add(&reader->in, data, len);
}

int ruc_frame_next(ruc_frame_reader_t *reader, const char **body, size_t *len)
{
    size_t have = reader->in.len - reader->done;
    if (have < 4) {
        return 0;
    }
    const unsigned char *head = (const unsigned char *)reader->in.data + reader->done;
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (size < 1 || size > RUC_FRAME_MAX || (have > 4 && head[4] != RUC_FRAME_VERSION)) {
        return RUC_EPROTO;
    }
    if (have - 4 < size) {
        return 0;
    }
    *body = (const char *)head + RUC_FRAME_HEAD;
    *len = size - 1;
    reader->done += 4 + size;
    return 1;
}

int ruc_frame_write(ruc_buf_t *out, const void *body, size_t len)
{
    if (len >= RUC_FRAME_MAX) {
        return RUC_ETOOBIG;
    }
    uint32_t size = (uint32_t)len + 1;
    const unsigned char head[RUC_FRAME_HEAD] = {
        (unsigned char)(size >> 24), (unsigned char)(size >> 16), (unsigned char)(size >> 8),
        (unsigned char)size, RUC_FRAME_VERSION};
    int rc = ruc_buf_reserve(out, sizeof head + len);
    if (rc == 0) {
        rc = ruc_buf_add(out, head, sizeof head);
    }
    if (rc == 0) {
        rc = ruc_buf_add(out, body, len);
    }
    return rc;
}
