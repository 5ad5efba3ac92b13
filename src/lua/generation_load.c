/* generation_load.c - the files of a generation, one by one: compiled, run, and looked at for the
 * shape that a handler, a policy or a template has. Each file has a budget of its own. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/env.h"
#include "lua/generation_room.h"
#include "lua/guard.h"
#include "lua/selftest.h"

typedef struct loading {
    ruc_generation_t *generation;
    const ruc_file_t *file;
    ruc_load_report_t *report;
} loading_t;

/* The line of a file where `text` stands, or where its value is returned: the last "return" at the
 * beginning of a line. */
static int line_of(const ruc_file_t *file, const char *text)
{
    int line = 1, found = 1;
    for (const char *at = file->text; *at != '\0'; at++) {
        bool starts = at == file->text || at[-1] == '\n';
        if (text != NULL && strncmp(at, text, strlen(text)) == 0) {
            return line;
        }
        found = starts && strncmp(at, "return", 6) == 0 ? line : found;
        line += *at == '\n';
    }
    return found;
}

/* RAISES "FILE:LINE: what". */
static int wrong(lua_State *L, const loading_t *loading, const char *what)
{
    return luaL_error(L, "%s:%d: %s", loading->file->path, line_of(loading->file, NULL), what);
}

/* Runs the file of `loading` in an environment of its own; `n` values of it are left on the stack.
 */
static void run_values(lua_State *L, const loading_t *loading, int n)
{
    char name[4200];
    ruc_why_t why;
    snprintf(name, sizeof name, "@%s", loading->file->path);
    if (ruc_vm_compile(L, loading->file->text, loading->file->len, name, &why) < 0) {
        luaL_error(L, "%s", why.text);
    }
    ruc_env_own(L);
    lua_call(L, 0, n);
}

/* Takes note of the `self_test` of the table on top. */
static void take_self_test(lua_State *L, const loading_t *loading)
{
    lua_getfield(L, -1, "self_test");
    if (!ruc_selftest_take(L)) {
        wrong(L, loading, "'self_test' must be a function");
    }
}

static char *copy_text(lua_State *L, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        luaL_error(L, "not enough memory");
    }
    return copy;
}

static void add_route(lua_State *L, loading_t *loading, const char *text)
{
    ruc_generation_t *generation = loading->generation;
    char problem[1600];
    ruc_route_t *route = calloc(1, sizeof *route);
    if (route == NULL) {
        luaL_error(L, "not enough memory");
        return;
    }
    route->next = generation->routes; /* freed with the generation from here on */
    generation->routes = route;
    route->ref = route->value = LUA_NOREF;
    route->text = copy_text(L, text);
    route->file = copy_text(L, loading->file->path);
    lua_pushvalue(L, -1);
    route->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -2);
    route->value = luaL_ref(L, LUA_REGISTRYINDEX);
    ruc_why_t why;
    int line = line_of(loading->file, text);
    int rc = ruc_http_router_add(generation->router, text, route, &why);
    if (rc == RUC_EEXISTS) {
        ruc_route_t *other = ruc_http_router_get(generation->router, text);
        snprintf(problem, sizeof problem, "%s:%d: route '%s' is defined already%s%s",
                 loading->file->path, line, text, other != NULL ? " in " : ": ",
                 other != NULL ? other->file : why.text);
        ruc__generation_error(loading->report, problem);
    } else if (rc < 0) {
        snprintf(problem, sizeof problem, "%s: route '%s': %s", loading->file->path, text,
                 why.text);
        ruc__generation_error(loading->report, problem);
    }
}

/* A route is a function, or a table { handle = function, doc = table } (rucat.api.route): pushes
 * the function. */
static bool push_route_function(lua_State *L)
{
    if (lua_isfunction(L, -1)) {
        lua_pushvalue(L, -1);
        return true;
    }
    return lua_istable(L, -1) && lua_getfield(L, -1, "handle") == LUA_TFUNCTION;
}

static int load_handler(lua_State *L)
{
    loading_t *loading = lua_touserdata(L, 1);
    run_values(L, loading, 1);
    if (!lua_istable(L, -1)) {
        return wrong(L, loading,
                     "a handler file must return a table { [\"METHOD /path\"] = function }");
    }
    take_self_test(L, loading);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "self_test") == 0) {
            lua_pop(L, 1);
            continue;
        }
        if (lua_type(L, -2) != LUA_TSTRING || !push_route_function(L)) {
            return wrong(L, loading,
                         "a handler file must return a table of functions by \"METHOD /path\"");
        }
        add_route(L, loading, lua_tostring(L, -3));
        lua_pop(L, 2);
    }
    return 0;
}

static void need_function(lua_State *L, const loading_t *loading, const char *name)
{
    char what[128];
    if (lua_getfield(L, -1, name) != LUA_TFUNCTION) {
        snprintf(what, sizeof what, "the policy must have a function '%s'", name);
        wrong(L, loading, what);
    }
    lua_pop(L, 1);
}

static void need_number(lua_State *L, const loading_t *loading, const char *name, double low,
                        double high)
{
    char what[128];
    if (lua_getfield(L, -1, name) != LUA_TNUMBER ||
        !(lua_tonumber(L, -1) >= low && lua_tonumber(L, -1) <= high)) { /* nor NaN */
        snprintf(what, sizeof what, "'%s' must be a number from %g to %g", name, low, high);
        wrong(L, loading, what);
    }
    lua_pop(L, 1);
}

