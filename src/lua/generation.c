/* generation.c - see generation.h. Loading goes on after an error, so that one run tells of all;
 * but the loop waits meanwhile, so not after a file that used up its time, such as the first of
 * many that require a module with an endless loop. */
#include "lua/generation.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/log.h"
#include "core/utf8.h"
#include "lua/env.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/selftest.h"
#include "lua/state.h"

#define REPORT_MAX (64u * 1024)
#define MODULES_DEEP 32 /* that require one another */

static const char *const policy_names[] = {
#define XX(name, text) text,
    RUC_POLICIES(XX)
#undef XX
};

const char *ruc_policy_name(ruc_policy_t policy)
{
    return policy_names[policy];
}

void ruc_load_report_init(ruc_load_report_t *report)
{
    *report = (ruc_load_report_t){0};
    ruc_buf_init(&report->errors, REPORT_MAX);
    ruc_buf_init(&report->warnings, REPORT_MAX);
}

void ruc_load_report_free(ruc_load_report_t *report)
{
    ruc_buf_free(&report->errors);
    ruc_buf_free(&report->warnings);
}

/* What a script raised may hold any bytes; what is told of it is UTF-8 on lines. */
static void clean(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t step = ruc_utf8_length(text + i, len - i);
        if (step == 0 || (step == 1 && iscntrl((unsigned char)text[i]) && text[i] != '\n')) {
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

static void add_error(ruc_load_report_t *report, const char *given)
{
    char text[2048];
    snprintf(text, sizeof text, "%s", given);
    clean(text);
    if (ruc_buf_addf(&report->errors, "%s%s", report->errors.len > 0 ? "\n" : "", text) < 0) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s", text); /* beyond the bound: at least the log has it */
    }
    report->error_count++;
}

/* ---- require ---- */

/* RAISES with the way that led to `name`: "a -> b -> a". The names under way are the list part of
 * the table of loaded modules. */
static int raise_chain(lua_State *L, const char *name, const char *what)
{
    luaL_Buffer chain;
    lua_Integer count = luaL_len(L, lua_upvalueindex(2)), from = 1;
    for (lua_Integer i = 1; i <= count; i++, lua_pop(L, 1)) {
        lua_rawgeti(L, lua_upvalueindex(2), i);
        from = strcmp(lua_tostring(L, -1), name) == 0 ? i : from;
    }
    luaL_buffinit(L, &chain);
    for (lua_Integer i = from; i <= count; i++) {
        lua_rawgeti(L, lua_upvalueindex(2), i);
        luaL_addvalue(&chain);
        luaL_addstring(&chain, " -> ");
    }
    luaL_addstring(&chain, name);
    luaL_pushresult(&chain);
    return luaL_error(L, what, name, lua_tostring(L, -1));
}

/* "a.b" is the file a/b.lua. Pushes the module's function. RAISES. */
static void compile_module(lua_State *L, ruc_fileset_t *files, const char *name)
{
    char file_name[256], why_name[4200];
    ruc_why_t why;
    snprintf(file_name, sizeof file_name - 4, "%s", name);
    for (char *c = file_name; *c != '\0'; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    strcat(file_name, ".lua");
    const ruc_file_t *file = ruc_fileset_find(files, file_name);
    if (file == NULL) {
        luaL_error(L, "module '%s' is not there: no %s below the script directories", name,
                   file_name);
        return;
    }
    snprintf(why_name, sizeof why_name, "@%s", file->path);
    if (ruc_vm_compile(L, file->text, file->len, why_name, &why) < 0) {
        luaL_error(L, "%s", why.text);
    }
    ruc_env_own(L);
}

static int run_module(lua_State *L)
{
    ruc_fileset_t *files = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (strcmp(name, "rucat") == 0) {
        lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
        lua_getfield(L, -1, "rucat");
        return 1;
    }
    if (lua_getfield(L, lua_upvalueindex(2), name) != LUA_TNIL) {
        if (lua_islightuserdata(L, -1)) {
            return raise_chain(L, name, "module '%s' requires itself: %s");
        }
        return 1;
    }
    lua_Integer depth = luaL_len(L, lua_upvalueindex(2));
    if (depth >= MODULES_DEEP) {
        return raise_chain(L, name, "module '%s' is required too deep: %s");
    }
    compile_module(L, files, name);
    lua_pushvalue(L, 1);
    lua_rawseti(L, lua_upvalueindex(2), depth + 1);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, lua_upvalueindex(2), name);
    int rc = lua_pcall(L, 0, 1, 0);
    lua_pushnil(L);
    lua_rawseti(L, lua_upvalueindex(2), depth + 1);
    if (rc != LUA_OK) {
        lua_pushnil(L);
        lua_setfield(L, lua_upvalueindex(2), name);
        return lua_error(L);
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(2), name);
    return 1;
}

void ruc_generation_require(lua_State *L, ruc_fileset_t *files)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_pushlightuserdata(L, files);
    lua_newtable(L);
    lua_pushcclosure(L, run_module, 2);
    lua_setfield(L, -2, "require");
    lua_pop(L, 1);
}

/* ---- shapes ---- */

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
        add_error(loading->report, problem);
    } else if (rc < 0) {
        snprintf(problem, sizeof problem, "%s: route '%s': %s", loading->file->path, text,
                 why.text);
        add_error(loading->report, problem);
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
static void base_name(const char *name, char out[128])
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
    base_name(loading->file->name, name);
    for (int i = 0; i < RUC_POLICY_COUNT; i++) {
        if (strcmp(policy_names[i], name) == 0) {
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
    base_name(loading->file->name, name);
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
        add_error(loading->report, text);
    }
    lua_settop(vm->L, 0);
    return ruc_guard_go_on(&account, ns);
}

static void load_files(ruc_generation_t *generation, ruc_load_report_t *report)
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
        add_error(report, text);
    }
}

