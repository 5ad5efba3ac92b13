/* guard.c - see guard.h.
 *
 * The signal of the watchdog sets the hook to come at the very next instruction, every tick anew:
 * code that spends its time in C makes few instructions. The hook then settles the account and sets
 * itself to come after COUNT instructions. What is stopped is hooked at every instruction; each
 * coroutine that goes on because an inner one has ended gets the hook from ruc_guard_back. */
#include "lua/guard.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/watchdog.h"
#include "lua/vm.h"

#define COUNT 1000      /* instructions between two looks, once it is armed */
#define TICK_NS 5000000 /* what a slice is charged that saw the watchdog look */
#define SLACK                                                                                      \
    (128u * 1024) /* bytes: for the error that ends what has used up its memory, and for           \
                     small work in a state that is full */
#define FREE_STEPS 200000000ul /* of one match where there is no budget */

typedef struct budget {
    uint64_t ns, instructions;
    size_t memory; /* 0, each: no bound */
} budget_t;

static struct {
    budget_t budgets[RUC_BUDGET_NONE + 1];
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
} guard;

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

static uint64_t cpu_ns(void)
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

/* ---- where a script is: no memory, no lock, for the signal handler too ---- */

static size_t put(char *out, size_t size, size_t at, const char *text)
{
    while (*text != '\0' && at + 1 < size) {
        out[at++] = *text++;
    }
    out[at] = '\0';
    return at;
}

/* FILE:LINE of the innermost line of Lua on L; "" when there is none. */
static void find_place(lua_State *L, char *out, size_t size)
{
    lua_Debug ar;
    out[0] = '\0';
    for (int level = 0; L != NULL && level < 64 && lua_getstack(L, level, &ar); level++) {
        if (lua_getinfo(L, "Sl", &ar) && ar.currentline > 0) {
            char digits[16];
            size_t first = sizeof digits - 1;
            digits[first] = '\0';
            for (int line = ar.currentline; line > 0; line /= 10) {
                digits[--first] = (char)('0' + line % 10);
            }
            const char *source = ar.source;
            source += source[0] == '@' || source[0] == '=';
            size_t at = put(out, size - sizeof digits, 0, source);
            put(out, size, put(out, size, at, ":"), digits + first);
            return;
        }
    }
}

/* ---- stopping ---- */

static const ruc_account_t *first_stopped(void)
{
    const ruc_account_t *found = NULL;
    for (const ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        found = a->stopped != RUC_STOP_NOT ? a : found; /* the outermost tells most */
    }
    return found;
}

/* "0.503 s of 0.5 s" */
static void tell_use(const ruc_account_t *a, ruc_stop_t what, size_t bytes, char out[96])
{
    const budget_t *budget = &guard.budgets[a->kind];
    switch (what) {
    case RUC_STOP_TIME:
        snprintf(out, 96, "%.3f s of %.3g s", (double)a->ns / 1e9, (double)budget->ns / 1e9);
        break;
    case RUC_STOP_INSTRUCTIONS:
        snprintf(out, 96, "%llu instructions of %llu", (unsigned long long)a->instructions,
                 (unsigned long long)budget->instructions);
        break;
    default:
        snprintf(out, 96, "%zu bytes of %zu", bytes, budget->memory);
    }
}

static void tell(ruc_account_t *a, ruc_stop_t what, size_t bytes, bool stop)
{
    char use[96], place[320];
    tell_use(a, what, bytes, use);
    find_place(guard.running, place, sizeof place);
    ruc_log(RUC_LOG_SCRIPT, stop ? RUC_ERROR : RUC_WARN,
            "%s%s%s %s: %s its budget of %s: %s (budgets.%s.%s)", place,
            place[0] != '\0' ? ": " : "", ruc_budget_name(a->kind), a->what,
            stop ? "stopped, it has used up" : "it has used half of", ruc_stop_name(what), use,
            ruc_budget_name(a->kind), ruc_stop_name(what));
}

/* The hook comes at the next instruction. */
static void on_count(lua_State *L, lua_Debug *ar);

static void arm(void)
{
    if (guard.running == NULL) {
        return;
    }
    if (!guard.armed) {
        guard.mark = cpu_ns();
        guard.armed = 1;
    }
    lua_sethook(guard.running, on_count, LUA_MASKCOUNT, 1);
}

/* Marks it, counts it, and hooks what runs. */
static void mark_stopped(ruc_account_t *a, ruc_stop_t what)
{
    a->stopped = what;
    a->vm->hoarded = true; /* whatever it was stopped for: it may have kept much until then */
    if (a->vm->stopped != NULL) {
        a->vm->stopped(a->vm);
    }
    ruc_metric_add(
        ruc_metrics_series(RUC_M_SCRIPT_STOPPED, ruc_budget_name(a->kind), ruc_stop_name(what)), 1);
    arm();
}

