/* uri.c - see uri.h. */
#include "http/uri.h"

#include <string.h>

#include "core/err.h"
#include "core/utf8.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long ruc_http_decode(const char *text, size_t len, bool plus, char *out)
{
    size_t at = 0;
    bool high = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int one = i + 2 < len ? hex(text[i + 1]) : -1,
                two = i + 2 < len ? hex(text[i + 2]) : -1;
            if (one < 0 || two < 0) {
                return RUC_EINVALID;
            }
            c = (char)(one << 4 | two);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0') {
            return RUC_EINVALID;
        }
        high = high || (unsigned char)c >= 0x80;
        out[at++] = c;
    }
    out[at] = '\0';
    return high && !ruc_utf8_valid(out, at) ? RUC_EINVALID : (long)at;
}

int ruc_http_query_next(const char **at, char *buf, size_t size, ruc_http_pair_t *pair)
{
    const char *from = *at;
    while (from != NULL && *from == '&') {
        from++;
    }
    if (from == NULL || *from == '\0') {
        *at = from;
        return 0;
    }
    size_t len = strcspn(from, "&");
    const char *equals = memchr(from, '=', len);
    size_t name = equals == NULL ? len : (size_t)(equals - from);
    size_t value = equals == NULL ? 0 : len - name - 1;
    *at = from + len;
    if (name + value + 2 > size) {
        return RUC_ETOOBIG;
    }
    pair->name = buf;
    long got = ruc_http_decode(from, name, true, buf);
    if (got < 0) {
        return RUC_EINVALID;
    }
    pair->name_len = (size_t)got;
    pair->value = buf + got + 1;
    got = ruc_http_decode(equals == NULL ? "" : equals + 1, value, true, pair->value);
    pair->value_len = got < 0 ? 0 : (size_t)got;
    return got < 0 ? RUC_EINVALID : 1;
}
