/* h1_write.c - answers in HTTP/1.1: the head, whole bodies, chunks.
 *
 * While a run of pipelined requests is served, small answers gather in `out` and go out in one
 * write. Else head and body go out in one writev. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/err.h"
#include "core/log.h"
#include "http/h1.h"

#define GATHER 8192      /* bodies up to this are gathered */
#define GATHER_MAX 65536 /* and written when so much is there */

int ruc__h1_flush(ruc__h1_work_t *work)
{
    if (work->out.len == 0) {
        return 0;
    }
    uv_buf_t buf = uv_buf_init(work->out.data, (unsigned)work->out.len);
    int rc = ruc__conn_write(work->conn, &buf, 1, NULL, NULL);
    ruc_buf_clear(&work->out);
    return rc;
}

/* Headers that are the protocol's own business. */
static bool is_framing(const char *name, size_t len)
{
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    static const struct {
        const char *text;
        size_t len;
    } names[] = {NAME("content-length"), NAME("connection"), NAME("transfer-encoding"),
                 NAME("keep-alive"),     NAME("date"),       NAME("x-request-id"),
                 NAME("upgrade"),        NAME("trailer")};
#undef NAME
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (len == names[i].len && strcasecmp(name, names[i].text) == 0) {
            return true;
        }
    }
    return false;
}

static int add_headers(ruc_buf_t *out, const ruc_http_header_t *headers, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t name = strlen(headers[i].name), value = strlen(headers[i].value);
        if (is_framing(headers[i].name, name)) {
            continue;
        }
        rc = ruc_buf_reserve(out, name + value + 4);
        if (rc == 0) {
            (void)ruc_buf_add(out, headers[i].name, name); /* reserved */
            (void)ruc_buf_add(out, ": ", 2);
            (void)ruc_buf_add(out, headers[i].value, value);
            (void)ruc_buf_add(out, "\r\n", 2);
        }
    }
    return rc;
}

typedef enum { WITH_LENGTH, WITH_CHUNKS, WITH_NOTHING } framing_t;

/* The status line and what comes in every answer. By hand: printf is a tenth of a small answer. */
static int add_first_lines(ruc__h1_work_t *work, int status)
{
    ruc_buf_t *out = &work->out;
    char code[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10), ' '};
    int rc = ruc_buf_reserve(out, 512);
    rc = rc < 0 ? rc : ruc_buf_add(out, "HTTP/1.1 ", 9);
    rc = rc < 0 ? rc : ruc_buf_add(out, code, 4);
    rc = rc < 0 ? rc : ruc_buf_adds(out, ruc_http_reason(status));
    rc = rc < 0 ? rc : ruc_buf_add(out, "\r\nDate: ", 8);
    rc = rc < 0 ? rc : ruc_buf_adds(out, ruc__server_date(work->conn->server));
    rc = rc < 0 ? rc : ruc_buf_add(out, "\r\nX-Request-Id: ", 16);
    rc = rc < 0 ? rc : ruc_buf_adds(out, work->stream.request_id);
    return rc < 0 ? rc : ruc_buf_add(out, "\r\n", 2);
}

static int add_length(ruc_buf_t *out, size_t length)
{
    char digits[20 + 2] = "";
    size_t at = sizeof digits - 2;
    memcpy(digits + at, "\r\n", 2);
    do {
        digits[--at] = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    int rc = ruc_buf_add(out, "Content-Length: ", 16);
    return rc < 0 ? rc : ruc_buf_add(out, digits + at, sizeof digits - at);
}

/* Adds the head of an answer to `out`; on failure `out` is as it was. */
static int add_head(ruc__h1_work_t *work, int status, const ruc_http_header_t *headers, size_t n,
                    framing_t framing, size_t length, bool close)
{
    ruc_buf_t *out = &work->out;
    size_t before = out->len;
    int rc = add_first_lines(work, status);
    rc = rc < 0 ? rc : add_headers(out, headers, n);
    if (rc == 0 && framing == WITH_LENGTH) {
        rc = add_length(out, length);
    } else if (rc == 0 && framing == WITH_CHUNKS) {
        rc = ruc_buf_adds(out, "Transfer-Encoding: chunked\r\n");
    }
    if (rc == 0 && close) {
        rc = ruc_buf_adds(out, "Connection: close\r\n");
    } else if (rc == 0 && work->minor0) {
        rc = ruc_buf_adds(out, "Connection: keep-alive\r\n");
    }
    rc = rc < 0 ? rc : ruc_buf_add(out, "\r\n", 2);
    if (rc < 0) {
        out->len = before;
    }
    return rc;
}

/* Sends the head in `out` and the body in one go, or gathers them. */
static int send_whole(ruc__h1_work_t *work, const void *body, size_t len,
                      ruc_http_release_fn release, void *arg)
{
    bool gather = work->conn->processing && len <= GATHER && work->pos < work->end &&
                  work->out.len < GATHER_MAX;
    if ((gather || len == 0) && ruc_buf_add(&work->out, body, len) == 0) {
        if (release != NULL) {
            release(arg);
        }
        return work->conn->processing ? 0 : ruc__h1_flush(work);
    }
    uv_buf_t bufs[2] = {uv_buf_init(work->out.data, (unsigned)work->out.len),
                        {.base = (char *)body, .len = len}};
    int rc = ruc__conn_write(work->conn, bufs, 2, release, arg);
    ruc_buf_clear(&work->out);
    return rc;
}

static int h1_respond(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                      size_t n, const void *body, size_t len, ruc_http_release_fn release,
                      void *arg)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    bool close = !work->keep || work->conn->server->draining || !work->body_done;
    bool bare = status == RUC_HTTP_NO_CONTENT || status == RUC_HTTP_NOT_MODIFIED;
    int wrong = 0;
    if (work->started) { /* an answer has begun: it cannot be another one now */
        if (release != NULL) {
            release(arg);
        }
        stream->ops->abort(stream);
        return RUC_EINVALID;
    }
    if (status < 200 || status > 599 || !ruc_http_headers_valid(headers, n)) {
        ruc_log(RUC_LOG_HTTP, RUC_ERROR,
                "%s %s: an answer of status %d has a wrong header or status", stream->method,
                stream->path, status);
        wrong = RUC_EINVALID;
        status = RUC_HTTP_INTERNAL_SERVER_ERROR;
        n = 0;
        bare = false;
    }
    size_t length = wrong != 0 ? 0 : len;
    stream->status = status;
    int rc = add_head(work, status, headers, n, bare ? WITH_NOTHING : WITH_LENGTH, length, close);
    if (rc < 0) {
        work->aborted = true;
    }
    if (rc < 0 || wrong != 0 || bare || work->head_only) {
        if (release != NULL) {
            release(arg);
            release = NULL;
        }
        length = 0;
    }
    if (rc == 0) {
        rc = send_whole(work, length > 0 ? body : "", length, release, arg);
    }
    work->keep = work->keep && !close;
    ruc__h1_answered(work);
    return wrong != 0 ? wrong : rc;
}

