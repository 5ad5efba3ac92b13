/* prim_tcp.c - rucat.tcp: does something accept there? Names are resolved off the loop.
 *
 *     local ok, why = rucat.tcp.connect("127.0.0.1", 15002, 3)   -- waits; the connection is closed
 *     local n = rucat.tcp.connections(15002)     -- waits; how many there are to that port
 *     local reply = rucat.tcp.exchange("127.0.0.1", 3000, bytes, 5, 65536)   -- tools only
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"
#include "lua/tcp_table.h"

typedef struct probe {
    uv_getaddrinfo_t resolve;
    uv_tcp_t socket;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    ruc_ticket_t ticket;
    char port[8];
    ruc_buf_t out, in; /* of an exchange */
    bool exchange;
    bool resolving, over;
    int open; /* handles that are not closed yet */
    int rc;
    char chunk[16384];
} probe_t;

static void probe_free(probe_t *probe)
{
    if (probe->open == 0 && !probe->resolving) {
        ruc_buf_free(&probe->out);
        ruc_buf_free(&probe->in);
        free(probe);
    }
}

static void handle_closed(uv_handle_t *handle)
{
    probe_t *probe = handle->data;
    probe->open--;
    probe_free(probe);
}

static void probe_close(probe_t *probe)
{
    probe->over = true;
    uv_close((uv_handle_t *)&probe->socket, handle_closed);
    uv_close((uv_handle_t *)&probe->timer, handle_closed);
    if (probe->resolving) {
        uv_cancel((uv_req_t *)&probe->resolve); /* its callback comes in every case */
    }
}

static int push_result(lua_State *L, void *arg)
{
    probe_t *probe = arg;
    if (probe->exchange && (probe->in.len > 0 || probe->rc == 0)) {
        lua_pushlstring(L, ruc_buf_str(&probe->in), probe->in.len);
        return 1;
    }
    if (probe->rc < 0) {
        return ruc_push_err(L, probe->rc, NULL);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Wakes the job and ends the probe; the memory goes when the handles are closed. */
static void probe_end(probe_t *probe, int rc)
{
    if (!probe->over) {
        probe->rc = rc;
        probe_close(probe);
        ruc_job_wake(probe->ticket, push_result, probe);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    probe_t *probe = handle->data;
    *buf = uv_buf_init(probe->chunk, sizeof probe->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    probe_t *probe = stream->data;
    if (n > 0) {
        int rc = ruc_buf_add(&probe->in, buf->base, (size_t)n);
        if (rc < 0) {
            probe_end(probe, rc);
        }
    } else if (n < 0) {
        probe_end(probe, n == UV_EOF ? 0 : (int)n);
    }
}

static void on_written(uv_write_t *req, int status)
{
    probe_t *probe = req->handle->data;
    if (status < 0 && status != UV_ECANCELED) {
        /* The peer may have answered before it closed: read what there is. */
        probe->rc = status;
    }
}

static void on_connect(uv_connect_t *req, int status)
{
    probe_t *probe = req->handle->data;
    if (probe->over) {
        return;
    }
    if (status < 0 || !probe->exchange) {
        probe_end(probe, status);
        return;
    }
    uv_buf_t out = uv_buf_init(probe->out.data, (unsigned)probe->out.len);
    int rc = uv_read_start((uv_stream_t *)&probe->socket, on_alloc, on_read);
    if (rc == 0 && probe->out.len > 0) {
        rc = uv_write(&probe->write, (uv_stream_t *)&probe->socket, &out, 1, on_written);
    }
    if (rc < 0) {
        probe_end(probe, rc);
    }
}

static void on_timeout(uv_timer_t *timer)
{
    probe_end(timer->data, UV_ETIMEDOUT);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    probe_t *probe = req->data;
    probe->resolving = false;
    if (probe->over) {
        uv_freeaddrinfo(list);
        probe_free(probe);
        return;
    }
    int rc = status;
    if (rc == 0) {
        rc = uv_tcp_connect(&probe->connect, &probe->socket, list->ai_addr, on_connect);
    }
    uv_freeaddrinfo(list);
    if (rc < 0) {
        probe_end(probe, rc);
    }
}

static void probe_cancel(void *arg)
{
    probe_close(arg);
}

static int probe_start(lua_State *L, const char *name, bool exchange, int64_t ms)
{
    const char *host = luaL_checkstring(L, 1);
    lua_Integer port = luaL_checkinteger(L, 2);
    luaL_argcheck(L, port > 0 && port < 65536, 2, "a port is 1 to 65535");
    ruc_ticket_t ticket = ruc_job_ticket(L, name);
    uv_loop_t *loop = ruc_vm_of(L)->app->loop;
    probe_t *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        return luaL_error(L, "not enough memory");
    }
    size_t len = 0;
    const char *bytes = exchange ? lua_tolstring(L, 3, &len) : NULL;
    ruc_buf_init(&probe->out, len + 1);
    ruc_buf_init(&probe->in, 16u * 1024 * 1024);
    int rc = len > 0 ? ruc_buf_add(&probe->out, bytes, len) : 0;
    probe->exchange = exchange;
    probe->ticket = ticket;
    snprintf(probe->port, sizeof probe->port, "%d", (int)port);
    uv_tcp_init(loop, &probe->socket);
    uv_timer_init(loop, &probe->timer);
    probe->open = 2;
    probe->socket.data = probe->timer.data = probe->resolve.data = probe;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_timer_start(&probe->timer, on_timeout, (uint64_t)ms, 0);
    if (rc == 0) {
        rc = uv_getaddrinfo(loop, &probe->resolve, on_resolved, host, probe->port, &hints);
    }
    if (rc < 0) {
        probe_close(probe);
        return ruc_push_err(L, rc, NULL);
    }
    probe->resolving = true;
    return ruc_job_wait(L, probe_cancel, probe);
}

static int tcp_connect(lua_State *L)
{
    return probe_start(L, "rucat.tcp.connect", false, ruc_options_seconds(L, 3, 3000));
}

static int tcp_exchange(lua_State *L)
{
    luaL_checkstring(L, 3);
    ruc_job_need(L, RUC_PHASE_TOOL, "rucat.tcp.exchange");
    return probe_start(L, "rucat.tcp.exchange", true, ruc_options_seconds(L, 4, 5000));
}

void ruc_prim_tcp(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connect", tcp_connect},
                                         {"connections", ruc_tcp_connections},
                                         {"exchange", tcp_exchange},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
}
