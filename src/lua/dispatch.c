/* dispatch.c - see dispatch.h. A request finds its route in the serving generation and becomes a
 * job there; what the handler returns (status, body, headers) is rendered here. */
#include "lua/dispatch.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "lua/answer.h"
#include "lua/follow.h"
#include "lua/hold.h"
#include "lua/job.h"
#include "lua/proxy.h"
#include "lua/request.h"
#include "lua/scripts.h"
#include "lua/value.h"
#include "lua/view.h"
#include "lua/zip.h"

#define BODY_MAX (64u * 1024 * 1024)

typedef struct handling {
    ruc_app_t *app;
    ruc_vm_t *vm;
    ruc_request_t *request;
    bool *over;     /* while it is started: set when it has ended */
    bool slow;      /* in the list of those that wait */
    bool late;      /* it has waited too long */
    uint64_t until; /* of the loop's time, in ms */
    uint64_t job;   /* of a slow one */
    struct handling *prev, *next;
} handling_t;

static size_t active;

/* Handlers that have begun to wait, the one that is to end first in front, and what ends them. Most
 * handlers never wait and never get here. */
static struct {
    handling_t *list;
    uv_timer_t timer;
    uv_loop_t *loop; /* whose timer it is; NULL: none yet */
} slow;

size_t ruc_dispatch_active(void)
{
    return active;
}

/* ---- who may ask at all ---- */

/* True for a Host that can only mean this server: a web page of somebody else that has got its name
 * resolved to our address (DNS rebinding) sends its own name. */
static bool host_is_ours(const ruc_app_t *app, const char *authority)
{
    char with_port[300], host[256], ours[256];
    int port;
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL &&
                    (authority[0] == '[' || strchr(authority, ':') == colon);
    snprintf(with_port, sizeof with_port, has_port ? "%s" : "%s:0", authority);
    if (ruc_config_address(with_port, host, &port) < 0) {
        return false;
    }
    if (ruc_config_loopback(host)) {
        return true;
    }
    if (ruc_config_address(ruc_config_text(app->config, "listen"), ours, &port) == 0 &&
        strcasecmp(host, ours) == 0) {
        return true;
    }
    /* As other replicas call us. */
    const char *peer = strstr(app->peer_url, "://");
    return peer != NULL && strcasecmp(authority, peer + 3) == 0;
}

/* The same for a Host that was looked at just now: mostly it is the one of the request before. */
static bool host_is_known(const ruc_app_t *app, const char *authority)
{
    static char last[128];
    static const ruc_app_t *of;
    if (of == app && strcmp(last, authority) == 0) {
        return true;
    }
    if (!host_is_ours(app, authority)) {
        return false;
    }
    size_t len = strlen(authority);
    if (len < sizeof last) {
        of = app;
        memcpy(last, authority, len + 1);
    }
    return true;
}

static bool origin_is_ours(const ruc_app_t *app, const ruc_http_stream_t *stream)
{
    const char *origin = ruc_http_header(stream, "origin");
    if (origin == NULL) {
        return true;
    }
    const char *host = strstr(origin, "://");
    return host != NULL && strcasecmp(host + 3, stream->authority) == 0 &&
           host_is_ours(app, host + 3);
}

/* ---- answers ---- */

typedef struct rendering {
    handling_t *handling;
    lua_State *co;
    int n;
    /* what comes out */
    int status;
    ruc_buf_t body;
    bool ours; /* the body is in `body` */
    const char *text;
    size_t len;
    ruc_record_t *record;
    bool follows;
    ruc_follow_t follow;
    bool proxied;
    ruc_proxy_t proxy;
    bool hold;
    char id[27], verb[8];
    int64_t ms;
    ruc_http_header_t headers[RUC_ANSWER_HEADERS];
    size_t header_count;
    bool typed; /* there is a content-type */
} rendering_t;

