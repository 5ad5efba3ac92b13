/* conn.c - see conn.h. Reading, writing and ending of one socket, and the clock of all of them. */
#include "http/conn.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/check.h"
#include "core/log.h"
#include "http/h1.h"

/* What is queued in libuv: the request, and a copy of the bytes that are not kept by reference. */
typedef struct write_req {
    uv_write_t req;
    ruc__http_conn_t *conn;
    ruc_http_release_fn release;
    void *arg;
    char data[];
} write_req_t;

/* ---- the clock ---- */

static void sweep(ruc_http_server_t *server);

static void on_timer(uv_timer_t *timer)
{
    sweep(timer->data);
}

/* Sets the server's timer unless it fires earlier anyway. */
static void arm(ruc_http_server_t *server, uint64_t deadline)
{
    if (server->armed && server->due <= deadline) {
        return;
    }
    uint64_t now = uv_now(server->loop);
    server->due = deadline;
    server->armed = true;
    int rc = uv_timer_start(&server->timer, on_timer, deadline > now ? deadline - now : 0, 0);
    (void)RUC_FAILS(rc < 0); /* only without a callback or while closing */
}

void ruc__conn_timer(ruc__http_conn_t *conn, ruc__timer_kind_t kind, uint64_t ms)
{
    ruc_http_server_t *server = conn->server;
    if (conn->timer != RUC__T_NONE) {
        TAILQ_REMOVE(&server->timed[conn->timer], conn, timed);
    }
    conn->timer = kind;
    if (kind == RUC__T_NONE) {
        return;
    }
    conn->deadline = uv_now(server->loop) + ms;
    ruc__http_conn_t *before = TAILQ_LAST(&server->timed[kind], ruc__conn_list);
    while (before != NULL && before->deadline > conn->deadline) {
        before = TAILQ_PREV(before, ruc__conn_list, timed);
    }
    if (before == NULL) {
        TAILQ_INSERT_HEAD(&server->timed[kind], conn, timed);
    } else {
        TAILQ_INSERT_AFTER(&server->timed[kind], before, conn, timed);
    }
    if (kind == RUC__T_WRITE) {
        conn->out_mark = conn->out_total - ruc__conn_queued(conn);
    }
    arm(server, conn->deadline);
}

static void timed_out(ruc__http_conn_t *conn, ruc__timer_kind_t kind)
{
    if (kind == RUC__T_WRITE) {
        if (conn->out_total - ruc__conn_queued(conn) != conn->out_mark) {
            ruc__conn_timer(conn, kind, conn->server->limits.write_ms);
            return;
        }
        conn->server->stats.timeouts++;
        conn->failed = true;
    }
    if (conn->lingering) {
        ruc__conn_close(conn, conn->failed);
    } else if (conn->failed) {
        conn->proto->broken(conn);
    } else {
        conn->proto->timeout(conn, kind);
    }
}

/* Fires what is due. */
static void sweep(ruc_http_server_t *server)
{
    uint64_t now = uv_now(server->loop), next = UINT64_MAX;
    server->armed = false;
    for (int kind = RUC__T_NONE + 1; kind < RUC__T_COUNT; kind++) {
        ruc__http_conn_t *conn;
        while ((conn = TAILQ_FIRST(&server->timed[kind])) != NULL && conn->deadline <= now) {
            ruc__conn_timer(conn, RUC__T_NONE, 0);
            timed_out(conn, (ruc__timer_kind_t)kind);
        }
    }
    for (int kind = RUC__T_NONE + 1; kind < RUC__T_COUNT; kind++) {
        ruc__http_conn_t *conn = TAILQ_FIRST(&server->timed[kind]);
        if (conn != NULL && conn->deadline < next) {
            next = conn->deadline;
        }
    }
    if (next != UINT64_MAX) {
        arm(server, next);
    }
}

/* ---- later ---- */

static void leave_ready(ruc__http_conn_t *conn)
{
    conn->is_ready = false;
    conn->server->ready_count--;
    TAILQ_REMOVE(&conn->server->ready, conn, ready);
}

static void run_ready(ruc_http_server_t *server)
{
    /* Only those of now: who asks again meanwhile gets the next turn. */
    for (size_t left = server->ready_count; left > 0 && server->ready_count > 0; left--) {
        ruc__http_conn_t *conn = TAILQ_FIRST(&server->ready);
        leave_ready(conn);
        if (!conn->failed) {
            conn->proto->resume(conn);
        } else if (conn->lingering) {
            ruc__conn_close(conn, true);
        } else {
            conn->proto->broken(conn);
        }
    }
    if (server->ready_count == 0) {
        (void)uv_idle_stop(&server->later);
    }
}

static void on_later(uv_idle_t *idle)
{
    run_ready(idle->data);
}

