/* surreal_value.c - see surreal_value.h.
 *
 * A value that Lua has no type for is a userdata: its kind, and the CBOR it is, in memory of the
 * state. Equal values have equal bytes: datetimes and durations, which may be written in several
 * ways, are written in one. */
#include "lua/surreal_value.h"

#include <assert.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "core/clock.h"
#include "core/utf8.h"
#include "lua/options.h"
#include "lua/surreal_text.h"
#include "lua/value.h"
#include "lua/vm.h"

#define VALUE "rucat.surreal.Value"
#define HOLDER "rucat.surreal.holder"
#define BOX_MAX (4u << 20) /* bytes of one value; SurrealDB takes no larger request */

#define KINDS(XX)                                                                                  \
    XX(NONE, "none")                                                                               \
    XX(RECORD, "record")                                                                           \
    XX(DATETIME, "datetime")                                                                       \
    XX(DURATION, "duration")                                                                       \
    XX(DECIMAL, "decimal")                                                                         \
    XX(UUID, "uuid")                                                                               \
    XX(BYTES, "bytes")                                                                             \
    XX(SET, "set")                                                                                 \
    XX(RANGE, "range")                                                                             \
    XX(TABLE, "table")

typedef enum {
#define XX(id, name) KIND_##id,
    KINDS(XX)
#undef XX
} kind_t;

static const char *const kind_names[] = {
#define XX(id, name) name,
    KINDS(XX)
#undef XX
};

typedef struct box {
    kind_t kind;
    size_t len;
    unsigned char cbor[];
} box_t;

static const char meta_key; /* of the metatable in the registry */

static box_t *test_box(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TUSERDATA ? ruc_vm_box(L, index, &meta_key) : NULL;
}

static box_t *check_box(lua_State *L, int index)
{
    box_t *box = test_box(L, index);
    if (box == NULL) {
        luaL_typeerror(L, index, "value of rucat.surreal");
    }
    return box;
}

/* ---- what is held while something may raise ---- */

/* Pushes a userdata that gives its item back when it is collected or closed. */
static cbor_item_t **hold(lua_State *L)
{
    cbor_item_t **holder = lua_newuserdatauv(L, sizeof *holder, 0);
    *holder = NULL;
    luaL_setmetatable(L, HOLDER);
    return holder;
}

static int let_go(lua_State *L)
{
    cbor_item_t **holder = luaL_checkudata(L, 1, HOLDER);
    if (*holder != NULL) {
        cbor_decref(holder);
    }
    return 0;
}

/* ---- making boxes ---- */

/* Writes an item; gives its size, 0 when there is no room. As cbor_serialize, but for tags, which
 * libcbor 0.8 (Debian 12) reads in their longer form only. */
static size_t put_item(const cbor_item_t *item, unsigned char *out, size_t room)
{
    size_t at = 0, n = 0;
    cbor_item_t **parts = NULL, *inner = NULL;
    if (cbor_isa_tag(item)) {
        inner = cbor_tag_item(item);
        cbor_decref(&inner); /* the tag keeps it */
        if (room > 2 && cbor_tag_value(item) < 256) {
            out[at++] = 0xd8;
            out[at++] = (unsigned char)cbor_tag_value(item);
        }
        parts = &inner;
        n = 1;
    } else if (cbor_isa_array(item)) {
        n = cbor_array_size(item);
        at = cbor_encode_array_start(n, out, room);
        parts = cbor_array_handle(item);
    } else if (cbor_isa_map(item)) { /* its pairs are two items each, one after the other */
        n = cbor_map_size(item) * 2;
        at = cbor_encode_map_start(n / 2, out, room);
        static_assert(sizeof(struct cbor_pair) == 2 * sizeof(cbor_item_t *), "no gap in a pair");
        parts = (cbor_item_t **)(void *)cbor_map_handle(item);
    } else if (cbor_is_int(item)) { /* as short as can be, so that equal ones are equal */
        return cbor_isa_uint(item) ? cbor_encode_uint(cbor_get_int(item), out, room)
                                   : cbor_encode_negint(cbor_get_int(item), out, room);
    } else {
        return cbor_serialize(item, out, room);
    }
    for (size_t i = 0; i < n && at > 0; i++) {
        size_t size = put_item(parts[i], out + at, room - at);
        at = size == 0 ? 0 : at + size;
    }
    return at;
}

