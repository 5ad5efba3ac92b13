/* prim_process.c - rucat.process: run a program and wait for it.
 *
 *     local p = assert(rucat.process.spawn{ argv = { "df", "-k", "/tmp" } })
 *     local exit = p:wait(5)                     -- waits; exit = { code = 0 }
 *     print((p:output()))
 *
 * argv only, never a shell. A script's child gets the environment it is given and PATH; a tool's
 * inherits. Drivers of engines are not started here but by templates. */
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"
#include "proc/child.h"
#include "proc/signame.h"

#define PROCESS "rucat.process"
#define ARGS_MAX 256
#define ENV_MAX 256

typedef struct waiter waiter_t;

typedef struct process {
    ruc_child_t *child;
    waiter_t *waiter; /* at most one job waits */
} process_t;

struct waiter {
    uv_timer_t timer;
    ruc_ticket_t ticket;
    process_t *process;
};

static process_t *check_process(lua_State *L)
{
    process_t *process = luaL_checkudata(L, 1, PROCESS);
    luaL_argcheck(L, process->child != NULL, 1, "the process is closed");
    return process;
}

static int push_exit(lua_State *L, void *arg)
{
    process_t *process = arg;
    int64_t code;
    int signal;
    ruc_child_exit(process->child, &code, &signal);
    lua_createtable(L, 0, 2);
    if (code >= 0) {
        lua_pushinteger(L, code);
        lua_setfield(L, -2, "code");
    } else {
        char name[RUC_SIGNAME_SIZE];
        lua_pushstring(L, ruc_proc_signal_name(signal, name));
        lua_setfield(L, -2, "signal");
    }
    return 1;
}

static int push_timeout(lua_State *L, void *arg)
{
    (void)arg;
    return ruc_push_err(L, UV_ETIMEDOUT, "the process has not ended in time");
}

static void waiter_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void waiter_end(waiter_t *waiter)
{
    waiter->process->waiter = NULL;
    uv_close((uv_handle_t *)&waiter->timer, waiter_closed);
}

static void child_done(void *arg, ruc_child_t *child)
{
    (void)child;
    process_t *process = arg;
    if (process->waiter != NULL) {
        ruc_ticket_t ticket = process->waiter->ticket;
        waiter_end(process->waiter);
        ruc_job_wake(ticket, push_exit, process);
    }
}

static void waited_enough(uv_timer_t *timer)
{
    waiter_t *waiter = timer->data;
    ruc_ticket_t ticket = waiter->ticket;
    waiter_end(waiter);
    ruc_job_wake(ticket, push_timeout, NULL);
}

static void wait_cancelled(void *arg)
{
    waiter_end(arg);
}

static int process_wait(lua_State *L)
{
    process_t *process = check_process(L);
    int64_t ms = ruc_options_seconds(L, 2, 24 * 3600 * 1000);
    if (ruc_child_done(process->child)) {
        return push_exit(L, process);
    }
    if (process->waiter != NULL) {
        return luaL_error(L, "another job waits for this process already");
    }
    ruc_ticket_t ticket = ruc_job_ticket(L, "process:wait");
    waiter_t *waiter = malloc(sizeof *waiter);
    if (waiter == NULL) {
        return luaL_error(L, "not enough memory");
    }
    waiter->ticket = ticket;
    waiter->process = process; /* anchored: it is an argument of the call that waits */
    uv_timer_init(ruc_vm_of(L)->app->loop, &waiter->timer);
    waiter->timer.data = waiter;
    uv_timer_start(&waiter->timer, waited_enough, (uint64_t)ms, 0);
    process->waiter = waiter;
    return ruc_job_wait(L, wait_cancelled, waiter);
}

