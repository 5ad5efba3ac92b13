/* surreal_cross.c - SurrealDB's values from Lua and to Lua. See surreal_value.h. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "core/utf8.h"
#include "lua/surreal_box.h"
#include "lua/surreal_text.h"
#include "lua/surreal_value.h"
#include "lua/value.h"

/* ---- from Lua ---- */

typedef struct reading {
    lua_State *L;
    ruc_why_t *why;
    char path[160]; /* ".labels.team" */
    unsigned nodes;
    size_t bytes;
} reading_t;

static cbor_item_t *read_value(reading_t *r, int index, int depth);

static cbor_item_t *refuse(reading_t *r, int code, const char *what)
{
    if (r->why->text[0] == '\0') {
        ruc_why_set(r->why, code, "%s%s%s", r->path[0] == '.' ? r->path + 1 : r->path,
                    r->path[0] != '\0' ? ": " : "", what);
    }
    return NULL;
}

static cbor_item_t *read_text(reading_t *r, int index)
{
    size_t len;
    const char *text = lua_tolstring(r->L, index, &len);
    r->bytes += len;
    if (r->bytes > RUC__BOX_MAX) {
        return refuse(r, RUC_ETOOBIG, "more than 4 MiB");
    }
    if (!ruc_utf8_valid(text, len)) {
        return refuse(r, RUC_EINVALID, "not UTF-8; rucat.surreal.bytes() is for bytes");
    }
    return cbor_build_stringn(text, len);
}

static cbor_item_t *read_list(reading_t *r, int index, lua_Integer n, int depth)
{
    cbor_item_t *list = cbor_new_definite_array((size_t)n);
    size_t len = strlen(r->path);
    for (lua_Integer i = 1; i <= n && list != NULL; i++) {
        snprintf(r->path + len, sizeof r->path - len, "[%lld]", (long long)i);
        lua_rawgeti(r->L, index, i);
        cbor_item_t *item = read_value(r, -1, depth + 1);
        lua_pop(r->L, 1);
        if (item == NULL || !cbor_array_push(list, item)) {
            cbor_decref(&list);
        }
        if (item != NULL) {
            cbor_decref(&item);
        }
    }
    if (list != NULL) {
        r->path[len] = '\0';
    }
    return list;
}

/* Adds one pair, whose key is at -2 and whose value is on top. */
static bool read_pair(reading_t *r, cbor_item_t *map, int depth)
{
    cbor_item_t *key = read_text(r, -2);
    cbor_item_t *value = key == NULL ? NULL : read_value(r, -1, depth + 1);
    bool added = value != NULL && cbor_map_add(map, (struct cbor_pair){.key = key, .value = value});
    if (key != NULL) {
        cbor_decref(&key);
    }
    if (value != NULL) {
        cbor_decref(&value);
    }
    return added;
}

static cbor_item_t *read_object(reading_t *r, int index, int depth)
{
    size_t n = 0, len = strlen(r->path);
    lua_pushnil(r->L);
    while (lua_next(r->L, index)) {
        lua_pop(r->L, 1);
        n++;
    }
    cbor_item_t *map = cbor_new_definite_map(n);
    lua_pushnil(r->L);
    while (map != NULL && lua_next(r->L, index)) {
        bool text = lua_type(r->L, -2) == LUA_TSTRING;
        if (text) {
            snprintf(r->path + len, sizeof r->path - len, ".%s", lua_tostring(r->L, -2));
        } else {
            refuse(r, RUC_EINVALID, "a key of an object is not a text");
        }
        if (!text || !read_pair(r, map, depth)) {
            cbor_decref(&map);
        } else {
            r->path[len] = '\0';
            lua_pop(r->L, 1);
        }
    }
    return map;
}

static cbor_item_t *read_table(reading_t *r, int index, int depth)
{
    int top = lua_gettop(r->L);
    lua_Integer n = ruc_value_list_length(r->L, index);
    cbor_item_t *item = n >= 0 ? read_list(r, index, n, depth) : read_object(r, index, depth);
    lua_settop(r->L, top);
    return item;
}

