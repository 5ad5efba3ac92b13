/* guard_room.h - what the files of the guard share: guard.c (accounts, scopes, the signal),
 * guard_stop.c (who has used too much, and the stop), guard_memory.c (what a state may hold). */
#ifndef RUC_LUA_GUARD_ROOM_H
#define RUC_LUA_GUARD_ROOM_H

#include <signal.h>

#include "lua/guard.h"
#include "lua/vm.h"

#define RUC__GUARD_COUNT 1000 /* instructions between two looks, once it is armed */

typedef struct ruc__budget {
    uint64_t ns, instructions;
    size_t memory; /* 0, each: no bound */
} ruc__budget_t;

extern struct ruc__guard {
    ruc__budget_t budgets[RUC_BUDGET_NONE + 1];
    ruc_account_t *volatile top;   /* the innermost account of the open scopes */
    lua_State *volatile running;   /* the innermost coroutine, while there is an account */
    unsigned depth;                /* scopes that are open */
    volatile sig_atomic_t armed;   /* hooked: CPU time is charged since `mark` */
    volatile sig_atomic_t ticked;  /* there was a signal since somebody settled */
    volatile sig_atomic_t cut;     /* the signal has set *steps to 0 */
    volatile sig_atomic_t collect; /* the hook is to look what memory is alive */
    volatile uint64_t mark;
    volatile uint64_t *volatile steps; /* of the work in C that counts down; NULL */
    uint64_t steps_given;
    struct ruc_vm *volatile vm; /* of the innermost scope, also without an account */
} ruc__guard;

/* CPU time of this thread. */
uint64_t ruc__guard_cpu_ns(void);

/* FILE:LINE of the innermost line of Lua on L; "" when there is none. Takes no memory and no lock:
 * for the signal handler too. */
void ruc__guard_place(lua_State *L, char *out, size_t size);

/* The hook comes at the next instruction. */
void ruc__guard_arm(void);
void ruc__guard_on_count(lua_State *L, lua_Debug *ar);

/* The outermost account of the open scopes that is stopped; NULL. */
const ruc_account_t *ruc__guard_first_stopped(void);

/* Stops an account for what it has used (of memory: `bytes`), or because its state is full. */
void ruc__guard_stop(ruc_account_t *a, ruc_stop_t what, size_t bytes);
void ruc__guard_stop_full(ruc_account_t *a);

/* Warns at half, stops at the whole. `all`: of time and instructions, every open account. */
void ruc__guard_judge(ruc_account_t *a, ruc_stop_t what, uint64_t used, uint64_t most);
void ruc__guard_judge_all(void);

/* Charges the CPU time since the last time; so many instructions. */
void ruc__guard_settle(void);
void ruc__guard_charge(uint64_t instructions);

/* In the hook, where it is safe to collect: is what is alive too much? */
void ruc__guard_collect(lua_State *L);

/* What scripts may fill of a state: the rest is lent to them until the garbage is collected. */
size_t ruc__guard_soft_cap(const ruc_vm_t *vm);

/* How much the state may hold while this account and those around it are open. */
size_t ruc__guard_limit_of(const ruc_account_t *a);

static inline size_t ruc__guard_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