static int process_kill(lua_State *L)
{
    process_t *process = check_process(L);
    int signal = lua_isinteger(L, 2) ? (int)lua_tointeger(L, 2)
                                     : ruc_proc_stop_signal(luaL_optstring(L, 2, "TERM"));
    luaL_argcheck(L, signal > 0 && signal < NSIG, 2, "no such signal");
    int rc = ruc_child_kill(process->child, signal);
    if (rc < 0) {
        return ruc_push_err(L, rc, NULL);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int process_output(lua_State *L)
{
    process_t *process = check_process(L);
    for (int which = 1; which <= 2; which++) {
        size_t len;
        const char *text = ruc_child_output(process->child, which, &len);
        lua_pushlstring(L, text, len);
    }
    return 2;
}

static int process_pid(lua_State *L)
{
    lua_pushinteger(L, ruc_child_pid(check_process(L)->child));
    return 1;
}

/* Gives the handle back. A script's child that still runs is ended: nobody could wait for it. */
static int process_close(lua_State *L)
{
    process_t *process = luaL_checkudata(L, 1, PROCESS);
    if (process->child != NULL && process->waiter == NULL) {
        ruc_child_kill(process->child, SIGKILL);
        ruc_child_release(process->child);
        process->child = NULL;
    }
    return 0;
}

/* ---- spawn ---- */

/* The list at `index` as argv; the texts are anchored by the table. */
static void read_argv(lua_State *L, char **argv)
{
    if (lua_getfield(L, 1, "argv") != LUA_TTABLE) {
        luaL_error(L, "option 'argv' must be a list of texts");
    }
    size_t n = lua_rawlen(L, -1);
    if (n == 0 || n > ARGS_MAX) {
        luaL_error(L, "option 'argv' must have 1 to %d items", ARGS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING) {
            luaL_error(L, "option 'argv': item %d is not a text", (int)i + 1);
        }
        argv[i] = (char *)lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    argv[n] = NULL; /* the table stays on the stack */
}

/* The map `env` as "K=V" texts, anchored in a table that stays on the stack; false: inherit. */
static bool read_env(lua_State *L, char **env, bool inherit)
{
    int got = lua_getfield(L, 1, "env");
    if (got == LUA_TNIL && inherit) {
        return false;
    }
    if (got != LUA_TNIL && got != LUA_TTABLE) {
        luaL_error(L, "option 'env' must be a table of texts");
    }
    int map = lua_gettop(L);
    size_t n = 0;
    lua_newtable(L);
    const char *path = getenv("PATH");
    lua_pushfstring(L, "PATH=%s", path == NULL ? "/usr/bin:/bin" : path);
    env[n++] = (char *)lua_tostring(L, -1);
    lua_rawseti(L, map + 1, (lua_Integer)n);
    lua_pushnil(L);
    while (got == LUA_TTABLE && lua_next(L, map)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING || n >= ENV_MAX) {
            luaL_error(L, "option 'env' must be a table of at most %d texts", ENV_MAX);
        }
        lua_pushfstring(L, "%s=%s", lua_tostring(L, -2), lua_tostring(L, -1));
        env[n++] = (char *)lua_tostring(L, -1);
        lua_rawseti(L, map + 1, (lua_Integer)n);
        lua_pop(L, 1);
    }
    if (got != LUA_TTABLE) {
        lua_pop(L, 1);
    }
    env[n] = NULL;
    return true;
}

static ruc_child_io_t read_io(lua_State *L, const char *name)
{
    const char *how = ruc_options_text(L, 1, name, "collect");
    if (strcmp(how, "collect") == 0) {
        return RUC_CHILD_COLLECT;
    }
    if (strcmp(how, "null") == 0) {
        return RUC_CHILD_NULL;
    }
    if (strcmp(how, "inherit") != 0) {
        luaL_error(L, "option '%s' must be 'collect', 'null' or 'inherit'", name);
    }
    return RUC_CHILD_INHERIT;
}

static int process_spawn(lua_State *L)
{
    static const char *const names[] = {"argv",   "env",    "cwd",  "input",
                                        "stdout", "stderr", "keep", NULL};
    char *argv[ARGS_MAX + 1], *env[ENV_MAX + 2];
    ruc_vm_t *vm = ruc_vm_of(L);
    ruc_options_check(L, 1, names);
    lua_settop(L, 1);
    ruc_job_need(L, RUC_PHASE_WAITS, "rucat.process.spawn");
    ruc_child_spec_t spec = {.argv = argv, .cwd = ruc_options_text(L, 1, "cwd", NULL)};
    spec.input = ruc_options_bytes(L, 1, "input", &spec.input_len);
    spec.out = read_io(L, "stdout");
    spec.err = read_io(L, "stderr");
    spec.keep = (size_t)ruc_options_integer(L, 1, "keep", 1024 * 1024, 1, 64 * 1024 * 1024);
    read_argv(L, argv);
    spec.env = read_env(L, env, vm->kind == RUC_VM_TOOL) ? env : NULL;
    process_t *process = lua_newuserdatauv(L, sizeof *process, 0);
    *process = (process_t){NULL, NULL};
    luaL_setmetatable(L, PROCESS);
    ruc_why_t why = {""};
    process->child = ruc_child_spawn(vm->app->loop, &spec, child_done, process, &why);
    return process->child == NULL ? ruc_push_err(L, UV_ENOENT, why.text) : 1;
}

void ruc_prim_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"spawn", process_spawn}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"wait", process_wait},     {"kill", process_kill},
                                       {"output", process_output}, {"pid", process_pid},
                                       {"close", process_close},   {NULL, NULL}};
    luaL_newmetatable(L, PROCESS);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, process_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, process_close);
    lua_setfield(L, -2, "__close");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
