/* buf.c - see buf.h. Grows by doubling, so that n appends cost O(n). */
#include "core/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/err.h"
#include "core/utf8.h"

void ruc_buf_init(ruc_buf_t *buf, size_t max)
{
    *buf = (ruc_buf_t){.max = max};
}

void ruc_buf_free(ruc_buf_t *buf)
{
    free(buf->data);
    *buf = (ruc_buf_t){.max = buf->max};
}

void ruc_buf_clear(ruc_buf_t *buf)
{
    buf->len = 0;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

int ruc_buf_reserve(ruc_buf_t *buf, size_t more)
{
    if (more > buf->max || buf->len > buf->max - more) {
        return RUC_ETOOBIG;
    }
    size_t need = buf->len + more + 1;
    if (need <= buf->cap) {
        return 0;
    }
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        return UV_ENOMEM;
    }
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int ruc_buf_add(ruc_buf_t *buf, const void *data, size_t len)
{
    int rc = ruc_buf_reserve(buf, len);
    if (rc < 0) {
        return rc;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int ruc_buf_adds(ruc_buf_t *buf, const char *text)
{
    return ruc_buf_add(buf, text, strlen(text));
}

int ruc_buf_addv(ruc_buf_t *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    int rc = len < 0 ? UV_EINVAL : ruc_buf_reserve(buf, (size_t)len);
    if (rc == 0) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    return rc;
}

int ruc_buf_addf(ruc_buf_t *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = ruc_buf_addv(buf, format, args);
    va_end(args);
    return rc;
}

/* Writes the escape of one byte that JSON does not allow as it is; returns its length. */
static size_t json_escape(unsigned char byte, char out[8])
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
        if ((unsigned char)shorts[i] == byte) {
            out[0] = '\\';
            out[1] = shorts[i + 1];
            return 2;
        }
    }
    return (size_t)snprintf(out, 8, "\\u%04x", byte);
}

/* True for the bytes that stand for themselves in a JSON string. */
static int json_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

int ruc_buf_add_json(ruc_buf_t *buf, const char *text, size_t len)
{
    size_t start = buf->len;
    int rc = ruc_buf_add(buf, "\"", 1);
    for (size_t i = 0; rc == 0 && i < len;) {
        size_t run = i;
        while (run < len && json_plain((unsigned char)text[run])) {
            run++;
        }
        if (run > i) {
            rc = ruc_buf_add(buf, text + i, run - i);
            i = run;
            continue;
        }
        size_t wide = ruc_utf8_length(text + i, len - i);
        if (wide > 1) {
            rc = ruc_buf_add(buf, text + i, wide);
            i += wide;
        } else if (wide == 0) {
            rc = ruc_buf_add(buf, "\xef\xbf\xbd", 3);
            i++;
        } else {
            char escape[8];
            rc = ruc_buf_add(buf, escape, json_escape((unsigned char)text[i], escape));
            i++;
        }
    }
    if (rc == 0) {
        rc = ruc_buf_add(buf, "\"", 1);
    }
    if (rc < 0) {
        buf->len = start;
        if (buf->data != NULL) {
            buf->data[start] = '\0';
        }
    }
    return rc;
}

void ruc_buf_drop(ruc_buf_t *buf, size_t len)
{
    if (len >= buf->len) {
        ruc_buf_clear(buf);
        return;
    }
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

const char *ruc_buf_str(const ruc_buf_t *buf)
{
    return buf->data == NULL ? "" : buf->data;
}
