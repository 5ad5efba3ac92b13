/* library_coroutine.c - coroutines of scripts, so that a budget knows which one runs innermost and
 * nothing in them outlives a stop.
 *
 * As the stock library, but for this: the function runs protected inside its coroutine, so that
 * what it has to close (`local x <close>`) is closed when it fails, not when somebody closes the
 * coroutine. (An error that a hook raises leaves a coroutine in which hooks are off for good.) A
 * job's own coroutine can be neither resumed nor closed nor left by yield. */
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "lua/job.h"
#include "lua/library.h"

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int body_over(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) : lua_error(L);
}

/* body(function, argument...) */
static int body(lua_State *L)
{
    return body_over(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, body_over), 0);
}

static int create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushcfunction(co, body);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

/* Has begun and is not at a yield: it runs, or waits for one that does. */
static bool is_active(lua_State *co)
{
    lua_Debug ar;
    return lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar);
}

/* Why it cannot be resumed; NULL when it can. */
static const char *obstacle(lua_State *L, lua_State *co)
{
    if (ruc_vm_is_own(co)) {
        return co == L ? "cannot resume non-suspended coroutine"
                       : "cannot resume a coroutine that is not a script's own";
    }
    if (co == L || is_active(co)) {
        return "cannot resume non-suspended coroutine";
    }
    bool over = lua_status(co) == LUA_OK ? lua_gettop(co) == 0 : lua_status(co) != LUA_YIELD;
    return over ? "cannot resume dead coroutine" : NULL;
}

/* Resumes `co` with the `n` values on top of L. How many results there are on L; -1: it failed, the
 * error is there. */
static int resume(lua_State *L, lua_State *co, int n)
{
    const char *why = obstacle(L, co);
    int results = 0;
    if (why == NULL && !lua_checkstack(co, n + 1)) {
        why = "too many arguments to resume";
    }
    if (why != NULL) {
        lua_pushstring(L, why);
        return -1;
    }
    bool first = lua_status(co) == LUA_OK;
    lua_xmove(L, co, n);
    int rc = ruc__job_run(co, L, first ? n + 1 : n, &results);
    if (rc != LUA_OK && rc != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

static int coroutine_resume(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    int results = resume(L, co, lua_gettop(L) - 1);
    ruc_guard_check(L);
    lua_pushboolean(L, results >= 0);
    results = results >= 0 ? results : 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

static int call_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = resume(L, co, lua_gettop(L));
    ruc_guard_check(L);
    if (results >= 0) {
        return results;
    }
    if (lua_type(L, -1) == LUA_TSTRING && lua_status(co) != LUA_ERRMEM) {
        luaL_where(L, 1); /* as the stock library: the place of the call in front */
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int coroutine_wrap(lua_State *L)
{
    create(L);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

static int coroutine_close(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    if (ruc_vm_is_own(co)) {
        return luaL_error(L, co == L ? "cannot close a running coroutine"
                                     : "cannot close a coroutine that is not a script's own");
    }
    if (co == L || is_active(co)) {
        return luaL_error(L, "cannot close a %s coroutine", co == L ? "running" : "normal");
    }
    lua_State *before = ruc_guard_switch(co);
    int rc = lua_resetthread(co);
    ruc_guard_back(before);
    ruc_guard_check(L);
    lua_pushboolean(L, rc == LUA_OK);
    if (rc == LUA_OK) {
        return 1;
    }
    lua_xmove(co, L, 1);
    return 2;
}

static int coroutine_yield(lua_State *L)
{
    if (ruc_vm_is_own(L)) {
        return luaL_error(L, "attempt to yield outside a coroutine of the script's own");
    }
    return lua_yield(L, lua_gettop(L));
}

void ruc__library_coroutine(lua_State *L)
{
    static const luaL_Reg functions[] = {{"create", create},         {"resume", coroutine_resume},
                                         {"wrap", coroutine_wrap},   {"close", coroutine_close},
                                         {"yield", coroutine_yield}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
