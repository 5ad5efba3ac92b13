/* http_stream.c - rucat.http.stream: an answer that is read piece by piece, as it comes.
 *
 *     local stream <close> = assert(rucat.http.stream{ url = url, timeout = 5 })  -- waits: the
 * head print(stream.status, stream.headers["content-type"]) local piece, why, code =
 * stream:read(30)     -- waits; nil at the end, or with why
 *
 * libcurl hands over pieces while it runs, and no script may run then: they are queued, and a timer
 * of 0 ms wakes the reader in a turn of its own. A reader that is slow holds the peer back once
 * QUEUE_MAX bytes wait. The loop owns the stream (its timer's close frees it), Lua owns a box. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/check.h"
#include "lua/http_room.h"
#include "lua/job.h"
#include "lua/options.h"

#define STREAM "rucat.http.stream"
#define QUEUE_MAX ((size_t)256 * 1024)
#define HEADERS_MAX 64
#define HEAD_BYTES 65536

typedef struct stream {
    uv_timer_t timer; /* the reader's patience; 0 ms when there is something for it */
    ruc_http_call_t *call;
    ruc_ticket_t ticket;
    bool waiting;  /* somebody does, by that ticket */
    bool boxed;    /* Lua has it; before that the wait for the head does */
    bool released; /* the timer is closing */
    bool paused;   /* the peer is held back */
    bool headed, over;
    int status, rc;
    size_t header_count;
    ruc_buf_t head; /* name NUL value NUL ... */
    ruc_buf_t queue;
    char why[256];
} stream_t;

/* ---- its end ---- */

static void timer_closed(uv_handle_t *handle)
{
    stream_t *stream = handle->data;
    ruc_buf_free(&stream->head);
    ruc_buf_free(&stream->queue);
    free(stream);
}

static void release(stream_t *stream)
{
    if (stream->released) {
        return;
    }
    stream->released = true;
    if (stream->call != NULL) {
        ruc_http_call_cancel(stream->call);
        stream->call = NULL;
    }
    uv_close((uv_handle_t *)&stream->timer, timer_closed);
}

/* ---- waking the reader ---- */

static int push_trouble(lua_State *L, stream_t *stream)
{
    if (!stream->over) {
        return ruc_push_err(L, UV_ETIMEDOUT, "nothing came in time");
    }
    if (stream->rc == 0) {
        lua_pushnil(L);
        return 1;
    }
    return ruc_push_err(L, stream->rc, stream->why);
}

/* The first wait's result: the box, with the headers as its user value. */
static int push_box(lua_State *L, void *arg)
{
    stream_t *stream = arg;
    ruc_http_header_t headers[HEADERS_MAX];
    if (!stream->headed) {
        return push_trouble(L, stream);
    }
    const char *at = ruc_buf_str(&stream->head);
    for (size_t i = 0; i < stream->header_count; i++) {
        headers[i].name = at;
        headers[i].value = at + strlen(at) + 1;
        at = headers[i].value + strlen(headers[i].value) + 1;
    }
    stream_t **box = lua_newuserdatauv(L, sizeof(stream_t *), 1);
    *box = NULL;
    luaL_setmetatable(L, STREAM);
    ruc__http_push_headers(L, headers, stream->header_count);
    lua_setiuservalue(L, -2, 1);
    *box = stream;
    stream->boxed = true;
    return 1;
}

static int push_piece(lua_State *L, void *arg)
{
    stream_t *stream = arg;
    if (stream->queue.len == 0) {
        return push_trouble(L, stream);
    }
    lua_pushlstring(L, stream->queue.data, stream->queue.len);
    ruc_buf_clear(&stream->queue);
    return 1;
}

/* Lets the peer go on once there is room. */
static void make_room(stream_t *stream)
{
    if (stream->paused && !stream->released && stream->call != NULL && stream->queue.len == 0) {
        stream->paused = false;
        ruc_http_call_resume(stream->call);
    }
}

static void wake(uv_timer_t *timer)
{
    stream_t *stream = timer->data;
    bool opening = !stream->boxed;
    if (!stream->waiting) {
        return;
    }
    stream->waiting = false;
    ruc_job_wake(stream->ticket, opening ? push_box : push_piece, stream);
    if (!stream->boxed) {
        release(stream); /* there was no head, or no memory for the box */
    }
    make_room(stream);
}

static void something_came(stream_t *stream)
{
    if (stream->waiting) {
        uv_timer_start(&stream->timer, wake, 0, 0);
    }
}

static void cancelled(void *arg)
{
    stream_t *stream = arg;
    stream->waiting = false;
    uv_timer_stop(&stream->timer);
    if (!stream->boxed) {
        release(stream);
    }
}

/* ---- what the client tells ---- */

