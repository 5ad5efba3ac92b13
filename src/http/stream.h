/* stream.h - one request and its answer, whatever protocol carries it.
 *
 * HTTP/1.1 (h1.c) fills this today; HTTP/2 will fill the same struct behind the same functions, so
 * that handlers, followers and the gateway know of no protocol.
 *
 * A stream's life, the whole rule:
 *   - It is handed out by the server's on_head and on_request (server.h) and belongs to the
 *     protocol. Everything it points to (headers, path, body) lives as long as the stream.
 *   - It ends when the answer is complete: ruc_http_respond*, ruc_http_problem*, ruc_http_end* or
 *     ruc_http_abort was called. Whatever these return, the stream is gone when they return.
 *   - It also ends when its on_close event is called: the peer is gone, or the server cut it.
 *   - After its end no function may be called on it and none of its events comes.
 * So whoever keeps the pointer across turns of the loop attaches events and forgets it in on_close.
 *
 * No event and no server callback is ever called from inside a function of this header. All of it
 * is for the loop thread. */
#ifndef RUC_HTTP_STREAM_H
#define RUC_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/status.h"

/* One header. In a request, names are in lower case; neither text holds CR, LF or NUL. */
typedef struct ruc_http_header {
    const char *name;
    const char *value;
} ruc_http_header_t;

typedef struct ruc_http_stream ruc_http_stream_t;

/* What may happen to a stream later. Each may be NULL. */
typedef struct ruc_http_events {
    /* A piece of the body (only when on_head chose RUC_HTTP_STREAM), valid during the call. `last`
     * comes exactly once, possibly with len 0. */
    void (*on_body)(ruc_http_stream_t *stream, void *arg, const char *data, size_t len, bool last);
    /* What was queued has gone out (below a quarter of the bound); comes after a ruc_http_write
     * that returned more than that. */
    void (*on_drain)(ruc_http_stream_t *stream, void *arg);
    /* The peer is gone, or was cut, before the answer was complete. The stream is gone after the
     * call and nothing may be called on it, in the call neither. */
    void (*on_close)(ruc_http_stream_t *stream, void *arg);
} ruc_http_events_t;

/* Called once when the bytes handed to ruc_http_respond_ref are no longer needed. */
typedef void (*ruc_http_release_fn)(void *arg);

/* What a protocol implements. Private to the protocols; callers use the functions below. */
typedef struct ruc__http_ops {
    int (*respond)(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                   size_t n, const void *body, size_t len, ruc_http_release_fn release, void *arg);
    int (*start)(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers, size_t n);
    int64_t (*write)(ruc_http_stream_t *stream, const void *data, size_t len);
    int (*end)(ruc_http_stream_t *stream, const ruc_http_header_t *trailers, size_t n);
    void (*abort)(ruc_http_stream_t *stream);
    void (*pause_body)(ruc_http_stream_t *stream, bool paused);
    const char *(*peer)(ruc_http_stream_t *stream);
} ruc__http_ops_t;

/* The request. Read only for all but the protocol; `data` is the caller's. */
struct ruc_http_stream {
    const ruc__http_ops_t *ops;
    const char *method;     /* "GET": upper case as sent */
    const char *target;     /* the raw request target: "/a%20b?x=1", "http://h/a", "*" */
    const char *raw_path;   /* its path, not decoded: what the router matches */
    const char *path;       /* decoded; as raw_path where decoding gives NUL or invalid UTF-8 */
    const char *query;      /* raw, without '?'; NULL when there is none */
    const char *scheme;     /* "http" or "https" */
    const char *authority;  /* the host asked for: of the target, else the Host header; or "" */
    const char *request_id; /* a ULID, or the peer's own x-request-id (1 to 64 safe characters) */
    const ruc_http_header_t *headers; /* in the order sent, duplicates kept */
    size_t header_count;
    const char *body; /* the whole body, NUL after it; "" when there is none or it is streamed */
    size_t body_len;
    uint64_t begun_ns; /* ruc_clock_mono_ns when the head was complete */
    int status;        /* 0 until answered */
    void *data;        /* the caller's; NULL at first (on_done finds it here again) */
    const ruc_http_events_t *events;
    void *events_arg;
};

/* Attaches events; `events` must live as long as the stream (a static table). */
void ruc_http_listen(ruc_http_stream_t *stream, const ruc_http_events_t *events, void *arg);

/* The value of the first header of that name (lower case), or NULL. */
const char *ruc_http_header(const ruc_http_stream_t *stream, const char *name);

/* True when it is a token (RFC 9110 5.6.2): what a header's name or a method may be. Any thread. */
bool ruc_http_is_token(const char *text, size_t len);

/* True when all can be sent: names are tokens, values hold no control characters. Any thread. */
bool ruc_http_headers_valid(const ruc_http_header_t *headers, size_t n);

/* The peer's address, "127.0.0.1:40312" or "[::1]:4000"; "unix" for a unix socket. Lives as long
 * as the stream. */
const char *ruc_http_peer(ruc_http_stream_t *stream);

/* Stops and restarts the coming of on_body; while paused the peer is held back. */
void ruc_http_pause_body(ruc_http_stream_t *stream, bool paused);

/* Answers as a whole, with Content-Length; HEAD, 204 and 304 send no body. All is copied. Framing
 * headers (content-length, connection, transfer-encoding, keep-alive, date, x-request-id) are the
 * protocol's: such ones in `headers` are left out. 0; RUC_EINVALID when a header or status cannot
 * be sent (500 was answered instead); RUC_ECLOSED when the peer is gone; UV_ENOMEM. The stream is
 * gone in all cases. */
int ruc_http_respond(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                     size_t n, const void *body, size_t len);

/* The same without a copy of the body: it must stay as it is until `release(arg)` is called, which
 * happens exactly once, possibly before this returns, also on failure. */
int ruc_http_respond_ref(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                         size_t n, const void *body, size_t len, ruc_http_release_fn release,
                         void *arg);

/* Begins an answer of unknown length. The head goes out at once. 0; RUC_EINVALID (nothing was
 * sent, the stream lives: answer otherwise); RUC_ECLOSED, on_close follows. */
int ruc_http_start(ruc_http_stream_t *stream, int status, const ruc_http_header_t *headers,
                   size_t n);

/* Sends a piece of it. Returns how many bytes of the connection are queued now (0: all is with the
 * kernel). RUC_EFULL: the queue is at its bound, nothing was taken; wait for on_drain or abort.
 * RUC_ECLOSED: the peer is gone, on_close follows. */
int64_t ruc_http_write(ruc_http_stream_t *stream, const void *data, size_t len);

/* Completes it, with trailers or without (an HTTP/1.0 peer gets no trailers). */
int ruc_http_end(ruc_http_stream_t *stream);
int ruc_http_end_trailers(ruc_http_stream_t *stream, const ruc_http_header_t *trailers, size_t n);

/* Gives the answer up: the peer sees it cut (h1: the connection is reset). */
void ruc_http_abort(ruc_http_stream_t *stream);

/* Answers with application/problem+json (RFC 9457): type "about:blank", title, status, detail.
 * `title` NULL is the status's reason phrase; `detail` may be NULL. As ruc_http_respond. */
int ruc_http_problem(ruc_http_stream_t *stream, int status, const char *title, const char *detail);

/* The same with further headers (Allow, Retry-After, WWW-Authenticate). */
int ruc_http_problem_with(ruc_http_stream_t *stream, int status, const char *title,
                          const char *detail, const ruc_http_header_t *headers, size_t n);

#endif
