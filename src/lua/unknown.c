/* unknown.c - see unknown.h. */
#include "lua/unknown.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/near.h"

#define LOOKED_AT 1000 /* names of one table */
#define CHAIN 8        /* tables that stand on tables */
#define CALLERS 4

static void offer_keys(lua_State *L, int index, ruc_near_t *near)
{
    index = lua_absindex(L, index);
    int seen = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            ruc_near_offer(near, lua_tostring(L, -2));
        }
        lua_pop(L, 1);
        if (++seen == LOOKED_AT) {
            lua_pop(L, 1);
            return;
        }
    }
}

/* The table on top and those it stands on; takes it off. */
static void offer_chain(lua_State *L, ruc_near_t *near)
{
    for (int i = 0; i < CHAIN && lua_istable(L, -1); i++) {
        offer_keys(L, -1, near);
        if (luaL_getmetafield(L, -1, "__index") == LUA_TNIL) {
            break;
        }
        lua_remove(L, -2);
    }
    lua_pop(L, 1);
}

/* Locals, upvalues and environment of the function that reached for the name; and of those of the
 * same file that have called it, which are often those it is written in. */
static void offer_function(lua_State *L, int level, ruc_near_t *near)
{
    lua_Debug ar, first;
    const char *name;
    if (!lua_getstack(L, level, &ar) || !lua_getstack(L, 1, &first) || !lua_getinfo(L, "S", &ar) ||
        !lua_getinfo(L, "S", &first) || strcmp(ar.source, first.source) != 0) {
        return;
    }
    for (int i = 1; (name = lua_getlocal(L, &ar, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (name[0] != '(') {
            ruc_near_offer(near, name);
        }
    }
    lua_getinfo(L, "f", &ar);
    for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++) {
        if (strcmp(name, "_ENV") == 0) {
            offer_chain(L, near);
            continue;
        }
        lua_pop(L, 1);
        ruc_near_offer(near, name);
    }
    lua_pop(L, 1);
}

/* RAISES; `path` may be NULL. */
static int raise_unknown(lua_State *L, const char *path, const ruc_near_t *near)
{
    const char *dot = path == NULL ? "" : ".";
    path = path == NULL ? "" : path;
    if (near->best[0] == '\0') {
        return luaL_error(L, "unknown name '%s%s%s'", path, dot, near->word);
    }
    return luaL_error(L, "unknown name '%s%s%s', did you mean '%s%s%s'?", path, dot, near->word,
                      path, dot, near->best);
}

int ruc_unknown_global(lua_State *L)
{
    ruc_near_t near;
    lua_settop(L, 2);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    ruc_near_init(&near, luaL_tolstring(L, 2, NULL));
    for (int level = 1; level <= CALLERS; level++) {
        offer_function(L, level, &near);
    }
    if (lua_istable(L, 1)) {
        lua_pushvalue(L, 1);
        offer_chain(L, &near);
    }
    return raise_unknown(L, NULL, &near);
}

static int unknown_field(lua_State *L)
{
    ruc_near_t near;
    lua_settop(L, 2);
    ruc_near_init(&near, luaL_tolstring(L, 2, NULL));
    if (lua_istable(L, 1)) {
        offer_keys(L, 1, &near);
    }
    return raise_unknown(L, lua_tostring(L, lua_upvalueindex(1)), &near);
}

static void guard(lua_State *L, const char *path, int depth)
{
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (depth > 0 && lua_istable(L, -1) && lua_type(L, -2) == LUA_TSTRING) {
            const char *deeper = lua_pushfstring(L, "%s.%s", path, lua_tostring(L, -2));
            lua_insert(L, -2);
            guard(L, deeper, depth - 1);
            lua_remove(L, -2);
        }
        lua_pop(L, 1);
    }
    lua_createtable(L, 0, 1);
    lua_pushstring(L, path);
    lua_pushcclosure(L, unknown_field, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

void ruc_unknown_guard(lua_State *L, const char *path)
{
    guard(L, path, 2);
}

/* Adds the fields of the table on top, and theirs, as PREFIX.NAME. A table that only stands for
 * another one (a frozen one) is looked through. */
static void list_fields(lua_State *L, const char *prefix, int depth, ruc_names_t *names)
{
    char path[128];
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            int len = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "",
                               lua_tostring(L, -2));
            if (len > 0 && (size_t)len < sizeof path && ruc_names_add(names, path) < 0) {
                luaL_error(L, "not enough memory");
            }
            if (depth > 0 && lua_istable(L, -1)) {
                list_fields(L, path, depth - 1, names);
            }
        }
        lua_pop(L, 1);
    }
    int kind = luaL_getmetafield(L, -1, "__index");
    if (kind == LUA_TTABLE) {
        list_fields(L, prefix, depth, names);
    }
    lua_pop(L, kind == LUA_TNIL ? 0 : 1);
}

static int list_all(lua_State *L)
{
    ruc_names_t *names = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    if (lua_istable(L, -1)) {
        list_fields(L, "", 3, names);
    }
    return 0;
}

int ruc_unknown_list(ruc_vm_t *vm, ruc_names_t *names)
{
    ruc_why_t why;
    *names = (ruc_names_t){0};
    if (ruc_vm_protect(vm, list_all, names, &why) < 0) {
        ruc_names_free(names);
        return UV_ENOMEM;
    }
    ruc_names_sort(names);
    return 0;
}
