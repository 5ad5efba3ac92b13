/* job.c - see job.h. The only file that calls lua_resume. */
#include "lua/job.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "core/check.h"
#include "core/log.h"
#include "lua/pace.h"

#define POOL_MAX 64

struct ruc_job {
    uint64_t id;
    ruc_vm_t *vm;
    lua_State *co;
    int co_ref;
    ruc_phase_t phase;
    uint32_t waits; /* how many waits there were; the last one's number */
    bool waiting;
    bool queued;     /* in the run queue, or in all.slow */
    bool slow;       /* in all.slow */
    const void *kin; /* the name it was started with, as an address: its like has the same */
    bool known;      /* in by_id */
    bool told;       /* its error is in the log, with where it came from */
    int nargs;       /* what it is to be resumed with, on co */
    ruc_account_t account;
    void (*cancel)(void *arg);
    void *cancel_arg;
    ruc_job_done done;
    void *arg;
    char what[96];
    char request[68];
    struct ruc_job *prev, *next;             /* of its state, or of its pool */
    struct ruc_job *queue_prev, *queue_next; /* of the run queue, or of all.slow */
    UT_hash_handle hh;
};

#define GAP_TURNS 4      /* of the loop after a long slice: somebody comes, is read, is answered */
#define TURN_NS 3000000u /* the longest of these */
#define GOOD_SIZE 256u

static struct {
    ruc_job_t *by_id;
    ruc_job_t *queue;
    ruc_job_t *slow;             /* jobs whose like has taken long lately: see run_slow */
    uv_check_t check;            /* runs those, after the loop has polled */
    uv_timer_t wake;             /* so that it polls in time */
    uv_loop_t *loop;             /* that these are on; NULL: they are closed */
    unsigned gap;                /* turns of the loop before a slow job may run */
    bool tired;                  /* a slice was long in this turn of the loop */
    const void *good[GOOD_SIZE]; /* kin of jobs whose last slice was short, by a hash */
    uint64_t last_id;
    unsigned depth; /* resumes on the C stack */
    unsigned total, most;
} all = {.most = 10000};

static const char *phase_name(ruc_phase_t phase)
{
    switch (phase) {
    case RUC_PHASE_LOAD:
        return "while a file is loaded";
    case RUC_PHASE_HANDLER:
        return "in a handler";
    case RUC_PHASE_POLICY:
        return "in a policy that may not wait";
    case RUC_PHASE_PROBE:
        return "in the health policy";
    case RUC_PHASE_TEMPLATE:
        return "in a template";
    case RUC_PHASE_TIMER:
        return "in a timer's function";
    case RUC_PHASE_SYSTEM:
        return "in the system";
    case RUC_PHASE_CONSOLE:
        return "in a console";
    default:
        return "in a tool";
    }
}

static ruc_budget_t budget_of(ruc_phase_t phase)
{
    switch (phase) {
    case RUC_PHASE_HANDLER:
        return RUC_BUDGET_HANDLER;
    case RUC_PHASE_POLICY:
        return RUC_BUDGET_POLICY;
    case RUC_PHASE_PROBE:
        return RUC_BUDGET_PROBE;
    case RUC_PHASE_TEMPLATE:
        return RUC_BUDGET_TEMPLATE;
    case RUC_PHASE_TIMER:
        return RUC_BUDGET_TIMER;
    case RUC_PHASE_CONSOLE:
        return RUC_BUDGET_CONSOLE;
    default:
        return RUC_BUDGET_NONE;
    }
}

/* ---- the pool: a job that has ended waits, with its coroutine, for the next ---- */

