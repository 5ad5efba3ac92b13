/* guard.h - what a script may use: budgets of time, instructions and memory, and the stop.
 *
 * Whoever is about to run a script's code opens a scope with an account: a slice of a job
 * (job.c), a call of a policy inside a handler's job (prim_policy.c), the loading of a file
 * (ruc_guard_protect). What is used is charged to the account and to those around it. At half a
 * budget there is a line in the log; at the whole the account is stopped: an error is raised at the
 * next instruction, and again at every instruction after that until the scope is left, so that
 * nothing in between (pcall, coroutines, __close) outlives it.
 *
 * In normal running nothing is hooked or counted. Only when the watchdog (core/watchdog.h) finds a
 * slice that has run for two of its ticks, its signal sets a count hook on the coroutine that runs
 * innermost; from there on the CPU time of this thread and the instructions are charged. What ran
 * before (at most two ticks) is charged by chance: a slice that saw one tick has taken 5 ms, and
 * from then on its job pays for the exact clock. Memory is watched by the allocator (vm.c), which
 * compares with one number.
 *
 * Loop thread only, but for what says otherwise. docs/architecture.md tells why it is so. */
#ifndef RUC_LUA_GUARD_H
#define RUC_LUA_GUARD_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "core/err.h"

struct ruc_vm;

/* Each is a table of the configuration: budgets.<name> = { time =, instructions =, memory = }. */
#define RUC_BUDGETS(XX)                                                                            \
    XX(LOAD, "load")                                                                               \
    XX(HANDLER, "handler")                                                                         \
    XX(POLICY, "policy")                                                                           \
    XX(PROBE, "probe")                                                                             \
    XX(TEMPLATE, "template")                                                                       \
    XX(TIMER, "timer")                                                                             \
    XX(CONSOLE, "console")

typedef enum {
#define XX(name, text) RUC_BUDGET_##name,
    RUC_BUDGETS(XX)
#undef XX
        RUC_BUDGET_NONE /* the system's and a tool's: bounded by the watchdog's stall only */
} ruc_budget_t;

const char *ruc_budget_name(ruc_budget_t kind);

/* What ran out. */
typedef enum {
    RUC_STOP_NOT,
    RUC_STOP_TIME,
    RUC_STOP_INSTRUCTIONS,
    RUC_STOP_MEMORY,
} ruc_stop_t;

/* "time", "instructions", "memory": the key of the configuration and the label in the metrics. */
const char *ruc_stop_name(ruc_stop_t stop);

/* What one piece of work has used. Fill in by ruc_account_init. */
typedef struct ruc_account {
    ruc_budget_t kind;
    const char *what;      /* "GET /v1/engines", "restart": borrowed, for the log */
    struct ruc_vm *vm;     /* whose memory it is */
    uint64_t ns;           /* time of the CPU */
    uint64_t instructions; /* as far as they were counted, and work in C by its measure */
    size_t bytes;          /* net growth in the slices before this one */
    size_t base;           /* vm->used when this slice began */
    size_t first;          /* vm->used when the account was opened */
    ruc_stop_t stopped;
    unsigned warned;           /* a bit for each ruc_stop_t */
    char why[160];             /* of a stopped one: what the error says */
    struct ruc_account *outer; /* while a scope is open */
} ruc_account_t;

void ruc_account_init(ruc_account_t *account, ruc_budget_t kind, const char *what,
                      struct ruc_vm *vm);

/* A piece of time in which a script may run. On the C stack of whoever opens it. */
typedef struct ruc_scope {
    struct ruc_vm *vm;
    lua_State *L;
    ruc_account_t *account, *outer;
    lua_State *running;
    size_t limit;
    uint64_t ticks, cpu_ns;
} ruc_scope_t;

/* Opens a scope for code on `L`. `account` NULL: without a budget, seen by the stall watchdog only.
 * Scopes nest; each is left in reverse, whatever the code did. */
void ruc_guard_enter(ruc_scope_t *scope, struct ruc_vm *vm, lua_State *L, ruc_account_t *account);
void ruc_guard_leave(ruc_scope_t *scope);

/* As ruc_vm_protect, in a scope of its own: for C that may run a script's code. A stop is a failure
 * like any other. */
int ruc_guard_protect(struct ruc_vm *vm, ruc_budget_t kind, const char *what, lua_CFunction fn,
                      void *arg, ruc_why_t *why);

/* The same on an account of the caller's, which tells afterwards what was used and whether it was
 * stopped. */
int ruc_guard_run(struct ruc_vm *vm, ruc_account_t *account, lua_CFunction fn, void *arg,
                  ruc_why_t *why);

/* May more of the kind be run without a turn of the loop, after `last` and what `*ns` says came
 * before it? Adds to `*ns`. No: when `last` was stopped for its time or its instructions, or all
 * took twice the budget of one. */
bool ruc_guard_go_on(const ruc_account_t *last, uint64_t *ns);

/* For whoever resumes: `co` runs from now on; gives the one that ran before, to be put back. */
lua_State *ruc_guard_switch(lua_State *co);
void ruc_guard_back(lua_State *before);

/* RAISES when an account that is open has been stopped. For C that called a script's code and would
 * go on. */
void ruc_guard_check(lua_State *L);

bool ruc_guard_is_stopped(void);

/* As ruc_guard_check for C that holds something and must not raise: true when it is to give up, let
 * go of that and call ruc_guard_check. For loops in C that a script's data makes long. */
bool ruc_guard_over(void);

/* Charges work in C that cannot be interrupted, before it is done: `n` steps of some nanoseconds
 * each. RAISES, and stops the account, when they are not to be had. */
void ruc_guard_spend(lua_State *L, uint64_t n);

/* The same for work that counts down while it is done (core/pattern.h): sets `steps` to what there
 * is and lets the clock set it to 0. After the work ruc_guard_steps_end charges what was used;
 * `out`: the work ended for want of steps. It RAISES as ruc_guard_spend. Nothing that may raise in
 * between. */
void ruc_guard_steps_begin(uint64_t *steps);
void ruc_guard_steps_end(lua_State *L, const uint64_t *steps, bool out);

/* The allocator is asked to make a block of `old` bytes one of `size`, and vm->limit is in the way.
 * True: vm->limit was raised. */
bool ruc_guard_more(struct ruc_vm *vm, size_t old, size_t size);

/* How much memory is left for what runs now on that state. */
size_t ruc_guard_room(const struct ruc_vm *vm);

/* Starts the watchdog: until then nothing has a budget but memory. 0 or a negative code. */
int ruc_guard_open(uv_loop_t *loop, void (*stalled)(bool on_loop));

/* Reads the budgets and limits.stall. */
void ruc_guard_configure(const ruc_config_t *config);
void ruc_guard_close(void);

/* Who runs now, for the stall's report: any thread, also in a signal handler; texts may change
 * under the reader. `where` (on the loop's thread only): FILE:LINE of the innermost line of Lua, in
 * `place`. */
typedef struct ruc_guard_who {
    const char *what, *kind; /* "" when nobody runs */
    uint64_t generation;     /* of an operator's state; else 0 */
    uint64_t digest;         /* of that generation's files; else 0 */
    char place[256];
} ruc_guard_who_t;

void ruc_guard_who(ruc_guard_who_t *who, bool where);

#endif
