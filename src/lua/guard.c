/* guard.c - see guard.h: accounts, scopes, and the watchdog's signal.
 *
 * The signal of the watchdog sets the hook to come at the very next instruction, every tick anew:
 * code that spends its time in C makes few instructions. The hook then settles the account and sets
 * itself to come after COUNT instructions. What is stopped is hooked at every instruction; each
 * coroutine that goes on because an inner one has ended gets the hook from ruc_guard_back. */
#include "lua/guard.h"

#include <lauxlib.h>
#include <stdio.h>
#include <time.h>

#include "core/check.h"
#include "core/watchdog.h"
#include "lua/guard_room.h"

#define TICK_NS 5000000        /* what a slice is charged that saw the watchdog look */
#define FREE_STEPS 200000000ul /* of one match where there is no budget */

struct ruc__guard ruc__guard;

static const char *const budget_names[] = {
#define XX(name, text) text,
    RUC_BUDGETS(XX)
#undef XX
        "system",
};

const char *ruc_budget_name(ruc_budget_t kind)
{
    return budget_names[kind];
}

const char *ruc_stop_name(ruc_stop_t stop)
{
    static const char *const names[] = {"", "time", "instructions", "memory"};
    return names[stop];
}

uint64_t ruc__guard_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void ruc_account_init(ruc_account_t *account, ruc_budget_t kind, const char *what, ruc_vm_t *vm)
{
    account->kind = kind;
    account->what = what;
    account->vm = vm;
    account->ns = account->instructions = 0;
    account->bytes = 0;
    account->base = account->first = vm->used;
    account->stopped = RUC_STOP_NOT;
    account->warned = 0;
    account->why[0] = '\0';
    account->outer = NULL;
}

/* ---- the signal: on the loop's thread, in the middle of anything ---- */

/* Has any account used up its time by now? */
static bool time_is_out(void)
{
    uint64_t spent = ruc__guard_cpu_ns() - ruc__guard.mark;
    for (const ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        uint64_t most = ruc__guard.budgets[a->kind].ns;
        if (most != 0 && a->ns + spent >= most) {
            return true;
        }
    }
    return false;
}

static void on_overstay(void)
{
    if (ruc__guard.running == NULL) {
        return;
    }
    if (ruc__guard.armed && ruc__guard.steps != NULL && time_is_out()) {
        ruc__guard.cut = 1;
        *ruc__guard.steps = 0;
    }
    ruc__guard.ticked = 1;
    ruc__guard_arm();
}

/* ---- scopes ---- */

void ruc_guard_enter(ruc_scope_t *scope, ruc_vm_t *vm, lua_State *L, ruc_account_t *account)
{
    scope->vm = vm;
    scope->L = L;
    scope->account = account;
    scope->outer = ruc__guard.top;
    scope->running = ruc__guard.running;
    scope->limit = vm->limit;
    scope->cpu_ns = 0;
    ruc__guard.running = NULL; /* the signal does nothing until all is in place */
    if (ruc__guard.depth++ == 0) {
        scope->ticks = ruc_watchdog_ticks();
        if (account != NULL && account->ns >= TICK_NS) {
            scope->cpu_ns = ruc__guard_cpu_ns();
        }
        ruc_watchdog_begin();
    } else if (ruc__guard.armed) {
        ruc__guard_settle();
    }
    ruc__guard.vm = vm;
    if (account == NULL) {
        ruc__guard.top = NULL;
        return;
    }
    account->outer = scope->outer;
    account->base = vm->used;
    vm->limit = ruc__guard_least(ruc__guard_least(scope->limit, ruc__guard_soft_cap(vm)),
                                 ruc__guard_limit_of(account));
    ruc__guard.top = account;
    ruc__guard.running = L;
    if (account->ns != 0) { /* there were slices before */
        ruc__guard_judge_all();
    }
    if ((ruc__guard.armed || account->stopped != RUC_STOP_NOT) &&
        ruc__guard_first_stopped() != NULL) {
        ruc__guard_arm();
    }
}

/* What this slice has taken, when it was not armed: by the clock if it was asked at the beginning,
 * else by whether the watchdog has looked meanwhile. */
static void charge_unseen(const ruc_scope_t *scope)
{
    if (scope->cpu_ns != 0) {
        scope->account->ns += ruc__guard_cpu_ns() - scope->cpu_ns;
    } else if (scope->ticks != ruc_watchdog_ticks()) {
        scope->account->ns += TICK_NS;
    }
}

void ruc_guard_leave(ruc_scope_t *scope)
{
    ruc_account_t *account = scope->account;
    RUC_MUST(ruc__guard.depth > 0);
    if (account != NULL) {
        if (ruc__guard.armed) {
            ruc__guard_settle();
        } else if (ruc__guard.depth == 1) {
            charge_unseen(scope);
        }
        size_t used = scope->vm->used;
        size_t total = account->bytes + used;
        account->bytes = total > account->base ? total - account->base : 0;
        ruc__guard.running = NULL;
        if (ruc__guard.armed) {
            lua_sethook(scope->L, NULL, 0, 0);
        }
    }
    scope->vm->limit = scope->limit;
    scope->vm->refused = 0;
    ruc__guard.top = scope->outer;
    ruc__guard.vm = NULL;
    if (--ruc__guard.depth == 0) {
        ruc__guard.armed = ruc__guard.ticked = ruc__guard.collect = 0;
        ruc_watchdog_end();
        return;
    }
    ruc__guard.vm = ruc__guard.top != NULL ? ruc__guard.top->vm : scope->vm;
    if (scope->running != NULL) {
        ruc__guard.running = scope->running;
        if (ruc__guard.armed) {
            lua_sethook(scope->running, ruc__guard_on_count, LUA_MASKCOUNT, 1);
        }
    }
}