/* Makes a coroutine, anchored in the registry. Runs protected. */
static int make_coroutine(lua_State *L)
{
    ruc_job_t *job = lua_touserdata(L, 1);
    job->co = lua_newthread(L);
    ruc_vm_mark_own(job->co);
    job->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* A job with an empty coroutine; NULL when memory is out. */
static ruc_job_t *take_job(ruc_vm_t *vm)
{
    ruc_why_t why;
    ruc_job_t *job = vm->idle;
    if (job != NULL) {
        LL_DELETE(vm->idle, job);
        vm->idle_count--;
        return job;
    }
    job = calloc(1, sizeof *job);
    if (job == NULL) {
        return NULL;
    }
    job->vm = vm;
    if (ruc_vm_protect(vm, make_coroutine, job, &why) < 0) {
        free(job);
        return NULL;
    }
    return job;
}

/* Puts an ended job back, or lets it go. Its coroutine's stack is empty. */
static void give_job(ruc_job_t *job)
{
    ruc_vm_t *vm = job->vm;
    if (vm->idle_count < POOL_MAX && lua_status(job->co) == LUA_OK) {
        LL_PREPEND(vm->idle, job);
        vm->idle_count++;
        return;
    }
    luaL_unref(vm->L, LUA_REGISTRYINDEX, job->co_ref); /* takes no memory: raises nothing */
    free(job);
}

void ruc__job_drop_idle(ruc_vm_t *vm)
{
    ruc_job_t *job, *next;
    LL_FOREACH_SAFE(vm->idle, job, next)
    {
        free(job); /* the coroutine goes with the state */
    }
    vm->idle = NULL;
    vm->idle_count = 0;
    ruc__pace_drop(vm);
}

/* Most jobs never wait and nobody ever looks for them: one is in the hash when its id is given. */
static void publish(ruc_job_t *job)
{
    if (!job->known) {
        job->known = true;
        HASH_ADD(hh, all.by_id, id, sizeof job->id, job);
    }
}

/* ---- ends ---- */

static void job_free(ruc_job_t *job)
{
    ruc_vm_t *vm = job->vm;
    if (job->known) {
        HASH_DEL(all.by_id, job);
    }
    DL_DELETE(vm->jobs, job);
    if (job->slow) {
        DL_DELETE2(all.slow, job, queue_prev, queue_next);
    } else if (job->queued) {
        DL_DELETE2(all.queue, job, queue_prev, queue_next);
    }
    lua_settop(job->co, 0);
    give_job(job);
    all.total--;
    vm->job_count--;
    if (vm->retired && vm->job_count == 0) {
        /* The job goes with it, and the request that log lines would name. */
        const char *context = ruc_log_context(NULL);
        ruc_vm_close(vm);
        ruc_log_context(context);
    }
}

typedef struct failing {
    lua_State *co;
    const char *text;
} failing_t;

/* Runs protected on the main thread: what is raised on the coroutine is caught there too. */
static int replace_text(lua_State *L)
{
    failing_t *failing = lua_touserdata(L, 1);
    lua_pop(failing->co, 1);
    lua_pushstring(failing->co, failing->text);
    return 0;
}

/* The message handler of all jobs: an error object becomes a text, and the log has that text with
 * where it came from. */
static int with_traceback(lua_State *L)
{
    ruc_job_t *job = ruc_job_of(L);
    if (lua_type(L, 1) != LUA_TSTRING) {
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    lua_settop(L, 1);
    if (job == NULL) { /* it was cancelled, and what it has to close fails */
        return 1;
    }
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s failed: %s", job->what, lua_tostring(L, 2));
    job->told = true;
    lua_settop(L, 1);
    return 1;
}

static int body_over(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) {
        return lua_gettop(L) - 1;
    }
    return lua_error(L);
}

/* body(function, argument...): what a job's coroutine runs. The function is called protected, as an
 * error that a hook raises switches hooks off for the coroutine that it ends: they must come on
 * again before what is to be closed is closed, and for the job that has the coroutine next. */
static int body(lua_State *L)
{
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, 1);
    return body_over(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_over), 0);
}

/* What is on top becomes a text, and is told. `text`: of a failure that is not the script's own. */
static void fail(ruc_job_t *job, const char *text)
{
    lua_State *co = job->co;
    if (text == NULL && lua_type(co, -1) != LUA_TSTRING) {
        text = "(no text)";
    }
    if (text != NULL) {
        ruc_why_t why;
        failing_t failing = {co, text};
        if (ruc_vm_protect(job->vm, replace_text, &failing, &why) < 0) {
            lua_settop(co, 0);
            lua_pushnil(co);
        }
    }
    if (!job->told) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s failed: %s", job->what,
                text != NULL ? text : lua_tostring(co, -1));
    }
}

/* The account that a slice of the job is charged to. */
static ruc_account_t *account_of(ruc_job_t *job)
{
    return job->account.kind == RUC_BUDGET_NONE ? NULL : &job->account;
}

/* Runs what the dead or suspended coroutine has to close; what is raised has nowhere to go. Cutting
 * the stack first (lua_settop) would run it unprotected. */
static void close_pending(ruc_job_t *job)
{
    ruc_scope_t scope;
    ruc_account_t *account = account_of(job);
    if (account != NULL && job->vm->closer != NULL) {
        account = job->vm->closer;
    }
    ruc_guard_enter(&scope, job->vm, job->co, account);
    lua_resetthread(job->co);
    ruc_guard_leave(&scope);
}