static int h1_start(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                    size_t n)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    if (work->started || status < 200 || status > 599 || status == RUC_HTTP_NO_CONTENT ||
        status == RUC_HTTP_NOT_MODIFIED || !ruc_http_headers_valid(headers, n)) {
        return RUC_EINVALID;
    }
    work->chunked = !work->minor0;
    work->keep = work->keep && work->chunked && !work->conn->server->draining;
    int rc = add_head(work, status, headers, n, work->chunked ? WITH_CHUNKS : WITH_NOTHING, 0,
                      !work->keep);
    if (rc < 0) {
        return rc;
    }
    work->started = true;
    stream->status = status;
    return ruc__h1_flush(work);
}

static int64_t h1_write(ruc_http_stream_t *stream, const void *data, size_t len)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    size_t bound = work->conn->server->limits.queue;
    size_t queued = ruc__conn_queued(work->conn);
    if (!work->started) {
        return RUC_EINVALID;
    }
    if (work->conn->failed) {
        return RUC_ECLOSED;
    }
    if (queued > 0 && queued + len > bound) {
        work->want_drain = true;
        return RUC_EFULL;
    }
    if (len == 0 || work->head_only) {
        return (int64_t)queued;
    }
    char size[24];
    int size_len = work->chunked ? snprintf(size, sizeof size, "%zx\r\n", len) : 0;
    uv_buf_t bufs[3] = {uv_buf_init(size, (unsigned)size_len),
                        {.base = (char *)data, .len = len},
                        uv_buf_init((char *)"\r\n", work->chunked ? 2 : 0)};
    int rc = ruc__conn_write(work->conn, bufs, 3, NULL, NULL);
    if (rc < 0) {
        return rc;
    }
    queued = ruc__conn_queued(work->conn);
    work->want_drain = work->want_drain || queued > bound / 4;
    if (queued > 0 && work->conn->timer != RUC__T_WRITE &&
        (work->phase == RUC__H1_ANSWER || work->streamed)) {
        ruc__conn_timer(work->conn, RUC__T_WRITE, work->conn->server->limits.write_ms);
    }
    return (int64_t)queued;
}

static int h1_end(ruc_http_stream_t *stream, const ruc_http_header_t *trailers, size_t n)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    int rc = 0;
    if (!work->started || !ruc_http_headers_valid(trailers, n)) {
        stream->ops->abort(stream);
        return RUC_EINVALID;
    }
    if (work->chunked && !work->head_only) {
        rc = ruc_buf_add(&work->out, "0\r\n", 3);
        rc = rc < 0 ? rc : add_headers(&work->out, trailers, n);
        rc = rc < 0 ? rc : ruc_buf_add(&work->out, "\r\n", 2);
        if (rc == 0 && !work->conn->processing) {
            rc = ruc__h1_flush(work);
        }
        work->aborted = rc == UV_ENOMEM || rc == RUC_ETOOBIG;
    }
    ruc__h1_answered(work);
    return rc;
}

static void h1_abort(ruc_http_stream_t *stream)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    work->aborted = true;
    work->keep = false;
    ruc__h1_answered(work);
}

static void h1_pause_body(ruc_http_stream_t *stream, bool paused)
{
    ruc__h1_work_t *work = (ruc__h1_work_t *)stream;
    work->paused = paused && work->streamed;
    if (work->paused) {
        ruc__conn_reading(work->conn, false);
    } else {
        ruc__conn_later(work->conn);
    }
}

static const char *h1_peer(ruc_http_stream_t *stream)
{
    return ruc__conn_peer(((ruc__h1_work_t *)stream)->conn);
}

const ruc__http_ops_t ruc__h1_ops = {
    .respond = h1_respond,
    .start = h1_start,
    .write = h1_write,
    .end = h1_end,
    .abort = h1_abort,
    .pause_body = h1_pause_body,
    .peer = h1_peer,
};
