/* library.h - the parts of Lua's library that scripts get in our own making, because C code that
 * runs for long, or that hides a coroutine from us, cannot be bounded from outside. Each function
 * takes the stock library's table from the top of the stack and replaces functions in it. May
 * raise. */
#ifndef RUC_LUA_LIBRARY_H
#define RUC_LUA_LIBRARY_H

#include <lua.h>

/* string: find, match, gmatch, gsub by core/pattern.h; rep and format charge first; no dump. */
void ruc__library_string(lua_State *L);

/* table: concat, insert, move, remove, sort, unpack: what they are about to do is charged first,
 * and functions of C that they call for each element are stopped between two. */
void ruc__library_table(lua_State *L);

/* coroutine: create, wrap, resume, close, yield. */
void ruc__library_coroutine(lua_State *L);

/* os: date with a bound on its format. */
void ruc__library_os(lua_State *L);

/* The basic functions: setmetatable without __gc, xpcall whose handler is not called for what is
 * stopped, rawset and rawget that know frozen tables. */
void ruc__library_base(lua_State *L);

/* Replaces the table on top by one that reads as it does and cannot be written; tables in it too,
 * as deep as they go. `name` is what an error calls it ("rucat.http"). */
void ruc__library_freeze(lua_State *L, const char *name);

/* Pushes the table behind a frozen one; false and nothing when it is none. */
bool ruc__library_thaw(lua_State *L, int index);

#endif
