/* guard_memory.c - what a state may hold: asked by the allocator (vm.c) where a state wants more
 * than was agreed last. */
#include "lua/guard_room.h"

#define SLACK                                                                                      \
    (128u * 1024) /* bytes: for the error that ends what has used up its memory, and for           \
                     small work in a state that is full */

/* What scripts may fill of a state: the rest is lent to them until the garbage is collected. */
size_t ruc__guard_soft_cap(const ruc_vm_t *vm)
{
    return vm->cap - vm->cap / 8;
}

/* How much the state may hold while this account and those around it are open. */
size_t ruc__guard_limit_of(const ruc_account_t *a)
{
    size_t memory = ruc__guard.budgets[a->kind].memory;
    return memory == 0 ? SIZE_MAX : a->base + (memory > a->bytes ? memory - a->bytes : 0);
}

/* How much the account is over its budget of memory, now that no garbage is left: what is alive of
 * what it was charged for. What was garbage it gets back. */
static bool over_memory(ruc_account_t *a, size_t need)
{
    const ruc_vm_t *vm = a->vm;
    size_t memory = ruc__guard.budgets[a->kind].memory;
    if (memory == 0 || vm->used + need <= ruc__guard_limit_of(a)) {
        return false;
    }
    size_t alive = vm->used > a->first ? vm->used - a->first : 0;
    if (alive + need <= memory) {
        a->bytes = alive;
        a->base = vm->used;
        return false;
    }
    return true;
}

static size_t grown(const ruc_account_t *a)
{
    return a->bytes + (a->vm->used > a->base ? a->vm->used - a->base : 0);
}

static void tell_full(ruc_vm_t *vm)
{
    if (vm->filled != NULL) {
        vm->filled(vm);
    }
}

/* Stops whom the memory that is alive is too much for; sets vm->limit for those that go on. True
 * when somebody was, or is, stopped. */
static bool judge_memory(ruc_vm_t *vm, size_t need)
{
    bool over = false;
    size_t limit = ruc__guard_soft_cap(vm);
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        if (a->vm != vm) {
            continue;
        }
        if (a->stopped == RUC_STOP_NOT && over_memory(a, need)) {
            ruc__guard_stop(a, RUC_STOP_MEMORY, grown(a) + need);
            need = 0; /* what it does not get, those around it have not used */
        }
        over = over || a->stopped != RUC_STOP_NOT;
        limit = ruc__guard_least(limit, ruc__guard_limit_of(a));
    }
    if (!over && vm->used + need > ruc__guard_soft_cap(vm)) {
        tell_full(vm);
        if (grown(ruc__guard.top) > SLACK || vm->used + need > vm->cap) {
            ruc__guard_stop_full(ruc__guard.top);
            over = true;
        } else { /* it only wants a little, and others have filled the state */
            limit = ruc__guard_least(vm->cap, vm->used + need + SLACK);
        }
    }
    vm->limit = over ? vm->used + SLACK : limit; /* for the error and what is on the way out */
    return over;
}

/* In the hook, where it is safe to collect. */
void ruc__guard_collect(lua_State *L)
{
    ruc__guard.collect = 0;
    lua_gc(L, LUA_GCCOLLECT);
    judge_memory(ruc_vm_of(L), 0);
}

/* One block that is larger than the whole budget of somebody: no collection can help. */
static bool refuse_giant(ruc_vm_t *vm, size_t size, size_t need)
{
    bool refused = false;
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        size_t memory = ruc__guard.budgets[a->kind].memory;
        if (a->vm == vm && memory != 0 && size > memory) {
            if (a->stopped == RUC_STOP_NOT) {
                ruc__guard_stop(a, RUC_STOP_MEMORY, grown(a) + need);
            }
            refused = true;
            break; /* those around it have not used what it does not get */
        }
    }
    if (refused) {
        vm->limit = vm->used + SLACK;
    }
    return refused;
}

/* Up to twice the budget, for the time until the hook comes. */
static bool lend(ruc_vm_t *vm, size_t need)
{
    size_t hard = vm->cap;
    if (ruc__guard.top == NULL || ruc__guard.top->vm != vm || ruc_guard_is_stopped()) {
        return false;
    }
    for (const ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        size_t memory = ruc__guard.budgets[a->kind].memory;
        if (a->vm == vm && memory != 0) {
            hard = ruc__guard_least(hard, ruc__guard_limit_of(a) + memory);
        }
    }
    if (vm->used + need > hard) {
        return false;
    }
    vm->limit = hard;
    ruc__guard.collect = 1;
    ruc__guard_arm();
    return true;
}

bool ruc_guard_more(ruc_vm_t *vm, size_t old, size_t size)
{
    size_t need = size - old;
    if (refuse_giant(vm, size, need)) {
        return false;
    }
    if (lend(vm, need)) {
        return true;
    }
    if (vm->refused != need) { /* Lua collects all garbage now and asks once more */
        vm->refused = need;
        return false;
    }
    vm->refused = 0;
    if (ruc__guard.top == NULL || ruc__guard.top->vm != vm) { /* nobody's doing in particular */
        tell_full(vm);
        return false;
    }
    return !judge_memory(vm, need) && vm->used + need <= vm->limit;
}

size_t ruc_guard_room(const ruc_vm_t *vm)
{
    return vm->limit > vm->used ? vm->limit - vm->used : 0;
}
