/* prim_state.c - rucat.state: values that outlive calls and reloads.
 *
 *     rucat.state.set("night", true)                       -- until the server ends
 *     rucat.state.set("seen/" .. engine.id, os.time(), 600) -- for 600 seconds
 *     local n = rucat.state.incr("crashes/" .. engine.id, 1, 3600)
 *     if rucat.state.get("night") then ... end
 *
 * A value is what JSON can hold, kept as its text: nobody shares a table with anybody. Nothing here
 * waits, so that between a get and a set no other script runs. See state.h. */
#include <jansson.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/clock.h"
#include "core/utf8.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/prims.h"
#include "lua/state.h"
#include "lua/value.h"

#define KEY_MAX 256
#define TTL_MAX 31622400.0 /* a year */
#define OVERHEAD 96        /* bytes that an item takes beside its texts */
#define WRITERS (RUC_PHASE_ANY & ~RUC_PHASE_TEMPLATE)

typedef struct item {
    char *text; /* JSON */
    size_t len;
    uint64_t until_ms; /* on the monotonic clock; 0: for ever */
    UT_hash_handle hh;
    char key[]; /* not terminated: it may hold anything */
} item_t;

typedef struct state {
    item_t *items;
    size_t bytes;
    uint64_t first_end_ms; /* nothing ends before; 0: nothing ends */
} state_t;

static state_t live, loading;

static uint64_t now_ms(void)
{
    return ruc_clock_mono_ns() / 1000000;
}

static state_t *state_of(lua_State *L)
{
    return ruc_job_phase(L) == RUC_PHASE_LOAD ? &loading : &live;
}

static size_t cost_of(size_t key_len, size_t len)
{
    return key_len + len + OVERHEAD;
}

static void drop(state_t *state, item_t *item)
{
    state->bytes -= cost_of(item->hh.keylen, item->len);
    HASH_DEL(state->items, item);
    free(item->text);
    free(item);
}

static void drop_all(state_t *state)
{
    item_t *item, *next;
    HASH_ITER(hh, state->items, item, next)
    {
        drop(state, item);
    }
    state->first_end_ms = 0;
}

void ruc_state_forget_load(void)
{
    drop_all(&loading);
}

void ruc_state_close(void)
{
    drop_all(&live);
    drop_all(&loading);
}

/* Drops what has ended, when there can be something that has. */
static void sweep(state_t *state)
{
    uint64_t now = now_ms();
    item_t *item, *next;
    if (state->first_end_ms == 0 || now < state->first_end_ms) {
        return;
    }
    state->first_end_ms = 0;
    HASH_ITER(hh, state->items, item, next)
    {
        if (item->until_ms == 0) {
            continue;
        }
        if (item->until_ms <= now) {
            drop(state, item);
        } else if (state->first_end_ms == 0 || item->until_ms < state->first_end_ms) {
            state->first_end_ms = item->until_ms;
        }
    }
}

static item_t *find(state_t *state, const char *key, size_t len)
{
    item_t *item = NULL;
    HASH_FIND(hh, state->items, key, len, item);
    if (item != NULL && item->until_ms != 0 && item->until_ms <= now_ms()) {
        drop(state, item);
        return NULL;
    }
    return item;
}

/* RAISES for anything that is no key. */
static const char *check_key(lua_State *L, size_t *len)
{
    const char *key = luaL_checklstring(L, 1, len);
    luaL_argcheck(L, *len >= 1 && *len <= KEY_MAX, 1, "a key has 1 to 256 bytes");
    return key;
}

/* Seconds until the end, as milliseconds; 0 for ever. RAISES. */
static uint64_t check_ttl(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) {
        return 0;
    }
    lua_Number seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0.001 && seconds <= TTL_MAX, index,
                  "seconds until the end: 0.001 to 31622400");
    return (uint64_t)(seconds * 1000);
}