static cbor_item_t *read_value(reading_t *r, int index, int depth)
{
    lua_State *L = r->L;
    char text[96];
    ruc__box_t *box;
    if (depth > RUC_VALUE_DEPTH || !lua_checkstack(L, 8)) {
        return refuse(r, RUC_EINVALID, "nested deeper than 64");
    }
    if (++r->nodes > RUC_VALUE_PARSED) {
        return refuse(r, RUC_ETOOBIG, "more than 200,000 values");
    }
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return ruc__box_none();
    case LUA_TBOOLEAN:
        return cbor_build_bool(lua_toboolean(L, index));
    case LUA_TNUMBER:
        return lua_isinteger(L, index) ? ruc__box_integer(lua_tointeger(L, index))
                                       : cbor_build_float8(lua_tonumber(L, index));
    case LUA_TSTRING:
        return read_text(r, index);
    case LUA_TTABLE:
        return read_table(r, index, depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) == NULL) { /* rucat.json.null */
            return cbor_new_null();
        }
        break;
    case LUA_TUSERDATA:
        box = ruc__box_test(L, index);
        if (box != NULL) {
            r->bytes += box->len;
            return r->bytes > RUC__BOX_MAX ? refuse(r, RUC_ETOOBIG, "more than 4 MiB")
                                           : ruc__box_load(box);
        }
        break;
    }
    snprintf(text, sizeof text, "SurrealDB has no such thing as a %s", luaL_typename(L, index));
    return refuse(r, RUC_EINVALID, text);
}