/* What the error says has no figures but the budget's, so that the same is the same each time. */
static void stop(ruc_account_t *a, ruc_stop_t what, size_t bytes)
{
    const budget_t *budget = &guard.budgets[a->kind];
    char most[32];
    if (what == RUC_STOP_TIME) {
        snprintf(most, sizeof most, "%.3g s", (double)budget->ns / 1e9);
    } else {
        snprintf(
            most, sizeof most, "%llu%s",
            (unsigned long long)(what == RUC_STOP_MEMORY ? budget->memory : budget->instructions),
            what == RUC_STOP_MEMORY ? " bytes" : "");
    }
    snprintf(a->why, sizeof a->why, "stopped: its budget of %s, %s, is used up (budgets.%s.%s)",
             ruc_stop_name(what), most, ruc_budget_name(a->kind), ruc_stop_name(what));
    tell(a, what, bytes, true);
    mark_stopped(a, what);
}

/* The state has no room for anybody: what asked for some is stopped. */
static void stop_full(ruc_account_t *a)
{
    char place[320];
    snprintf(a->why, sizeof a->why, "stopped: this state's memory is full (limits.lua_memory)");
    find_place(guard.running, place, sizeof place);
    ruc_log(RUC_LOG_SCRIPT, RUC_ERROR,
            "%s%s%s %s: stopped, this state's memory is full: %zu of %zu bytes (limits.lua_memory)",
            place, place[0] != '\0' ? ": " : "", ruc_budget_name(a->kind), a->what, a->vm->used,
            a->vm->cap);
    mark_stopped(a, RUC_STOP_MEMORY);
}

/* Warns at half, stops at the whole. */
static void judge(ruc_account_t *a, ruc_stop_t what, uint64_t used, uint64_t most)
{
    if (most == 0 || used < most / 2 || a->stopped != RUC_STOP_NOT) {
        return;
    }
    if (used >= most) {
        stop(a, what, 0);
    } else if ((a->warned & (1u << what)) == 0) {
        a->warned |= 1u << what;
        tell(a, what, 0, false);
    }
}

static void judge_all(void)
{
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        const budget_t *budget = &guard.budgets[a->kind];
        judge(a, RUC_STOP_TIME, a->ns, budget->ns);
        judge(a, RUC_STOP_INSTRUCTIONS, a->instructions, budget->instructions);
    }
}

/* Charges the CPU time since the last time. */
static void settle(void)
{
    uint64_t now = cpu_ns(), spent = now - guard.mark;
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        a->ns += spent;
    }
    guard.mark = now;
}

static void charge(uint64_t instructions)
{
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        a->instructions += instructions;
    }
}

/* RAISES, with where the script is. */
static int raise_stop(lua_State *L, const ruc_account_t *a)
{
    char place[320];
    find_place(L, place, sizeof place);
    lua_pushfstring(L, "%s%s%s", place, place[0] != '\0' ? ": " : "", a->why);
    return lua_error(L);
}

static void judge_after_collection(lua_State *L);

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (!guard.armed || guard.top == NULL) { /* left over on a coroutine of an earlier slice */
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    const ruc_account_t *stopped = first_stopped();
    if (stopped == NULL) {
        if (lua_gethookcount(L) == COUNT) { /* else the signal has sent it, or another coroutine */
            charge(COUNT);
        }
        guard.ticked = 0;
        settle();
        judge_all();
        if (guard.collect) {
            judge_after_collection(L);
        }
        stopped = first_stopped();
    }
    if (stopped != NULL) {
        lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
        raise_stop(L, stopped);
    } else if (lua_gethookcount(L) != COUNT) {
        lua_sethook(L, on_count, LUA_MASKCOUNT, COUNT);
    }
}

bool ruc_guard_is_stopped(void)
{
    return first_stopped() != NULL;
}

/* Long work in C gives the hook no chance. */
static void settle_ticked(void)
{
    if (guard.ticked) {
        guard.ticked = 0;
        settle();
        judge_all();
    }
}

bool ruc_guard_over(void)
{
    settle_ticked();
    return first_stopped() != NULL;
}

void ruc_guard_check(lua_State *L)
{
    settle_ticked();
    const ruc_account_t *stopped = first_stopped();
    if (stopped != NULL) {
        raise_stop(L, stopped);
    }
}

/* ---- the signal: on the loop's thread, in the middle of anything ---- */