static void push_value(lua_State *L, const item_t *item)
{
    ruc_value_push_owned(L,
                         json_loadb(item->text, item->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
}

/* Is there room for `more` bytes and, `fresh`, one item more? What has ended makes room. */
static bool has_room(lua_State *L, state_t *state, size_t less, size_t more, bool fresh)
{
    ruc_config_t *config = ruc_vm_of(L)->app->config;
    size_t bytes = (size_t)ruc_config_number(config, "limits.state");
    size_t keys = (size_t)ruc_config_number(config, "limits.state_keys");
    for (int round = 0; round < 2; round++) {
        if (state->bytes - less + more <= bytes && (!fresh || HASH_COUNT(state->items) < keys)) {
            return true;
        }
        sweep(state);
    }
    return false;
}

static int push_full(lua_State *L)
{
    return ruc_push_err(L, RUC_EFULL, "rucat.state is full (limits.state, limits.state_keys)");
}

/* Keeps a copy of `text`, until then. 0, or the three results of a failure. */
static int keep(lua_State *L, const char *key, size_t key_len, const char *text, size_t len,
                uint64_t until_ms)
{
    state_t *state = state_of(L);
    item_t *item = find(state, key, key_len);
    size_t less = item == NULL ? 0 : cost_of(key_len, item->len);
    if (!has_room(L, state, less, cost_of(key_len, len), item == NULL)) {
        return push_full(L);
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        return ruc_push_err(L, UV_ENOMEM, NULL);
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    item = find(state, key, key_len); /* making room may have dropped it */
    if (item != NULL) {
        state->bytes -= cost_of(key_len, item->len);
        free(item->text);
    } else {
        item = calloc(1, sizeof *item + key_len);
        if (item == NULL) {
            free(copy);
            return ruc_push_err(L, UV_ENOMEM, NULL);
        }
        memcpy(item->key, key, key_len);
        HASH_ADD_KEYPTR(hh, state->items, item->key, key_len, item);
    }
    item->text = copy;
    item->len = len;
    item->until_ms = until_ms;
    state->bytes += cost_of(key_len, len);
    if (until_ms != 0 && (state->first_end_ms == 0 || until_ms < state->first_end_ms)) {
        state->first_end_ms = until_ms;
    }
    return 0;
}

/* What is written as JSON is made valid; what is kept must come back as it was. RAISES. `*nodes`:
 * how many values and keys there were. */
static void check_texts(lua_State *L, int index, int depth, int *nodes)
{
    size_t len;
    if (++*nodes > RUC_VALUE_PARSED) {
        luaL_error(L, "rucat.state keeps at most %d values under a key", RUC_VALUE_PARSED);
    }
    ruc_guard_check(L);
    index = lua_absindex(L, index);
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, index, &len);
        if (!ruc_utf8_valid(text, len)) {
            luaL_error(L, "rucat.state keeps what JSON can hold: a text is not UTF-8");
        }
    } else if (lua_type(L, index) == LUA_TTABLE && depth < RUC_VALUE_DEPTH) {
        luaL_checkstack(L, LUA_MINSTACK, NULL);
        lua_pushnil(L);
        while (lua_next(L, index)) {
            check_texts(L, -1, depth + 1, nodes);
            check_texts(L, -2, RUC_VALUE_DEPTH, nodes);
            lua_pop(L, 1);
        }
    }
}

/* Keeps the value at `index`; the results of the primitive that does. RAISES what is no JSON. */
static int keep_value(lua_State *L, int index, const char *key, size_t key_len, uint64_t until_ms)
{
    ruc_buf_t text;
    ruc_why_t why = {""};
    int nodes = 0;
    check_texts(L, index, 0, &nodes);
    ruc_buf_init(&text, (size_t)ruc_config_number(ruc_vm_of(L)->app->config, "limits.state"));
    int rc = ruc_value_write(L, index, &text, &why);
    int n = rc < 0 ? 0 : keep(L, key, key_len, ruc_buf_str(&text), text.len, until_ms);
    ruc_buf_free(&text);
    if (rc == RUC_ETOOBIG) {
        return push_full(L);
    }
    if (rc == UV_ENOMEM) {
        return ruc_push_err(L, rc, NULL);
    }
    if (rc < 0) {
        ruc_guard_check(L);
        return luaL_error(L, "rucat.state keeps what JSON can hold: %s", why.text);
    }
    return n;
}

static int state_get(lua_State *L)
{
    size_t len;
    const char *key = check_key(L, &len);
    item_t *item = find(state_of(L), key, len);
    if (item == NULL) {
        lua_pushnil(L);
    } else {
        push_value(L, item);
    }
    return 1;
}

static int state_set(lua_State *L)
{
    size_t len;
    const char *key = check_key(L, &len);
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "a value; rucat.state.delete(key) forgets one");
    uint64_t ttl = check_ttl(L, 3);
    ruc_job_need(L, WRITERS, "rucat.state.set");
    int n = keep_value(L, 2, key, len, ttl == 0 ? 0 : now_ms() + ttl);
    if (n > 0) {
        return n;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* The time to its end counts from when the number is made. */
static int state_incr(lua_State *L)
{
    size_t len;
    const char *key = check_key(L, &len);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 3);
        lua_pushinteger(L, 1);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TNUMBER);
    uint64_t ttl = check_ttl(L, 3), until = ttl == 0 ? 0 : now_ms() + ttl;
    ruc_job_need(L, WRITERS, "rucat.state.incr");
    item_t *item = find(state_of(L), key, len);
    if (item == NULL) {
        lua_pushinteger(L, 0);
    } else {
        until = item->until_ms;
        push_value(L, item);
    }
    if (lua_type(L, -1) != LUA_TNUMBER) {
        return luaL_error(L, "rucat.state.incr: there is a %s, not a number", luaL_typename(L, -1));
    }
    lua_pushvalue(L, 2);
    lua_arith(L, LUA_OPADD);
    int sum = lua_gettop(L), n = keep_value(L, sum, key, len, until);
    if (n > 0) {
        return n;
    }
    lua_pushvalue(L, sum);
    return 1;
}