/* The item, or NULL and always a reason. */
static cbor_item_t *read_all(lua_State *L, int index, ruc_why_t *why, bool object)
{
    reading_t r = {.L = L, .why = why};
    int top = lua_gettop(L);
    why->text[0] = '\0';
    index = lua_absindex(L, index);
    cbor_item_t *item = object ? read_object(&r, index, 0) : read_value(&r, index, 0);
    lua_settop(L, top);
    if (item == NULL && why->text[0] == '\0') {
        ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    return item;
}

cbor_item_t *ruc_surreal_read(lua_State *L, int index, ruc_why_t *why)
{
    return read_all(L, index, why, true);
}

/* The same, held on the stack (at the top); RAISES. */
cbor_item_t *ruc__box_read_held(lua_State *L, int index)
{
    ruc_why_t why;
    index = lua_absindex(L, index);
    cbor_item_t **holder = ruc__box_hold(L);
    *holder = read_all(L, index, &why, false);
    if (*holder == NULL) {
        luaL_argerror(L, index, why.text);
    }
    return *holder;
}

cbor_item_t *ruc__box_read_list(lua_State *L, int index, lua_Integer n, ruc_why_t *why)
{
    reading_t r = {.L = L, .why = why};
    why->text[0] = '\0';
    return read_list(&r, index, n, 0);
}

/* ---- to Lua ---- */

static void push_value(lua_State *L, const cbor_item_t *item, unsigned *nodes, int depth);

static void push_tagged(lua_State *L, const cbor_item_t *tag)
{
    int64_t seconds, nanoseconds;
    uint64_t number = cbor_tag_value(tag);
    cbor_item_t *item = cbor_tag_item(tag);
    cbor_decref(&item); /* the tag keeps it */
    switch (number) {
    case RUC__TAG_NONE:
        ruc__box_push_none(L);
        return;
    case RUC__TAG_TABLE:
        ruc__box_push(L, RUC__BOX_TABLE, tag);
        return;
    case RUC__TAG_RECORD:
        ruc__box_push(L, RUC__BOX_RECORD, tag);
        return;
    case RUC__TAG_DECIMAL:
        ruc__box_push(L, RUC__BOX_DECIMAL, tag);
        return;
    case RUC__TAG_UUID:
        ruc__box_push(L, RUC__BOX_UUID, tag);
        return;
    case RUC__TAG_RANGE:
        ruc__box_push(L, RUC__BOX_RANGE, tag);
        return;
    case RUC__TAG_SET:
        ruc__box_push(L, RUC__BOX_SET, tag);
        return;
    case RUC__TAG_DATETIME:
    case RUC__TAG_DURATION:
        if (ruc__surreal_time(item, &seconds, &nanoseconds)) {
            ruc__box_push_time(L,
                               number == RUC__TAG_DATETIME ? RUC__BOX_DATETIME : RUC__BOX_DURATION,
                               seconds, nanoseconds);
            return;
        }
        break;
    case RUC__TAG_FILE:
        luaL_error(L, "a file has no form in Lua: ask for a part of it, or for its text");
    }
    if (number >= RUC__TAG_GEOMETRY && number < RUC__TAG_GEOMETRY + 7) {
        luaL_error(L, "a geometry has no form in Lua: ask for a part of it, or for its text");
    }
    luaL_error(L, "a value that this rucat does not know (CBOR tag %I)", (lua_Integer)number);
}

static bool is_none(const cbor_item_t *item)
{
    return cbor_isa_tag(item) ? cbor_tag_value(item) == RUC__TAG_NONE : cbor_is_undef(item);
}

static void push_object(lua_State *L, const cbor_item_t *item, unsigned *nodes, int depth)
{
    struct cbor_pair *pairs = cbor_map_handle(item);
    lua_createtable(L, 0, (int)cbor_map_size(item));
    for (size_t i = 0; i < cbor_map_size(item); i++) {
        const char *key;
        size_t len;
        if (!cbor_isa_string(pairs[i].key) || !ruc__surreal_string(pairs[i].key, &key, &len)) {
            luaL_error(L, "an object with a key that is not a text");
        }
        if (!is_none(pairs[i].value)) {
            lua_pushlstring(L, key, len);
            push_value(L, pairs[i].value, nodes, depth + 1);
            lua_rawset(L, -3);
        }
    }
}

static void push_list(lua_State *L, const cbor_item_t *item, unsigned *nodes, int depth)
{
    lua_createtable(L, (int)cbor_array_size(item), 0);
    ruc_value_mark_array(L);
    for (size_t i = 0; i < cbor_array_size(item); i++) {
        push_value(L, cbor_array_handle(item)[i], nodes, depth + 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_simple(lua_State *L, const cbor_item_t *item)
{
    if (!cbor_float_ctrl_is_ctrl(item)) {
        lua_pushnumber(L, cbor_float_get_float(item));
    } else if (cbor_is_bool(item)) {
        lua_pushboolean(L, cbor_get_bool(item));
    } else if (cbor_is_undef(item)) {
        ruc__box_push_none(L);
    } else {
        lua_pushlightuserdata(L, NULL);
    }
}

static void push_value(lua_State *L, const cbor_item_t *item, unsigned *nodes, int depth)
{
    const char *text;
    size_t len;
    int64_t number;
    luaL_checkstack(L, 8, "nested too deeply");
    if (++*nodes > RUC_VALUE_PARSED || depth > RUC_VALUE_DEPTH) {
        luaL_error(L, "more than %d values, or nested deeper than %d", RUC_VALUE_PARSED,
                   RUC_VALUE_DEPTH);
    }
    switch (cbor_typeof(item)) {
    case CBOR_TYPE_UINT:
    case CBOR_TYPE_NEGINT:
        if (!ruc__surreal_int(item, &number)) {
            luaL_error(L, "an integer of more than 64 bits");
        }
        lua_pushinteger(L, number);
        break;
    case CBOR_TYPE_BYTESTRING:
        ruc__box_push(L, RUC__BOX_BYTES, item);
        break;
    case CBOR_TYPE_STRING:
        if (!ruc__surreal_string(item, &text, &len)) {
            luaL_error(L, "a text in pieces");
        }
        lua_pushlstring(L, text, len);
        break;
    case CBOR_TYPE_ARRAY:
        push_list(L, item, nodes, depth);
        break;
    case CBOR_TYPE_MAP:
        push_object(L, item, nodes, depth);
        break;
    case CBOR_TYPE_TAG:
        push_tagged(L, item);
        break;
    default:
        push_simple(L, item);
    }
}

void ruc_surreal_push(lua_State *L, const cbor_item_t *item, unsigned *nodes)
{
    push_value(L, item, nodes, 0);
}
