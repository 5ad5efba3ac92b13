/* buf.h - a growable run of bytes with a bound.
 *
 * Append fails with RUC_ETOOBIG at the bound and with UV_ENOMEM when memory is out; the buffer then
 * is as it was. The bytes are always followed by a NUL that does not count, so that text can be
 * handed to C functions. Zero-initialised memory with ruc_buf_init is an empty buffer; it takes no
 * memory until something is appended. */
#ifndef RUC_CORE_BUF_H
#define RUC_CORE_BUF_H

#include <stdarg.h>
#include <stddef.h>

typedef struct ruc_buf {
    char *data; /* NULL while empty; else NUL-terminated */
    size_t len; /* bytes in use, the NUL not counted */
    size_t cap; /* bytes allocated */
    size_t max; /* bound on len */
} ruc_buf_t;

/* Makes `buf` empty with a bound of `max` bytes. Never fails. */
void ruc_buf_init(ruc_buf_t *buf, size_t max);

/* Frees what it holds; it is then an empty buffer with the same bound. */
void ruc_buf_free(ruc_buf_t *buf);

/* Forgets the content and keeps the memory. */
void ruc_buf_clear(ruc_buf_t *buf);

/* Makes room for `more` further bytes. 0, RUC_ETOOBIG or UV_ENOMEM. */
int ruc_buf_reserve(ruc_buf_t *buf, size_t more);

/* Appends `len` bytes. 0, RUC_ETOOBIG or UV_ENOMEM. */
int ruc_buf_add(ruc_buf_t *buf, const void *data, size_t len);

/* Appends a C string. */
int ruc_buf_adds(ruc_buf_t *buf, const char *text);

/* Appends formatted text. */
int ruc_buf_addf(ruc_buf_t *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ruc_buf_addv(ruc_buf_t *buf, const char *format, va_list args);

/* Appends text as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD. */
int ruc_buf_add_json(ruc_buf_t *buf, const char *text, size_t len);

/* Removes `len` bytes (at most all) from the front. */
void ruc_buf_drop(ruc_buf_t *buf, size_t len);

/* The bytes as a C string; "" while empty. Valid until the next change. */
const char *ruc_buf_str(const ruc_buf_t *buf);

#endif