static void check_policy(lua_State *L, const loading_t *loading, ruc_policy_t policy)
{
    if (policy == RUC_POLICY_HEALTH || policy == RUC_POLICY_IDLE) {
        if (!lua_istable(L, -1)) {
            wrong(L, loading, "this policy must return a table");
        }
    } else if (!lua_isfunction(L, -1)) {
        wrong(L, loading, "this policy must return a function");
    }
    if (policy == RUC_POLICY_HEALTH) {
        need_number(L, loading, "interval", 0.1, 3600);
        need_number(L, loading, "timeout", 0.1, 300);
        need_number(L, loading, "failures", 1, 1000);
        need_function(L, loading, "probe");
        need_function(L, loading, "unhealthy");
    } else if (policy == RUC_POLICY_IDLE) {
        need_function(L, loading, "check");
        need_function(L, loading, "wake_on_connect");
    }
}

/* The part of "policies/restart.lua" between the folder and the ending. */
void ruc__generation_base(const char *name, char out[128])
{
    const char *slash = strchr(name, '/');
    snprintf(out, 128, "%s", slash == NULL ? name : slash + 1);
    char *dot = strrchr(out, '.');
    if (dot != NULL) {
        *dot = '\0';
    }
}

static int load_policy(lua_State *L)
{
    loading_t *loading = lua_touserdata(L, 1);
    char name[128];
    ruc__generation_base(loading->file->name, name);
    for (int i = 0; i < RUC_POLICY_COUNT; i++) {
        if (strcmp(ruc_policy_name((ruc_policy_t)i), name) == 0) {
            run_values(L, loading, 2);
            lua_insert(L, -2); /* the value above what may be its self-test */
            check_policy(L, loading, (ruc_policy_t)i);
            if (lua_istable(L, -1)) {
                take_self_test(L, loading);
            } else {
                lua_pushvalue(L, -2);
                if (!ruc_selftest_take(L)) {
                    return wrong(L, loading, "the second value, the self-test, must be a function");
                }
            }
            loading->generation->policies[i] = luaL_ref(L, LUA_REGISTRYINDEX);
            return 0;
        }
    }
    return wrong(L, loading, "not a policy: there are restart, health, admission, auth and idle");
}

static int load_template(lua_State *L)
{
    loading_t *loading = lua_touserdata(L, 1);
    char name[128];
    ruc__generation_base(loading->file->name, name);
    if (name[0] == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(name)) {
        return wrong(L, loading,
                     "a template's name is TYPE_PLATFORM.lua or PLATFORM.lua, of a-z 0-9 -");
    }
    run_values(L, loading, 1);
    if (!lua_istable(L, -1)) {
        return wrong(L, loading,
                     "a template must return a table { submit = function(engine, ctx) }");
    }
    if (lua_getfield(L, -1, "submit") != LUA_TFUNCTION) {
        return wrong(L, loading, "a template must have a function 'submit'");
    }
    int activity = lua_getfield(L, -2, "activity");
    if (activity != LUA_TFUNCTION && activity != LUA_TNIL) {
        return wrong(L, loading, "a template's 'activity' must be a function");
    }
    lua_pop(L, 2);
    take_self_test(L, loading);
    lua_rawgeti(L, LUA_REGISTRYINDEX, loading->generation->templates);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
    return 0;
}

/* Any other file is a module: it is run when somebody requires it; until then it must compile. */
static int load_module(lua_State *L)
{
    loading_t *loading = lua_touserdata(L, 1);
    char name[4200];
    ruc_why_t why;
    snprintf(name, sizeof name, "@%s", loading->file->path);
    if (ruc_vm_compile(L, loading->file->text, loading->file->len, name, &why) < 0) {
        return luaL_error(L, "%s", why.text);
    }
    return 0;
}

static bool below(const char *name, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(name, folder, len) == 0;
}

/* `*ns`: the time that all of them took. False: there is none left for those that come after it. */
static bool load_file(loading_t *loading, uint64_t *ns)
{
    const char *name = loading->file->name;
    lua_CFunction loader = load_module;
    ruc_why_t why;
    if (below(name, "handlers/")) {
        loader = load_handler;
    } else if (below(name, "policies/")) {
        loader = load_policy;
    } else if (below(name, "templates/")) {
        loader = load_template;
    }
    ruc_vm_t *vm = loading->generation->vm;
    ruc_account_t account;
    ruc_account_init(&account, RUC_BUDGET_LOAD, name, vm);
    if (ruc_guard_run(vm, &account, loader, loading, &why) < 0) {
        char text[sizeof why.text + 256];
        bool told =
            strstr(why.text, ".lua") != NULL; /* an error object, or no memory, is no place */
        snprintf(text, sizeof text, "%.200s%s%s", told ? "" : loading->file->path, told ? "" : ": ",
                 why.text);
        ruc__generation_error(loading->report, text);
    }
    lua_settop(vm->L, 0);
    return ruc_guard_go_on(&account, ns);
}

void ruc__generation_load(ruc_generation_t *generation, ruc_load_report_t *report)
{
    uint64_t ns = 0;
    size_t i = 0, count = generation->files.count;
    for (bool go_on = true; go_on && i < count; i++) {
        loading_t loading = {generation, &generation->files.files[i], report};
        go_on = load_file(&loading, &ns);
    }
    if (i < count) {
        char text[4400];
        snprintf(text, sizeof text,
                 "%s: not tried, as %zu of %zu files: loading took too long (budgets.load)",
                 generation->files.files[i].path, count - i, count);
        ruc__generation_error(report, text);
    }
}
