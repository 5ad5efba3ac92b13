/* uri.h - percent-decoding and query strings (RFC 3986; `+` is a space in a query). */
#ifndef RUC_HTTP_URI_H
#define RUC_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes `len` bytes of a path or segment into `out` (room for len + 1), NUL-terminated; `plus`:
 * a '+' is a space. Returns the length, or RUC_EINVALID for a broken escape, a NUL byte or invalid
 * UTF-8 (`out` is then undefined). Any thread. */
long ruc_http_decode(const char *text, size_t len, bool plus, char *out);

/* One name and value of a query, decoded. */
typedef struct ruc_http_pair {
    char *name;  /* owned by the caller's buffer */
    char *value; /* "" when there was no '=' */
    size_t name_len, value_len;
} ruc_http_pair_t;

/* Takes the next pair of a raw query. `*at` points into the query (at first to its begin; NULL is
 * an empty query) and is moved. `buf` (of `size` bytes, strlen(query) + 2 always suffices) receives
 * the texts, valid until the next call with it. 1: a pair; 0: the end; RUC_EINVALID: this pair is
 * not valid (it is skipped, so one may go on); RUC_ETOOBIG: `buf` is too small. */
int ruc_http_query_next(const char **at, char *buf, size_t size, ruc_http_pair_t *pair);

#endif