void ruc__conn_later(ruc__http_conn_t *conn)
{
    ruc_http_server_t *server = conn->server;
    if (conn->is_ready || conn->closing) {
        return;
    }
    conn->is_ready = true;
    server->ready_count++;
    TAILQ_INSERT_TAIL(&server->ready, conn, ready);
    if (!uv_is_active((uv_handle_t *)&server->later)) {
        int rc = uv_idle_start(&server->later, on_later);
        (void)RUC_FAILS(rc < 0);
    }
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    static char bin[16384]; /* what a lingering connection sends is thrown away */
    ruc__http_conn_t *conn = handle->data;
    if (conn->lingering) {
        *buf = uv_buf_init(bin, sizeof bin);
    } else {
        conn->proto->alloc(conn, buf);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    ruc__http_conn_t *conn = stream->data;
    if (conn->closing) {
        return;
    }
    if (n >= 0) {
        conn->server->stats.bytes_in += (uint64_t)n;
    } else {
        conn->reading = false; /* libuv stops by itself at EOF; stop it for errors too */
        (void)uv_read_stop(stream);
        conn->eof = conn->eof || n == UV_EOF;
    }
    if (!conn->lingering) {
        conn->proto->read(conn, n);
        return;
    }
    conn->lingered += n > 0 ? (size_t)n : 0;
    if ((n < 0 && (n != UV_EOF || conn->shut)) || conn->lingered > conn->server->limits.linger) {
        ruc__conn_close(conn, false);
    }
}

void ruc__conn_reading(ruc__http_conn_t *conn, bool on)
{
    if (conn->reading == on || conn->closing || (on && conn->eof)) {
        return;
    }
    conn->reading = on;
    int rc =
        on ? uv_read_start(&conn->uv.stream, on_alloc, on_read) : uv_read_stop(&conn->uv.stream);
    if (rc < 0) {
        conn->failed = true;
        ruc__conn_later(conn);
    }
}

/* ---- writing ---- */

size_t ruc__conn_queued(const ruc__http_conn_t *conn)
{
    return uv_stream_get_write_queue_size(&conn->uv.stream);
}

static void on_written(uv_write_t *req, int status)
{
    write_req_t *write = (write_req_t *)req;
    ruc__http_conn_t *conn = write->conn;
    if (write->release != NULL) {
        write->release(write->arg);
    }
    free(write);
    if (conn->closing) {
        return;
    }
    if (status < 0) {
        conn->failed = true;
        ruc__conn_later(conn);
    } else if (!conn->lingering) {
        conn->proto->drained(conn);
    }
}

/* Drops the first `done` bytes from the pieces. */
static void advance(uv_buf_t *bufs, unsigned n, size_t done)
{
    for (unsigned i = 0; i < n && done > 0; i++) {
        size_t step = done < bufs[i].len ? done : bufs[i].len;
        bufs[i].base += step;
        bufs[i].len -= step;
        done -= step;
    }
}

/* Queues what is left of the pieces. */
static int queue_rest(ruc__http_conn_t *conn, uv_buf_t *bufs, unsigned n,
                      ruc_http_release_fn release, void *arg)
{
    unsigned copied = release != NULL ? n - 1 : n;
    size_t size = 0;
    for (unsigned i = 0; i < copied; i++) {
        size += bufs[i].len;
    }
    write_req_t *write = malloc(sizeof *write + size);
    if (write == NULL) {
        return UV_ENOMEM;
    }
    write->conn = conn;
    write->release = release;
    write->arg = arg;
    size_t at = 0;
    for (unsigned i = 0; i < copied; i++) {
        if (bufs[i].len > 0) {
            memcpy(write->data + at, bufs[i].base, bufs[i].len);
            at += bufs[i].len;
        }
    }
    uv_buf_t out[2] = {uv_buf_init(write->data, (unsigned)size)};
    unsigned count = size > 0 ? 1 : 0;
    if (release != NULL) {
        out[count++] = bufs[n - 1];
    }
    int rc = uv_write(&write->req, &conn->uv.stream, out, count, on_written);
    if (rc < 0) {
        free(write);
    }
    return rc;
}

int ruc__conn_write(ruc__http_conn_t *conn, uv_buf_t *bufs, unsigned n, ruc_http_release_fn release,
                    void *arg)
{
    size_t total = 0;
    int rc = conn->failed || conn->closing ? RUC_ECLOSED : 0;
    for (unsigned i = 0; i < n; i++) {
        total += bufs[i].len;
    }
    if (rc == 0 && total > 0) {
        int done = ruc__conn_queued(conn) > 0 ? UV_EAGAIN : uv_try_write(&conn->uv.stream, bufs, n);
        if (done >= 0) {
            advance(bufs, n, (size_t)done);
        }
        conn->out_total += total;
        conn->server->stats.bytes_out += total;
        if (done < 0 && done != UV_EAGAIN) {
            rc = RUC_ECLOSED;
        } else if (done < 0 || (size_t)done < total) {
            rc = queue_rest(conn, bufs, n, release, arg);
            if (rc == 0) {
                return 0; /* on_written releases */
            }
        }
    }
    if (release != NULL) {
        release(arg);
    }
    if (rc < 0) {
        conn->failed = true;
        ruc__conn_later(conn);
    }
    return rc;
}

/* ---- ending ---- */

static void on_shutdown(uv_shutdown_t *req, int status)
{
    ruc__http_conn_t *conn = req->handle->data;
    if (conn->closing) {
        return;
    }
    conn->shut = true;
    if (status < 0 || conn->eof) {
        ruc__conn_close(conn, false);
    } else {
        ruc__conn_timer(conn, RUC__T_LINGER, conn->server->limits.linger_ms);
    }
}

void ruc__conn_linger(ruc__http_conn_t *conn)
{
    if (conn->lingering || conn->closing) {
        return;
    }
    conn->lingering = true;
    conn->proto->release(conn);
    if (conn->failed || uv_shutdown(&conn->shutdown, &conn->uv.stream, on_shutdown) < 0) {
        ruc__conn_close(conn, false);
        return;
    }
    ruc__conn_timer(conn, RUC__T_WRITE, conn->server->limits.write_ms);
    ruc__conn_reading(conn, true);
}

static void on_closed(uv_handle_t *handle)
{
    ruc__http_conn_t *conn = handle->data;
    ruc_http_server_t *server = conn->server;
    free(conn);
    ruc__server_gone(server);
}

void ruc__conn_close(ruc__http_conn_t *conn, bool reset)
{
    if (conn->closing) {
        return;
    }
    ruc_http_server_t *server = conn->server;
    ruc__conn_timer(conn, RUC__T_NONE, 0);
    conn->closing = true;
    conn->proto->release(conn);
    if (conn->is_ready) {
        leave_ready(conn);
    }
    TAILQ_REMOVE(&server->conns, conn, all);
    server->stats.open--;
    server->handles++;
    if (reset && conn->uv.handle.type == UV_TCP) {
        struct linger abrupt = {.l_onoff = 1, .l_linger = 0};
        int fd = -1;
        if (uv_fileno(&conn->uv.handle, &fd) == 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt); /* best effort */
        }
    }
    uv_close(&conn->uv.handle, on_closed);
}

