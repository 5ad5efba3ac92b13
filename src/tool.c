/* tool.c - rucat run, rucat check and the client commands: a loop, a Lua state with the whole
 * standard library, one job. */
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "core/log.h"
#include "lua/fileset.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "lua/state.h"
#include "lua/tty.h"
#include "lua/vm.h"

typedef struct tool {
    ruc_app_t app;
    uv_loop_t loop;
    ruc_config_t config;
    ruc_places_t places;
    ruc_vm_t *vm;
    int argc;
    char **argv;
    const char *script; /* NULL: the client */
    bool over, turning; /* the job is; the loop does */
    int exit_code;
} tool_t;

static void tool_over(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    tool_t *tool = arg;
    tool->over = true;
    if (tool->turning) {
        uv_stop(&tool->loop); /* it would sleep through this turn where a timer ended the job */
    }
    if (outcome == RUC_JOB_CANCELLED && ruc_tty_interrupted() > 0) {
        tool->exit_code = 128 + ruc_tty_interrupted(); /* as a shell tells of a signal */
    } else if (outcome != RUC_JOB_OK) {
        tool->exit_code = 1; /* job.c has logged why, with a traceback */
    } else if (n > 0 && lua_isinteger(co, 1)) {
        tool->exit_code = (int)lua_tointeger(co, 1);
    }
    uv_stop(&tool->loop);
}

/* package.path: the shipped library, then the script's own folder. */
static void set_path(lua_State *L, const tool_t *tool)
{
    lua_getglobal(L, "package");
    const char *slash = tool->script == NULL ? NULL : strrchr(tool->script, '/');
    lua_pushfstring(L, "%s/?.lua;", tool->places.lua_dir);
    if (slash != NULL) {
        lua_pushlstring(L, tool->script, (size_t)(slash - tool->script));
    } else {
        lua_pushliteral(L, ".");
    }
    lua_pushliteral(L, "/?.lua;");
    lua_getfield(L, -4, "path");
    lua_concat(L, 4);
    lua_setfield(L, -2, "path");
    lua_pop(L, 1);
}

/* Leaves the function and its arguments. */
static int prepare(lua_State *L)
{
    tool_t *tool = lua_touserdata(L, 1);
    ruc_why_t why;
    lua_settop(L, 0);
    set_path(L, tool);
    lua_createtable(L, tool->argc, 1);
    for (int i = 0; i < tool->argc; i++) {
        lua_pushstring(L, tool->argv[i]);
        lua_rawseti(L, -2, i);
    }
    if (tool->script == NULL) { /* cli(args), args[1] is the command */
        lua_newtable(L);
        for (int i = 0; i < tool->argc; i++) {
            lua_pushstring(L, tool->argv[i]);
            lua_rawseti(L, -2, i + 1);
        }
        lua_getglobal(L, "require");
        lua_pushliteral(L, "rucat.cli");
        lua_call(L, 1, 1);
        lua_insert(L, -2);
        lua_remove(L, 1);
        return 2;
    }
    lua_setglobal(L, "arg");
    size_t len;
    char *text = ruc_file_read(tool->script, 64u << 20, &len, &why);
    char name[4200];
    snprintf(name, sizeof name, "@%s", tool->script);
    int rc = text == NULL ? RUC_ESCRIPT : ruc_vm_compile(L, text, len, name, &why);
    free(text);
    if (rc < 0) {
        return luaL_error(L, "%s", why.text);
    }
    for (int i = 1; i < tool->argc; i++) {
        lua_pushstring(L, tool->argv[i]);
    }
    return tool->argc;
}

static int run(tool_t *tool)
{
    ruc_why_t why = {""};
    ruc_vm_t *vm = tool->vm = ruc_vm_new(&tool->app, RUC_VM_TOOL, 0, &why);
    if (vm == NULL || ruc_vm_protect(vm, prepare, tool, &why) < 0) {
        fprintf(stderr, "rucat: %s\n", why.text);
        return 1;
    }
    const char *what = tool->script == NULL ? tool->argv[0] : tool->script;
    int rc =
        ruc_job_start(vm, RUC_PHASE_TOOL, lua_gettop(vm->L) - 1, what, NULL, tool_over, tool, NULL);
    if (rc < 0) {
        fprintf(stderr, "rucat: %s\n", ruc_err_text(rc));
        return 1;
    }
    tool->turning = true;
    while (!tool->over && uv_run(&tool->loop, UV_RUN_ONCE) != 0) {
    }
    tool->turning = false;
    if (!tool->over) {
        fprintf(stderr, "rucat: %s waits for something that never comes\n", what);
        return 1;
    }
    return tool->exit_code;
}

