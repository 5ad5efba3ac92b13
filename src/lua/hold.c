/* hold.c - see hold.h. */
#include "lua/hold.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "engine/verbs.h"
#include "lua/answer.h"

#define HOLD "rucat.hold"

typedef struct box {
    char id[27], verb[8];
    int64_t ms;
} box_t;

typedef struct held {
    ruc_watcher_t watcher;
    uv_timer_t timer;
    ruc_app_t *app;
    ruc_http_stream_t *stream;
    int status;
    char id[27], verb[8];
    char route[128]; /* what the stream is counted under; its generation may go meanwhile */
    struct held *prev, *next;
} held_t;

static held_t *all_held;

void ruc_hold_push(lua_State *L, const char *id, const char *verb, int64_t ms)
{
    box_t *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (box_t){.ms = ms};
    snprintf(box->id, sizeof box->id, "%s", id);
    snprintf(box->verb, sizeof box->verb, "%s", verb);
    luaL_setmetatable(L, HOLD);
}

bool ruc_hold_test(lua_State *L, int index, char *id, char *verb, int64_t *ms)
{
    box_t *box = lua_type(L, index) == LUA_TUSERDATA ? luaL_testudata(L, index, HOLD) : NULL;
    if (box == NULL) {
        return false;
    }
    memcpy(id, box->id, sizeof box->id);
    memcpy(verb, box->verb, sizeof box->verb);
    *ms = box->ms;
    return true;
}

void ruc_hold_open(lua_State *L)
{
    if (luaL_newmetatable(L, HOLD)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static void held_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Lets the stream go; the memory goes when the timer's handle is closed. */
static ruc_http_stream_t *let_go(held_t *held)
{
    ruc_http_stream_t *stream = held->stream;
    ruc_table_unwatch(held->app->table, &held->watcher);
    DL_DELETE(all_held, held);
    uv_close((uv_handle_t *)&held->timer, held_closed);
    return stream;
}

/* Answers with the engine as it is, or, where it is gone, as it was last. */
static void answer(held_t *held, ruc_record_t *last)
{
    ruc_app_t *app = held->app;
    ruc_record_t *record = ruc_table_find(app->table, held->id);
    int status = held->status;
    ruc_http_stream_t *stream = let_go(held);
    record = record == NULL ? last : record;
    if (record == NULL) {
        ruc_http_problem(stream, 404, NULL, "there is no such engine");
    } else {
        ruc_answer_record(app, stream, status, record, NULL, 0);
    }
}

static void changed(ruc_watcher_t *watcher, ruc_record_t *before, ruc_record_t *after)
{
    held_t *held = (held_t *)watcher; /* the first member */
    ruc_record_t *record = after != NULL ? after : before;
    if (strcmp(record->id, held->id) == 0 &&
        (after == NULL || ruc_verb_settled(after, held->verb))) {
        answer(held, record);
    }
}

static void too_long(uv_timer_t *timer)
{
    answer(timer->data, NULL);
}

static void peer_gone(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    let_go(arg);
}

void ruc_hold_begin(ruc_app_t *app, ruc_http_stream_t *stream, int status, const char *id,
                    const char *verb, int64_t ms)
{
    static const ruc_http_events_t events = {.on_close = peer_gone};
    ruc_record_t *record = ruc_table_find(app->table, id);
    held_t *held = calloc(1, sizeof *held);
    if (held == NULL) {
        ruc_http_problem(stream, 503, NULL, "not enough memory");
        return;
    }
    held->app = app;
    held->stream = stream;
    held->status = status;
    snprintf(held->id, sizeof held->id, "%s", id);
    snprintf(held->verb, sizeof held->verb, "%s", verb);
    snprintf(held->route, sizeof held->route, "%s",
             stream->data == NULL ? "" : (const char *)stream->data);
    stream->data = held->route;
    held->watcher.changed = changed;
    uv_timer_init(app->loop, &held->timer);
    held->timer.data = held;
    DL_APPEND(all_held, held);
    if (record == NULL || app->closing || ruc_verb_settled(record, verb)) {
        answer(held, NULL);
        return;
    }
    ruc_table_watch(app->table, &held->watcher);
    ruc_http_listen(stream, &events, held);
    uv_timer_start(&held->timer, too_long, (uint64_t)ms, 0);
}

void ruc_hold_end_all(void)
{
    while (all_held != NULL) {
        answer(all_held, NULL);
    }
}
