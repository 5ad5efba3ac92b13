/* value.c - see value.h. */
#include "lua/value.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/utf8.h"
#include "lua/guard.h"
#include "lua/surreal_value.h"
#include "lua/view.h"
#include "lua/vm.h"

#define ARRAY_MARK "rucat.array"

void ruc_value_mark_array(lua_State *L)
{
    if (luaL_newmetatable(L, ARRAY_MARK)) {
        lua_pushboolean(L, 0); /* all lists share it */
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

static bool is_marked(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, ARRAY_MARK);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* ---- between states ---- */

static void copy(lua_State *from, int index, lua_State *to, int depth, int *nodes)
{
    index = lua_absindex(from, index);
    if (depth > RUC_VALUE_DEPTH || !lua_checkstack(from, 8)) {
        luaL_error(to, "a value is nested too deeply to be handed over");
    }
    if (++*nodes > RUC_VALUE_NODES) {
        luaL_error(to, "a value has too many parts to be handed over: at most %d", RUC_VALUE_NODES);
    }
    luaL_checkstack(to, 8, "a value is too large to be handed over");
    ruc_record_t *record;
    size_t len;
    const char *text;
    switch (lua_type(from, index)) {
    case LUA_TNIL:
        lua_pushnil(to);
        break;
    case LUA_TBOOLEAN:
        lua_pushboolean(to, lua_toboolean(from, index));
        break;
    case LUA_TLIGHTUSERDATA:
        lua_pushlightuserdata(to, lua_touserdata(from, index));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(from, index)) {
            lua_pushinteger(to, lua_tointeger(from, index));
        } else {
            lua_pushnumber(to, lua_tonumber(from, index));
        }
        break;
    case LUA_TSTRING:
        text = lua_tolstring(from, index, &len);
        lua_pushlstring(to, text, len);
        break;
    case LUA_TTABLE:
        lua_newtable(to);
        if (is_marked(from, index)) {
            ruc_value_mark_array(to);
        }
        lua_pushnil(from);
        while (lua_next(from, index)) {
            copy(from, -2, to, depth + 1, nodes);
            copy(from, -1, to, depth + 1, nodes);
            lua_rawset(to, -3);
            lua_pop(from, 1);
        }
        break;
    default:
        record = lua_type(from, index) == LUA_TUSERDATA ? ruc_view_test(from, index) : NULL;
        if (record == NULL) {
            luaL_error(to, "a %s cannot be handed over", lua_typename(from, lua_type(from, index)));
        }
        ruc_view_push(to, record);
    }
}

void ruc_value_copy(lua_State *from, int index, lua_State *to)
{
    int top = lua_gettop(from), nodes = 0;
    copy(from, index, to, 0, &nodes);
    lua_settop(from, top);
}

/* ---- from JSON ---- */

/* How many values the text has, if it is JSON: nothing else is between two of them. */
static size_t count_values(const char *text, size_t len)
{
    size_t count = 1;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else {
            quoted = c == '"';
            count += c == ',' || c == '[' || c == '{';
        }
    }
    return count;
}

json_t *ruc_value_parse(const char *text, size_t len, size_t flags, json_error_t *error)
{
    if (len > RUC_VALUE_PARSED && count_values(text, len) > RUC_VALUE_PARSED) {
        *error = (json_error_t){.line = 1, .column = 1};
        snprintf(error->text, sizeof error->text, "more than %d values", RUC_VALUE_PARSED);
        return NULL;
    }
    return json_loadb(text, len, flags, error);
}

void ruc_value_push_json(lua_State *L, const json_t *value, bool nulls)
{
    size_t i;
    const char *key;
    json_t *item;
    luaL_checkstack(L, 8, "JSON is nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        lua_createtable(L, 0, (int)json_object_size(value));
        json_object_foreach((json_t *)value, key, item)
        {
            if (nulls || !json_is_null(item)) {
                ruc_value_push_json(L, item, nulls);
                lua_setfield(L, -2, key);
            }
        }
        break;
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(value), 0);
        ruc_value_mark_array(L);
        json_array_foreach((json_t *)value, i, item)
        {
            ruc_value_push_json(L, item, true);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_NULL:
        if (nulls) {
            lua_pushlightuserdata(L, NULL);
        } else {
            lua_pushnil(L);
        }
        break;
    default:
        lua_pushboolean(L, json_is_true(value));
    }
}