static void render_headers(lua_State *L, rendering_t *r)
{
    lua_State *co = r->co;
    if (r->n < 3 || lua_isnil(co, 3)) {
        return;
    }
    if (!lua_istable(co, 3)) {
        luaL_error(L, "a handler's third value must be a table of headers");
    }
    lua_pushnil(co);
    while (lua_next(co, 3)) {
        if (lua_type(co, -2) != LUA_TSTRING || lua_type(co, -1) == LUA_TTABLE ||
            !lua_isstring(co, -1) || r->header_count == RUC_ANSWER_HEADERS) {
            luaL_error(L, "a handler's headers must be at most %d texts by name",
                       RUC_ANSWER_HEADERS);
        }
        const char *name = lua_tostring(co, -2);
        /* The value is anchored by the table; a number is turned into text in a copy. */
        const char *value = lua_type(co, -1) == LUA_TSTRING ? lua_tostring(co, -1) : NULL;
        if (value == NULL) {
            lua_pushvalue(co, -1);
            lua_pushstring(L, lua_tostring(co, -1)); /* stays on L until the answer is out */
            value = lua_tostring(L, -1);
            lua_pop(co, 1);
        }
        r->typed = r->typed || strcasecmp(name, "content-type") == 0;
        r->headers[r->header_count++] = (ruc_http_header_t){name, value};
        lua_pop(co, 1);
    }
}

static int render(lua_State *L)
{
    rendering_t *r = lua_touserdata(L, 1);
    lua_State *co = r->co;
    ruc_why_t why = {""};
    lua_settop(co, r->n < 3 ? 3 : r->n);
    if (!lua_isinteger(co, 1) || lua_tointeger(co, 1) < 200 || lua_tointeger(co, 1) > 599) {
        return luaL_error(L, "a handler must return a status from 200 to 599 first, got %s",
                          luaL_typename(co, 1));
    }
    r->status = (int)lua_tointeger(co, 1);
    render_headers(L, r);
    switch (lua_type(co, 2)) {
    case LUA_TNIL:
        break;
    case LUA_TSTRING:
        r->text = lua_tolstring(co, 2, &r->len);
        break;
    case LUA_TUSERDATA:
        r->record = ruc_view_test(co, 2);
        if (r->record != NULL) {
            break;
        }
        if (ruc_hold_test(co, 2, r->id, r->verb, &r->ms)) {
            r->hold = true;
            break;
        }
        if (ruc_proxy_test(co, 2, &r->proxy)) {
            r->proxied = true;
            break;
        }
        if (ruc_follow_test(co, 2, &r->follow)) {
            r->follows = true;
            break;
        }
        /* fallthrough */
    default:
        r->ours = true;
        if (ruc_value_write(co, 2, &r->body, &why) < 0) {
            return luaL_error(L, "a handler's body: %s", why.text);
        }
        r->text = ruc_buf_str(&r->body);
        r->len = r->body.len;
    }
    return 0;
}

static void send_answer(handling_t *handling, rendering_t *r)
{
    ruc_http_stream_t *stream = handling->request->stream;
    ruc_http_header_t all[RUC_ANSWER_HEADERS + 2];
    char stale[24];
    if (r->hold) {
        ruc_hold_begin(handling->app, stream, r->status, r->id, r->verb, r->ms);
        return;
    }
    if (r->proxied) {
        ruc_proxy_begin(handling->app, stream, &r->proxy);
        return;
    }
    if (r->follows) {
        ruc_follow_begin(handling->app, stream, &r->follow);
        return;
    }
    if (r->record != NULL) {
        ruc_answer_record(handling->app, stream, r->status, r->record, r->headers, r->header_count);
        return;
    }
    memcpy(all, r->headers, r->header_count * sizeof *all);
    if (!r->typed && r->text != NULL) {
        all[r->header_count++] = (ruc_http_header_t){
            "content-type", r->ours ? "application/json" : "text/plain; charset=utf-8"};
    }
    size_t n = ruc_answer_mark(handling->app, all, r->header_count, stale);
    ruc_zip_respond(handling->app, stream, r->status, all, n, r->text, r->len);
}

