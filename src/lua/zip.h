/* zip.h - large answers go out gzipped to those who take it (RFC 9110 8.4, 12.5.3). */
#ifndef RUC_LUA_ZIP_H
#define RUC_LUA_ZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "http/stream.h"
#include "lua/app.h"

#define RUC_ZIP_FROM 4096 /* bytes; a smaller body goes out as it is */

/* True when an Accept-Encoding of that value (NULL: there is none) takes gzip. Any thread. */
bool ruc_zip_wanted(const char *accept);

/* Answers with `text`, gzipped where the peer takes it and it is worth it. All is copied; the
 * stream is gone, or belongs to this file until the thread pool has done its work. */
void ruc_zip_respond(ruc_app_t *app, ruc_http_stream_t *stream, int status,
                     const ruc_http_header_t *headers, size_t n, const char *text, size_t len);

#endif
