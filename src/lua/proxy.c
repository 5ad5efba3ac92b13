/* proxy.c - see proxy.h. Back-pressure both ways: while our peer does not read, the other replica
 * is held back (RUC_HTTP_PAUSE), and it then holds back its own reading of the log. */
#include "lua/proxy.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PROXY "rucat.proxy"
#define PROXIES_MAX 1000
#define HEAD_PATIENCE_MS 10000

typedef struct proxying {
    ruc_app_t *app;
    ruc_http_stream_t *stream; /* NULL: our peer is gone */
    ruc_http_call_t *call;     /* NULL: the other one has ended */
    ruc_proxy_t what;
    uv_timer_t timer; /* patience until the head is there; then ends the call, if need be */
    bool started;     /* our head is out */
    bool paused;
    struct proxying *prev, *next;
} proxying_t;

static proxying_t *proxies;
static size_t proxy_count;

void ruc_proxy_push(lua_State *L, const ruc_proxy_t *proxy)
{
    ruc_proxy_t *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = *proxy;
    luaL_setmetatable(L, PROXY);
}

bool ruc_proxy_test(lua_State *L, int index, ruc_proxy_t *proxy)
{
    ruc_proxy_t *box = lua_type(L, index) == LUA_TUSERDATA ? luaL_testudata(L, index, PROXY) : NULL;
    if (box != NULL) {
        *proxy = *box;
    }
    return box != NULL;
}

