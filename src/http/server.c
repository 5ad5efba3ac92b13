/* server.c - see server.h. Listeners, the accept path, draining and the end. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/log.h"
#include "http/conn.h"
#include "http/h1.h"

#define COMPLAIN_MS 10000 /* between two lines about descriptors */
#define FEW_LEFT 8        /* descriptors before the limit */

ruc_http_limits_t ruc_http_limits_default(void)
{
    return (ruc_http_limits_t){
        .head = 16384,
        .target = 8192,
        .headers = 100,
        .body = (size_t)1 << 20,
        .connections = 10000,
        .queue = (size_t)1 << 20,
        .head_ms = 10000,
        .body_ms = 30000,
        .progress_ms = 5000,
        .progress = 1024,
        .idle_ms = 60000,
        .write_ms = 30000,
        .linger_ms = 2000,
        .linger = (size_t)4 << 20,
        .half_ms = 2000,
    };
}

ruc_http_server_t *ruc_http_server_new(uv_loop_t *loop, const ruc_http_handlers_t *handlers,
                                       const ruc_http_limits_t *limits)
{
    ruc_http_server_t *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return NULL;
    }
    RUC_MUST(handlers->on_request != NULL);
    server->loop = loop;
    server->handlers = *handlers;
    server->limits = limits == NULL ? ruc_http_limits_default() : *limits;
    TAILQ_INIT(&server->conns);
    TAILQ_INIT(&server->ready);
    for (int kind = 0; kind < RUC__T_COUNT; kind++) {
        TAILQ_INIT(&server->timed[kind]);
    }
    /* These three cannot fail in libuv 1.x. */
    int rc = uv_timer_init(loop, &server->timer);
    rc = rc < 0 ? rc : uv_timer_init(loop, &server->stop);
    rc = rc < 0 ? rc : uv_idle_init(loop, &server->later);
    RUC_MUST(rc == 0);
    server->handles = 3;
    struct rlimit limit;
    server->descriptors = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
    server->timer.data = server;
    server->stop.data = server;
    server->later.data = server;
    return server;
}

/* ---- listening ---- */

/* Reads "HOST:PORT" into an address. */
static int parse_address(const char *text, struct sockaddr_storage *out)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return UV_EINVAL;
    }
    char *end = NULL;
    long port = strtol(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    if (*end != '\0' || port > 65535 || len == 0 || len >= sizeof host) {
        return UV_EINVAL;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)out);
    }
    return uv_ip4_addr(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, (int)port,
                       (struct sockaddr_in *)out);
}

/* When descriptors run out libuv accepts and closes what waits (it keeps a spare descriptor for
 * that) and does not tell, so the loop does not spin and others come when there is room. So that
 * somebody knows, the last descriptors before the limit are spoken of. */
static void complain(ruc_http_server_t *server, int status)
{
    uint64_t now = uv_now(server->loop);
    server->stats.no_fds++;
    if (now >= server->quiet_until) {
        server->quiet_until = now + COMPLAIN_MS;
        ruc_log(RUC_LOG_HTTP, RUC_ERROR,
                "connections are lost or about to be: %s (%llu open, at most %llu descriptors)",
                uv_strerror(status), (unsigned long long)server->stats.open,
                (unsigned long long)server->descriptors);
    }
}

void ruc__server_descriptor(ruc_http_server_t *server, int fd)
{
    if ((uint64_t)fd + FEW_LEFT >= server->descriptors) {
        complain(server, UV_EMFILE);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    ruc__listener_t *listener = (ruc__listener_t *)stream;
    int rc = status < 0 ? status : ruc__conn_accept(listener->server, stream);
    if (rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOMEM || rc == UV_ENOBUFS) {
        complain(listener->server, rc);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    ruc__listener_t *listener = (ruc__listener_t *)handle;
    ruc_http_server_t *server = listener->server;
    free(listener);
    ruc__server_gone(server);
}

static int real_address(ruc__listener_t *listener)
{
    struct sockaddr_storage at;
    char host[INET6_ADDRSTRLEN] = "";
    int len = sizeof at;
    int rc = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&at, &len);
    if (rc < 0) {
        return rc;
    }
    if (at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&at;
        listener->port = ntohs(in->sin6_port);
        rc = uv_ip6_name(in, host, sizeof host);
        snprintf(listener->address, sizeof listener->address, "[%s]:%d", host, listener->port);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&at;
        listener->port = ntohs(in->sin_port);
        rc = uv_ip4_name(in, host, sizeof host);
        snprintf(listener->address, sizeof listener->address, "%s:%d", host, listener->port);
    }
    return rc;
}

/* A listener with a handle that is not bound yet; NULL and `why`. */
static ruc__listener_t *new_listener(ruc_http_server_t *server, const char *address, ruc_why_t *why)
{
    if (server->draining || server->listener_count == RUC__LISTENERS) {
        ruc_why_set(why, RUC_EFULL, "%s: no further listener is possible", address);
        return NULL;
    }
    ruc__listener_t *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        ruc_why_set(why, UV_ENOMEM, "no memory");
        return NULL;
    }
    listener->server = server;
    int rc = uv_tcp_init(server->loop, &listener->tcp);
    if (rc < 0) {
        free(listener);
        ruc_why_set(why, rc, "%s: %s", address, uv_strerror(rc));
        return NULL;
    }
    return listener;
}