static int state_delete(lua_State *L)
{
    size_t len;
    const char *key = check_key(L, &len);
    ruc_job_need(L, WRITERS, "rucat.state.delete");
    state_t *state = state_of(L);
    item_t *item = find(state, key, len);
    if (item != NULL) {
        drop(state, item);
    }
    lua_pushboolean(L, item != NULL);
    return 1;
}

static int by_key(const void *a, const void *b)
{
    const item_t *x = *(item_t *const *)a, *y = *(item_t *const *)b;
    size_t least = x->hh.keylen < y->hh.keylen ? x->hh.keylen : y->hh.keylen;
    int order = memcmp(x->key, y->key, least);
    return order != 0 ? order : x->hh.keylen < y->hh.keylen ? -1 : x->hh.keylen > y->hh.keylen;
}

static int state_keys(lua_State *L)
{
    size_t len, count = 0;
    const char *prefix = luaL_optlstring(L, 1, "", &len);
    state_t *state = state_of(L);
    item_t *item, *next;
    sweep(state);
    /* A block of the collector's: nothing is lost when something raises. */
    size_t room = HASH_COUNT(state->items);
    item_t **found = lua_newuserdatauv(L, (room + 1) * sizeof *found, 0);
    HASH_ITER(hh, state->items, item, next)
    {
        if (item->hh.keylen >= len && memcmp(item->key, prefix, len) == 0) {
            found[count++] = item;
        }
    }
    qsort(found, count, sizeof *found, by_key);
    lua_createtable(L, (int)count, 0);
    ruc_value_mark_array(L);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(L, found[i]->key, found[i]->hh.keylen);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int state_usage(lua_State *L)
{
    state_t *state = state_of(L);
    sweep(state);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)HASH_COUNT(state->items));
    lua_setfield(L, -2, "keys");
    lua_pushinteger(L, (lua_Integer)state->bytes);
    lua_setfield(L, -2, "bytes");
    return 1;
}

void ruc_prim_state(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", state_get},   {"set", state_set},
                                         {"incr", state_incr}, {"delete", state_delete},
                                         {"keys", state_keys}, {"usage", state_usage},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
}