int ruc_guard_protect(ruc_vm_t *vm, ruc_budget_t kind, const char *what, lua_CFunction fn,
                      void *arg, ruc_why_t *why)
{
    ruc_scope_t scope;
    ruc_account_t account;
    ruc_account_init(&account, kind, what, vm);
    ruc_guard_enter(&scope, vm, vm->L, kind == RUC_BUDGET_NONE ? NULL : &account);
    int rc = ruc_vm_protect(vm, fn, arg, why);
    ruc_guard_leave(&scope);
    return rc;
}

int ruc_guard_run(ruc_vm_t *vm, ruc_account_t *account, lua_CFunction fn, void *arg, ruc_why_t *why)
{
    ruc_scope_t scope;
    ruc_guard_enter(&scope, vm, vm->L, account);
    int rc = ruc_vm_protect(vm, fn, arg, why);
    ruc_guard_leave(&scope);
    return rc;
}

bool ruc_guard_go_on(const ruc_account_t *last, uint64_t *ns)
{
    uint64_t most = ruc__guard.budgets[last->kind].ns;
    *ns += last->ns;
    return last->stopped != RUC_STOP_TIME && last->stopped != RUC_STOP_INSTRUCTIONS &&
           (most == 0 || *ns < 2 * most);
}

lua_State *ruc_guard_switch(lua_State *co)
{
    lua_State *before = ruc__guard.running;
    if (ruc__guard.top != NULL) {
        ruc__guard.running = co;
        if (ruc__guard.armed) {
            lua_sethook(co, ruc__guard_on_count, LUA_MASKCOUNT, 1);
        }
    }
    return before;
}

void ruc_guard_back(lua_State *before)
{
    ruc__guard.running = before;
    if (ruc__guard.armed && before != NULL) {
        lua_sethook(before, ruc__guard_on_count, LUA_MASKCOUNT, 1);
    }
}

/* ---- work in C ---- */

void ruc_guard_spend(lua_State *L, uint64_t n)
{
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        uint64_t most = ruc__guard.budgets[a->kind].instructions, used = a->instructions;
        if (most != 0 && (used >= most || n >= most - used)) {
            a->instructions = n > UINT64_MAX - used ? UINT64_MAX : used + n;
            ruc__guard_judge(a, RUC_STOP_INSTRUCTIONS, a->instructions, most);
            ruc_guard_check(L); /* which raises: what is not done is not charged to those around */
        }
    }
    ruc__guard_charge(n);
    ruc__guard_judge_all();
    ruc_guard_check(L);
}

void ruc_guard_steps_begin(uint64_t *steps)
{
    uint64_t left = FREE_STEPS;
    for (const ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        uint64_t most = ruc__guard.budgets[a->kind].instructions;
        if (most != 0) {
            uint64_t here = most > a->instructions ? most - a->instructions : 0;
            left = here < left ? here : left;
        }
    }
    *steps = ruc__guard.steps_given = left;
    ruc__guard.cut = 0;
    ruc__guard.steps = steps;
}

void ruc_guard_steps_end(lua_State *L, const uint64_t *steps, bool out)
{
    ruc__guard.steps = NULL;
    if (ruc__guard.cut) { /* the clock ended it: how many there were is not known */
        ruc__guard.cut = 0;
        ruc__guard_settle();
    } else {
        ruc__guard_charge(out ? ruc__guard.steps_given : ruc__guard.steps_given - *steps);
    }
    if (out) {
        ruc__guard_judge_all();
    }
    ruc_guard_check(L);
    if (out) {
        luaL_error(L, "the pattern needed more steps than there are for one match");
    }
}

/* ---- open, close ---- */

static void configure(const ruc_config_t *config, ruc_budget_t kind, const char *name)
{
    char path[64];
    ruc__budget_t *budget = &ruc__guard.budgets[kind];
    snprintf(path, sizeof path, "budgets.%s.time", name);
    budget->ns = (uint64_t)(ruc_config_number(config, path) * 1e9);
    snprintf(path, sizeof path, "budgets.%s.instructions", name);
    budget->instructions = (uint64_t)ruc_config_number(config, path);
    snprintf(path, sizeof path, "budgets.%s.memory", name);
    budget->memory = (size_t)ruc_config_number(config, path);
}

void ruc_guard_configure(const ruc_config_t *config)
{
#define XX(name, text) configure(config, RUC_BUDGET_##name, text);
    RUC_BUDGETS(XX)
#undef XX
    ruc_watchdog_stall((uint64_t)(ruc_config_number(config, "limits.stall") * 1000));
}

int ruc_guard_open(uv_loop_t *loop, void (*stalled)(bool on_loop))
{
    ruc_watchdog_calls_t calls = {on_overstay, stalled};
    return ruc_watchdog_open(loop, &calls);
}

void ruc_guard_close(void)
{
    ruc_watchdog_close();
}

void ruc_guard_who(ruc_guard_who_t *who, bool where)
{
    const ruc_account_t *account = ruc__guard.top;
    const ruc_vm_t *vm = ruc__guard.vm;
    *who = (ruc_guard_who_t){.what = "", .kind = ""};
    if (vm != NULL) {
        who->digest = vm->digest;
        who->generation = vm->generation;
        who->kind = vm->kind == RUC_VM_SYSTEM ? "system" : "";
        who->what = vm->kind == RUC_VM_SYSTEM ? "monitor" : "";
    }
    if (account != NULL) {
        who->kind = ruc_budget_name(account->kind);
        who->what = account->what;
    }
    if (where) {
        ruc__guard_place(ruc__guard.running, who->place, sizeof who->place);
    }
}
