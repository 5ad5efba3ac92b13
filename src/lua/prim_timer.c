/* prim_timer.c - rucat.timer: sleep, after, every.
 *
 *     rucat.timer.sleep(0.5)                              -- waits
 *     local t = rucat.timer.every(60, function() ... end) -- a job of its own each time
 *     t:cancel()
 *
 * Timers belong to the state they were made in and stop when it is retired (a new generation).
 * `every` does not pile up: the next interval starts when the job of the last one has ended, and is
 * no shorter than that job took. One whose job is stopped three times in a row is cancelled. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "core/log.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"

#define TIMER "rucat.timer"
#define TIMERS_MAX 1000
#define STOPS_MAX 3 /* in a row, then a timer is cancelled */

typedef struct ruc_timer {
    uv_timer_t handle;
    ruc_vm_t *vm;      /* NULL when it is over */
    int fn_ref;        /* the function */
    uint64_t every_ms; /* 0: once */
    bool running;      /* its job is under way */
    unsigned stopped;  /* times in a row that its budget was used up */
    char what[96];     /* "timer of handlers/x.lua:12" */
    struct ruc_timer *prev, *next;
} ruc_timer_t;

/* ---- sleep ---- */

typedef struct nap {
    uv_timer_t handle;
    ruc_ticket_t ticket;
} nap_t;

static void nap_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int push_nothing(lua_State *L, void *arg)
{
    (void)arg;
    lua_pushboolean(L, 1);
    return 1;
}

static void nap_over(uv_timer_t *handle)
{
    nap_t *nap = handle->data;
    ruc_ticket_t ticket = nap->ticket;
    uv_close((uv_handle_t *)handle, nap_closed);
    ruc_job_wake(ticket, push_nothing, NULL);
}

static void nap_cancel(void *arg)
{
    nap_t *nap = arg;
    uv_close((uv_handle_t *)&nap->handle, nap_closed);
}

static int timer_sleep(lua_State *L)
{
    int64_t ms = ruc_options_seconds(L, 1, -1);
    luaL_argcheck(L, ms >= 0, 1, "seconds expected");
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.timer.sleep");
    nap_t *nap = malloc(sizeof *nap);
    if (nap == NULL) {
        return luaL_error(L, "not enough memory");
    }
    nap->ticket = ticket;
    uv_update_time(ruc_vm_of(L)->app->loop); /* the loop's time is that of its last turn */
    uv_timer_init(ruc_vm_of(L)->app->loop, &nap->handle);
    nap->handle.data = nap;
    uv_timer_start(&nap->handle, nap_over, (uint64_t)ms, 0);
    return ruc_job_wait(L, nap_cancel, nap);
}

/* ---- after, every ---- */

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Takes it out of its state and closes it. */
static void timer_end(ruc_timer_t *timer)
{
    ruc_vm_t *vm = timer->vm;
    if (vm == NULL) {
        return;
    }
    DL_DELETE(vm->timers, timer);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, timer->fn_ref);
    timer->vm = NULL;
    uv_timer_stop(&timer->handle);
    if (!timer->running) {
        uv_close((uv_handle_t *)&timer->handle, timer_closed);
    }
}

void ruc_timers_stop(ruc_vm_t *vm)
{
    while (vm->timers != NULL) {
        timer_end(vm->timers);
    }
}

static void timer_rang(uv_timer_t *handle);

/* How long until it runs again. Not sooner than its last run took, so that a timer has half of the
 * loop at most (pace.h sees to it that those of one function together have no more). */
static uint64_t next_ms(const ruc_timer_t *timer, uint64_t took_ns)
{
    uint64_t took_ms = (took_ns + 999999) / 1000000;
    return timer->every_ms > took_ms ? timer->every_ms : took_ms;
}

/* True when it was stopped too often in a row. */
static bool is_hopeless(ruc_timer_t *timer, ruc_outcome_t outcome, lua_State *co)
{
    bool stopped = outcome == RUC_JOB_FAILED && ruc_job_stopped(co) != RUC_STOP_NOT;
    timer->stopped = stopped ? timer->stopped + 1 : 0;
    if (timer->every_ms == 0 || timer->stopped < STOPS_MAX) {
        return false;
    }
    ruc_log(RUC_LOG_SCRIPT, RUC_ERROR, "%s is cancelled: it was stopped %d times in a row",
            timer->what, STOPS_MAX);
    return true;
}