/* It is bound (or not, then `rc` says why): listens. Its number or a negative code. */
static int begin_to_listen(ruc__listener_t *listener, int rc, const char *address, ruc_why_t *why)
{
    ruc_http_server_t *server = listener->server;
    rc = rc < 0 ? rc : uv_listen((uv_stream_t *)&listener->tcp, 511, on_connection);
    rc = rc < 0 ? rc : real_address(listener);
    if (rc < 0) {
        server->handles++;
        uv_close((uv_handle_t *)&listener->tcp, on_listener_closed);
        return rc == UV_EADDRINUSE
                   ? ruc_why_set(why, rc, "%s is in use", address)
                   : ruc_why_set(why, rc, "cannot listen on %s: %s", address, uv_strerror(rc));
    }
    server->listeners[server->listener_count] = listener;
    return server->listener_count++;
}

int ruc_http_server_listen(ruc_http_server_t *server, const char *address, ruc_why_t *why)
{
    struct sockaddr_storage at = {0};
    int rc = parse_address(address, &at);
    if (rc < 0) {
        return ruc_why_set(why, RUC_EINVALID,
                           "\"%s\" is not an address: 127.0.0.1:3000 or [::1]:3000 is", address);
    }
    ruc__listener_t *listener = new_listener(server, address, why);
    if (listener == NULL) {
        return RUC_EFULL;
    }
    rc = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)&at,
                     at.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    return begin_to_listen(listener, rc, address, why);
}

int ruc_http_server_take(ruc_http_server_t *server, int fd, ruc_why_t *why)
{
    char name[32];
    int kind = 0;
    socklen_t len = sizeof kind;
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof at;
    ruc__listener_t *listener = NULL;
    snprintf(name, sizeof name, "descriptor %d", fd);
    bool fits = getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &len) == 0 && kind == SOCK_STREAM &&
                getsockname(fd, (struct sockaddr *)&at, &size) == 0 &&
                (at.ss_family == AF_INET || at.ss_family == AF_INET6);
    if (!fits) {
        ruc_why_set(why, RUC_EINVALID, "%s, which was handed over, is no TCP socket", name);
    } else {
        listener = new_listener(server, name, why);
    }
    if (listener == NULL) {
        close(fd);
        return fits ? RUC_EFULL : RUC_EINVALID;
    }
    int rc = uv_tcp_open(&listener->tcp, fd);
    if (rc < 0) {
        close(fd);
    }
    return begin_to_listen(listener, rc, name, why);
}

int ruc_http_server_fd(const ruc_http_server_t *server, int number)
{
    uv_os_fd_t fd = -1;
    bool there = number >= 0 && number < server->listener_count;
    return there && uv_fileno((const uv_handle_t *)&server->listeners[number]->tcp, &fd) == 0 ? fd
                                                                                              : -1;
}

const char *ruc_http_server_address(const ruc_http_server_t *server, int number)
{
    bool there = number >= 0 && number < server->listener_count;
    return there ? server->listeners[number]->address : "";
}

int ruc_http_server_port(const ruc_http_server_t *server, int number)
{
    return number >= 0 && number < server->listener_count ? server->listeners[number]->port : 0;
}

ruc_http_stats_t ruc_http_server_stats(const ruc_http_server_t *server)
{
    return server->stats;
}

const char *ruc__server_date(ruc_http_server_t *server)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != server->date_second) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm tm;
        if (gmtime_r(&now.tv_sec, &tm) != NULL) {
            snprintf(server->date, sizeof server->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                     days + 3 * tm.tm_wday, tm.tm_mday % 100, months + 3 * tm.tm_mon,
                     (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100,
                     tm.tm_sec % 100);
        }
        server->date_second = now.tv_sec;
    }
    return server->date;
}

/* ---- the end ---- */

static void on_own_closed(uv_handle_t *handle)
{
    ruc__server_gone(handle->data);
}

/* When the last connection is gone: closes our own handles, then says so. */
static void finish(ruc_http_server_t *server)
{
    if (!server->closing && TAILQ_EMPTY(&server->conns)) {
        server->closing = true;
        uv_close((uv_handle_t *)&server->timer, on_own_closed);
        uv_close((uv_handle_t *)&server->stop, on_own_closed);
        uv_close((uv_handle_t *)&server->later, on_own_closed);
    }
}

void ruc__server_gone(ruc_http_server_t *server)
{
    server->handles--;
    if (server->handles == 0) {
        void (*cb)(void *arg) = server->drained;
        void *arg = server->drained_arg;
        if (cb != NULL) {
            cb(arg);
        }
        ruc__h1_empty_pool(server);
        free(server);
    } else if (server->draining) {
        finish(server);
    }
}

static void shut_all(ruc_http_server_t *server, bool now)
{
    ruc__http_conn_t *conn = TAILQ_FIRST(&server->conns), *next;
    for (; conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, all);
        if (conn->lingering) {
            if (now) {
                ruc__conn_close(conn, false);
            }
        } else {
            conn->proto->shutdown(conn, now);
        }
    }
}

static void on_stop(uv_timer_t *timer)
{
    ruc_http_server_t *server = timer->data;
    shut_all(server, true);
    finish(server);
}

void ruc_http_server_drain(ruc_http_server_t *server, uint64_t ms, void (*cb)(void *arg), void *arg)
{
    if (server->closing) {
        return;
    }
    if (!server->draining) {
        server->draining = true;
        server->drained = cb;
        server->drained_arg = arg;
        for (int i = 0; i < server->listener_count; i++) {
            server->handles++;
            uv_close((uv_handle_t *)&server->listeners[i]->tcp, on_listener_closed);
        }
        server->listener_count = 0;
    } else if (uv_timer_get_due_in(&server->stop) <= ms) {
        return;
    }
    shut_all(server, false);
    int rc = uv_timer_start(&server->stop, on_stop, TAILQ_EMPTY(&server->conns) ? 0 : ms, 0);
    (void)RUC_FAILS(rc < 0);
}
