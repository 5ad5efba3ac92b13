/* server.h - listening sockets, the connections they accept, and what bounds them.
 *
 * One server has any number of listeners; each connection speaks a protocol (h1.h; h2 and TLS come
 * behind the same seam, conn.h) which hands complete requests to on_request as streams (stream.h).
 * All of it runs on the loop's thread. */
#ifndef RUC_HTTP_SERVER_H
#define RUC_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "http/stream.h"

typedef struct ruc_http_server ruc_http_server_t;

/* Bounds; start from ruc_http_limits_default(). What happens at each is said beside it. */
typedef struct ruc_http_limits {
    size_t head;          /* bytes of request line and headers: 16 KiB, beyond 431 */
    size_t target;        /* bytes of the request target: 8 KiB, beyond 414 */
    size_t headers;       /* number of headers: 100, beyond 431 */
    size_t body;          /* bytes of a buffered body: 1 MiB, beyond 413 */
    size_t connections;   /* 10,000; beyond 503 with Retry-After and close */
    size_t queue;         /* bytes queued on a connection: 1 MiB; ruc_http_write says RUC_EFULL, and
                             no further request is read while a quarter of it is queued */
    uint64_t head_ms;     /* from the first byte to the end of the head: 10 s, then 408 */
    uint64_t body_ms;     /* the whole buffered body: 30 s, then 408 */
    uint64_t progress_ms; /* in each such stretch (5 s) of a body ... */
    size_t progress;      /* ... at least so many bytes (1 KiB) must come, else 408 */
    uint64_t idle_ms;     /* between requests: 60 s, then closed */
    uint64_t write_ms;    /* queued output of which nothing goes out: 30 s, then cut */
    uint64_t linger_ms;   /* after a last answer, for the peer to read it and close: 2 s */
    size_t linger;        /* bytes of its input thrown away meanwhile: 4 MiB */
    uint64_t half_ms;     /* a peer that ended its side still gets a whole answer that is
                             complete within this time: 2 s; a started one is closed at once */
} ruc_http_limits_t;

typedef enum {
    RUC_HTTP_BUFFER, /* on_request comes with the whole body (bounded by limits.body) */
    RUC_HTTP_STREAM, /* on_request comes at once, the body by on_body, without those bounds */
} ruc_http_body_mode_t;

/* What the server calls. `arg` is handed to each. */
typedef struct ruc_http_handlers {
    /* Optional. The head is there, the body is not: chooses how it comes. May answer at once (401),
     * then on_request does not come and the result does not matter. */
    ruc_http_body_mode_t (*on_head)(ruc_http_stream_t *stream, void *arg);
    /* Required. A request is there; it must be answered, now or later. */
    void (*on_request)(ruc_http_stream_t *stream, void *arg);
    /* Optional: the answer is complete or given up (status 0: nothing was answered). For counts and
     * the access log; the stream may be read, not called. Comes for each stream that on_head or
     * on_request has seen. May come from inside the answering function: do not answer here. */
    void (*on_done)(ruc_http_stream_t *stream, void *arg);
    void *arg;
} ruc_http_handlers_t;

/* Counters since the start, and `open` now. */
typedef struct ruc_http_stats {
    uint64_t accepted; /* connections */
    uint64_t refused;  /* of these answered with 503 or closed because of the bound */
    uint64_t open;     /* now */
    uint64_t requests; /* heads that were complete and right */
    uint64_t bad;      /* requests answered by the protocol itself: 400, 408, 413, ... */
    uint64_t timeouts; /* connections cut by a time bound, idle ones not counted */
    uint64_t bytes_in;
    uint64_t bytes_out; /* handed to the kernel or queued */
    uint64_t no_fds;    /* accepts that failed, or took one of the last 8 descriptors */
} ruc_http_stats_t;

/* The defaults named above. */
ruc_http_limits_t ruc_http_limits_default(void);

/* A new server on `loop`, not yet listening. `limits` NULL: the defaults; both structs are copied.
 * NULL when memory is out. */
ruc_http_server_t *ruc_http_server_new(uv_loop_t *loop, const ruc_http_handlers_t *handlers,
                                       const ruc_http_limits_t *limits);

/* Listens on "HOST:PORT": an IPv4 address, "[IPv6]", or "localhost" (127.0.0.1); port 0 is a free
 * one. At most 16 listeners. Returns the listener's number (0, 1, ...), or a negative code with a
 * sentence: "127.0.0.1:3000 is in use". */
int ruc_http_server_listen(ruc_http_server_t *server, const char *address, ruc_why_t *why);

/* Listens on a TCP socket that was handed over (by a service manager, or by the server before),
 * bound already. The descriptor is taken over in every case. Returns as ruc_http_server_listen. */
int ruc_http_server_take(ruc_http_server_t *server, int fd, ruc_why_t *why);

/* The descriptor of listener `number`, or -1. It stays the server's. */
int ruc_http_server_fd(const ruc_http_server_t *server, int number);

/* Where listener `number` really listens: "127.0.0.1:40123", with the port the kernel chose; ""
 * when there is no such listener. Lives as long as the server. */
const char *ruc_http_server_address(const ruc_http_server_t *server, int number);

/* Its port (host order), or 0. */
int ruc_http_server_port(const ruc_http_server_t *server, int number);

/* A copy of the counters. */
ruc_http_stats_t ruc_http_server_stats(const ruc_http_server_t *server);

/* Stops gracefully: no more connections, idle ones are closed, answers that are due say
 * `Connection: close`; after `ms` milliseconds the rest is cut (on_close). Called again (a second
 * signal) it shortens the time; the callback stays the first one. `cb(arg)` comes from the loop,
 * once, when every handle is closed; the server is freed by itself after it returns. Also the way
 * to end a server that never listened. */
void ruc_http_server_drain(ruc_http_server_t *server, uint64_t ms, void (*cb)(void *arg),
                           void *arg);

#endif