static void timer_job_done(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    (void)n;
    ruc_timer_t *timer = arg;
    timer->running = false;
    if (timer->vm != NULL && co != NULL && is_hopeless(timer, outcome, co)) {
        timer_end(timer);
    } else if (timer->vm == NULL) {
        uv_close((uv_handle_t *)&timer->handle, timer_closed);
    } else if (timer->every_ms == 0) {
        timer_end(timer);
    } else {
        uint64_t took_ns = co == NULL ? 0 : ruc_job_took(co);
        uv_timer_start(&timer->handle, timer_rang, next_ms(timer, took_ns), 0);
    }
}

static int push_function(lua_State *L)
{
    ruc_timer_t *timer = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, timer->fn_ref);
    return 1;
}

static void timer_rang(uv_timer_t *handle)
{
    ruc_timer_t *timer = handle->data;
    ruc_vm_t *vm = timer->vm;
    ruc_phase_t phase = vm->kind == RUC_VM_TOOL     ? RUC_PHASE_TOOL
                        : vm->kind == RUC_VM_SYSTEM ? RUC_PHASE_SYSTEM
                                                    : RUC_PHASE_TIMER;
    ruc_why_t why;
    timer->running = true;
    int rc = ruc_vm_protect(vm, push_function, timer, &why);
    if (rc == 0) {
        rc = ruc_job_start(vm, phase, 0, timer->what, NULL, timer_job_done, timer, NULL);
    }
    if (rc < 0) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "a timer's function could not be run: %s",
                ruc_err_text(rc));
        timer_job_done(timer, RUC_JOB_CANCELLED, NULL, 0);
    }
}

static ruc_timer_t *check_timer(lua_State *L)
{
    ruc_timer_t **box = luaL_checkudata(L, 1, TIMER);
    return *box;
}

/* Names it by where its function is. */
static void name_timer(lua_State *L, ruc_timer_t *timer)
{
    lua_Debug ar;
    lua_pushvalue(L, 2);
    lua_getinfo(L, ">S", &ar);
    snprintf(timer->what, sizeof timer->what, "timer of %s:%d", ar.short_src, ar.linedefined);
}

static int new_timer(lua_State *L, bool every)
{
    int64_t ms = ruc_options_seconds(L, 1, -1);
    luaL_argcheck(L, ms >= (every ? 1 : 0), 1, "seconds expected");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    ruc_job_need(L, RUC_PHASE_WAITS | RUC_PHASE_LOAD, "rucat.timer");
    ruc_vm_t *vm = ruc_vm_of(L);
    size_t count = 0;
    ruc_timer_t *timer;
    if (vm->closing) {
        return luaL_error(L, "rucat.timer cannot be used by a finalizer at the very end");
    }
    DL_COUNT(vm->timers, timer, count);
    if (count >= TIMERS_MAX) {
        return ruc_push_err(L, RUC_EFULL, "there are 1000 timers already");
    }
    ruc_timer_t **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, TIMER);
    lua_pushvalue(L, 2);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    timer = calloc(1, sizeof *timer);
    if (timer == NULL) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return luaL_error(L, "not enough memory");
    }
    timer->vm = vm;
    timer->fn_ref = ref;
    timer->every_ms = every ? (uint64_t)ms : 0;
    name_timer(L, timer);
    uv_update_time(vm->app->loop);
    uv_timer_init(vm->app->loop, &timer->handle);
    timer->handle.data = timer;
    uv_timer_start(&timer->handle, timer_rang, (uint64_t)ms, 0);
    DL_APPEND(vm->timers, timer);
    *box = timer;
    return 1;
}

static int timer_after(lua_State *L)
{
    return new_timer(L, false);
}

static int timer_every(lua_State *L)
{
    return new_timer(L, true);
}

/* A box may outlive its timer: look it up before use. */
static int timer_cancel(lua_State *L)
{
    ruc_timer_t *wanted = check_timer(L), *timer;
    DL_FOREACH(ruc_vm_of(L)->timers, timer)
    {
        if (timer == wanted) {
            timer_end(timer);
            break;
        }
    }
    return 0;
}

void ruc_prim_timer(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", timer_sleep}, {"after", timer_after}, {"every", timer_every}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"cancel", timer_cancel}, {NULL, NULL}};
    luaL_newmetatable(L, TIMER);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
