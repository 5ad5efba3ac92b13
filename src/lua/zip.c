/* zip.c - see zip.h. Compressing takes milliseconds for a large list, so it is done on the thread
 * pool; at most ZIPPING_MAX answers at a time, further ones go out as they are. */
#include "lua/zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "core/buf.h"

#define ZIPPING_MAX 64
#define HEADERS_MAX 40
#define LEVEL 2 /* nearly as small as 6 for JSON, at a third of the time */

typedef struct zipping {
    uv_work_t work;
    ruc_http_stream_t *stream; /* NULL: the peer is gone */
    int status;
    bool done; /* `out` is what to send */
    ruc_http_header_t headers[HEADERS_MAX];
    size_t header_count;
    ruc_buf_t texts; /* of the headers */
    size_t len, out_len;
    char *text;
    unsigned char *out;
} zipping_t;

static unsigned under_way;

/* The weight of one coding, "gzip;q=0.5": 0 is a refusal. */
static bool weighs(const char *at, const char *end)
{
    while (at < end && *at != ';') {
        at++;
    }
    for (; at < end; at++) {
        if (*at == 'q' || *at == 'Q') {
            const char *value = at + 1;
            while (value < end && (*value == ' ' || *value == '=')) {
                value++;
            }
            return value < end && strtod(value, NULL) > 0;
        }
    }
    return true;
}

bool ruc_zip_wanted(const char *accept)
{
    bool any = false;
    for (const char *at = accept; at != NULL && *at != '\0';) {
        at += strspn(at, ", \t");
        size_t name = strcspn(at, ",; \t"), whole = strcspn(at, ",");
        if ((name == 4 && strncasecmp(at, "gzip", 4) == 0) ||
            (name == 6 && strncasecmp(at, "x-gzip", 6) == 0)) {
            return weighs(at, at + whole);
        }
        any = any || (name == 1 && *at == '*' && weighs(at, at + whole));
        at += whole;
    }
    return any;
}

static const char *header_of(const ruc_http_header_t *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(headers[i].name, name) == 0) {
            return headers[i].value;
        }
    }
    return NULL;
}

/* Text in its many forms; pictures and archives are compressed as they are. */
static bool is_text(const char *type)
{
    return type != NULL && (strncasecmp(type, "text/", 5) == 0 || strstr(type, "json") != NULL ||
                            strstr(type, "javascript") != NULL || strstr(type, "xml") != NULL);
}

static void zipping_free(zipping_t *zipping)
{
    if (zipping != NULL) {
        ruc_buf_free(&zipping->texts);
        free(zipping->text);
        free(zipping->out);
        free(zipping);
    }
}

/* ---- the work ---- */

static void zip(uv_work_t *work)
{
    zipping_t *zipping = work->data;
    z_stream z = {.next_in = (unsigned char *)zipping->text,
                  .avail_in = (uInt)zipping->len,
                  .next_out = zipping->out,
                  .avail_out = (uInt)zipping->len};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return; /* it goes out as it is */
    }
    zipping->done = deflate(&z, Z_FINISH) == Z_STREAM_END; /* else it would not get smaller */
    zipping->out_len = zipping->len - z.avail_out;
    deflateEnd(&z);
}

static void release(void *arg)
{
    zipping_free(arg);
}

static void zipped(uv_work_t *work, int status)
{
    static const ruc_http_events_t none = {0};
    zipping_t *zipping = work->data;
    ruc_http_stream_t *stream = zipping->stream;
    under_way--;
    if (stream == NULL) {
        zipping_free(zipping);
        return;
    }
    bool done = status == 0 && zipping->done;
    if (done) {
        zipping->headers[zipping->header_count++] = (ruc_http_header_t){"content-encoding", "gzip"};
    }
    ruc_http_listen(stream, &none, NULL);
    ruc_http_respond_ref(stream, zipping->status, zipping->headers, zipping->header_count,
                         done ? (const void *)zipping->out : zipping->text,
                         done ? zipping->out_len : zipping->len, release, zipping);
}

