/* ask.c - see ask.h. The asker waits in its state; the answer is a job in the operator's. */
#include "lua/ask.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "lua/scripts.h"
#include "lua/value.h"

typedef struct ask {
    ruc_vm_t *vm; /* the operator's state */
    ruc_ticket_t ticket;
    uv_timer_t timer;
    uint64_t job;
    uint64_t began_ns;
    char name[64];
    bool answered, timed_out;
    /* of the answer, while it is handed over */
    ruc_outcome_t outcome;
    lua_State *co;
    int n;
    /* of the question, while it is handed over */
    lua_State *from;
    int first, nargs, ref;
    const char *field;
} ask_t;

void ruc_ask_count_error(const char *policy, const char *kind)
{
    ruc_metric_add(ruc_metrics_series(RUC_M_POLICY_ERRORS, policy, kind), 1);
}

void ruc_ask_count_time(const char *policy, uint64_t began_ns)
{
    ruc_metric_observe(ruc_metrics_series(RUC_M_POLICY, policy),
                       (double)(ruc_clock_mono_ns() - began_ns) / 1e9);
}

static void ask_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int push_answer(lua_State *L, void *arg)
{
    ask_t *ask = arg;
    if (ask->timed_out) {
        return ruc_push_err(L, UV_ETIMEDOUT, "it did not answer in time");
    }
    if (ask->outcome != RUC_JOB_OK) {
        const char *text =
            ask->outcome == RUC_JOB_FAILED ? lua_tostring(ask->co, -1) : "it was cancelled";
        return ruc_push_err(L, RUC_ESCRIPT, text);
    }
    lua_pushboolean(L, 1);
    for (int i = 1; i <= ask->n; i++) {
        ruc_value_copy(ask->co, i, L);
    }
    return ask->n + 1;
}

static void ask_over(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    ask_t *ask = arg;
    ask->answered = true;
    ask->outcome = outcome;
    ask->co = co;
    ask->n = n;
    ruc_ask_count_time(ask->name, ask->began_ns);
    if (outcome == RUC_JOB_FAILED) {
        ruc_stop_t stopped = ruc_job_stopped(co);
        ruc_ask_count_error(ask->name, stopped == RUC_STOP_NOT ? "error" : ruc_stop_name(stopped));
    } else if (ask->timed_out) {
        ruc_ask_count_error(ask->name, "timeout");
    }
    ruc_job_wake(ask->ticket, push_answer, ask);
    uv_close((uv_handle_t *)&ask->timer, ask_closed);
}

static void ask_late(uv_timer_t *timer)
{
    ask_t *ask = timer->data;
    ruc_job_t *job = ruc_job_find(ask->job);
    ask->timed_out = true;
    if (job != NULL) {
        ruc_job_cancel(job); /* which answers */
    }
}

/* The asker was cancelled: the answer, which still comes, finds nobody. */
static void ask_cancel(void *arg)
{
    (void)arg;
}

/* In the operator's state: the function and the copied arguments. */
static int push_question(lua_State *L)
{
    ask_t *ask = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ask->ref);
    if (ask->field != NULL) {
        lua_getfield(L, -1, ask->field);
        lua_remove(L, -2);
    }
    for (int i = 0; i < ask->nargs; i++) {
        ruc_value_copy(ask->from, ask->first + i, L);
    }
    return ask->nargs + 1;
}

/* Starts the job whose function and arguments are on vm->L, and waits for it. */
static int start(lua_State *L, ask_t *ask, int nargs, ruc_phase_t phase, double seconds)
{
    ask->began_ns = ruc_clock_mono_ns();
    uv_timer_init(ask->vm->app->loop, &ask->timer);
    ask->timer.data = ask;
    if (seconds > 0) {
        uv_timer_start(&ask->timer, ask_late, (uint64_t)(seconds * 1000), 0);
    }
    /* We are inside a job: the new one runs after this one has yielded. */
    int rc = ruc_job_start(ask->vm, phase, nargs, ask->name, NULL, ask_over, ask, &ask->job);
    if (rc < 0) {
        uv_close((uv_handle_t *)&ask->timer, ask_closed);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, ask_cancel, ask);
}

static ask_t *ask_new(lua_State *L, ruc_generation_t *generation, const char *name, int nargs)
{
    ruc_ticket_t ticket = ruc_job_ticket(L, name);
    ask_t *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        luaL_error(L, "not enough memory");
        return NULL;
    }
    ask->ticket = ticket;
    ask->vm = generation->vm;
    ask->from = L;
    ask->nargs = nargs;
    ask->first = lua_gettop(L) - nargs + 1;
    snprintf(ask->name, sizeof ask->name, "%s", name);
    return ask;
}

int ruc_ask_generation(lua_State *L, ruc_generation_t *generation, ruc_policy_t policy,
                       const char *field, int nargs, ruc_phase_t phase, double seconds)
{
    ruc_why_t why;
    ask_t *ask = ask_new(L, generation, ruc_policy_name(policy), nargs);
    ask->ref = generation->policies[policy];
    ask->field = field;
    /* The field of a policy's table may be a script's own doing (__index). */
    ruc_budget_t budget = field == NULL ? RUC_BUDGET_NONE : RUC_BUDGET_POLICY;
    int rc = ruc_guard_protect(ask->vm, budget, ask->name, push_question, ask, &why);
    if (rc < 0) {
        ruc_ask_count_error(ask->name, "error");
        free(ask);
        return ruc_push_err(L, rc, why.text);
    }
    return start(L, ask, nargs, phase, seconds);
}

int ruc_ask_policy(lua_State *L, ruc_policy_t policy, const char *field, int nargs,
                   ruc_phase_t phase, double seconds)
{
    return ruc_ask_generation(L, ruc_scripts_now(ruc_vm_of(L)->app->scripts), policy, field, nargs,
                              phase, seconds);
}

static int push_template_arguments(lua_State *L)
{
    ask_t *ask = lua_touserdata(L, 1);
    for (int i = 0; i < ask->nargs; i++) {
        ruc_value_copy(ask->from, ask->first + i, L);
    }
    return ask->nargs;
}

int ruc_ask_template(lua_State *L, const char *type, const char *platform, const char *field,
                     int nargs, ruc_phase_t phase, double seconds)
{
    ruc_why_t why;
    ruc_generation_t *generation = ruc_scripts_now(ruc_vm_of(L)->app->scripts);
    ask_t *ask = ask_new(L, generation, "template", nargs);
    if (!ruc_generation_template(generation, type, platform, field)) {
        free(ask);
        lua_pushnil(L);
        lua_pushfstring(L, "there is no template for type '%s' on platform '%s'", type, platform);
        lua_pushliteral(L, "NOTFOUND");
        return 3;
    }
    if (lua_isnil(ask->vm->L, -1)) {
        lua_pop(ask->vm->L, 1);
        free(ask);
        lua_pushboolean(L, 1);
        return 1;
    }
    int rc = ruc_vm_protect(ask->vm, push_template_arguments, ask, &why);
    if (rc < 0) {
        lua_pop(ask->vm->L, 1);
        free(ask);
        return ruc_push_err(L, rc, why.text);
    }
    return start(L, ask, nargs, phase, seconds);
}
