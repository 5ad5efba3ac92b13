/* answer.c - see answer.h. */
#include "lua/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lua/zip.h"

static void release(void *arg)
{
    ruc_record_unref(arg);
}

static bool has_header(const ruc_http_header_t *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(headers[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* W/"REV", written backwards; where it begins in `out`. */
static const char *write_etag(char out[40], uint64_t rev)
{
    char *at = out + 39;
    *at = '\0';
    *--at = '"';
    do {
        *--at = (char)('0' + rev % 10);
        rev /= 10;
    } while (rev > 0);
    at -= 3;
    memcpy(at, "W/\"", 3);
    return at;
}

size_t ruc_answer_mark(const ruc_app_t *app, ruc_http_header_t *headers, size_t n, char text[24])
{
    uint64_t stale_ms = ruc_feed_stale_ms(app->feed);
    if (stale_ms > 0) {
        snprintf(text, 24, "%llu", (unsigned long long)(stale_ms + 999) / 1000);
        headers[n++] = (ruc_http_header_t){RUC_ANSWER_STALE, text};
    }
    return n;
}

void ruc_answer_record(ruc_app_t *app, ruc_http_stream_t *stream, int status, ruc_record_t *record,
                       const ruc_http_header_t *headers, size_t n)
{
    ruc_http_header_t all[RUC_ANSWER_HEADERS + 3];
    size_t len = 0;
    char etag[40], stale[24];
    const char *json = ruc_record_render(record, ruc_table_last_beat(app->table, record->id), &len);
    if (json == NULL) {
        ruc_http_problem(stream, 503, NULL, "not enough memory");
        return;
    }
    n = n > RUC_ANSWER_HEADERS ? RUC_ANSWER_HEADERS : n;
    if (n > 0) {
        memcpy(all, headers, n * sizeof *all);
    }
    if (!has_header(all, n, "content-type")) {
        all[n++] = (ruc_http_header_t){"content-type", "application/json"};
    }
    if (!has_header(all, n, "etag") && n < RUC_ANSWER_HEADERS + 2) {
        all[n++] = (ruc_http_header_t){"etag", write_etag(etag, record->rev)};
    }
    n = ruc_answer_mark(app, all, n, stale);
    if (len >= RUC_ZIP_FROM) {
        ruc_zip_respond(app, stream, status, all, n, json, len);
        return;
    }
    ruc_http_respond_ref(stream, status, all, n, json, len, release, ruc_record_ref(record));
}