static void handled(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    handling_t *handling = arg;
    ruc_why_t why = {""};
    active--;
    if (handling->slow) {
        DL_DELETE(slow.list, handling);
    }
    if (handling->request->stream != NULL) {
        static const ruc_http_events_t none = {0};
        ruc_http_listen(handling->request->stream, &none, NULL);
    }
    if (handling->request->stream == NULL) {
        /* the peer is gone: nobody to answer */
    } else if (outcome == RUC_JOB_CANCELLED) {
        static const ruc_http_header_t later = {"retry-after", "5"};
        ruc_http_problem_with(handling->request->stream, 503, NULL,
                              handling->late ? "the handler did not answer in time"
                                             : "the request was ended",
                              &later, 1);
    } else if (outcome == RUC_JOB_FAILED) {
        bool stopped = ruc_job_stopped(co) != RUC_STOP_NOT;
        ruc_http_problem(handling->request->stream, 500, stopped ? "BudgetExceeded" : NULL,
                         stopped ? "the handler was stopped, it had used up its budget of time, "
                                   "instructions or memory; the log says which"
                                 : "the handler failed; the log says why");
    } else {
        rendering_t r = {.handling = handling, .co = co, .n = n};
        ruc_buf_init(&r.body, BODY_MAX);
        int top = lua_gettop(handling->vm->L);
        if (ruc_vm_protect(handling->vm, render, &r, &why) < 0) {
            ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s", why.text);
            ruc_http_problem(handling->request->stream, 500, NULL,
                             "the handler's answer cannot be sent; the log says why");
        } else {
            send_answer(handling, &r);
        }
        lua_settop(handling->vm->L, top);
        ruc_buf_free(&r.body);
    }
    if (handling->over != NULL) {
        *handling->over = true;
    }
    handling->request->stream = NULL;
    ruc_request_unref(handling->request);
    free(handling);
}

/* ---- handlers that wait ---- */

static void end_late(uv_timer_t *timer)
{
    uint64_t now = uv_now(timer->loop);
    while (slow.list != NULL && slow.list->until <= now) {
        handling_t *handling = slow.list;
        ruc_job_t *job = ruc_job_find(handling->job);
        handling->late = true;
        if (RUC_FAILS(job == NULL)) {
            DL_DELETE(slow.list, handling);
            handling->slow = false;
            continue;
        }
        ruc_log(RUC_LOG_SCRIPT, RUC_ERROR,
                "%s is ended: it has not answered for %g s "
                "(limits.handler_time)",
                ruc_job_what(job), ruc_config_number(handling->app->config, "limits.handler_time"));
        ruc_job_cancel(job); /* which answers */
    }
    if (slow.list != NULL) {
        uv_timer_start(timer, end_late, slow.list->until - now, 0);
    }
}

void ruc_dispatch_close(void)
{
    if (slow.loop != NULL) {
        uv_close((uv_handle_t *)&slow.timer, NULL);
        slow.loop = NULL;
    }
}

/* The handler waits for something: not for ever. */
static void begin_slow(handling_t *handling, ruc_job_t *job)
{
    uv_loop_t *loop = handling->app->loop;
    double seconds = ruc_config_number(handling->app->config, "limits.handler_time");
    if (slow.loop == NULL) {
        slow.loop = loop;
        uv_timer_init(loop, &slow.timer);
        uv_unref((uv_handle_t *)&slow.timer);
    }
    handling->slow = true;
    handling->until = uv_now(loop) + (uint64_t)(seconds * 1000);
    handling->job = ruc_job_id(job);
    DL_APPEND(slow.list, handling);
    if (slow.list == handling) {
        uv_timer_start(&slow.timer, end_late, (uint64_t)(seconds * 1000), 0);
    }
}

/* ---- requests ---- */

static void peer_gone(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    ((ruc_request_t *)arg)->stream = NULL;
}

typedef struct question {
    ruc_request_t *request;
    const ruc_http_match_t *match;
    int ref;
} question_t;

static int push_question(lua_State *L)
{
    question_t *question = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, question->ref);
    ruc_request_push(L, question->request, question->match);
    return 2;
}

