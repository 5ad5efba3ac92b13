/* prim_sandbox.c - rucat.sandbox: an operator's state of a tool's own, to try scripts in.
 *
 *     local box <close> = assert(rucat.sandbox.open{
 *       config = "etc/rucat.lua", files = { ["policies/restart.lua"] = "/tmp/new.lua" } })
 *     box:at(1700000000)                                   -- what its scripts take for now
 *     local ok, answer = box:policy("restart", nil, engine, exit, history)   -- waits
 *
 * It is built as a server builds a generation: the same files by the same configuration, the same
 * environment, shapes and self-tests; only the files named are taken from elsewhere. For tools (the
 * command line) only: opening one reads files where it stands. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "lua/ask.h"
#include "lua/configfile.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"

#define BOX "rucat.sandbox"
#define ROOTS_MAX 33
#define CONFIG_MAX (1024u * 1024)

typedef struct sandbox {
    ruc_app_t app; /* the tool's, with a configuration of its own */
    ruc_config_t config;
    ruc_generation_t *generation; /* NULL: it could not be built */
    bool has_config;
    uv_timer_t timer;
    double at; /* what its scripts take for now, seconds since 1970; 0: the truth */
} sandbox_t;

/* ---- the clock of its scripts ---- */

static double now_of(lua_State *L)
{
    const sandbox_t *box = lua_touserdata(L, lua_upvalueindex(2));
    return box->at > 0 ? box->at : (double)ruc_clock_wall_ms() / 1000.0;
}

/* Calls the function in the first upvalue with the arguments there are. */
static int call_real(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int box_os_time(lua_State *L)
{
    if (!lua_isnoneornil(L, 1)) {
        return call_real(L);
    }
    lua_pushinteger(L, (lua_Integer)now_of(L));
    return 1;
}

static int box_os_date(lua_State *L)
{
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        if (lua_isnil(L, 1)) {
            lua_pushliteral(L, "%c");
            lua_replace(L, 1);
        }
        lua_pushinteger(L, (lua_Integer)now_of(L));
    }
    return call_real(L);
}

static int box_clock_now(lua_State *L)
{
    lua_pushnumber(L, now_of(L));
    return 1;
}

static int box_clock_text(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_pushnumber(L, now_of(L));
    }
    return call_real(L);
}

/* Puts a function in the place of the one in the table on top, past whatever freezes it. */
static void replace(lua_State *L, const char *name, lua_CFunction fn, sandbox_t *box)
{
    lua_pushstring(L, name);
    lua_getfield(L, -2, name);
    lua_pushlightuserdata(L, box);
    lua_pushcclosure(L, fn, 2);
    lua_rawset(L, -3);
}

static int set_clock(lua_State *L)
{
    sandbox_t *box = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_getfield(L, -1, "os");
    replace(L, "time", box_os_time, box);
    replace(L, "date", box_os_date, box);
    lua_pop(L, 1);
    lua_getfield(L, -1, "rucat");
    lua_getfield(L, -1, "clock");
    replace(L, "now", box_clock_now, box);
    replace(L, "text", box_clock_text, box);
    return 0;
}

/* ---- opening ---- */

/* Builds the configuration as a server would. 0, or the problems in `report`. */
static int read_config(sandbox_t *box, const char *path, ruc_load_report_t *report)
{
    extern char **environ;
    ruc_why_t why;
    ruc_config_report_t *problems = calloc(2, sizeof *problems);
    if (problems == NULL || ruc_config_init(&box->config) < 0) {
        free(problems);
        ruc_buf_adds(&report->errors, "not enough memory");
        report->error_count++;
        return UV_ENOMEM;
    }
    box->has_config = true;
    if (path[0] != '\0') {
        size_t len;
        char *text = ruc_file_read(path, CONFIG_MAX, &len, &why);
        if (text != NULL) {
            ruc_configfile_lay(&box->config, path, text, len, &problems[0]);
        } else {
            ruc_buf_adds(&report->errors, why.text);
            report->error_count++;
        }
        free(text);
    }
    ruc_config_environment(&box->config, environ, &problems[0], &problems[1]);
    for (size_t i = 0; i < problems[0].count && i < RUC_CONFIG_PROBLEMS; i++) {
        ruc_buf_addf(&report->errors, "%s%s", report->errors.len > 0 ? "\n" : "",
                     problems[0].problems[i].text);
        report->error_count++;
    }
    free(problems);
    return report->error_count > 0 ? RUC_ESCRIPT : 0;
}

/* Reads the scripts, those of the table at `index` in the place of others. */
static int read_scripts(lua_State *L, sandbox_t *box, int index, ruc_fileset_t *files,
                        ruc_load_report_t *report)
{
    const char *roots[ROOTS_MAX];
    size_t i, count = 0;
    json_t *dir;
    ruc_why_t why = {""};
    json_array_foreach(ruc_config_value(&box->config, "scripts"), i, dir)
    {
        if (count < ROOTS_MAX - 1) {
            roots[count++] = json_string_value(dir);
        }
    }
    roots[count++] = box->app.lua_dir;
    int rc = ruc_fileset_read(files, roots, count, &why);
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, index)) {
        rc = ruc_fileset_put(files, lua_tostring(L, -2), lua_tostring(L, -1), &why);
        lua_pop(L, 1);
    }
    if (rc < 0) {
        bool told = files->problems.len > 0;
        ruc_buf_adds(&report->errors, told ? ruc_buf_str(&files->problems) : why.text);
        report->error_count++;
        ruc_fileset_free(files);
    }
    return rc;
}