void ruc_proxy_open(lua_State *L)
{
    if (luaL_newmetatable(L, PROXY)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Forgets both sides; the stream is handed back. Not from inside a callback of the client's
 * on_data or on_head: there only the timer may be set. */
static ruc_http_stream_t *let_go(proxying_t *p)
{
    ruc_http_stream_t *stream = p->stream;
    p->stream = NULL;
    if (p->call != NULL) {
        ruc_http_call_cancel(p->call);
        p->call = NULL;
    }
    DL_DELETE(proxies, p);
    proxy_count--;
    uv_close((uv_handle_t *)&p->timer, timer_closed);
    return stream;
}

static void cut(proxying_t *p)
{
    ruc_http_stream_t *stream = let_go(p);
    if (stream != NULL) {
        ruc_http_abort(stream);
    }
}

static void unreachable(proxying_t *p, const char *error)
{
    char detail[1024];
    snprintf(detail, sizeof detail, "the replica that has it, on host %s at %s, did not answer: %s",
             p->what.name, p->what.url, error);
    ruc_http_stream_t *stream = let_go(p);
    if (stream != NULL) {
        static const ruc_http_header_t later = {"retry-after", "5"};
        ruc_http_problem_with(stream, 502, NULL, detail, &later, 1);
    }
}

/* ---- what the other one says ---- */

static void have_head(void *arg, const ruc_http_answer_t *answer)
{
    static const char *const passed[] = {"content-type", "cache-control", "x-accel-buffering",
                                         "etag",         "retry-after",   NULL};
    ruc_http_header_t headers[8];
    size_t n = 0;
    proxying_t *p = arg;
    uv_timer_stop(&p->timer);
    for (size_t i = 0; i < answer->header_count && n < 8; i++) {
        for (const char *const *name = passed; *name != NULL; name++) {
            if (strcmp(*name, answer->headers[i].name) == 0 && n < 8) {
                headers[n++] = answer->headers[i];
            }
        }
    }
    p->started = p->stream != NULL && ruc_http_start(p->stream, answer->status, headers, n) == 0;
}

static int have_data(void *arg, int status, const char *data, size_t len)
{
    proxying_t *p = arg;
    (void)status;
    if (p->stream == NULL || !p->started) {
        return UV_ECANCELED;
    }
    int64_t queued = ruc_http_write(p->stream, data, len);
    if (queued == RUC_EFULL) {
        p->paused = true; /* nothing was taken: it comes again */
        return RUC_HTTP_PAUSE;
    }
    return queued < 0 ? UV_ECANCELED : 0;
}

static void have_end(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    proxying_t *p = arg;
    (void)answer;
    p->call = NULL;
    if (p->stream == NULL) {
        let_go(p);
    } else if (p->started && rc == 0) {
        ruc_http_end(let_go(p));
    } else if (p->started) {
        cut(p); /* our peer sees that it is not whole */
    } else {
        unreachable(p, error == NULL ? ruc_err_text(rc) : error);
    }
}

/* ---- our own peer ---- */

static void drained(ruc_http_stream_t *stream, void *arg)
{
    proxying_t *p = arg;
    (void)stream;
    if (p->paused && p->call != NULL) {
        p->paused = false;
        ruc_http_call_resume(p->call);
    }
}

static void peer_gone(ruc_http_stream_t *stream, void *arg)
{
    proxying_t *p = arg;
    (void)stream;
    p->stream = NULL;
    let_go(p);
}

static void too_late(uv_timer_t *timer)
{
    unreachable(timer->data, "nothing came in time");
}

/* ---- asking ---- */

static size_t add_header(ruc_http_header_t *headers, size_t n, const ruc_http_stream_t *stream,
                         const char *name)
{
    const char *value = ruc_http_header(stream, name);
    if (value != NULL) {
        headers[n++] = (ruc_http_header_t){name, value};
    }
    return n;
}

static int send_question(proxying_t *p, ruc_why_t *why)
{
    ruc_http_header_t headers[8];
    char url[4096];
    const ruc_http_stream_t *stream = p->stream;
    const char *query = stream->query;
    int len = snprintf(url, sizeof url, "%s%s%s%s", p->what.url, stream->raw_path,
                       query == NULL ? "" : "?", query == NULL ? "" : query);
    if (len < 0 || (size_t)len >= sizeof url) {
        return ruc_why_set(why, RUC_ETOOBIG, "the path is too long");
    }
    size_t n = 0;
    headers[n++] = (ruc_http_header_t){RUC_PROXY_HOP, ruc_replicas_self(p->app->replicas)->id};
    headers[n++] = (ruc_http_header_t){"x-request-id", stream->request_id};
    n = add_header(headers, n, stream, "authorization");
    n = add_header(headers, n, stream, "x-rucat-token");
    n = add_header(headers, n, stream, "accept");
    ruc_http_call_spec_t spec = {.url = url,
                                 .headers = headers,
                                 .header_count = n,
                                 .timeout_ms = -1,
                                 .connect_timeout_ms = 3000,
                                 .fresh = true, /* it may last for hours */
                                 .on_head = have_head,
                                 .on_data = have_data};
    p->call = ruc_http_client_send(p->app->client, &spec, have_end, p, why);
    return p->call == NULL ? RUC_EINVALID : 0;
}

void ruc_proxy_begin(ruc_app_t *app, ruc_http_stream_t *stream, const ruc_proxy_t *proxy)
{
    static const ruc_http_events_t events = {.on_close = peer_gone, .on_drain = drained};
    ruc_why_t why = {""};
    proxying_t *p = proxy_count >= PROXIES_MAX || app->closing ? NULL : calloc(1, sizeof *p);
    if (p == NULL) {
        ruc_http_problem(stream, 503, NULL,
                         app->closing ? "the server is stopping"
                                      : "too many are passed on already");
        return;
    }
    *p = (proxying_t){.app = app, .stream = stream, .what = *proxy};
    stream->data = "passed on to another replica"; /* for the counts */
    uv_timer_init(app->loop, &p->timer);
    p->timer.data = p;
    DL_APPEND(proxies, p);
    proxy_count++;
    if (send_question(p, &why) < 0) {
        unreachable(p, why.text);
        return;
    }
    ruc_http_listen(stream, &events, p);
    uv_timer_start(&p->timer, too_late, HEAD_PATIENCE_MS, 0);
}

void ruc_proxy_end_all(void)
{
    while (proxies != NULL) {
        proxying_t *p = proxies;
        if (p->started) {
            ruc_http_end(let_go(p));
        } else {
            unreachable(p, "the server is stopping");
        }
    }
}