static void start_handler(ruc_app_t *app, ruc_http_stream_t *stream, const ruc_http_match_t *match)
{
    static const ruc_http_events_t events = {.on_close = peer_gone};
    ruc_route_t *route = match->target;
    ruc_why_t why;
    handling_t *handling = calloc(1, sizeof *handling);
    ruc_request_t *request = handling == NULL ? NULL : ruc_request_new(stream);
    if (request == NULL) {
        free(handling);
        ruc_http_problem(stream, 503, NULL, "not enough memory");
        return;
    }
    bool over = false;
    *handling = (handling_t){
        .app = app, .vm = ruc_scripts_now(app->scripts)->vm, .request = request, .over = &over};
    question_t question = {request, match, route->ref};
    int rc = ruc_vm_protect(handling->vm, push_question, &question, &why);
    if (rc == 0) {
        ruc_http_listen(stream, &events, request);
        active++;
        rc = ruc_job_start(handling->vm, RUC_PHASE_HANDLER, 1, route->text, stream->request_id,
                           handled, handling, NULL);
        active -= rc < 0;
    }
    if (rc == 0 && !over) {
        handling->over = NULL;
        begin_slow(handling, ruc_job_newest(handling->vm, handling));
    }
    if (rc < 0) {
        static const ruc_http_header_t later = {"retry-after", "1"};
        ruc_http_problem_with(stream, 503, NULL, "too much to do", &later, 1);
        request->stream = NULL;
        ruc_request_unref(request);
        free(handling);
    }
}

/* A process without the server role answers for itself, and other replicas' questions about what
 * its engines have written and use. */
static bool is_served(const ruc_app_t *app, const ruc_http_stream_t *stream, const char *pattern)
{
    static const char *const own[] = {"/healthz", "/readyz", "/metrics"},
                             *const asked[] = {"/v1/engines/{id}/logs", "/v1/engines/{id}/stats",
                                               "/v1/stats"};
    if (app->server) {
        return true;
    }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(own[i], pattern) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        if (strcmp(asked[i], pattern) == 0 && ruc_http_header(stream, RUC_PROXY_HOP) != NULL) {
            return true;
        }
    }
    return false;
}

void ruc_dispatch_request(ruc_http_stream_t *stream, void *arg)
{
    ruc_app_t *app = arg;
    static ruc_http_match_t match; /* read before this returns */
    if (!host_is_known(app, stream->authority) || !origin_is_ours(app, stream)) {
        ruc_http_problem(
            stream, 403, NULL,
            "without authentication only requests to a loopback or the listen address, "
            "and of no foreign origin, are served");
        return;
    }
    const ruc_http_router_t *router = ruc_scripts_now(app->scripts)->router;
    int rc = ruc_http_router_match(router, stream->method, stream->raw_path, &match);
    stream->data = rc == 0 ? (void *)match.pattern : NULL;
    if (rc == RUC_EMETHOD) {
        ruc_http_header_t allow = {"allow", match.allow};
        if (strcmp(stream->method, "OPTIONS") == 0) {
            ruc_http_respond(stream, 204, &allow, 1, NULL, 0);
        } else {
            ruc_http_problem_with(stream, 405, NULL, "this path has other methods", &allow, 1);
        }
    } else if (rc < 0) {
        ruc_http_problem(stream, 404, NULL, "there is no such path");
    } else if (!is_served(app, stream, match.pattern)) {
        ruc_http_problem(stream, 404, NULL,
                         "this process has the monitor role only: ask one with the server role");
    } else {
        start_handler(app, stream, &match);
    }
}

static bool only_looks(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "OPTIONS") == 0;
}

/* Who asked, for the log. */
static const char *user_name(const ruc_http_stream_t *stream)
{
    (void)stream;
    return "anonymous"; /* as long as there is no auth but none: see push_user of request.c */
}

void ruc_dispatch_done(ruc_http_stream_t *stream, void *arg)
{
    (void)arg;
    int status = stream->status;
    char code[4] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10), '\0'};
    const char *shown = status == 0 ? "0" : code; /* 0: the peer went before it was answered */
    double seconds = (double)(ruc_clock_mono_ns() - stream->begun_ns) / 1e9;
    ruc_metric_add(
        ruc_metrics_series(RUC_M_HTTP_REQUESTS, stream->data != NULL ? stream->data : "", shown),
        1);
    ruc_metric_observe(ruc_metrics_series(RUC_M_HTTP_REQUEST), seconds);
    /* Who changed what is in the log at all times; who only looked, when it is asked for. */
    ruc_log_level_t level = only_looks(stream->method) ? RUC_DEBUG : RUC_INFO;
    if (ruc_log_wants(RUC_LOG_HTTP, level)) {
        const char *before = ruc_log_context(stream->request_id);
        ruc_log(RUC_LOG_HTTP, level, "%s %s %d by %s, %.1f ms", stream->method, stream->target,
                status, user_name(stream), seconds * 1000);
        ruc_log_context(before);
    }
}
