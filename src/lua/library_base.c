/* library_base.c - the basic functions where scripts get more, or less, than the stock library has,
 * and frozen tables.
 *
 * A frozen table is an empty one in front of the real one: reading goes through, writing raises and
 * names what was to be written. Its metatable is locked and has the real table under the address of
 * `frozen_key`, by which rawget and rawset know it. `pairs` works; `next` and `#` see nothing. */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lua/guard.h"
#include "lua/library.h"

static const char frozen_key;

/* ---- frozen tables ---- */

bool ruc__library_thaw(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) {
        return false;
    }
    if (lua_rawgetp(L, -1, &frozen_key) != LUA_TTABLE) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

/* __newindex: its upvalue is the name. */
static int refuse_write(lua_State *L)
{
    return luaL_error(L, "%s is read-only: '%s' cannot be set",
                      lua_tostring(L, lua_upvalueindex(1)), luaL_tolstring(L, 2, NULL));
}

/* next, of the real table behind the frozen one */
static int next_behind(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) {
        return 2;
    }
    lua_pushnil(L);
    return 1;
}

/* __pairs: a function that keeps the real table to itself. */
static int pairs_behind(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_behind, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static void freeze_tables_in(lua_State *L, const char *name)
{
    int index = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -1) == LUA_TTABLE && lua_type(L, -2) == LUA_TSTRING &&
            !ruc__library_thaw(L, -1)) {
            char inner[96];
            snprintf(inner, sizeof inner, "%s.%s", name, lua_tostring(L, -2));
            ruc__library_freeze(L, inner);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, index); /* a field that is there: next goes on */
        } else {
            lua_settop(L, index + 1);
        }
    }
}

void ruc__library_freeze(lua_State *L, const char *name)
{
    luaL_checkstack(L, 10, "tables in tables");
    freeze_tables_in(L, name);
    int real = lua_gettop(L);
    lua_newtable(L);
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, real);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, real);
    lua_rawsetp(L, -2, &frozen_key);
    lua_pushstring(L, name);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, real);
    lua_pushcclosure(L, pairs_behind, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, real);
}

static int base_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (ruc__library_thaw(L, 1)) {
        lua_pop(L, 1);
        luaL_getmetafield(L, 1, "__newindex"); /* knows what it is called */
        lua_getupvalue(L, -1, 1);
        const char *key = luaL_tolstring(L, 2, NULL);
        return luaL_error(L, "%s is read-only: '%s' cannot be set", lua_tostring(L, -2), key);
    }
    lua_rawset(L, 1);
    return 1;
}

static int base_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (ruc__library_thaw(L, 1)) {
        lua_replace(L, 1);
    }
    lua_rawget(L, 1);
    return 1;
}

/* ---- metatables ---- */

/* As the stock one, but without finalizers: nothing can stop what runs in one. */
static int base_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
        return luaL_error(L, "cannot change a protected metatable");
    }
    if (type == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) {
            return luaL_error(L, "__gc is not for scripts: use a variable with <close>");
        }
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* ---- xpcall ---- */

/* The handler of an xpcall. It runs where the error was raised; when that was in a hook, hooks are
 * off and nothing could stop it: what is stopped gets no handler. */
static int call_handler(lua_State *L)
{
    lua_settop(L, 1);
    if (ruc_guard_is_stopped()) {
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* xpcall(f, handler, ...): the stack is true, handler, f, ... as in the stock library. */
static int xpcall_over(lua_State *L, int status, lua_KContext extra)
{
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int base_xpcall(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, call_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, ... */
    return xpcall_over(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, xpcall_over), 2);
}

void ruc__library_base(lua_State *L)
{
    static const luaL_Reg functions[] = {{"rawset", base_rawset},
                                         {"rawget", base_rawget},
                                         {"setmetatable", base_setmetatable},
                                         {"xpcall", base_xpcall},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