/* Has any account used up its time by now? */
static bool time_is_out(void)
{
    uint64_t spent = cpu_ns() - guard.mark;
    for (const ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        uint64_t most = guard.budgets[a->kind].ns;
        if (most != 0 && a->ns + spent >= most) {
            return true;
        }
    }
    return false;
}

static void on_overstay(void)
{
    if (guard.running == NULL) {
        return;
    }
    if (guard.armed && guard.steps != NULL && time_is_out()) {
        guard.cut = 1;
        *guard.steps = 0;
    }
    guard.ticked = 1;
    arm();
}

/* ---- scopes ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What scripts may fill of a state: the rest is lent to them until the garbage is collected. */
static size_t soft_cap(const ruc_vm_t *vm)
{
    return vm->cap - vm->cap / 8;
}

/* How much the state may hold while this account and those around it are open. */
static size_t limit_of(const ruc_account_t *a)
{
    size_t memory = guard.budgets[a->kind].memory;
    return memory == 0 ? SIZE_MAX : a->base + (memory > a->bytes ? memory - a->bytes : 0);
}

void ruc_guard_enter(ruc_scope_t *scope, ruc_vm_t *vm, lua_State *L, ruc_account_t *account)
{
    scope->vm = vm;
    scope->L = L;
    scope->account = account;
    scope->outer = guard.top;
    scope->running = guard.running;
    scope->limit = vm->limit;
    scope->cpu_ns = 0;
    guard.running = NULL; /* the signal does nothing until all is in place */
    if (guard.depth++ == 0) {
        scope->ticks = ruc_watchdog_ticks();
        if (account != NULL && account->ns >= TICK_NS) {
            scope->cpu_ns = cpu_ns();
        }
        ruc_watchdog_begin();
    } else if (guard.armed) {
        settle();
    }
    guard.vm = vm;
    if (account == NULL) {
        guard.top = NULL;
        return;
    }
    account->outer = scope->outer;
    account->base = vm->used;
    vm->limit = least(least(scope->limit, soft_cap(vm)), limit_of(account));
    guard.top = account;
    guard.running = L;
    if (account->ns != 0) { /* there were slices before */
        judge_all();
    }
    if ((guard.armed || account->stopped != RUC_STOP_NOT) && first_stopped() != NULL) {
        arm();
    }
}

/* What this slice has taken, when it was not armed: by the clock if it was asked at the beginning,
 * else by whether the watchdog has looked meanwhile. */
static void charge_unseen(const ruc_scope_t *scope)
{
    if (scope->cpu_ns != 0) {
        scope->account->ns += cpu_ns() - scope->cpu_ns;
    } else if (scope->ticks != ruc_watchdog_ticks()) {
        scope->account->ns += TICK_NS;
    }
}