static int push_borrowed(lua_State *L)
{
    ruc_value_push_json(L, lua_touserdata(L, 1), true);
    return 1;
}

int ruc_value_push_owned(lua_State *L, json_t *value)
{
    if (value == NULL) {
        return luaL_error(L, "not enough memory");
    }
    lua_pushcfunction(L, push_borrowed);
    lua_pushlightuserdata(L, value);
    int rc = lua_pcall(L, 1, 1, 0);
    json_decref(value);
    return rc == LUA_OK ? 1 : lua_error(L);
}

/* ---- to JSON text ---- */

lua_Integer ruc_value_list_length(lua_State *L, int index)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, index), seen = 0;
    if (n == 0) {
        if (!is_marked(L, index)) {
            return -1;
        }
        lua_pushnil(L);
        if (lua_next(L, index)) { /* marked, but with other keys: an object after all */
            lua_pop(L, 2);
            return -1;
        }
        return 0;
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > n) {
            lua_pop(L, 1);
            return -1;
        }
        seen++;
    }
    return seen == n ? n : -1;
}

/* What is written where, how deep and how many values there were so far: a small table that has the
 * same table in it twice, which has another one in it twice, ..., is a large text. */
typedef struct writing {
    ruc_buf_t *out;
    ruc_why_t *why;
    int nodes;
} writing_t;

static int write_value(lua_State *L, int index, writing_t *w, int depth);

static int write_list(lua_State *L, int index, lua_Integer n, writing_t *w, int depth)
{
    int rc = ruc_buf_add(w->out, "[", 1);
    for (lua_Integer i = 1; rc == 0 && i <= n; i++) {
        rc = i > 1 ? ruc_buf_add(w->out, ",", 1) : 0;
        lua_rawgeti(L, index, i);
        rc = rc == 0 ? write_value(L, -1, w, depth + 1) : rc;
        lua_pop(L, 1);
    }
    return rc == 0 ? ruc_buf_add(w->out, "]", 1) : rc;
}

/* Keys are written sorted, so that the same value always is the same text. */
typedef struct key {
    const char *text; /* anchored by the table */
    size_t len;
} key_text_t;

static int by_text(const void *a, const void *b)
{
    const key_text_t *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Collects the keys of the table at `index` into *keys, which the caller frees. */
static int collect_keys(lua_State *L, int index, key_text_t **keys, size_t *count, ruc_why_t *why)
{
    size_t room = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            ruc_why_set(why, RUC_EINVALID, "JSON: a key of an object is a %s, not a text",
                        luaL_typename(L, -1));
            lua_pop(L, 1);
            return RUC_EINVALID;
        }
        if (*count == room) {
            room = room == 0 ? 16 : room * 2;
            key_text_t *more = realloc(*keys, room * sizeof *more);
            if (more == NULL) {
                lua_pop(L, 1);
                return UV_ENOMEM;
            }
            *keys = more;
        }
        key_text_t *key = &(*keys)[(*count)++];
        key->text = lua_tolstring(L, -1, &key->len);
    }
    if (*count > 0) {
        qsort(*keys, *count, sizeof **keys, by_text);
    }
    return 0;
}

static int write_object(lua_State *L, int index, writing_t *w, int depth)
{
    key_text_t *keys = NULL;
    size_t count = 0;
    int rc = collect_keys(L, index, &keys, &count, w->why);
    rc = rc == 0 ? ruc_buf_add(w->out, "{", 1) : rc;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = i == 0 ? 0 : ruc_buf_add(w->out, ",", 1);
        rc = rc == 0 ? ruc_buf_add_json(w->out, keys[i].text, keys[i].len) : rc;
        rc = rc == 0 ? ruc_buf_add(w->out, ":", 1) : rc;
        lua_pushlstring(L, keys[i].text, keys[i].len);
        lua_rawget(L, index);
        rc = rc == 0 ? write_value(L, -1, w, depth + 1) : rc;
        lua_pop(L, 1);
    }
    free(keys);
    return rc == 0 ? ruc_buf_add(w->out, "}", 1) : rc;
}