/* ---- whole ---- */

static int make_tables(lua_State *L)
{
    ruc_generation_t *generation = lua_touserdata(L, 1);
    lua_newtable(L);
    generation->templates = luaL_ref(L, LUA_REGISTRYINDEX);
    ruc_generation_require(L, &generation->files);
    return 0;
}

static void generation_free(ruc_generation_t *generation)
{
    while (generation->routes != NULL) {
        ruc_route_t *route = generation->routes;
        generation->routes = route->next;
        free(route->text);
        free(route->file);
        free(route);
    }
    ruc_http_router_free(generation->router);
    ruc_fileset_free(&generation->files);
    free(generation);
}

static ruc_generation_t *alive;

/* The state has gone first: its finalizers may still `require`. */
static void vm_closed(void *arg)
{
    ruc_generation_t *generation = arg;
    DL_DELETE(alive, generation);
    ruc_log(RUC_LOG_LUA, RUC_DEBUG, "script generation %llu is closed",
            (unsigned long long)generation->number);
    generation_free(generation);
}

static void self_test_failed(void *report, const char *text)
{
    add_error(report, text);
}

ruc_generation_t *ruc_generation_new(ruc_app_t *app, ruc_fileset_t *files, uint64_t number,
                                     ruc_load_report_t *report)
{
    ruc_why_t why;
    ruc_generation_t *generation = calloc(1, sizeof *generation);
    if (generation == NULL) {
        add_error(report, "not enough memory");
        ruc_fileset_free(files);
        return NULL;
    }
    generation->number = number;
    generation->files = *files;
    *files = (ruc_fileset_t){0};
    for (int i = 0; i < RUC_POLICY_COUNT; i++) {
        generation->policies[i] = LUA_NOREF;
    }
    size_t cap = (size_t)ruc_config_number(app->config, "limits.lua_memory");
    generation->router = ruc_http_router_new();
    generation->vm =
        generation->router == NULL ? NULL : ruc_vm_new(app, RUC_VM_OPERATOR, cap, &why);
    if (generation->vm == NULL) {
        add_error(report, "not enough memory for a script generation");
        generation_free(generation);
        return NULL;
    }
    generation->vm->generation = number;
    generation->vm->digest = ruc_fileset_digest(&generation->files, false);
    generation->vm->closed = vm_closed;
    generation->vm->arg = generation;
    DL_APPEND(alive, generation);
    if (ruc_vm_protect(generation->vm, make_tables, generation, &why) < 0) {
        add_error(report, why.text);
    }
    load_files(generation, report);
    ruc_state_forget_load();
    if (report->error_count == 0) {
        ruc_selftest_run(generation->vm, self_test_failed, report);
    }
    ruc_state_forget_load();
    for (int i = 0; i < RUC_POLICY_COUNT && report->error_count == 0; i++) {
        if (generation->policies[i] == LUA_NOREF) {
            char text[128];
            snprintf(text, sizeof text, "policies/%s.lua: not there", policy_names[i]);
            add_error(report, text);
        }
    }
    if (report->error_count > 0) {
        ruc_vm_close(generation->vm);
        return NULL;
    }
    return generation;
}

void ruc_generation_retire(ruc_generation_t *generation)
{
    ruc_generation_t *each;
    int count;
    ruc_vm_retire(generation->vm);
    DL_COUNT(alive, each, count);
    if (count > RUC_GENERATIONS_MAX) {
        ruc_log(RUC_LOG_LUA, RUC_WARN,
                "%d script generations are alive: what still runs in generation %llu is ended",
                count, (unsigned long long)alive->number);
        ruc_vm_close(alive->vm);
    }
}

void ruc_generation_close_all(void)
{
    while (alive != NULL) {
        ruc_vm_close(alive->vm);
    }
}

typedef struct wanted {
    ruc_generation_t *generation;
    const char *type, *platform, *field;
} wanted_t;

static int find_template(lua_State *L)
{
    wanted_t *wanted = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, wanted->generation->templates);
    lua_pushfstring(L, "%s_%s", wanted->type, wanted->platform);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushstring(L, wanted->platform);
        if (lua_rawget(L, -2) != LUA_TTABLE) {
            return 0;
        }
    }
    lua_pushstring(L, wanted->field);
    lua_rawget(L, -2);
    return 1;
}

bool ruc_generation_template(ruc_generation_t *generation, const char *type, const char *platform,
                             const char *field)
{
    wanted_t wanted = {generation, type, platform, field};
    ruc_why_t why;
    lua_State *L = generation->vm->L;
    int top = lua_gettop(L);
    return ruc_guard_protect(generation->vm, RUC_BUDGET_TEMPLATE, platform, find_template, &wanted,
                             &why) == 0 &&
           lua_gettop(L) == top + 1;
}

void ruc_generation_templates(ruc_generation_t *generation, ruc_buf_t *out)
{
    bool first = true;
    for (size_t i = 0; i < generation->files.count; i++) {
        const char *name = generation->files.files[i].name;
        if (below(name, "templates/")) {
            char base[128];
            base_name(name, base);
            if (ruc_buf_addf(out, "%s%s", first ? "" : ", ", base) < 0) {
                return;
            }
            first = false;
        }
    }
}
