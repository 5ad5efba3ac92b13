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
#include "lua/generation_room.h"
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

void ruc__generation_error(ruc_load_report_t *report, const char *given)
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
    ruc__generation_error(report, text);
}

ruc_generation_t *ruc_generation_new(ruc_app_t *app, ruc_fileset_t *files, uint64_t number,
                                     ruc_load_report_t *report)
{
    ruc_why_t why;
    ruc_generation_t *generation = calloc(1, sizeof *generation);
    if (generation == NULL) {
        ruc__generation_error(report, "not enough memory");
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
        ruc__generation_error(report, "not enough memory for a script generation");
        generation_free(generation);
        return NULL;
    }
    generation->vm->generation = number;
    generation->vm->digest = ruc_fileset_digest(&generation->files, false);
    generation->vm->closed = vm_closed;
    generation->vm->arg = generation;
    DL_APPEND(alive, generation);
    if (ruc_vm_protect(generation->vm, make_tables, generation, &why) < 0) {
        ruc__generation_error(report, why.text);
    }
    ruc__generation_load(generation, report);
    ruc_state_forget_load();
    if (report->error_count == 0) {
        ruc_selftest_run(generation->vm, self_test_failed, report);
    }
    ruc_state_forget_load();
    for (int i = 0; i < RUC_POLICY_COUNT && report->error_count == 0; i++) {
        if (generation->policies[i] == LUA_NOREF) {
            char text[128];
            snprintf(text, sizeof text, "policies/%s.lua: not there", policy_names[i]);
            ruc__generation_error(report, text);
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
        if (strncmp(name, "templates/", 10) == 0) {
            char base[128];
            ruc__generation_base(name, base);
            if (ruc_buf_addf(out, "%s%s", first ? "" : ", ", base) < 0) {
                return;
            }
            first = false;
        }
    }
}