/* Pushes a box of what the item is written as. RAISES. */
static void push_box(lua_State *L, kind_t kind, const cbor_item_t *item)
{
    for (size_t room = 64;; room *= 4) {
        box_t *box = lua_newuserdatauv(L, sizeof *box + room, 0);
        box->kind = kind;
        box->len = put_item(item, box->cbor, room);
        if (box->len > 0) {
            break;
        }
        lua_pop(L, 1);
        if (room > BOX_MAX) {
            luaL_error(L, "a %s of more than 4 MiB", kind_names[kind]);
        }
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
    lua_setmetatable(L, -2);
}

/* ---- making CBOR; each takes what it is given, and gives NULL for NULL and without memory ---- */

static cbor_item_t *tagged(uint64_t tag, cbor_item_t *item)
{
    cbor_item_t *whole = item == NULL ? NULL : cbor_new_tag(tag);
    if (whole != NULL) {
        cbor_tag_set_item(whole, item);
    }
    if (item != NULL) {
        cbor_decref(&item);
    }
    return whole;
}

static cbor_item_t *integer(int64_t value)
{
    if (value >= 0) {
        return cbor_build_uint64((uint64_t)value);
    }
    cbor_item_t *item = cbor_build_uint64((uint64_t)(-1 - value));
    if (item != NULL) {
        cbor_mark_negint(item);
    }
    return item;
}

static cbor_item_t *pair(cbor_item_t *a, cbor_item_t *b)
{
    cbor_item_t *list = a == NULL || b == NULL ? NULL : cbor_new_definite_array(2);
    if (list != NULL && (!cbor_array_push(list, a) || !cbor_array_push(list, b))) {
        cbor_decref(&list);
    }
    if (a != NULL) {
        cbor_decref(&a);
    }
    if (b != NULL) {
        cbor_decref(&b);
    }
    return list;
}

static cbor_item_t *none_item(void)
{
    return tagged(RUC__TAG_NONE, cbor_new_null());
}

static cbor_item_t *load(const box_t *box)
{
    struct cbor_load_result result;
    return cbor_load(box->cbor, box->len, &result);
}

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
    if (r->bytes > BOX_MAX) {
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
    box_t *box;
    if (depth > RUC_VALUE_DEPTH || !lua_checkstack(L, 8)) {
        return refuse(r, RUC_EINVALID, "nested deeper than 64");
    }
    if (++r->nodes > RUC_VALUE_PARSED) {
        return refuse(r, RUC_ETOOBIG, "more than 200,000 values");
    }
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return none_item();
    case LUA_TBOOLEAN:
        return cbor_build_bool(lua_toboolean(L, index));
    case LUA_TNUMBER:
        return lua_isinteger(L, index) ? integer(lua_tointeger(L, index))
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
        box = test_box(L, index);
        if (box != NULL) {
            r->bytes += box->len;
            return r->bytes > BOX_MAX ? refuse(r, RUC_ETOOBIG, "more than 4 MiB") : load(box);
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
static cbor_item_t *read_held(lua_State *L, int index)
{
    ruc_why_t why;
    index = lua_absindex(L, index);
    cbor_item_t **holder = hold(L);
    *holder = read_all(L, index, &why, false);
    if (*holder == NULL) {
        luaL_argerror(L, index, why.text);
    }
    return *holder;
}

/* ---- to Lua ---- */

static void push_value(lua_State *L, const cbor_item_t *item, unsigned *nodes, int depth);

/* A datetime or duration, in the one form; RAISES. */
static void push_time(lua_State *L, kind_t kind, int64_t seconds, int64_t nanoseconds)
{
    cbor_item_t **holder = hold(L);
    *holder = tagged(kind == KIND_DATETIME ? RUC__TAG_DATETIME : RUC__TAG_DURATION,
                     pair(integer(seconds), integer(nanoseconds)));
    if (*holder == NULL) {
        luaL_error(L, "not enough memory");
    }
    push_box(L, kind, *holder);
    lua_remove(L, -2);
}

static void push_none(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
    lua_getfield(L, -1, "none");
    lua_remove(L, -2);
}

static void push_tagged(lua_State *L, const cbor_item_t *tag)
{
    int64_t seconds, nanoseconds;
    uint64_t number = cbor_tag_value(tag);
    cbor_item_t *item = cbor_tag_item(tag);
    cbor_decref(&item); /* the tag keeps it */
    switch (number) {
    case RUC__TAG_NONE:
        push_none(L);
        return;
    case RUC__TAG_TABLE:
        push_box(L, KIND_TABLE, tag);
        return;
    case RUC__TAG_RECORD:
        push_box(L, KIND_RECORD, tag);
        return;
    case RUC__TAG_DECIMAL:
        push_box(L, KIND_DECIMAL, tag);
        return;
    case RUC__TAG_UUID:
        push_box(L, KIND_UUID, tag);
        return;
    case RUC__TAG_RANGE:
        push_box(L, KIND_RANGE, tag);
        return;
    case RUC__TAG_SET:
        push_box(L, KIND_SET, tag);
        return;
    case RUC__TAG_DATETIME:
    case RUC__TAG_DURATION:
        if (ruc__surreal_time(item, &seconds, &nanoseconds)) {
            push_time(L, number == RUC__TAG_DATETIME ? KIND_DATETIME : KIND_DURATION, seconds,
                      nanoseconds);
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
        push_none(L);
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
        push_box(L, KIND_BYTES, item);
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

/* ---- what a box has ---- */

bool ruc_surreal_is_none(lua_State *L, int index)
{
    box_t *box = test_box(L, index);
    return box != NULL && box->kind == KIND_NONE;
}

bool ruc_surreal_text(lua_State *L, int index, ruc_buf_t *out)
{
    box_t *box = test_box(L, index);
    cbor_item_t *item = box == NULL || box->kind == KIND_BYTES ? NULL : load(box);
    if (item == NULL) {
        return false;
    }
    int rc = ruc__surreal_write(out, item, false);
    cbor_decref(&item);
    return rc == 0;
}

static int push_buf(lua_State *L)
{
    ruc_buf_t *text = lua_touserdata(L, 1);
    lua_pushlstring(L, ruc_buf_str(text), text->len);
    return 1;
}

/* Pushes what is inside the tag (or the thing itself); its holder is below. RAISES. */
static const cbor_item_t *inside(lua_State *L, const box_t *box)
{
    cbor_item_t **holder = hold(L);
    *holder = load(box);
    if (*holder == NULL) {
        luaL_error(L, "not enough memory");
    }
    if (!cbor_isa_tag(*holder)) {
        return *holder;
    }
    cbor_item_t *item = cbor_tag_item(*holder);
    cbor_decref(&item);
    return item;
}

static int box_tostring(lua_State *L)
{
    box_t *box = check_box(L, 1);
    ruc_buf_t text;
    const char *bytes;
    size_t len;
    if (box->kind == KIND_BYTES) {
        if (!ruc__surreal_string(inside(L, box), &bytes, &len)) {
            return luaL_error(L, "bytes in pieces");
        }
        lua_pushlstring(L, bytes, len);
        return 1;
    }
    ruc_buf_init(&text, BOX_MAX);
    bool written = ruc_surreal_text(L, 1, &text);
    lua_pushcfunction(L, push_buf);
    lua_pushlightuserdata(L, &text);
    int rc = written ? lua_pcall(L, 1, 1, 0) : LUA_ERRRUN;
    ruc_buf_free(&text);
    return rc == LUA_OK ? 1 : luaL_error(L, "a %s that has no text", kind_names[box->kind]);
}

static int box_eq(lua_State *L)
{
    box_t *a = test_box(L, 1), *b = test_box(L, 2);
    lua_pushboolean(L, a != NULL && b != NULL && a->kind == b->kind && a->len == b->len &&
                           memcmp(a->cbor, b->cbor, a->len) == 0);
    return 1;
}

/* One end of a range, and whether it belongs to it. */
static int push_end(lua_State *L, const cbor_item_t *range, size_t which, bool value)
{
    unsigned nodes = 0;
    const cbor_item_t *end = cbor_array_size(range) == 2 ? cbor_array_handle(range)[which] : range;
    if (!cbor_isa_tag(end)) {
        lua_pushnil(L);
    } else if (value) {
        cbor_item_t *item = cbor_tag_item(end);
        cbor_decref(&item);
        push_value(L, item, &nodes, 1);
    } else {
        lua_pushboolean(L, cbor_tag_value(end) == RUC__TAG_INCLUDED);
    }
    return 1;
}

/* The field `key` of what is in the box; 0 when it has none. */
static int push_field(lua_State *L, const box_t *box, const char *key)
{
    const cbor_item_t *item = inside(L, box);
    unsigned nodes = 0;
    int64_t seconds, nanoseconds;
    bool list = cbor_isa_array(item);
    if (box->kind == KIND_RECORD && list && cbor_array_size(item) == 2) {
        size_t which = strcmp(key, "table") == 0 ? 0 : strcmp(key, "id") == 0 ? 1 : 2;
        if (which < 2) {
            push_value(L, cbor_array_handle(item)[which], &nodes, 1);
            return 1;
        }
    } else if ((box->kind == KIND_DATETIME || box->kind == KIND_DURATION) &&
               ruc__surreal_time(item, &seconds, &nanoseconds)) {
        if (strcmp(key, "seconds") == 0) {
            lua_pushinteger(L, seconds);
            return 1;
        }
        if (strcmp(key, "nanoseconds") == 0) {
            lua_pushinteger(L, nanoseconds);
            return 1;
        }
        if (strcmp(key, "time") == 0) {
            lua_pushnumber(L, (lua_Number)seconds + (lua_Number)nanoseconds / 1e9);
            return 1;
        }
    } else if (box->kind == KIND_SET && list && strcmp(key, "values") == 0) {
        push_value(L, item, &nodes, 1);
        return 1;
    } else if (box->kind == KIND_RANGE && list) {
        bool first = strncmp(key, "first", 5) == 0, last = strncmp(key, "last", 4) == 0;
        const char *rest = key + (first ? 5 : last ? 4 : 0);
        if ((first || last) && (*rest == '\0' || strcmp(rest, "_included") == 0)) {
            return push_end(L, item, first ? 0 : 1, *rest == '\0');
        }
    }
    return 0;
}

static int box_index(lua_State *L)
{
    box_t *box = check_box(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "kind") == 0) {
        lua_pushstring(L, kind_names[box->kind]);
        return 1;
    }
    if (strcmp(key, "text") == 0) {
        return box_tostring(L);
    }
    return push_field(L, box, key) == 1
               ? 1
               : luaL_error(L, "a %s of rucat.surreal has no field '%s'", kind_names[box->kind],
                            luaL_tolstring(L, 2, NULL));
}

/* ---- making values ---- */

/* Pushes the box of an item that was just made (NULL: no memory). */
static int make(lua_State *L, kind_t kind, cbor_item_t **holder, cbor_item_t *item)
{
    *holder = item;
    if (item == NULL) {
        return luaL_error(L, "not enough memory");
    }
    push_box(L, kind, item);
    return 1;
}

static const char *check_name(lua_State *L, int arg, size_t *len)
{
    const char *name = luaL_checklstring(L, arg, len);
    luaL_argcheck(L, *len > 0 && *len < 1024 && ruc_utf8_valid(name, *len), arg,
                  "the name of a table is a text of 1 to 1,023 bytes");
    return name;
}

static int value_record(lua_State *L)
{
    size_t len, size = 1;
    const char *name = check_name(L, 1, &len);
    box_t *box = test_box(L, 2);
    int type = lua_type(L, 2);
    luaL_argcheck(L,
                  (type == LUA_TSTRING && (lua_tolstring(L, 2, &size), size > 0)) ||
                      lua_isinteger(L, 2) || type == LUA_TTABLE ||
                      (box != NULL && (box->kind == KIND_UUID || box->kind == KIND_RANGE)),
                  2,
                  "the id of a record is a text, an integer, a list, an object, a uuid or a range");
    lua_settop(L, 2);
    cbor_item_t **holder = hold(L);
    cbor_item_t *id = cbor_incref(read_held(L, 2));
    return make(L, KIND_RECORD, holder,
                tagged(RUC__TAG_RECORD, pair(cbor_build_stringn(name, len), id)));
}

static int value_table(lua_State *L)
{
    size_t len;
    const char *name = check_name(L, 1, &len);
    cbor_item_t **holder = hold(L);
    return make(L, KIND_TABLE, holder, tagged(RUC__TAG_TABLE, cbor_build_stringn(name, len)));
}

/* "2026-11-23T01:02:03Z", with up to nine digits of a fraction. */
static bool parse_datetime(const char *text, int64_t *seconds, int64_t *nanoseconds)
{
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    *nanoseconds = 0;
    if (rest != NULL && *rest == '.') {
        int digits = 0;
        for (rest++; *rest >= '0' && *rest <= '9' && digits < 9; rest++, digits++) {
            *nanoseconds = *nanoseconds * 10 + (*rest - '0');
        }
        rest = digits == 0 ? NULL : rest;
        for (; digits < 9; digits++) {
            *nanoseconds *= 10;
        }
    }
    *seconds = timegm(&parts);
    return rest != NULL && strcmp(rest, "Z") == 0;
}

static bool parse_duration(const char *text, int64_t *seconds, int64_t *nanoseconds)
{
    int64_t ms = 0;
    bool good = ruc_clock_duration(text, &ms) == 0 && ms >= 0;
    *seconds = ms / 1000;
    *nanoseconds = ms % 1000 * 1000000;
    return good;
}

/* Seconds as a number (with nanoseconds beside whole ones), else a text that `parse` knows. */
static int make_time(lua_State *L, kind_t kind,
                     bool (*parse)(const char *text, int64_t *seconds, int64_t *nanoseconds),
                     const char *what)
{
    int64_t seconds, nanoseconds = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, nanoseconds >= 0 && nanoseconds < 1000000000, 2,
                  "nanoseconds are 0 to 999,999,999");
    if (lua_isinteger(L, 1)) {
        seconds = lua_tointeger(L, 1);
    } else if (lua_type(L, 1) == LUA_TNUMBER) {
        lua_Number number = lua_tonumber(L, 1), whole = floor(number);
        luaL_argcheck(L, number > -1e11 && number < 1e11, 1, what);
        nanoseconds = (int64_t)((number - whole) * 1e9 + 0.5);
        seconds = (int64_t)whole + nanoseconds / 1000000000;
        nanoseconds %= 1000000000;
    } else {
        luaL_argcheck(L, parse(luaL_checkstring(L, 1), &seconds, &nanoseconds), 1, what);
    }
    luaL_argcheck(L, kind == KIND_DATETIME || seconds >= 0, 1, what);
    push_time(L, kind, seconds, nanoseconds);
    return 1;
}

static int value_datetime(lua_State *L)
{
    return make_time(L, KIND_DATETIME, parse_datetime,
                     "seconds since 1970, or a text as 2026-11-23T01:02:03.456Z");
}

static int value_duration(lua_State *L)
{
    return make_time(L, KIND_DURATION, parse_duration,
                     "seconds, not negative, or a text as 10ms, 30s, 5m, 2h, 1d");
}

static int value_decimal(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *digits = text + (*text == '-' || *text == '+');
    size_t whole = strspn(digits, "0123456789");
    size_t rest = digits[whole] == '.' ? strspn(digits + whole + 1, "0123456789") : 0;
    size_t size = whole + (digits[whole] == '.' ? rest + 1 : 0);
    luaL_argcheck(L,
                  whole > 0 && len < 64 && digits + size == text + len &&
                      (digits[whole] != '.' || rest > 0),
                  1, "a decimal is digits as -12.50, given as a text");
    cbor_item_t **holder = hold(L);
    return make(L, KIND_DECIMAL, holder, tagged(RUC__TAG_DECIMAL, cbor_build_stringn(text, len)));
}

static int value_uuid(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    unsigned char bytes[16] = {0};
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *digit = text[i] == '\0' ? NULL : strchr(hex, text[i] | 0x20);
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        luaL_argcheck(L, len == 36 && (dash ? text[i] == '-' : digit != NULL), 1,
                      "a uuid is 36 characters as 018f0c9a-0000-7000-8000-000000000000");
        if (!dash) {
            bytes[n / 2] = (unsigned char)(bytes[n / 2] << 4 | (digit - hex));
            n++;
        }
    }
    luaL_argcheck(L, n == 32, 1, "a uuid is 36 characters");
    cbor_item_t **holder = hold(L);
    return make(L, KIND_UUID, holder, tagged(RUC__TAG_UUID, cbor_build_bytestring(bytes, 16)));
}

static int value_bytes(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= BOX_MAX, 1, "at most 4 MiB");
    cbor_item_t **holder = hold(L);
    return make(L, KIND_BYTES, holder, cbor_build_bytestring((cbor_data)bytes, len));
}

static int value_set(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_Integer n = ruc_value_list_length(L, 1);
    lua_pushnil(L);
    luaL_argcheck(L, n >= 0 || lua_next(L, 1) == 0, 1, "a list"); /* an empty one is no list yet */
    lua_settop(L, 1);
    ruc_why_t why;
    cbor_item_t **values = hold(L), **holder = hold(L);
    reading_t r = {.L = L, .why = &why};
    why.text[0] = '\0';
    *values = read_list(&r, 1, n > 0 ? n : 0, 0);
    if (*values == NULL) {
        return luaL_argerror(L, 1, why.text[0] != '\0' ? why.text : "not enough memory");
    }
    cbor_item_t *list = cbor_incref(*values);
    return make(L, KIND_SET, holder, tagged(RUC__TAG_SET, list));
}

/* One end of a range; NULL: open. The item is held on the stack. */
static cbor_item_t *range_end(lua_State *L, int index, bool included)
{
    if (lua_isnil(L, index)) {
        return cbor_new_null();
    }
    return tagged(included ? RUC__TAG_INCLUDED : RUC__TAG_EXCLUDED,
                  cbor_incref(read_held(L, index)));
}

static int value_range(lua_State *L)
{
    static const char *const names[] = {"first_included", "last_included", NULL};
    lua_settop(L, 3);
    bool first = true, last = false;
    if (!lua_isnil(L, 3)) {
        ruc_options_check(L, 3, names);
        first = ruc_options_boolean(L, 3, "first_included", true);
        last = ruc_options_boolean(L, 3, "last_included", false);
    }
    cbor_item_t **a = hold(L), **b = hold(L), **holder = hold(L);
    *a = range_end(L, 1, first);
    *b = range_end(L, 2, last);
    if (*a == NULL || *b == NULL) {
        return luaL_error(L, "not enough memory");
    }
    cbor_item_t *both = pair(cbor_incref(*a), cbor_incref(*b));
    return make(L, KIND_RANGE, holder, tagged(RUC__TAG_RANGE, both));
}

/* ---- opening ---- */

static void open_meta(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", box_index}, {"__tostring", box_tostring}, {"__eq", box_eq}, {NULL, NULL}};
    luaL_newmetatable(L, HOLDER);
    lua_pushcfunction(L, let_go);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newmetatable(L, VALUE);
    luaL_setfuncs(L, methods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
    make(L, KIND_NONE, hold(L), none_item());
    lua_remove(L, -2);
    lua_setfield(L, -2, "none");
    lua_pop(L, 1);
}

void ruc_surreal_values(lua_State *L)
{
    static const luaL_Reg functions[] = {{"record", value_record},     {"table", value_table},
                                         {"datetime", value_datetime}, {"duration", value_duration},
                                         {"decimal", value_decimal},   {"uuid", value_uuid},
                                         {"bytes", value_bytes},       {"set", value_set},
                                         {"range", value_range},       {NULL, NULL}};
    open_meta(L);
    luaL_newlib(L, functions);
    push_none(L);
    lua_setfield(L, -2, "none");
}