static void check_files(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "rucat.sandbox.open: 'files' are paths by name");
        }
        lua_pop(L, 1);
    }
}

static void timer_closed(uv_handle_t *handle)
{
    sandbox_t *box = handle->data;
    if (box->has_config) {
        ruc_config_free(&box->config);
    }
    free(box);
}

static void close_now(uv_timer_t *timer)
{
    sandbox_t *box = timer->data;
    if (box->generation != NULL) {
        ruc_vm_close(box->generation->vm);
        box->generation = NULL;
    }
    uv_close((uv_handle_t *)timer, timer_closed);
}

/* In the next turn of the loop: who closes it may have been woken by the end of one of its jobs. */
static void close_box(sandbox_t **handle)
{
    sandbox_t *box = *handle;
    *handle = NULL;
    if (box != NULL) {
        uv_timer_start(&box->timer, close_now, 0, 0);
    }
}

static sandbox_t *new_box(lua_State *L, sandbox_t **handle)
{
    ruc_app_t *app = ruc_vm_of(L)->app;
    sandbox_t *box = *handle = calloc(1, sizeof *box);
    if (box == NULL) {
        luaL_error(L, "not enough memory");
        return NULL;
    }
    box->app = *app;
    box->app.config = &box->config;
    uv_timer_init(app->loop, &box->timer);
    box->timer.data = box;
    return box;
}

static int sandbox_open(lua_State *L)
{
    static const char *const names[] = {"config", "files", NULL};
    ruc_app_t *app = ruc_vm_of(L)->app;
    ruc_load_report_t report;
    ruc_fileset_t files = {0};
    ruc_why_t why;
    ruc_options_check(L, 1, names);
    const char *config = ruc_options_text(L, 1, "config", app->config_file);
    lua_settop(L, 1);
    if (lua_getfield(L, 1, "files") == LUA_TNIL) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    check_files(L, 2);
    sandbox_t **handle = lua_newuserdatauv(L, sizeof *handle, 0);
    *handle = NULL;
    luaL_setmetatable(L, BOX);
    sandbox_t *box = new_box(L, handle);
    ruc_load_report_init(&report);
    if (read_config(box, config, &report) == 0 && read_scripts(L, box, 2, &files, &report) == 0) {
        ruc_guard_configure(&box->config); /* where the guard is open, as for `rucat try` */
        box->generation = ruc_generation_new(&box->app, &files, 1, &report);
    }
    bool fine = box->generation != NULL;
    if (fine && ruc_vm_protect(box->generation->vm, set_clock, box, &why) < 0) {
        ruc_buf_adds(&report.errors, why.text);
        fine = false;
    }
    if (!fine) {
        close_box(handle);
        lua_pushnil(L);
        lua_pushlstring(L, ruc_buf_str(&report.errors), report.errors.len);
        lua_pushliteral(L, "SCRIPT");
    }
    ruc_load_report_free(&report);
    return fine ? 1 : 3;
}

/* ---- methods ---- */

static sandbox_t *check_box(lua_State *L)
{
    sandbox_t **handle = luaL_checkudata(L, 1, BOX);
    luaL_argcheck(L, *handle != NULL, 1, "it is closed");
    return *handle;
}

/* box:policy(name, field or nil, arguments...) -> true, results; nil, message, code. Waits. */
static int box_policy(lua_State *L)
{
    sandbox_t *box = check_box(L);
    const char *name = luaL_checkstring(L, 2), *field = luaL_optstring(L, 3, NULL);
    for (int i = 0; i < RUC_POLICY_COUNT; i++) {
        if (strcmp(ruc_policy_name((ruc_policy_t)i), name) == 0) {
            ruc_phase_t phase =
                field != NULL && strcmp(field, "probe") == 0 ? RUC_PHASE_PROBE : RUC_PHASE_POLICY;
            return ruc_ask_generation(L, box->generation, (ruc_policy_t)i, field, lua_gettop(L) - 3,
                                      phase, 0);
        }
    }
    return luaL_argerror(L, 2, "a policy: restart, health, admission, auth or idle");
}

/* box:at([seconds]): what its scripts take for now; without one the truth. */
static int box_at(lua_State *L)
{
    sandbox_t *box = check_box(L);
    box->at = luaL_optnumber(L, 2, 0);
    return 0;
}

static int box_close(lua_State *L)
{
    close_box(luaL_checkudata(L, 1, BOX));
    return 0;
}

void ruc_prim_sandbox(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", sandbox_open}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"policy", box_policy}, {"at", box_at}, {"close", box_close}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", box_close}, {"__gc", box_close}, {NULL, NULL}};
    luaL_newmetatable(L, BOX);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
