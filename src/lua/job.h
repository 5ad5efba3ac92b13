/* job.h - one job is one coroutine is one unit of work: a request, a policy's call, a script.
 *
 * job.c is the one place that resumes Lua. A primitive that waits takes a ticket, starts its work,
 * and yields by ruc_job_wait; whoever completes the work wakes the job by the ticket. A ticket
 * whose wait is over (the job was cancelled, or woken before) does nothing. Loop thread only. */
#ifndef RUC_LUA_JOB_H
#define RUC_LUA_JOB_H

#include <lua.h>
#include <stdint.h>

#include "lua/guard.h"
#include "lua/vm.h"

/* What a script is while it runs; primitives say in which of them they work. */
typedef enum {
    RUC_PHASE_LOAD = 1,      /* a file is being run for its value */
    RUC_PHASE_HANDLER = 2,   /* may wait */
    RUC_PHASE_POLICY = 4,    /* may not wait */
    RUC_PHASE_PROBE = 8,     /* the health policy: may wait */
    RUC_PHASE_TEMPLATE = 16, /* pure, may not wait */
    RUC_PHASE_TIMER = 32,    /* a callback of rucat.timer: may wait */
    RUC_PHASE_SYSTEM = 64,   /* reconcile */
    RUC_PHASE_TOOL = 128,    /* rucat run, the command line client */
    RUC_PHASE_CONSOLE = 256, /* a line of a console: may wait */
} ruc_phase_t;

#define RUC_PHASE_WAITS                                                                            \
    (RUC_PHASE_HANDLER | RUC_PHASE_PROBE | RUC_PHASE_TIMER | RUC_PHASE_SYSTEM | RUC_PHASE_TOOL |   \
     RUC_PHASE_CONSOLE)
#define RUC_PHASE_ANY 511
#define RUC_PHASE_RUNS (RUC_PHASE_ANY & ~RUC_PHASE_LOAD) /* the server stands whole */

/* How a job ended. */
typedef enum {
    RUC_JOB_OK,       /* its results are on the coroutine's stack */
    RUC_JOB_FAILED,   /* its error is on top of that stack: a text, but for want of memory */
    RUC_JOB_CANCELLED /* nothing is there */
} ruc_outcome_t;

typedef struct ruc_job ruc_job_t;

/* Called once, when the job has ended; `n` values from the bottom of `co`'s stack are its results.
 * The job and `co` are gone afterwards. */
typedef void (*ruc_job_done)(void *arg, ruc_outcome_t outcome, lua_State *co, int n);

/* A job's wait, by value; never a pointer. */
typedef struct ruc_ticket {
    uint64_t job;
    uint32_t wait;
} ruc_ticket_t;

/* In `done`: which budget of that job was used up, if it ended for that. */
ruc_stop_t ruc_job_stopped(lua_State *co);

/* In `done`: the CPU time it took, in nanoseconds, as far as it was seen (guard.h). */
uint64_t ruc_job_took(lua_State *co);

/* The one place that resumes a coroutine: a job's, or (by corolib.c) a script's own. As lua_resume;
 * keeps account of what runs innermost. */
int ruc__job_run(lua_State *co, lua_State *from, int nargs, int *nresults);

/* Starts a job: the function and its `nargs` arguments are on top of vm->L and are taken off it.
 * `what` names it in the log (copied, cut). It runs at once unless another job is running, then
 * after it. `request` is the request id its log lines carry, or NULL (copied). `id` (may be NULL)
 * is set before it runs. 0, or UV_ENOMEM, or RUC_EFULL (the bound on jobs): `done` is then not
 * called. */
int ruc_job_start(ruc_vm_t *vm, ruc_phase_t phase, int nargs, const char *what, const char *request,
                  ruc_job_done done, void *arg, uint64_t *id);

/* The newest job of that state with that `arg`, just after it was started; NULL when it has ended.
 */
ruc_job_t *ruc_job_newest(ruc_vm_t *vm, const void *arg);

/* Ends a job that waits or has not begun; `done` is called with RUC_JOB_CANCELLED. */
void ruc_job_cancel(ruc_job_t *job);

/* The job that runs on L; NULL at load time and on the main thread. */
ruc_job_t *ruc_job_of(lua_State *L);
const char *ruc_job_what(const ruc_job_t *job);
uint64_t ruc_job_id(ruc_job_t *job);

/* The job of that id if there still is one. */
ruc_job_t *ruc_job_find(uint64_t id);

/* The phase that L is in; and sets another, giving the one before. */
ruc_phase_t ruc_job_phase(lua_State *L);
ruc_phase_t ruc_job_set_phase(lua_State *L, ruc_phase_t phase);

/* RAISES unless the phase is one of `mask`; the message names the primitive and the phase. */
void ruc_job_need(lua_State *L, int mask, const char *primitive);

/* A ticket for the wait that follows. RAISES when waiting is not possible here: a phase that may
 * not wait, or a coroutine of the script's own. */
ruc_ticket_t ruc_job_ticket(lua_State *L, const char *primitive);

/* YIELDS until the ticket is woken; `return` it. `cancel(arg)` (may be NULL) is called if the job
 * is cancelled first: it must see to it that the work's end does no harm. What the waker pushes is
 * what the primitive returns. */
int ruc_job_wait(lua_State *L, void (*cancel)(void *arg), void *arg);

/* Wakes the job of that ticket. `push(L, arg)` puts the primitive's results on a stack of that
 * job's state and says how many; when it raises, they are nil, the message and "SCRIPT" instead.
 * False when nobody waits by this ticket any more. */
bool ruc_job_wake(ruc_ticket_t ticket, int (*push)(lua_State *L, void *arg), void *arg);

/* Pushes nil, message, name of code: the way every primitive tells of the world's failures.
 * `why` may be NULL or empty: the code's own text. Returns 3. RAISES on memory only. */
int ruc_push_err(lua_State *L, int code, const char *why);

/* Frees the pool of a state that closes; its coroutines go with it. For vm.c. */
void ruc__job_drop_idle(ruc_vm_t *vm);

/* How many jobs there are in all states. */
unsigned ruc_job_total(void);

/* What is told of a job. The texts are the job's: valid until it ends. */
typedef struct ruc_job_info {
    uint64_t id;
    const char *what, *request; /* `request` may be "" */
    const char *where;          /* "in a handler" */
    bool waiting;
} ruc_job_info_t;

/* Fills `out` with up to `most` jobs in the order of their ids; returns how many. */
size_t ruc_job_list(ruc_job_info_t *out, size_t most);

/* At the end, when there are no jobs any more. */
void ruc_job_close(void);

/* Sets the most jobs there may be at once. */
void ruc_job_bound(unsigned most);

#endif
