/* env.c - see env.h. */
#include "lua/env.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "lua/library.h"
#include "lua/prims.h"
#include "lua/unknown.h"

/* What a file sees of Lua's own library; "os" and "string" are trimmed below. */
static const char *const allowed[] = {
    "assert", "error",     "getmetatable", "ipairs",   "math",   "next",     "os",       "pairs",
    "pcall",  "print",     "rawequal",     "rawget",   "rawlen", "rawset",   "require",  "rucat",
    "select", "coroutine", "setmetatable", "string",   "table",  "tonumber", "tostring", "type",
    "utf8",   "warn",      "xpcall",       "_VERSION", NULL,
};
static const char *const allowed_os[] = {"clock", "date", "difftime", "time", NULL};

#define BASE_KEY "rucat.base" /* registry: the table that all environments stand on */

static int print_to_log(lua_State *L)
{
    luaL_Buffer text;
    int n = lua_gettop(L);
    luaL_buffinit(L, &text);
    for (int i = 1; i <= n; i++) {
        if (i > 1) {
            luaL_addchar(&text, '\t');
        }
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&text);
    }
    luaL_pushresult(&text);
    lua_getfield(L, LUA_REGISTRYINDEX, BASE_KEY);
    lua_getfield(L, -1, "rucat");
    lua_getfield(L, -1, "log");
    lua_getfield(L, -1, "info");
    lua_pushvalue(L, n + 1);
    lua_call(L, 1, 0);
    return 0;
}

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
    luaL_requiref(L, name, open, 1);
    lua_pop(L, 1);
}

/* Keeps only the fields of the table on top that are in the list. */
static void trim(lua_State *L, const char *const *keep)
{
    lua_newtable(L);
    for (; *keep != NULL; keep++) {
        lua_getfield(L, -2, *keep);
        lua_setfield(L, -2, *keep);
    }
    lua_remove(L, -2);
}

static void open_tool(lua_State *L)
{
    luaL_openlibs(L);
    ruc_prims_push(L, RUC_VM_TOOL);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "rucat");
    lua_pop(L, 2);
    lua_setglobal(L, "rucat");
}

/* Pushes the global table `name` (NULL: that of the globals), for functions in it to be replaced.
 */
static lua_State *replaced(lua_State *L, const char *name)
{
    if (name == NULL) {
        lua_pushglobaltable(L);
    } else {
        lua_getglobal(L, name);
    }
    return L;
}

/* getmetatable gives false for what has the metatable on top, and setmetatable refuses. */
static void lock(lua_State *L)
{
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

/* What all scripts of a state share, none can change. */
static void freeze_libraries(lua_State *L)
{
    static const char *const names[] = {"string",    "table", "math",  "utf8",
                                        "coroutine", "os",    "rucat", NULL};
    for (const char *const *name = names; *name != NULL; name++) {
        lua_getglobal(L, *name);
        ruc__library_freeze(L, *name);
        lua_setglobal(L, *name);
    }
}

static void open_scripts(lua_State *L, ruc_vm_kind_t kind)
{
    open_library(L, LUA_GNAME, luaopen_base);
    open_library(L, LUA_TABLIBNAME, luaopen_table);
    open_library(L, LUA_STRLIBNAME, luaopen_string);
    open_library(L, LUA_MATHLIBNAME, luaopen_math);
    open_library(L, LUA_UTF8LIBNAME, luaopen_utf8);
    open_library(L, LUA_COLIBNAME, luaopen_coroutine);
    open_library(L, LUA_OSLIBNAME, luaopen_os);
    ruc__library_base(replaced(L, NULL));
    ruc__library_table(replaced(L, "table"));
    ruc__library_coroutine(replaced(L, "coroutine"));
    ruc__library_string(replaced(L, "string")); /* in place: the metatable of strings has it too */
    lua_getglobal(L, "os");
    trim(L, allowed_os);
    ruc__library_os(L);
    lua_setglobal(L, "os");
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lock(L);
    lua_pushcfunction(L, print_to_log);
    lua_setglobal(L, "print");
    ruc_prims_push(L, kind);
    lua_setglobal(L, "rucat");
    freeze_libraries(L);
    lua_pushglobaltable(L);
    trim(L, allowed);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, ruc_unknown_global);
    lua_setfield(L, -2, "__index");
    lock(L);
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, BASE_KEY);
}

void ruc_env_open(lua_State *L, ruc_vm_kind_t kind)
{
    if (kind == RUC_VM_TOOL) {
        open_tool(L);
    } else {
        open_scripts(L, kind);
    }
}

/* `require` is the loader's (scripts.c sets it in the base table). */
void ruc_env_own(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 2);
    lua_getfield(L, LUA_REGISTRYINDEX, BASE_KEY);
    lua_setfield(L, -2, "__index");
    if (ruc_vm_of(L)->kind == RUC_VM_OPERATOR) { /* the console's library looks behind it */
        lock(L);
    }
    lua_setmetatable(L, -2);
    lua_setupvalue(L, -2, 1); /* _ENV is the first upvalue of a chunk */
}