/* ---- beginning ---- */

const char *ruc__conn_peer(ruc__http_conn_t *conn)
{
    if (conn->peer[0] != '\0') {
        return conn->peer;
    }
    struct sockaddr_storage at;
    int len = sizeof at;
    char host[INET6_ADDRSTRLEN] = "";
    snprintf(conn->peer, sizeof conn->peer, "unknown");
    if (conn->uv.handle.type != UV_TCP) {
        snprintf(conn->peer, sizeof conn->peer, "unix");
    } else if (uv_tcp_getpeername(&conn->uv.tcp, (struct sockaddr *)&at, &len) == 0) {
        if (at.ss_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)&at;
            uv_ip4_name(in, host, sizeof host);
            snprintf(conn->peer, sizeof conn->peer, "%s:%d", host, ntohs(in->sin_port));
        } else if (at.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&at;
            uv_ip6_name(in, host, sizeof host);
            snprintf(conn->peer, sizeof conn->peer, "[%.45s]:%d", host, ntohs(in->sin6_port));
        }
    }
    return conn->peer;
}

/* Beyond the bound: a short answer and the end, without a protocol. A few of these may linger. */
static void refuse(ruc__http_conn_t *conn)
{
#define REFUSAL                                                                                    \
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"                  \
    "\"detail\":\"too many connections\"}\n"
    static_assert(sizeof REFUSAL - 1 == 98, "the Content-Length below");
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Content-Type: application/problem+json\r\n"
                                 "Retry-After: 1\r\n"
                                 "Connection: close\r\n"
                                 "Content-Length: 98\r\n\r\n" REFUSAL;
    ruc_http_server_t *server = conn->server;
    server->stats.refused++;
    if (server->stats.open > server->limits.connections + 64) {
        ruc__conn_close(conn, true);
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)answer, sizeof answer - 1);
    (void)ruc__conn_write(conn, &buf, 1, NULL, NULL); /* a failure is seen by linger */
    ruc__conn_linger(conn);
}

int ruc__conn_accept(ruc_http_server_t *server, uv_stream_t *listener)
{
    ruc__http_conn_t *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return UV_ENOMEM;
    }
    int rc = uv_tcp_init(server->loop, &conn->uv.tcp);
    if (rc < 0) {
        free(conn);
        return rc;
    }
    conn->uv.handle.data = conn;
    conn->server = server;
    conn->proto = &ruc__h1_proto;
    TAILQ_INSERT_TAIL(&server->conns, conn, all);
    server->stats.accepted++;
    server->stats.open++;
    rc = uv_accept(listener, &conn->uv.stream);
    if (rc < 0) {
        ruc__conn_close(conn, false);
        return rc;
    }
    int fd = -1;
    if (uv_fileno(&conn->uv.handle, &fd) == 0) {
        ruc__server_descriptor(server, fd);
    }
    (void)uv_tcp_nodelay(&conn->uv.tcp, 1); /* only slower without */
    if (server->stats.open > server->limits.connections) {
        refuse(conn);
        return 0;
    }
    ruc__conn_timer(conn, RUC__T_IDLE, server->limits.idle_ms);
    ruc__conn_reading(conn, true);
    return 0;
}
