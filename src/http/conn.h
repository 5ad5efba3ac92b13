/* conn.h - inside the room: one connection's socket, its clock and its output, for any protocol.
 *
 * A protocol (h1.c) fills ruc__http_proto_t and sees bytes; this layer owns the handle. TLS will
 * sit between the two: in conn.c below ruc__conn_write and above proto->read.
 *
 * An idle connection is only this struct: whatever a request needs hangs on `work`, which the
 * protocol takes when bytes arrive and gives back when there is nothing to do. */
#ifndef RUC_HTTP_CONN_H
#define RUC_HTTP_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "http/server.h"
#include "http/stream.h"

typedef struct ruc__http_conn ruc__http_conn_t;

/* Why a connection is watched by the clock. Each has a list in order of deadlines, so that arming
 * is nearly always an append and the server needs one timer. */
typedef enum {
    RUC__T_NONE,
    RUC__T_IDLE,   /* between requests */
    RUC__T_HEAD,   /* a head has begun */
    RUC__T_BODY,   /* a body is due */
    RUC__T_WRITE,  /* output is queued */
    RUC__T_HALF,   /* the peer ended its side, an answer is due */
    RUC__T_LINGER, /* the last answer is out */
    RUC__T_COUNT
} ruc__timer_kind_t;

/* What a protocol does. All are called from the loop, never from inside a call of this header. */
typedef struct ruc__http_proto {
    /* Room for the next read, at least 1 byte; len 0: no memory (the connection is closed). */
    void (*alloc)(ruc__http_conn_t *conn, uv_buf_t *buf);
    /* n > 0: so many bytes were read into it; 0: none were; n < 0: UV_EOF or an error. */
    void (*read)(ruc__http_conn_t *conn, ssize_t n);
    void (*timeout)(ruc__http_conn_t *conn, ruc__timer_kind_t kind);
    void (*drained)(ruc__http_conn_t *conn);            /* some queued output has gone out */
    void (*resume)(ruc__http_conn_t *conn);             /* asked for by ruc__conn_later */
    void (*broken)(ruc__http_conn_t *conn);             /* writing failed: end what is under way */
    void (*shutdown)(ruc__http_conn_t *conn, bool now); /* the server stops */
    void (*release)(ruc__http_conn_t *conn); /* the connection is closing: give `work` back */
} ruc__http_proto_t;

struct ruc__http_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    ruc_http_server_t *server;
    const ruc__http_proto_t *proto;
    void *work;
    TAILQ_ENTRY(ruc__http_conn) all;
    TAILQ_ENTRY(ruc__http_conn) timed;
    TAILQ_ENTRY(ruc__http_conn) ready;
    uint64_t deadline;  /* loop milliseconds */
    uint64_t out_total; /* bytes handed to the queue since the start */
    uint64_t out_mark;  /* of these gone out when T_WRITE was armed */
    size_t lingered;
    uint8_t timer; /* ruc__timer_kind_t */
    bool reading : 1;
    bool closing : 1;
    bool lingering : 1;
    bool shut : 1;   /* our FIN is out */
    bool eof : 1;    /* theirs is in */
    bool failed : 1; /* writing failed */
    bool is_ready : 1;
    bool processing : 1; /* the protocol's loop is running */
    uv_shutdown_t shutdown;
    char peer[56]; /* "" until asked for */
};

TAILQ_HEAD(ruc__conn_list, ruc__http_conn);

#define RUC__LISTENERS 16

typedef struct ruc__listener {
    uv_tcp_t tcp;
    ruc_http_server_t *server;
    char address[80];
    int port;
} ruc__listener_t;

struct ruc_http_server {
    uv_loop_t *loop;
    ruc_http_handlers_t handlers;
    ruc_http_limits_t limits;
    ruc_http_stats_t stats;
    struct ruc__conn_list conns, ready, timed[RUC__T_COUNT];
    size_t ready_count;
    uv_timer_t timer; /* the earliest deadline */
    uv_timer_t stop;  /* the end of draining */
    uv_idle_t later;  /* runs the ready list in the next turn */
    uint64_t due;     /* what `timer` is set to */
    bool armed;
    bool draining;
    bool closing;
    int handles; /* of our own that are not yet closed */
    void (*drained)(void *arg);
    void *drained_arg;
    ruc__listener_t *listeners[RUC__LISTENERS];
    int listener_count;
    uint64_t quiet_until; /* loop ms of the next possible line about descriptors */
    uint64_t descriptors; /* the process may have */
    void *pool;           /* the protocol's spare works */
    int pool_size;
    int64_t date_second;
    char date[40]; /* "Sun, 06 Nov 1994 08:49:37 GMT" of date_second */
};

/* Accepts a connection from `listener`. 0 or a negative code. */
int ruc__conn_accept(ruc_http_server_t *server, uv_stream_t *listener);

/* Sets the clock to `ms` from now for `kind` (NONE: no clock). */
void ruc__conn_timer(ruc__http_conn_t *conn, ruc__timer_kind_t kind, uint64_t ms);

/* Starts or stops reading. A failure to start closes the connection from the loop. */
void ruc__conn_reading(ruc__http_conn_t *conn, bool on);

/* Writes up to 4 pieces. What the kernel does not take is copied and queued, but for the last piece
 * where `release` is given: that one is kept by reference. `release` is called exactly once. 0;
 * RUC_ECLOSED or UV_ENOMEM (proto->broken follows). */
int ruc__conn_write(ruc__http_conn_t *conn, uv_buf_t *bufs, unsigned n, ruc_http_release_fn release,
                    void *arg);

/* Bytes that wait in the queue. */
size_t ruc__conn_queued(const ruc__http_conn_t *conn);

/* Has proto->resume (or broken) called in the next turn of the loop. */
void ruc__conn_later(ruc__http_conn_t *conn);

/* Ends the connection after what is queued: FIN, then throws input away until the peer ends its
 * side or a bound is reached, so that the peer can read the last answer. Gives `work` back. */
void ruc__conn_linger(ruc__http_conn_t *conn);

/* Closes at once; `reset`: with RST, so that the peer sees that something is missing. */
void ruc__conn_close(ruc__http_conn_t *conn, bool reset);

/* The peer's address as text. */
const char *ruc__conn_peer(ruc__http_conn_t *conn);

/* A connection is closed and freed: the server looks whether it was the last (server.c). */
void ruc__server_gone(ruc_http_server_t *server);

/* A connection got this descriptor: speaks up when few are left (server.c). */
void ruc__server_descriptor(ruc_http_server_t *server, int fd);

/* The Date header's value, renewed each second (server.c). */
const char *ruc__server_date(ruc_http_server_t *server);

#endif