/* `text`: of a failure that is not the script's own, then the top of the stack is anything. */
static void finish(ruc_job_t *job, ruc_outcome_t outcome, int n, const char *text)
{
    if (outcome == RUC_JOB_FAILED) {
        fail(job, text);
    }
    job->vm->ending = job;
    job->done(job->arg, outcome, job->co, n);
    job->vm->ending = NULL;
    if (outcome != RUC_JOB_OK) {
        close_pending(job);
    }
    lua_settop(job->co, 0);
    job_free(job);
}

ruc_stop_t ruc_job_stopped(lua_State *co)
{
    const ruc_job_t *job = ruc_vm_of(co)->ending;
    return job == NULL ? RUC_STOP_NOT : job->account.stopped;
}

uint64_t ruc_job_took(lua_State *co)
{
    const ruc_job_t *job = ruc_vm_of(co)->ending;
    return job == NULL ? 0 : job->account.ns;
}

int ruc__job_run(lua_State *co, lua_State *from, int nargs, int *nresults)
{
    lua_State *before = ruc_guard_switch(co);
    int rc = lua_resume(co, from, nargs, nresults);
    ruc_guard_back(before);
    return rc;
}

static const void **good_place(const void *kin)
{
    return &all.good[((uintptr_t)kin >> 4) % GOOD_SIZE];
}

static void run_slow(uv_check_t *check);

static void on_wake(uv_timer_t *timer)
{
    (void)timer; /* the loop polls, then run_slow is called */
}

/* After the next poll, and in `ns` at the latest, the slow ones are looked at. */
static void look_later(uv_loop_t *loop, uint64_t ns)
{
    if (all.loop == NULL) {
        all.loop = loop;
        uv_check_init(loop, &all.check);
        uv_timer_init(loop, &all.wake);
    }
    uv_update_time(loop); /* which a long slice has left behind */
    uv_check_start(&all.check, run_slow);
    uv_timer_start(&all.wake, on_wake, ns / 1000000 + 1, 0);
}

/* A slice is over that has taken so much CPU time, as far as that was seen. */
static void note_slice(ruc_job_t *job, uint64_t ns)
{
    const void **good = good_place(job->kin);
    if (ns < RUC_PACE_LONG_NS) {
        *good = job->kin;
        return;
    }
    *good = NULL;
    all.tired = true;
    all.gap = GAP_TURNS;
    ruc__pace_note(job->vm, job->what, ns);
    look_later(job->vm->app->loop, TURN_NS);
}

/* Is it not its turn yet? Those whose like has taken long lately have turns of their own; where
 * something has taken long in this very turn of the loop, so have those of whom nothing is known.
 */
static bool goes_behind(const ruc_job_t *job)
{
    return (all.tired && *good_place(job->kin) != job->kin) ||
           (job->vm->paces != NULL && ruc__pace_is_slow(job->vm, job->what));
}

static void put_behind(ruc_job_t *job)
{
    job->slow = true;
    DL_APPEND2(all.slow, job, queue_prev, queue_next);
    look_later(job->vm->app->loop, 0);
}

static void resume(ruc_job_t *job)
{
    ruc_vm_t *vm = job->vm;
    ruc_job_t *outer = vm->current;
    const char *context = ruc_log_context(job->request[0] ? job->request : NULL);
    ruc_scope_t scope;
    uint64_t before = job->account.ns;
    int n = 0;
    vm->current = job;
    all.depth++;
    ruc_guard_enter(&scope, vm, job->co, account_of(job));
    int rc = ruc__job_run(job->co, NULL, job->nargs, &n);
    ruc_guard_leave(&scope);
    all.depth--;
    vm->current = outer;
    note_slice(job, job->account.ns - before);
    if (rc == LUA_YIELD && !job->waiting) {
        lua_settop(job->co, 0);
        lua_pushnil(job->co);
        finish(job, RUC_JOB_FAILED, 0, "attempt to yield outside a coroutine of the script's own");
    } else if (rc != LUA_YIELD) {
        finish(job, rc == LUA_OK ? RUC_JOB_OK : RUC_JOB_FAILED, n, NULL);
    }
    ruc_log_context(context);
}

static void drain(void);

/* Runs the slow job whose like has not run for longest, if its time has come; one in a turn of the
 * loop. Those of whom nothing is known come first. */