static void have_head(void *arg, const ruc_http_answer_t *answer)
{
    stream_t *stream = arg;
    stream->headed = true;
    stream->status = answer->status;
    for (size_t i = 0; i < answer->header_count && i < HEADERS_MAX; i++) {
        const ruc_http_header_t *header = &answer->headers[i];
        size_t name = strlen(header->name) + 1, value = strlen(header->value) + 1;
        if (ruc_buf_reserve(&stream->head, name + value) < 0) {
            break; /* beyond the bound further headers are left out */
        }
        (void)ruc_buf_add(&stream->head, header->name, name); /* reserved */
        (void)ruc_buf_add(&stream->head, header->value, value);
        stream->header_count++;
    }
    something_came(stream);
}

static int have_data(void *arg, int status, const char *data, size_t len)
{
    (void)status;
    stream_t *stream = arg;
    if (stream->queue.len > 0 && stream->queue.len + len > QUEUE_MAX) {
        stream->paused = true;
        return RUC_HTTP_PAUSE;
    }
    int rc = ruc_buf_add(&stream->queue, data, len);
    if (rc == 0 && stream->boxed) {
        something_came(stream);
    }
    return rc;
}

static void have_end(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    (void)answer;
    stream_t *stream = arg;
    stream->call = NULL;
    stream->over = true;
    stream->rc = rc;
    snprintf(stream->why, sizeof stream->why, "%s", error == NULL ? "" : error);
    something_came(stream);
}

/* ---- what Lua sees ---- */

int ruc__http_stream(lua_State *L)
{
    ruc_http_header_t headers[RUC__HTTP_HEADERS_MAX];
    ruc_http_call_spec_t spec;
    ruc_why_t why = {""};
    ruc__http_read_spec(L, &spec, headers);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.http.stream");
    ruc_app_t *app = ruc_vm_of(L)->app;
    stream_t *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return luaL_error(L, "not enough memory");
    }
    uint64_t patience = (uint64_t)spec.timeout_ms;
    spec.timeout_ms = -1; /* it goes on as long as it likes */
    spec.on_head = have_head;
    spec.on_data = have_data;
    ruc_buf_init(&stream->head, HEAD_BYTES);
    ruc_buf_init(&stream->queue, 4 * QUEUE_MAX);
    uv_timer_init(app->loop, &stream->timer);
    stream->timer.data = stream;
    stream->ticket = ticket;
    stream->call = ruc_http_client_send(app->client, &spec, have_end, stream, &why);
    if (stream->call == NULL) {
        release(stream);
        return ruc_push_err(L, RUC_EINVALID, why.text);
    }
    stream->waiting = true;
    uv_timer_start(&stream->timer, wake, patience, 0);
    return ruc_job_wait(L, cancelled, stream);
}

static stream_t *check_stream(lua_State *L)
{
    stream_t **box = luaL_checkudata(L, 1, STREAM);
    luaL_argcheck(L, *box != NULL, 1, "the stream is closed");
    return *box;
}

static int stream_read(lua_State *L)
{
    stream_t *stream = check_stream(L);
    int64_t ms = ruc_options_seconds(L, 2, -1);
    if (stream->waiting) {
        return luaL_error(L, "another job reads this stream already");
    }
    if (stream->queue.len > 0 || stream->over) {
        int n = push_piece(L, stream);
        make_room(stream);
        return n;
    }
    stream->ticket = ruc_job_ticket(L, "stream:read");
    stream->waiting = true;
    if (ms >= 0) {
        uv_timer_start(&stream->timer, wake, (uint64_t)ms, 0);
    }
    return ruc_job_wait(L, cancelled, stream); /* anchored: it is an argument of this call */
}

static int stream_close(lua_State *L)
{
    stream_t **box = luaL_checkudata(L, 1, STREAM);
    if (*box != NULL) {
        luaL_argcheck(L, !(*box)->waiting, 1, "another job reads this stream");
        release(*box);
        *box = NULL;
    }
    return 0;
}

static int stream_index(lua_State *L)
{
    stream_t **box = luaL_checkudata(L, 1, STREAM);
    const char *name = luaL_checkstring(L, 2);
    if (strcmp(name, "headers") == 0) {
        lua_getiuservalue(L, 1, 1);
    } else if (strcmp(name, "status") != 0) {
        lua_getfield(L, lua_upvalueindex(1), name);
    } else if (*box == NULL) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (*box)->status);
    }
    return 1;
}

void ruc__http_stream_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"read", stream_read}, {"close", stream_close}, {NULL, NULL}};
    if (luaL_newmetatable(L, STREAM)) {
        luaL_newlib(L, methods);
        lua_pushcclosure(L, stream_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, stream_close);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, stream_close);
        lua_setfield(L, -2, "__close");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}
