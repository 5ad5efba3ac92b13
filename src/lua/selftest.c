/* selftest.c - see selftest.h. */
#include "lua/selftest.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "lua/guard.h"

#define TESTS "rucat.self_tests" /* registry: the list of functions */

bool ruc_selftest_take(lua_State *L)
{
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return true;
    }
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, TESTS);
    lua_insert(L, -2);
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
    lua_pop(L, 1);
    return true;
}

/* "FILE:LINE: " of the innermost Lua function, unless the message says so itself: assert does not.
 */
static int with_place(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING) {
        lua_pushfstring(L, "error object is a %s value", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            const char *text = lua_tostring(L, 1);
            size_t len = strlen(ar.short_src);
            if (strncmp(text, ar.short_src, len) != 0) {
                lua_pushfstring(L, "%s:%d: %s", ar.source + 1, ar.currentline, text);
                lua_replace(L, 1);
            }
            break;
        }
    }
    lua_settop(L, 1);
    return 1;
}

typedef struct running {
    lua_Integer number; /* of the test */
    bool over;
    char text[1024]; /* what failed; "" nothing */
} running_t;

static int run_one(lua_State *L)
{
    running_t *running = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushcfunction(L, with_place);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, TESTS);
    if (lua_rawgeti(L, 2, running->number) != LUA_TFUNCTION) {
        running->over = true;
        return 0;
    }
    lua_Debug ar;
    lua_pushvalue(L, 3);
    lua_getinfo(L, ">S", &ar);
    if (lua_pcall(L, 0, 2, 1) != LUA_OK) {
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        if (strstr(text, ".lua:") != NULL) {
            snprintf(running->text, sizeof running->text, "%s (self_test)", text);
        } else { /* out of memory: nobody was asked for the place */
            snprintf(running->text, sizeof running->text, "%s:%d: %s (self_test)", ar.source + 1,
                     ar.linedefined, text);
        }
    } else if (lua_isboolean(L, -2) && !lua_toboolean(L, -2)) {
        const char *why = lua_tostring(L, -1);
        snprintf(running->text, sizeof running->text, "%s:%d: self_test says no: %s", ar.source + 1,
                 ar.linedefined, why != NULL ? why : "it returned false and no reason");
    }
    return 0;
}

void ruc_selftest_run(ruc_vm_t *vm, void (*told)(void *arg, const char *text), void *arg)
{
    ruc_why_t why;
    ruc_account_t account;
    uint64_t ns = 0;
    running_t running = {.number = 1};
    for (bool go_on = true; go_on && !running.over; running.number++) {
        running.text[0] = '\0';
        int top = lua_gettop(vm->L);
        ruc_account_init(&account, RUC_BUDGET_LOAD, "a self-test", vm);
        int rc = ruc_guard_run(vm, &account, run_one, &running, &why);
        lua_settop(vm->L, top);
        if (rc < 0 || running.text[0] != '\0') {
            told(arg, rc < 0 ? why.text : running.text);
        }
        go_on = ruc_guard_go_on(&account, &ns);
        if (!go_on && !running.over) {
            told(arg, "the self-tests after it were not run: they take too long (budgets.load)");
        }
    }
}