void ruc_guard_leave(ruc_scope_t *scope)
{
    ruc_account_t *account = scope->account;
    RUC_MUST(guard.depth > 0);
    if (account != NULL) {
        if (guard.armed) {
            settle();
        } else if (guard.depth == 1) {
            charge_unseen(scope);
        }
        size_t used = scope->vm->used;
        size_t total = account->bytes + used;
        account->bytes = total > account->base ? total - account->base : 0;
        guard.running = NULL;
        if (guard.armed) {
            lua_sethook(scope->L, NULL, 0, 0);
        }
    }
    scope->vm->limit = scope->limit;
    scope->vm->refused = 0;
    guard.top = scope->outer;
    guard.vm = NULL;
    if (--guard.depth == 0) {
        guard.armed = guard.ticked = guard.collect = 0;
        ruc_watchdog_end();
        return;
    }
    guard.vm = guard.top != NULL ? guard.top->vm : scope->vm;
    if (scope->running != NULL) {
        guard.running = scope->running;
        if (guard.armed) {
            lua_sethook(scope->running, on_count, LUA_MASKCOUNT, 1);
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
    uint64_t most = guard.budgets[last->kind].ns;
    *ns += last->ns;
    return last->stopped != RUC_STOP_TIME && last->stopped != RUC_STOP_INSTRUCTIONS &&
           (most == 0 || *ns < 2 * most);
}

lua_State *ruc_guard_switch(lua_State *co)
{
    lua_State *before = guard.running;
    if (guard.top != NULL) {
        guard.running = co;
        if (guard.armed) {
            lua_sethook(co, on_count, LUA_MASKCOUNT, 1);
        }
    }
    return before;
}

void ruc_guard_back(lua_State *before)
{
    guard.running = before;
    if (guard.armed && before != NULL) {
        lua_sethook(before, on_count, LUA_MASKCOUNT, 1);
    }
}

/* ---- work in C ---- */

void ruc_guard_spend(lua_State *L, uint64_t n)
{
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        uint64_t most = guard.budgets[a->kind].instructions, used = a->instructions;
        if (most != 0 && (used >= most || n >= most - used)) {
            a->instructions = n > UINT64_MAX - used ? UINT64_MAX : used + n;
            judge(a, RUC_STOP_INSTRUCTIONS, a->instructions, most);
            ruc_guard_check(L); /* which raises: what is not done is not charged to those around */
        }
    }
    charge(n);
    judge_all();
    ruc_guard_check(L);
}

void ruc_guard_steps_begin(uint64_t *steps)
{
    uint64_t left = FREE_STEPS;
    for (const ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        uint64_t most = guard.budgets[a->kind].instructions;
        if (most != 0) {
            uint64_t here = most > a->instructions ? most - a->instructions : 0;
            left = here < left ? here : left;
        }
    }
    *steps = guard.steps_given = left;
    guard.cut = 0;
    guard.steps = steps;
}

void ruc_guard_steps_end(lua_State *L, const uint64_t *steps, bool out)
{
    guard.steps = NULL;
    if (guard.cut) { /* the clock ended it: how many there were is not known */
        guard.cut = 0;
        settle();
    } else {
        charge(out ? guard.steps_given : guard.steps_given - *steps);
    }
    if (out) {
        judge_all();
    }
    ruc_guard_check(L);
    if (out) {
        luaL_error(L, "the pattern needed more steps than there are for one match");
    }
}

/* ---- memory ---- */

/* How much the account is over its budget of memory, now that no garbage is left: what is alive of
 * what it was charged for. What was garbage it gets back. */
static bool over_memory(ruc_account_t *a, size_t need)
{
    const ruc_vm_t *vm = a->vm;
    size_t memory = guard.budgets[a->kind].memory;
    if (memory == 0 || vm->used + need <= limit_of(a)) {
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
    size_t limit = soft_cap(vm);
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        if (a->vm != vm) {
            continue;
        }
        if (a->stopped == RUC_STOP_NOT && over_memory(a, need)) {
            stop(a, RUC_STOP_MEMORY, grown(a) + need);
            need = 0; /* what it does not get, those around it have not used */
        }
        over = over || a->stopped != RUC_STOP_NOT;
        limit = least(limit, limit_of(a));
    }
    if (!over && vm->used + need > soft_cap(vm)) {
        tell_full(vm);
        if (grown(guard.top) > SLACK || vm->used + need > vm->cap) {
            stop_full(guard.top);
            over = true;
        } else { /* it only wants a little, and others have filled the state */
            limit = least(vm->cap, vm->used + need + SLACK);
        }
    }
    vm->limit = over ? vm->used + SLACK : limit; /* for the error and what is on the way out */
    return over;
}

/* In the hook, where it is safe to collect. */
static void judge_after_collection(lua_State *L)
{
    guard.collect = 0;
    lua_gc(L, LUA_GCCOLLECT);
    judge_memory(ruc_vm_of(L), 0);
}

/* One block that is larger than the whole budget of somebody: no collection can help. */
static bool refuse_giant(ruc_vm_t *vm, size_t size, size_t need)
{
    bool refused = false;
    for (ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        size_t memory = guard.budgets[a->kind].memory;
        if (a->vm == vm && memory != 0 && size > memory) {
            if (a->stopped == RUC_STOP_NOT) {
                stop(a, RUC_STOP_MEMORY, grown(a) + need);
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
    if (guard.top == NULL || guard.top->vm != vm || ruc_guard_is_stopped()) {
        return false;
    }
    for (const ruc_account_t *a = guard.top; a != NULL; a = a->outer) {
        size_t memory = guard.budgets[a->kind].memory;
        if (a->vm == vm && memory != 0) {
            hard = least(hard, limit_of(a) + memory);
        }
    }
    if (vm->used + need > hard) {
        return false;
    }
    vm->limit = hard;
    guard.collect = 1;
    arm();
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
    if (guard.top == NULL || guard.top->vm != vm) { /* nobody's doing in particular */
        tell_full(vm);
        return false;
    }
    return !judge_memory(vm, need) && vm->used + need <= vm->limit;
}

size_t ruc_guard_room(const ruc_vm_t *vm)
{
    return vm->limit > vm->used ? vm->limit - vm->used : 0;
}

/* ---- open, close ---- */

static void configure(const ruc_config_t *config, ruc_budget_t kind, const char *name)
{
    char path[64];
    budget_t *budget = &guard.budgets[kind];
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
    const ruc_account_t *account = guard.top;
    const ruc_vm_t *vm = guard.vm;
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
        find_place(guard.running, who->place, sizeof who->place);
    }
}