static void run_slow(uv_check_t *check)
{
    ruc_job_t *job, *first = NULL;
    uint64_t now = uv_hrtime(), soonest = UINT64_MAX;
    all.tired = false;
    DL_FOREACH2(all.slow, job, queue_next)
    {
        uint64_t until = ruc__pace_until(job->vm, job->what);
        if (until < soonest) {
            soonest = until;
            first = job;
        }
    }
    all.gap -= all.gap > 0;
    if (all.gap > 0) {
        soonest = now + TURN_NS;
    } else if (first != NULL && soonest <= now) {
        DL_DELETE2(all.slow, first, queue_prev, queue_next);
        first->slow = first->queued = false;
        resume(first);
        drain();
        soonest = now;
    }
    if (all.slow != NULL) {
        look_later(check->loop, soonest > now ? soonest - now : 0);
    } else if (all.gap == 0) {
        uv_check_stop(check);
        uv_timer_stop(&all.wake);
    }
}

static void drain(void)
{
    while (all.depth == 0 && all.queue != NULL) {
        ruc_job_t *job = all.queue;
        DL_DELETE2(all.queue, job, queue_prev, queue_next);
        if (goes_behind(job)) {
            put_behind(job);
            continue;
        }
        job->queued = false;
        resume(job);
    }
}

static void enqueue(ruc_job_t *job, int nargs)
{
    job->nargs = nargs;
    job->queued = true;
    DL_APPEND2(all.queue, job, queue_prev, queue_next);
    drain();
}

void ruc_job_close(void)
{
    if (all.loop != NULL) {
        uv_close((uv_handle_t *)&all.check, NULL);
        uv_close((uv_handle_t *)&all.wake, NULL);
        all.loop = NULL;
    }
}

/* ---- the interface ---- */

/* Copies a text, cut where it must be. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = text == NULL ? 0 : strnlen(text, size - 1);
    if (len > 0) {
        memcpy(out, text, len);
    }
    out[len] = '\0';
}

int ruc_job_start(ruc_vm_t *vm, ruc_phase_t phase, int nargs, const char *what, const char *request,
                  ruc_job_done done, void *arg, uint64_t *id)
{
    if (all.total >= all.most) {
        lua_pop(vm->L, nargs + 1);
        return RUC_EFULL;
    }
    ruc_job_t *job = take_job(vm);
    if (job == NULL || !lua_checkstack(job->co, nargs + 8)) {
        if (job != NULL) {
            give_job(job);
        }
        lua_pop(vm->L, nargs + 1);
        return UV_ENOMEM;
    }
    lua_pushcfunction(job->co, body);
    lua_xmove(vm->L, job->co, nargs + 1);
    job->id = ++all.last_id;
    job->phase = phase;
    job->told = false;
    job->waits = 0;
    job->waiting = job->queued = job->slow = job->known = false;
    job->kin = what;
    job->cancel = NULL;
    job->done = done;
    job->arg = arg;
    copy_text(job->what, sizeof job->what, what);
    copy_text(job->request, sizeof job->request, request);
    ruc_account_init(&job->account, budget_of(phase), job->what, vm);
    DL_APPEND(vm->jobs, job);
    vm->job_count++;
    all.total++;
    if (id != NULL) {
        publish(job);
        *id = job->id;
    }
    enqueue(job, nargs + 1);
    return 0;
}

ruc_job_t *ruc_job_newest(ruc_vm_t *vm, const void *arg)
{
    ruc_job_t *job = vm->jobs == NULL ? NULL : vm->jobs->prev; /* the tail */
    while (job != NULL && job->arg != arg) {
        job = job == vm->jobs ? NULL : job->prev;
    }
    return job;
}

void ruc_job_cancel(ruc_job_t *job)
{
    RUC_MUST(job->waiting || job->queued);
    if (job->waiting) {
        job->waiting = false;
        if (job->cancel != NULL) {
            job->cancel(job->cancel_arg);
        }
    }
    finish(job, RUC_JOB_CANCELLED, 0, NULL);
}

ruc_job_t *ruc_job_find(uint64_t id)
{
    ruc_job_t *job = NULL;
    HASH_FIND(hh, all.by_id, &id, sizeof id, job);
    return job;
}

ruc_job_t *ruc_job_of(lua_State *L)
{
    return ruc_vm_of(L)->current;
}

const char *ruc_job_what(const ruc_job_t *job)
{
    return job->what;
}

uint64_t ruc_job_id(ruc_job_t *job)
{
    publish(job);
    return job->id;
}

unsigned ruc_job_total(void)
{
    return all.total;
}

