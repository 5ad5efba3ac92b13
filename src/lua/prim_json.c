/* prim_json.c - rucat.json: strict JSON (RFC 8259) by jansson. Integers stay integers, a duplicate
 * key, NaN or trailing comma is refused, an empty list is told from an empty object.
 *
 *     local value, why = rucat.json.decode('{"a":[]}')
 *     rucat.json.encode({ list = rucat.json.array({}) })     -- {"list":[]}
 */
#include <lauxlib.h>

#include "core/utf8.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/prims.h"
#include "lua/value.h"
#include "lua/view.h"

#define DECODE_MAX (4u << 20) /* bytes of a script's text */

static int json_decode_(lua_State *L)
{
    size_t len;
    json_error_t error;
    const char *text = luaL_checklstring(L, 1, &len);
    if (ruc_vm_of(L)->kind != RUC_VM_TOOL && len > DECODE_MAX) { /* what it is made of is larger */
        return ruc_push_err(L, RUC_ETOOBIG, "a text of more than 4 MiB");
    }
    ruc_guard_spend(L, len / 4);
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_t *value = ruc_vm_of(L)->kind == RUC_VM_TOOL ? json_loadb(text, len, flags, &error)
                                                      : ruc_value_parse(text, len, flags, &error);
    if (value == NULL) {
        lua_pushnil(L);
        lua_pushfstring(L, "line %d, column %d: %s", error.line, error.column, error.text);
        lua_pushliteral(L, "INVALID");
        return 3;
    }
    return ruc_value_push_owned(L, value);
}

static int push_text(lua_State *L)
{
    ruc_buf_t *text = lua_touserdata(L, 1);
    lua_pushlstring(L, ruc_buf_str(text), text->len);
    return 1;
}

static int json_encode_(lua_State *L)
{
    ruc_buf_t text;
    ruc_why_t why;
    luaL_checkany(L, 1);
    ruc_buf_init(&text, 16u * 1024 * 1024);
    int rc = ruc_value_write(L, 1, &text, &why);
    if (rc < 0) {
        ruc_buf_free(&text);
        ruc_guard_check(L);
        return luaL_error(L, "%s", why.text);
    }
    /* Our memory must be freed however the pushing ends. */
    lua_pushcfunction(L, push_text);
    lua_pushlightuserdata(L, &text);
    rc = lua_pcall(L, 1, 1, 0);
    ruc_buf_free(&text);
    return rc == LUA_OK ? 1 : lua_error(L);
}

static int json_array_(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_newtable(L);
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
        lua_settop(L, 1);
    }
    ruc_value_mark_array(L);
    return 1;
}

void ruc_prim_json(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", json_decode_},
        {"encode", json_encode_},
        {"array", json_array_},
        {NULL, NULL},
    };
    ruc_view_open(L);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
