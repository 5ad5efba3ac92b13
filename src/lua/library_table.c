/* library_table.c - the functions of `table`, and os.date, whose work in C has no bound: how much
 * there is to do is charged to the budget first, then the stock function does it. The length of a
 * table may be a lie (__len), and another one the next time: where the stock function asks again,
 * such tables are refused. */
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>

#include "lua/guard.h"
#include "lua/library.h"

#define ELEMENTS_MAX 50000000 /* that one call touches, whatever the budget */
#define PER_ELEMENT 4         /* steps: a read and a write, perhaps by metamethods */
#define PER_COMPARISON 8
#define DATE_FORMAT_MAX 1024

/* The stock function, the first upvalue, in our place: its errors are about our caller. */
static int call_stock(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Charges for the elements from `from` to `to`. RAISES when there are too many. */
static void pay(lua_State *L, lua_Integer from, lua_Integer to)
{
    if (to < from) {
        return;
    }
    lua_Unsigned n = (lua_Unsigned)to - (lua_Unsigned)from;
    if (n >= ELEMENTS_MAX) {
        luaL_error(L, "too many elements: at most %d at once", ELEMENTS_MAX);
    }
    ruc_guard_spend(L, (n + 1) * PER_ELEMENT);
}

/* concat(list, sep, i, j), unpack(list, i, j): the length is asked for once, here. */
static int over_range(lua_State *L, int first, int last)
{
    if (lua_istable(L, 1)) {
        lua_settop(L, last);
        if (lua_isnil(L, last)) {
            lua_pushinteger(L, luaL_len(L, 1));
            lua_replace(L, last);
        }
        pay(L, luaL_optinteger(L, first, 1), luaL_checkinteger(L, last));
    }
    return call_stock(L);
}

static int table_concat(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return over_range(L, 3, 4);
}

static int table_unpack(lua_State *L)
{
    return over_range(L, 2, 3);
}

static int table_move(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    pay(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return call_stock(L);
}

/* The length that the stock function will find: it asks once more, so nobody may answer. */
static lua_Integer true_length(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL) {
        luaL_argerror(L, 1, "a table with __len");
    }
    return (lua_Integer)lua_rawlen(L, 1);
}

static int table_insert(lua_State *L)
{
    if (lua_gettop(L) == 3) {
        pay(L, luaL_checkinteger(L, 2), true_length(L));
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
    }
    return call_stock(L);
}

static int table_remove(lua_State *L)
{
    if (lua_gettop(L) > 1) {
        pay(L, luaL_checkinteger(L, 2), true_length(L));
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
    }
    return call_stock(L);
}

static int table_sort(lua_State *L)
{
    lua_Integer n = true_length(L);
    if (n > 1) {
        ruc_guard_spend(L, (uint64_t)((double)n * log2((double)n)) * PER_COMPARISON);
    }
    return call_stock(L);
}

static int os_date(lua_State *L)
{
    size_t len = 0;
    luaL_optlstring(L, 1, "", &len);
    luaL_argcheck(L, len <= DATE_FORMAT_MAX, 1, "the format is too long");
    return call_stock(L);
}

/* Puts each function of the list around the stock one in the table on top. */
static void wrap(lua_State *L, const luaL_Reg *list)
{
    for (; list->name != NULL; list++) {
        lua_getfield(L, -1, list->name);
        lua_pushcclosure(L, list->func, 1);
        lua_setfield(L, -2, list->name);
    }
}

void ruc__library_table(lua_State *L)
{
    static const luaL_Reg functions[] = {{"concat", table_concat},
                                         {"unpack", table_unpack},
                                         {"move", table_move},
                                         {"insert", table_insert},
                                         {"remove", table_remove},
                                         {"sort", table_sort},
                                         {NULL, NULL}};
    wrap(L, functions);
}

void ruc__library_os(lua_State *L)
{
    static const luaL_Reg functions[] = {{"date", os_date}, {NULL, NULL}};
    wrap(L, functions);
}