static void peer_gone(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    ((zipping_t *)arg)->stream = NULL;
}

/* ---- the way there ---- */

/* Keeps the headers beyond the call. */
static int keep_headers(zipping_t *zipping, const ruc_http_header_t *headers, size_t n)
{
    ruc_buf_init(&zipping->texts, 1024u * 1024);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = ruc_buf_add(&zipping->texts, headers[i].name, strlen(headers[i].name) + 1);
        rc = rc < 0 ? rc
                    : ruc_buf_add(&zipping->texts, headers[i].value, strlen(headers[i].value) + 1);
    }
    const char *at = ruc_buf_str(&zipping->texts);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *value = at + strlen(at) + 1;
        zipping->headers[zipping->header_count++] = (ruc_http_header_t){at, value};
        at = value + strlen(value) + 1;
    }
    return rc;
}

static zipping_t *zipping_new(const ruc_http_header_t *headers, size_t n, const char *text,
                              size_t len)
{
    zipping_t *zipping = calloc(1, sizeof *zipping);
    if (zipping == NULL) {
        return NULL;
    }
    zipping->work.data = zipping;
    zipping->len = len;
    zipping->text = malloc(len);
    zipping->out = malloc(len);
    if (zipping->text == NULL || zipping->out == NULL || keep_headers(zipping, headers, n) < 0) {
        zipping_free(zipping);
        return NULL;
    }
    memcpy(zipping->text, text, len);
    return zipping;
}

/* Hands it to the thread pool; false: nothing has happened. */
static bool begin(ruc_app_t *app, ruc_http_stream_t *stream, int status,
                  const ruc_http_header_t *headers, size_t n, const char *text, size_t len)
{
    static const ruc_http_events_t events = {.on_close = peer_gone};
    zipping_t *zipping = under_way >= ZIPPING_MAX ? NULL : zipping_new(headers, n, text, len);
    if (zipping == NULL) {
        return false;
    }
    zipping->stream = stream;
    zipping->status = status;
    if (uv_queue_work(app->loop, &zipping->work, zip, zipped) < 0) {
        zipping_free(zipping);
        return false;
    }
    under_way++;
    ruc_http_listen(stream, &events, zipping);
    return true;
}

/* Lays "Vary: accept-encoding" over what there is of it. */
static size_t add_vary(ruc_http_header_t *headers, size_t n, char *text, size_t size)
{
    size_t i = 0;
    while (i < n && strcasecmp(headers[i].name, "vary") != 0) {
        i++;
    }
    snprintf(text, size, "%s%saccept-encoding", i < n ? headers[i].value : "", i < n ? ", " : "");
    headers[i] = (ruc_http_header_t){"vary", text};
    return i < n ? n : n + 1;
}

void ruc_zip_respond(ruc_app_t *app, ruc_http_stream_t *stream, int status,
                     const ruc_http_header_t *headers, size_t n, const char *text, size_t len)
{
    ruc_http_header_t all[HEADERS_MAX];
    char vary[512];
    if (len < RUC_ZIP_FROM || len > UINT32_MAX || n > HEADERS_MAX - 2 || status < 200 ||
        status > 299 || strcmp(stream->method, "HEAD") == 0 ||
        !is_text(header_of(headers, n, "content-type")) ||
        header_of(headers, n, "content-encoding") != NULL) {
        ruc_http_respond(stream, status, headers, n, text, len);
        return;
    }
    memcpy(all, headers, n * sizeof *all);
    n = add_vary(all, n, vary, sizeof vary);
    if (!ruc_zip_wanted(ruc_http_header(stream, "accept-encoding")) ||
        !begin(app, stream, status, all, n, text, len)) {
        ruc_http_respond(stream, status, all, n, text, len);
    }
}