/* The table keeps the order in which jobs were made, which is that of their ids. */
size_t ruc_job_list(ruc_job_info_t *out, size_t most)
{
    size_t n = 0;
    for (ruc_job_t *job = all.by_id; job != NULL && n < most; job = job->hh.next) {
        out[n++] = (ruc_job_info_t){.id = job->id,
                                    .what = job->what,
                                    .request = job->request,
                                    .where = phase_name(job->phase),
                                    .waiting = job->waiting};
    }
    return n;
}

void ruc_job_bound(unsigned most)
{
    all.most = most;
}

ruc_phase_t ruc_job_phase(lua_State *L)
{
    ruc_job_t *job = ruc_job_of(L);
    if (job != NULL) {
        return job->phase;
    }
    return ruc_vm_of(L)->stands ? RUC_PHASE_CONSOLE : RUC_PHASE_LOAD;
}

ruc_phase_t ruc_job_set_phase(lua_State *L, ruc_phase_t phase)
{
    ruc_job_t *job = ruc_job_of(L);
    ruc_phase_t before = ruc_job_phase(L);
    if (job != NULL) {
        job->phase = phase;
    }
    return before;
}

void ruc_job_need(lua_State *L, int mask, const char *primitive)
{
    ruc_phase_t phase = ruc_job_phase(L);
    if ((phase & mask) == 0) {
        luaL_error(L, "%s cannot be used %s", primitive, phase_name(phase));
    }
}

ruc_ticket_t ruc_job_ticket(lua_State *L, const char *primitive)
{
    ruc_job_t *job = ruc_job_of(L);
    ruc_job_need(L, RUC_PHASE_WAITS, primitive);
    if (job == NULL || job->co != L) {
        luaL_error(L, "%s waits, which a coroutine of the script's own cannot do", primitive);
    }
    publish(job);
    return (ruc_ticket_t){.job = job->id, .wait = job->waits + 1};
}

int ruc_job_wait(lua_State *L, void (*cancel)(void *arg), void *arg)
{
    ruc_job_t *job = ruc_job_of(L);
    RUC_MUST(job != NULL && job->co == L && !job->waiting);
    if (!lua_isyieldable(L)) {
        if (cancel != NULL) {
            cancel(arg);
        }
        job->waits++;
        return luaL_error(L, "waiting is not possible inside a sort comparator, a gsub callback or "
                             "a metamethod called from C");
    }
    job->waits++;
    job->waiting = true;
    job->cancel = cancel;
    job->cancel_arg = arg;
    return lua_yield(L, 0);
}

typedef struct pushing {
    int (*push)(lua_State *L, void *arg);
    void *arg;
} pushing_t;

static int push_results(lua_State *L)
{
    pushing_t *pushing = lua_touserdata(L, 1);
    lua_settop(L, 0);
    return pushing->push(L, pushing->arg);
}

static int push_failure(lua_State *L)
{
    const char *text = lua_touserdata(L, 1);
    lua_settop(L, 0);
    return ruc_push_err(L, RUC_ESCRIPT, text);
}

bool ruc_job_wake(ruc_ticket_t ticket, int (*push)(lua_State *L, void *arg), void *arg)
{
    ruc_job_t *job = ruc_job_find(ticket.job);
    if (job == NULL || !job->waiting || job->waits != ticket.wait) {
        ruc_log(RUC_LOG_LUA, RUC_DEBUG, "a wake-up came late for job %llu",
                (unsigned long long)ticket.job);
        return false;
    }
    ruc_why_t why, again;
    ruc_vm_t *vm = job->vm;
    pushing_t pushing = {push, arg};
    int top = lua_gettop(vm->L);
    int rc = ruc_vm_protect(vm, push_results, &pushing, &why);
    if (rc < 0) { /* what came cannot be handed over: that is a failure like any other */
        rc = ruc_vm_protect(vm, push_failure, why.text, &again);
    }
    int n = lua_gettop(vm->L) - top;
    job->waiting = false;
    if (rc < 0 || !lua_checkstack(job->co, n + 8)) {
        lua_settop(vm->L, top);
        lua_settop(job->co, 0);
        lua_pushnil(job->co);
        finish(job, RUC_JOB_FAILED, 0, rc < 0 ? why.text : "stack overflow");
        return true;
    }
    lua_xmove(vm->L, job->co, n);
    enqueue(job, n);
    return true;
}

int ruc_push_err(lua_State *L, int code, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why == NULL || why[0] == '\0' ? ruc_err_text(code) : why);
    lua_pushstring(L, ruc_err_name(code));
    return 3;
}
