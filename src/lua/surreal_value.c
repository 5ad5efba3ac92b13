/* surreal_value.c - see surreal_value.h: what a value has, and how scripts make one. */
#include "lua/surreal_value.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/utf8.h"
#include "lua/options.h"
#include "lua/surreal_box.h"
#include "lua/surreal_text.h"
#include "lua/value.h"

#define VALUE "rucat.surreal.Value"

/* ---- what a box has ---- */

bool ruc_surreal_is_none(lua_State *L, int index)
{
    ruc__box_t *box = ruc__box_test(L, index);
    return box != NULL && box->kind == RUC__BOX_NONE;
}

bool ruc_surreal_text(lua_State *L, int index, ruc_buf_t *out)
{
    ruc__box_t *box = ruc__box_test(L, index);
    cbor_item_t *item = box == NULL || box->kind == RUC__BOX_BYTES ? NULL : ruc__box_load(box);
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
static const cbor_item_t *inside(lua_State *L, const ruc__box_t *box)
{
    cbor_item_t **holder = ruc__box_hold(L);
    *holder = ruc__box_load(box);
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
    ruc__box_t *box = ruc__box_check(L, 1);
    ruc_buf_t text;
    const char *bytes;
    size_t len;
    if (box->kind == RUC__BOX_BYTES) {
        if (!ruc__surreal_string(inside(L, box), &bytes, &len)) {
            return luaL_error(L, "bytes in pieces");
        }
        lua_pushlstring(L, bytes, len);
        return 1;
    }
    ruc_buf_init(&text, RUC__BOX_MAX);
    bool written = ruc_surreal_text(L, 1, &text);
    lua_pushcfunction(L, push_buf);
    lua_pushlightuserdata(L, &text);
    int rc = written ? lua_pcall(L, 1, 1, 0) : LUA_ERRRUN;
    ruc_buf_free(&text);
    return rc == LUA_OK ? 1 : luaL_error(L, "a %s that has no text", ruc__box_name(box->kind));
}

static int box_eq(lua_State *L)
{
    ruc__box_t *a = ruc__box_test(L, 1), *b = ruc__box_test(L, 2);
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
        ruc_surreal_push(L, item, &nodes);
    } else {
        lua_pushboolean(L, cbor_tag_value(end) == RUC__TAG_INCLUDED);
    }
    return 1;
}

/* The field `key` of what is in the box; 0 when it has none. */
static int push_field(lua_State *L, const ruc__box_t *box, const char *key)
{
    const cbor_item_t *item = inside(L, box);
    unsigned nodes = 0;
    int64_t seconds, nanoseconds;
    bool list = cbor_isa_array(item);
    if (box->kind == RUC__BOX_RECORD && list && cbor_array_size(item) == 2) {
        size_t which = strcmp(key, "table") == 0 ? 0 : strcmp(key, "id") == 0 ? 1 : 2;
        if (which < 2) {
            ruc_surreal_push(L, cbor_array_handle(item)[which], &nodes);
            return 1;
        }
    } else if ((box->kind == RUC__BOX_DATETIME || box->kind == RUC__BOX_DURATION) &&
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
    } else if (box->kind == RUC__BOX_SET && list && strcmp(key, "values") == 0) {
        ruc_surreal_push(L, item, &nodes);
        return 1;
    } else if (box->kind == RUC__BOX_RANGE && list) {
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
    ruc__box_t *box = ruc__box_check(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "kind") == 0) {
        lua_pushstring(L, ruc__box_name(box->kind));
        return 1;
    }
    if (strcmp(key, "text") == 0) {
        return box_tostring(L);
    }
    return push_field(L, box, key) == 1
               ? 1
               : luaL_error(L, "a %s of rucat.surreal has no field '%s'", ruc__box_name(box->kind),
                            luaL_tolstring(L, 2, NULL));
}

/* ---- making values ---- */