static int write_number(lua_State *L, int index, ruc_buf_t *out, ruc_why_t *why)
{
    char text[40];
    if (lua_isinteger(L, index)) {
        snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, index));
        return ruc_buf_adds(out, text);
    }
    double number = lua_tonumber(L, index);
    if (!isfinite(number)) {
        return ruc_why_set(why, RUC_EINVALID, "JSON: %f is no number of JSON", number);
    }
    /* The shortest text that reads back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    if (strpbrk(text, ".e") == NULL) {
        strcat(text, ".0");
    }
    return ruc_buf_adds(out, text);
}

static int write_view(lua_State *L, ruc_record_t *record, ruc_buf_t *out)
{
    ruc_table_t *table = ruc_vm_of(L)->app->table;
    size_t len = 0;
    const char *json =
        ruc_record_render(record, table == NULL ? 0 : ruc_table_last_beat(table, record->id), &len);
    return json == NULL ? UV_ENOMEM : ruc_buf_add(out, json, len);
}

/* A value of SurrealDB as its text (a record id, a datetime, ...). */
static int write_surreal(lua_State *L, int index, ruc_buf_t *out, ruc_why_t *why)
{
    ruc_buf_t text;
    if (ruc_surreal_is_none(L, index)) {
        return ruc_buf_adds(out, "null");
    }
    ruc_buf_init(&text, out->max);
    int rc =
        ruc_surreal_text(L, index, &text)
            ? ruc_buf_add_json(out, ruc_buf_str(&text), text.len)
            : ruc_why_set(why, RUC_EINVALID, "JSON: a %s has no JSON", luaL_typename(L, index));
    ruc_buf_free(&text);
    return rc;
}

static int write_value(lua_State *L, int index, writing_t *w, int depth)
{
    ruc_buf_t *out = w->out;
    ruc_why_t *why = w->why;
    size_t len;
    const char *text;
    lua_Integer n;
    ruc_record_t *record;
    if (depth > RUC_VALUE_DEPTH || !lua_checkstack(L, 8)) {
        return ruc_why_set(why, RUC_EINVALID, "JSON: nested deeper than %d", RUC_VALUE_DEPTH);
    }
    if (++w->nodes > RUC_VALUE_NODES) {
        return ruc_why_set(why, RUC_EINVALID, "JSON: more than %d values", RUC_VALUE_NODES);
    }
    if (ruc_guard_over()) {
        return ruc_why_set(why, RUC_ESCRIPT, "JSON: stopped while it was written");
    }
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return ruc_buf_adds(out, "null");
    case LUA_TLIGHTUSERDATA:
        return lua_touserdata(L, index) == NULL ? ruc_buf_adds(out, "null") : RUC_EINVALID;
    case LUA_TBOOLEAN:
        return ruc_buf_adds(out, lua_toboolean(L, index) ? "true" : "false");
    case LUA_TNUMBER:
        return write_number(L, index, out, why);
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        return ruc_buf_add_json(out, text, len);
    case LUA_TTABLE:
        n = ruc_value_list_length(L, index);
        return n >= 0 ? write_list(L, index, n, w, depth) : write_object(L, index, w, depth);
    default:
        record = lua_type(L, index) == LUA_TUSERDATA ? ruc_view_test(L, index) : NULL;
        if (record != NULL) {
            return write_view(L, record, out);
        }
        return write_surreal(L, index, out, why);
    }
}

int ruc_value_write(lua_State *L, int index, ruc_buf_t *out, ruc_why_t *why)
{
    ruc_why_set(why, 0, "%s", "");
    writing_t writing = {out, why, 0};
    int top = lua_gettop(L);
    int rc = write_value(L, index, &writing, 0);
    lua_settop(L, top);
    if (rc < 0 && why != NULL && why->text[0] == '\0') {
        ruc_why_set(why, rc, "JSON: %s", ruc_err_text(rc));
    }
    return rc;
}

json_t *ruc_value_to_json(lua_State *L, int index, bool nuls, ruc_why_t *why)
{
    ruc_buf_t text;
    json_error_t error;
    json_t *value = NULL;
    ruc_buf_init(&text, 16u * 1024 * 1024);
    if (ruc_value_write(L, index, &text, why) == 0) {
        value = json_loadb(ruc_buf_str(&text), text.len,
                           JSON_DECODE_ANY | (nuls ? JSON_ALLOW_NUL : 0), &error);
        if (value == NULL) {
            ruc_why_set(why, RUC_EINVALID, "JSON: %s", error.text);
        }
    }
    ruc_buf_free(&text);
    return value;
}
