/* vm.h - a lua_State with a cap on its memory and a list of the jobs that live in it.
 *
 * There are four kinds: the system's (reconcile, no operator's code), one for each generation of
 * operator's scripts, one for each console, and a tool's (`rucat run`, the command line client).
 * Nothing but copies crosses between states. A state that is retired closes itself when its last
 * job has ended. */
#ifndef RUC_LUA_VM_H
#define RUC_LUA_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "lua/app.h"
#include "lua/slab.h"

typedef enum { RUC_VM_SYSTEM, RUC_VM_OPERATOR, RUC_VM_TOOL, RUC_VM_CONSOLE } ruc_vm_kind_t;

struct ruc_job;
struct ruc_account;

typedef struct ruc_vm {
    lua_State *L; /* the main thread: a scratch stack, never resumed */
    ruc_vm_kind_t kind;
    ruc_app_t *app;
    size_t used, cap; /* bytes */
    size_t limit;     /* what it may hold now: the cap, or less by a budget (guard.h) */
    size_t refused;   /* the last growth that was refused; Lua asks once more */
    /* Told when what scripts keep has filled the cap, from inside the allocator; may be NULL. */
    void (*filled)(struct ruc_vm *vm);
    /* Told when a script was stopped; the same rules. */
    void (*stopped)(struct ruc_vm *vm);
    bool hoarded;            /* a script was stopped in it, and may have kept much (guard.c) */
    ruc_slab_t slab;         /* where its small objects are */
    struct ruc_job *current; /* the job that is running; NULL */
    struct ruc_job *ending;  /* the job whose `done` is being called; NULL */
    struct ruc_job *jobs;    /* all of them */
    unsigned job_count;
    bool stands;            /* a console's: what runs outside a job (completion) may look */
    struct ruc_pace *paces; /* what has to wait because it has taken long (pace.h) */
    struct ruc_job *idle;   /* ended jobs whose coroutines wait for work */
    unsigned idle_count;
    struct ruc_account *closer; /* while it closes: what all its jobs may use together to do so */
    bool retired;               /* closes when job_count is 0 */
    bool closing;               /* its finalizers run: nothing may be begun */
    void (*closed)(void *arg);  /* told when it is gone; may be NULL */
    void *arg;
    struct ruc_timer *timers; /* of rucat.timer; cancelled at the end */
    uint64_t generation;      /* of an operator's state */
    uint64_t digest;          /* of its files */
} ruc_vm_t;

/* Makes a state with the libraries and primitives of its kind. `cap` in bytes, 0 none. NULL and
 * `why` when memory is out. */
ruc_vm_t *ruc_vm_new(ruc_app_t *app, ruc_vm_kind_t kind, size_t cap, ruc_why_t *why);

/* Ends it when its last job ends: at once when there is none. Its timers stop now. */
void ruc_vm_retire(ruc_vm_t *vm);

/* Cancels all its jobs and closes it now. Not from inside one of its jobs. */
void ruc_vm_close(ruc_vm_t *vm);

/* The state that `L` belongs to. */
ruc_vm_t *ruc_vm_of(lua_State *L);

/* Marks a coroutine as a job's, which no script may resume or close (it can get hold of one by
 * coroutine.running); and asks for the mark. */
void ruc_vm_mark_own(lua_State *co);
bool ruc_vm_is_own(lua_State *co);

/* The block of the userdata at `index` when its metatable is the one that the registry has under
 * that address, else NULL: luaL_testudata without the look-up by name. Does not raise. */
void *ruc_vm_box(lua_State *L, int index, const void *key);

/* Calls `fn` protected on the main thread with `arg` as a light userdata; what it leaves stays on
 * vm->L. 0, or RUC_ESCRIPT with the message in `why` and nothing on the stack. For C that runs no
 * script's code (raw access only): ruc_guard_protect is for the rest. */
int ruc_vm_protect(ruc_vm_t *vm, lua_CFunction fn, void *arg, ruc_why_t *why);

/* Compiles text (never bytecode) and leaves the function on L. `name` as Lua wants it ("@file").
 * 0 or RUC_ESCRIPT with "FILE:LINE: what". Does not raise. */
int ruc_vm_compile(lua_State *L, const char *text, size_t len, const char *name, ruc_why_t *why);

#endif