/* `rucat try` runs an operator's scripts, with the budgets that a server gives them, and tells
 * itself of those that fail. */
static void prepare_try(tool_t *tool)
{
    bool tries = false;
    for (int i = 0; i < tool->argc && tool->script == NULL; i++) {
        tries = tries || strcmp(tool->argv[i], "try") == 0;
    }
    if (tries) {
        ruc_log_mute();
        if (ruc_guard_open(&tool->loop, NULL) < 0) {
            fprintf(stderr, "rucat: scripts that do not end cannot be stopped here\n");
        }
    }
}

static int run_tool(tool_t *tool)
{
    ruc_why_t why = {""};
    signal(SIGPIPE, SIG_IGN);
    if (ruc_setup_places(&tool->places, NULL, &why) < 0 || ruc_config_init(&tool->config) < 0 ||
        uv_loop_init(&tool->loop) < 0) {
        fprintf(stderr, "rucat: %s\n", why.text[0] ? why.text : "not enough memory");
        return 1;
    }
    tool->app = (ruc_app_t){.loop = &tool->loop,
                            .config = &tool->config,
                            .config_file = tool->places.config_file,
                            .state_dir = "",
                            .lua_dir = tool->places.lua_dir,
                            .engine_binary = tool->places.engine_binary,
                            .instance = "",
                            .listen = ""};
    tool->app.client = ruc_http_client_new(&tool->loop);
    prepare_try(tool);
    int code = tool->app.client == NULL ? 1 : run(tool);
    fflush(stdout);
    ruc_vm_close(tool->vm);
    if (tool->app.client != NULL) {
        ruc_http_client_close(tool->app.client);
    }
    ruc_job_close();
    ruc_guard_close();
    uv_run(&tool->loop, UV_RUN_DEFAULT);
    uv_loop_close(&tool->loop); /* a child that still runs keeps a handle: it is let go */
    ruc_state_close();
    ruc_config_free(&tool->config);
    return code;
}

int ruc_cmd_run(int argc, char **argv)
{
    static tool_t tool;
    tool = (tool_t){.argc = argc, .argv = argv, .script = argv[0]};
    return run_tool(&tool);
}

int ruc_cmd_client(int argc, char **argv)
{
    static tool_t tool;
    tool = (tool_t){.argc = argc, .argv = argv};
    return run_tool(&tool);
}

/* Says what was found; the exit code. */
static int say_report(const ruc_load_report_t *report, bool strict)
{
    if (report->error_count > 0) {
        fprintf(stderr, "%s\n", ruc_buf_str(&report->errors));
        return 1;
    }
    if (report->warning_count > 0) {
        fprintf(stderr, "%s\n", ruc_buf_str(&report->warnings));
        printf("configuration and scripts are fine, but for %zu warning%s\n", report->warning_count,
               report->warning_count == 1 ? "" : "s");
        return strict ? 1 : 0;
    }
    printf("configuration and scripts are fine\n");
    return 0;
}

/* rucat try KIND --samples [-c FILE] */
static int try_samples(const ruc_flags_t *flags)
{
    char *argv[] = {"try", (char *)flags->try_kind, "--samples", "-c", (char *)flags->config_file};
    fflush(stdout);
    return ruc_cmd_client(flags->config_file == NULL ? 3 : 5, argv);
}

int ruc_cmd_check(const ruc_flags_t *flags)
{
    ruc_places_t places;
    ruc_config_t config;
    ruc_why_t why = {""};
    ruc_load_report_t report;
    uv_loop_t loop;
    if (ruc_setup_places(&places, flags->config_file, &why) < 0) {
        fprintf(stderr, "rucat: %s\n", why.text);
        return 1;
    }
    if (ruc_setup_config(&config, &places, flags) < 0) {
        return 1;
    }
    if (uv_loop_init(&loop) < 0) {
        fprintf(stderr, "rucat: not enough memory\n");
        return 1;
    }
    ruc_app_t app = {.loop = &loop,
                     .config = &config,
                     .config_file = places.config_file,
                     .state_dir = "",
                     .lua_dir = places.lua_dir,
                     .instance = "",
                     .listen = ""};
    ruc_load_report_init(&report);
    ruc_guard_configure(&config);
    if (ruc_guard_open(&loop, NULL) < 0) {
        fprintf(stderr, "rucat: the watchdog cannot be started: scripts run without a bound\n");
    }
    ruc_scripts_check(&app, &report);
    ruc_job_close();
    ruc_guard_close();
    int code = say_report(&report, flags->strict);
    ruc_load_report_free(&report);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    ruc_config_free(&config);
    return code == 0 && flags->try_kind != NULL ? try_samples(flags) : code;
}
