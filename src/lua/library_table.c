/* library_table.c - the functions of `table`, and os.date, whose work in C has no bound: how much
 * there is to do is charged to the budget first, then the stock function does it. The length of a
 * table may be a lie (__len), and another one the next time: where the stock function asks again,
 * such tables are refused. Where each element costs a call of a function of C (a metamethod, a
 * comparator), or the comparison of long texts, the clock is looked at between two of them: no hook
 * comes there. */
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>

#include "lua/guard.h"
#include "lua/library.h"

#define ELEMENTS_MAX 50000000 /* that one call touches, whatever the budget */
#define PER_ELEMENT 4         /* steps: a read and a write, perhaps by metamethods */
#define PER_COMPARISON 8
#define SHORT_TEXT 256 /* bytes: comparing two such is nothing */
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

static bool has(lua_State *L, int index, const char *metamethod)
{
    bool found = luaL_getmetafield(L, index, metamethod) != LUA_TNIL;
    lua_pop(L, found);
    return found;
}

static bool has_accessors(lua_State *L, int index)
{
    return has(L, index, "__index") || has(L, index, "__newindex");
}

/* to[at] = from[first], to[at + 1] = ..., `n` of them, `down`: the last one first; by metamethods.
 */
static void move_each(lua_State *L, int from, lua_Integer first, lua_Integer n, int to,
                      lua_Integer at, bool down)
{
    for (lua_Integer k = 0; k < n; k++) {
        lua_Integer i = down ? n - 1 - k : k;
        ruc_guard_check(L);
        lua_geti(L, from, first + i);
        lua_seti(L, to, at + i);
    }
}

/* concat(list, sep, i, j), unpack(list, i, j): the length is asked for once, here. What metamethods
 * give is fetched here too. */
static int over_range(lua_State *L, int first, int last)
{
    if (lua_istable(L, 1)) {
        lua_settop(L, last);
        if (lua_isnil(L, last)) {
            lua_pushinteger(L, luaL_len(L, 1));
            lua_replace(L, last);
        }
        lua_Integer from = luaL_optinteger(L, first, 1), to = luaL_checkinteger(L, last);
        pay(L, from, to);
        if (from <= to && has(L, 1, "__index")) {
            lua_newtable(L);
            move_each(L, 1, from, to - from + 1, last + 1, from, false);
            lua_replace(L, 1);
        }
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

/* move(list, first, last, at, to) */
static int table_move(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    pay(L, first, last);
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    if (first > last || lua_type(L, to) != LUA_TTABLE ||
        !(has(L, 1, "__index") || has(L, to, "__newindex"))) {
        return call_stock(L);
    }
    lua_Integer at = luaL_checkinteger(L, 4), n = last - first + 1;
    luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
    move_each(L, 1, first, n, to, at, at > first && at <= last);
    lua_pushvalue(L, to);
    return 1;
}

/* The length that the stock function will find: it asks once more, so nobody may answer. */
static lua_Integer true_length(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (has(L, 1, "__len")) {
        luaL_argerror(L, 1, "a table with __len");
    }
    return (lua_Integer)lua_rawlen(L, 1);
}

/* insert(list, position, value) */
static int table_insert(lua_State *L)
{
    if (lua_gettop(L) != 3) {
        luaL_checktype(L, 1, LUA_TTABLE);
        return call_stock(L);
    }
    lua_Integer length = true_length(L), at = luaL_checkinteger(L, 2);
    pay(L, at, length);
    if (at < 1 || at > length || !has_accessors(L, 1)) {
        return call_stock(L); /* which says what is wrong */
    }
    move_each(L, 1, at, length - at + 1, 1, at + 1, true);
    lua_seti(L, 1, at);
    return 0;
}

/* remove(list, position) */
static int table_remove(lua_State *L)
{
    if (lua_gettop(L) < 2) {
        luaL_checktype(L, 1, LUA_TTABLE);
        return call_stock(L);
    }
    lua_Integer length = true_length(L), at = luaL_checkinteger(L, 2);
    pay(L, at, length);
    if (at < 1 || at >= length || !has_accessors(L, 1)) {
        return call_stock(L);
    }
    lua_geti(L, 1, at);
    move_each(L, 1, at + 1, length - at, 1, at, false);
    lua_pushnil(L);
    lua_seti(L, 1, length);
    return 1;
}

/* May comparing these take long where no hook comes? */
static bool are_dear(lua_State *L, lua_Integer n)
{
    bool dear = has_accessors(L, 1);
    for (lua_Integer i = 1; i <= n && !dear; i++) {
        int type = lua_rawgeti(L, 1, i);
        dear = type == LUA_TSTRING ? lua_rawlen(L, -1) > SHORT_TEXT : type != LUA_TNUMBER;
        lua_pop(L, 1);
    }
    return dear;
}

/* less(a, b), of the comparator that is the upvalue, or of Lua. */
static int checked_less(lua_State *L)
{
    ruc_guard_check(L);
    if (lua_isnil(L, lua_upvalueindex(1))) {
        lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

static int table_sort(lua_State *L)
{
    lua_Integer n = true_length(L);
    bool given = !lua_isnoneornil(L, 2);
    if (n > 1) {
        ruc_guard_spend(L, (uint64_t)((double)n * log2((double)n)) * PER_COMPARISON);
        if (given ? lua_iscfunction(L, 2) : are_dear(L, n)) {
            lua_settop(L, 2);
            lua_pushcclosure(L, checked_less, 1);
        }
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
