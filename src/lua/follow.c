/* follow.c - see follow.h: what all followers have in common. */
#include "lua/follow.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/log.h"
#include "lua/follow_room.h"

#define FOLLOW "rucat.follow"
#define FOLLOWERS_MAX 1000

static ruc__follower_t *followers;
static size_t follower_count;

void ruc_follow_push(lua_State *L, const ruc_follow_t *follow)
{
    ruc_follow_t *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = *follow;
    luaL_setmetatable(L, FOLLOW);
}

bool ruc_follow_test(lua_State *L, int index, ruc_follow_t *follow)
{
    ruc_follow_t *box =
        lua_type(L, index) == LUA_TUSERDATA ? luaL_testudata(L, index, FOLLOW) : NULL;
    if (box != NULL) {
        *follow = *box;
    }
    return box != NULL;
}

void ruc_follow_open(lua_State *L)
{
    if (luaL_newmetatable(L, FOLLOW)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static void free_if_over(ruc__follower_t *f)
{
    if (f->timer_closed && f->pending == 0) {
        free(f);
    }
}

static void timer_closed(uv_handle_t *handle)
{
    ruc__follower_t *f = handle->data;
    f->timer_closed = true;
    free_if_over(f);
}

void ruc__follow_settle(ruc__follower_t *f)
{
    f->pending--;
    free_if_over(f);
}

/* Forgets the stream; what is still pending finds the follower over. */
static ruc_http_stream_t *let_go(ruc__follower_t *f)
{
    ruc_http_stream_t *stream = f->stream;
    f->stream = NULL;
    ruc_table_unwatch(f->app->table, &f->watcher);
    ruc_table_unlisten(f->app->table, &f->listener);
    DL_DELETE(followers, f);
    follower_count--;
    uv_close((uv_handle_t *)&f->timer, timer_closed);
    return stream;
}

bool ruc__follow_write(ruc__follower_t *f, const char *data, size_t len)
{
    if (f->stream == NULL) {
        return false;
    }
    int64_t queued = ruc_http_write(f->stream, data, len);
    if (queued == RUC_EFULL) {
        ruc_log(RUC_LOG_HTTP, RUC_WARN, "a follower of %s reads too slowly: it is cut off",
                f->what.engine[0] ? f->what.engine : "events");
        ruc_http_abort(let_go(f));
        return false;
    }
    f->full = queued > RUC__FOLLOW_QUEUE;
    return queued >= 0; /* closed: on_close follows */
}

void ruc__follow_end(ruc__follower_t *f, const char *why)
{
    char marker[256];
    if (f->stream == NULL) {
        return;
    }
    if (why != NULL) {
        int len = snprintf(
            marker, sizeof marker,
            f->what.events ? "event: end\ndata: {\"reason\":\"%s\"}\n\n" : "[rucat: %s]\n", why);
        if (!ruc__follow_write(f, marker, (size_t)len) && f->stream == NULL) {
            return;
        }
    }
    ruc_http_end(let_go(f));
}

void ruc_follow_end_all(void)
{
    while (followers != NULL) {
        ruc__follow_end(followers, "the server is stopping");
    }
}

static void peer_gone(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    let_go(arg);
}

static void drained(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    ruc__follower_t *f = arg;
    f->full = false;
    if (!f->what.events) {
        ruc__follow_log_drained(f);
    }
}

void ruc_follow_begin(ruc_app_t *app, ruc_http_stream_t *stream, const ruc_follow_t *what)
{
    static const ruc_http_events_t events = {.on_close = peer_gone, .on_drain = drained};
    static const ruc_http_header_t headers[] = {{"content-type", "text/event-stream"},
                                                {"cache-control", "no-cache"},
                                                {"x-accel-buffering", "no"}};
    static const ruc_http_header_t plain = {"content-type", "text/plain; charset=utf-8"};
    ruc__follower_t *f = follower_count >= FOLLOWERS_MAX ? NULL : calloc(1, sizeof *f);
    if (f == NULL || app->closing) {
        free(f);
        ruc_http_problem(stream, 503, NULL,
                         app->closing ? "the server is stopping" : "too many follow already");
        return;
    }
    f->what = *what;
    f->app = app;
    f->stream = stream;
    stream->data = what->events ? "events, followed" : "logs, followed"; /* for the counts */
    uv_timer_init(app->loop, &f->timer);
    f->timer.data = f;
    DL_APPEND(followers, f);
    follower_count++;
    ruc_http_listen(stream, &events, f);
    if (ruc_http_start(stream, 200, what->events ? headers : &plain, what->events ? 3 : 1) < 0) {
        ruc_http_abort(let_go(f));
    } else if (what->events) {
        ruc__follow_events_begin(f);
    } else {
        ruc__follow_log_begin(f);
    }
}
