/* answer.h - from what a handler returned to bytes: the one place that renders answers. */
#ifndef RUC_LUA_ANSWER_H
#define RUC_LUA_ANSWER_H

#include "engine/record.h"
#include "http/stream.h"
#include "lua/app.h"

#define RUC_ANSWER_HEADERS 32

/* Answers with a record as clients see it, without a copy. The stream is gone afterwards. */
void ruc_answer_record(ruc_app_t *app, ruc_http_stream_t *stream, int status, ruc_record_t *record,
                       const ruc_http_header_t *headers, size_t n);

#define RUC_ANSWER_STALE "x-rucat-stale"

/* While what is known of the engines may be older than what the store has (feed.h), adds the header
 * x-rucat-stale: for how many seconds. `headers` has room for one more, `text` holds the value. The
 * new count. */
size_t ruc_answer_mark(const ruc_app_t *app, ruc_http_header_t *headers, size_t n, char text[24]);

#endif
