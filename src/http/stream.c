/* stream.c - the protocol-neutral face: calls go to the protocol's table. */
#include "http/stream.h"

#include <string.h>
#include <uv.h>

#include "core/buf.h"
#include "core/err.h"

static const unsigned char token[256] = {
    ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['!'] = 1, ['#'] = 1, ['$'] = 1,
    ['%'] = 1,         ['&'] = 1,         ['\''] = 1,        ['*'] = 1, ['+'] = 1, ['-'] = 1,
    ['.'] = 1,         ['^'] = 1,         ['_'] = 1,         ['`'] = 1, ['|'] = 1, ['~'] = 1,
};

bool ruc_http_is_token(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!token[(unsigned char)text[i]]) {
            return false;
        }
    }
    return len > 0;
}

bool ruc_http_headers_valid(const ruc_http_header_t *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name == NULL || headers[i].value == NULL ||
            !ruc_http_is_token(headers[i].name, strlen(headers[i].name))) {
            return false;
        }
        for (const char *at = headers[i].value; *at != '\0'; at++) {
            unsigned char c = (unsigned char)*at;
            if ((c < 0x20 && c != '\t') || c == 0x7f) {
                return false;
            }
        }
    }
    return true;
}

void ruc_http_listen(ruc_http_stream_t *stream, const ruc_http_events_t *events, void *arg)
{
    stream->events = events;
    stream->events_arg = arg;
}

const char *ruc_http_header(const ruc_http_stream_t *stream, const char *name)
{
    for (size_t i = 0; i < stream->header_count; i++) {
        if (strcmp(stream->headers[i].name, name) == 0) {
            return stream->headers[i].value;
        }
    }
    return NULL;
}

const char *ruc_http_peer(ruc_http_stream_t *stream)
{
    return stream->ops->peer(stream);
}

void ruc_http_pause_body(ruc_http_stream_t *stream, bool paused)
{
    stream->ops->pause_body(stream, paused);
}

int ruc_http_respond(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                     size_t n, const void *body, size_t len)
{
    return stream->ops->respond(stream, status, headers, n, body, len, NULL, NULL);
}

int ruc_http_respond_ref(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                         size_t n, const void *body, size_t len, ruc_http_release_fn release,
                         void *arg)
{
    return stream->ops->respond(stream, status, headers, n, body, len, release, arg);
}

int ruc_http_start(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                   size_t n)
{
    return stream->ops->start(stream, status, headers, n);
}

int64_t ruc_http_write(ruc_http_stream_t *stream, const void *data, size_t len)
{
    return stream->ops->write(stream, data, len);
}

int ruc_http_end(ruc_http_stream_t *stream)
{
    return stream->ops->end(stream, NULL, 0);
}

int ruc_http_end_trailers(ruc_http_stream_t *stream, const ruc_http_header_t *trailers, size_t n)
{
    return stream->ops->end(stream, trailers, n);
}

void ruc_http_abort(ruc_http_stream_t *stream)
{
    stream->ops->abort(stream);
}

int ruc_http_problem(ruc_http_stream_t *stream, int status, const char *title, const char *detail)
{
    return ruc_http_problem_with(stream, status, title, detail, NULL, 0);
}

int ruc_http_problem_with(ruc_http_stream_t *stream, int status, const char *title,
                          const char *detail, const ruc_http_header_t *headers, size_t n)
{
    enum { HEADERS = 16 };
    ruc_http_header_t all[HEADERS] = {{"Content-Type", "application/problem+json"}};
    size_t count = 1;
    for (size_t i = 0; i < n && count < HEADERS; i++) {
        all[count++] = headers[i];
    }
    title = title == NULL ? ruc_http_reason(status) : title;
    detail = detail == NULL ? "" : detail;
    ruc_buf_t body;
    ruc_buf_init(&body, (size_t)1 << 20);
    int rc = ruc_buf_adds(&body, "{\"type\":\"about:blank\",\"title\":");
    rc = rc < 0 ? rc : ruc_buf_add_json(&body, title, strlen(title));
    rc = rc < 0 ? rc : ruc_buf_addf(&body, ",\"status\":%d,\"detail\":", status);
    rc = rc < 0 ? rc : ruc_buf_add_json(&body, detail, strlen(detail));
    rc = rc < 0 ? rc : ruc_buf_adds(&body, "}\n");
    if (rc < 0) {
        ruc_buf_clear(&body); /* the status alone must do */
    }
    int sent = ruc_http_respond(stream, status, all, count, ruc_buf_str(&body), body.len);
    ruc_buf_free(&body);
    return rc < 0 ? rc : sent;
}