/* Pushes the box of an item that was just made (NULL: no memory). */
static int make(lua_State *L, ruc__box_kind_t kind, cbor_item_t **holder, cbor_item_t *item)
{
    *holder = item;
    if (item == NULL) {
        return luaL_error(L, "not enough memory");
    }
    ruc__box_push(L, kind, item);
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
    ruc__box_t *box = ruc__box_test(L, 2);
    int type = lua_type(L, 2);
    luaL_argcheck(L,
                  (type == LUA_TSTRING && (lua_tolstring(L, 2, &size), size > 0)) ||
                      lua_isinteger(L, 2) || type == LUA_TTABLE ||
                      (box != NULL && (box->kind == RUC__BOX_UUID || box->kind == RUC__BOX_RANGE)),
                  2,
                  "the id of a record is a text, an integer, a list, an object, a uuid or a range");
    lua_settop(L, 2);
    cbor_item_t **holder = ruc__box_hold(L);
    cbor_item_t *id = cbor_incref(ruc__box_read_held(L, 2));
    return make(L, RUC__BOX_RECORD, holder,
                ruc__box_tagged(RUC__TAG_RECORD, ruc__box_pair(cbor_build_stringn(name, len), id)));
}

static int value_table(lua_State *L)
{
    size_t len;
    const char *name = check_name(L, 1, &len);
    cbor_item_t **holder = ruc__box_hold(L);
    return make(L, RUC__BOX_TABLE, holder,
                ruc__box_tagged(RUC__TAG_TABLE, cbor_build_stringn(name, len)));
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
static int make_time(lua_State *L, ruc__box_kind_t kind,
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
    luaL_argcheck(L, kind == RUC__BOX_DATETIME || seconds >= 0, 1, what);
    ruc__box_push_time(L, kind, seconds, nanoseconds);
    return 1;
}

static int value_datetime(lua_State *L)
{
    return make_time(L, RUC__BOX_DATETIME, parse_datetime,
                     "seconds since 1970, or a text as 2026-11-23T01:02:03.456Z");
}

static int value_duration(lua_State *L)
{
    return make_time(L, RUC__BOX_DURATION, parse_duration,
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
    cbor_item_t **holder = ruc__box_hold(L);
    return make(L, RUC__BOX_DECIMAL, holder,
                ruc__box_tagged(RUC__TAG_DECIMAL, cbor_build_stringn(text, len)));
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
    cbor_item_t **holder = ruc__box_hold(L);
    return make(L, RUC__BOX_UUID, holder,
                ruc__box_tagged(RUC__TAG_UUID, cbor_build_bytestring(bytes, 16)));
}

static int value_bytes(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= RUC__BOX_MAX, 1, "at most 4 MiB");
    cbor_item_t **holder = ruc__box_hold(L);
    return make(L, RUC__BOX_BYTES, holder, cbor_build_bytestring((cbor_data)bytes, len));
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
    cbor_item_t **values = ruc__box_hold(L), **holder = ruc__box_hold(L);
    *values = ruc__box_read_list(L, 1, n > 0 ? n : 0, &why);
    if (*values == NULL) {
        return luaL_argerror(L, 1, why.text[0] != '\0' ? why.text : "not enough memory");
    }
    cbor_item_t *list = cbor_incref(*values);
    return make(L, RUC__BOX_SET, holder, ruc__box_tagged(RUC__TAG_SET, list));
}

/* One end of a range; NULL: open. The item is held on the stack. */
static cbor_item_t *range_end(lua_State *L, int index, bool included)
{
    if (lua_isnil(L, index)) {
        return cbor_new_null();
    }
    return ruc__box_tagged(included ? RUC__TAG_INCLUDED : RUC__TAG_EXCLUDED,
                           cbor_incref(ruc__box_read_held(L, index)));
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
    cbor_item_t **a = ruc__box_hold(L), **b = ruc__box_hold(L), **holder = ruc__box_hold(L);
    *a = range_end(L, 1, first);
    *b = range_end(L, 2, last);
    if (*a == NULL || *b == NULL) {
        return luaL_error(L, "not enough memory");
    }
    cbor_item_t *both = ruc__box_pair(cbor_incref(*a), cbor_incref(*b));
    return make(L, RUC__BOX_RANGE, holder, ruc__box_tagged(RUC__TAG_RANGE, both));
}

/* ---- opening ---- */

static void open_meta(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", box_index}, {"__tostring", box_tostring}, {"__eq", box_eq}, {NULL, NULL}};
    ruc__box_open(L);
    luaL_newmetatable(L, VALUE);
    luaL_setfuncs(L, methods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ruc__box_key);
    make(L, RUC__BOX_NONE, ruc__box_hold(L), ruc__box_none());
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
    ruc__box_push_none(L);
    lua_setfield(L, -2, "none");
}
