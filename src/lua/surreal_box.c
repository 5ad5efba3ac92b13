/* surreal_box.c - see surreal_box.h. Equal values have equal bytes: datetimes and durations, which
 * may be written in several ways, are written in one. */
#include "lua/surreal_box.h"

#include <assert.h>
#include <lauxlib.h>

#include "lua/surreal_text.h"
#include "lua/vm.h"

#define HOLDER "rucat.surreal.holder"

const char ruc__box_key;

const char *ruc__box_name(ruc__box_kind_t kind)
{
    static const char *const names[] = {
#define XX(id, name) name,
        RUC__BOX_KINDS(XX)
#undef XX
    };
    return names[kind];
}

ruc__box_t *ruc__box_test(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TUSERDATA ? ruc_vm_box(L, index, &ruc__box_key) : NULL;
}

ruc__box_t *ruc__box_check(lua_State *L, int index)
{
    ruc__box_t *box = ruc__box_test(L, index);
    if (box == NULL) {
        luaL_typeerror(L, index, "value of rucat.surreal");
    }
    return box;
}

/* ---- what is held while something may raise ---- */

/* Pushes a userdata that gives its item back when it is collected or closed. */
cbor_item_t **ruc__box_hold(lua_State *L)
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
void ruc__box_push(lua_State *L, ruc__box_kind_t kind, const cbor_item_t *item)
{
    for (size_t room = 64;; room *= 4) {
        ruc__box_t *box = lua_newuserdatauv(L, sizeof *box + room, 0);
        box->kind = kind;
        box->len = put_item(item, box->cbor, room);
        if (box->len > 0) {
            break;
        }
        lua_pop(L, 1);
        if (room > RUC__BOX_MAX) {
            luaL_error(L, "a %s of more than 4 MiB", ruc__box_name(kind));
        }
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &ruc__box_key);
    lua_setmetatable(L, -2);
}

/* ---- making CBOR; each takes what it is given, and gives NULL for NULL and without memory ---- */

cbor_item_t *ruc__box_tagged(uint64_t tag, cbor_item_t *item)
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

cbor_item_t *ruc__box_integer(int64_t value)
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

cbor_item_t *ruc__box_pair(cbor_item_t *a, cbor_item_t *b)
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

cbor_item_t *ruc__box_none(void)
{
    return ruc__box_tagged(RUC__TAG_NONE, cbor_new_null());
}

cbor_item_t *ruc__box_load(const ruc__box_t *box)
{
    struct cbor_load_result result;
    return cbor_load(box->cbor, box->len, &result);
}

/* A datetime or duration, in the one form; RAISES. */
void ruc__box_push_time(lua_State *L, ruc__box_kind_t kind, int64_t seconds, int64_t nanoseconds)
{
    cbor_item_t **holder = ruc__box_hold(L);
    *holder =
        ruc__box_tagged(kind == RUC__BOX_DATETIME ? RUC__TAG_DATETIME : RUC__TAG_DURATION,
                        ruc__box_pair(ruc__box_integer(seconds), ruc__box_integer(nanoseconds)));
    if (*holder == NULL) {
        luaL_error(L, "not enough memory");
    }
    ruc__box_push(L, kind, *holder);
    lua_remove(L, -2);
}

void ruc__box_push_none(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &ruc__box_key);
    lua_getfield(L, -1, "none");
    lua_remove(L, -2);
}

void ruc__box_open(lua_State *L)
{
    luaL_newmetatable(L, HOLDER);
    lua_pushcfunction(L, let_go);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
