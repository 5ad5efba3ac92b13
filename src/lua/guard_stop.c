/* guard_stop.c - who has used up a budget, what the log says of it, and the error that is raised at
 * each instruction from then on. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/metrics.h"
#include "lua/guard_room.h"

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
void ruc__guard_place(lua_State *L, char *out, size_t size)
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

const ruc_account_t *ruc__guard_first_stopped(void)
{
    const ruc_account_t *found = NULL;
    for (const ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        found = a->stopped != RUC_STOP_NOT ? a : found; /* the outermost tells most */
    }
    return found;
}

/* "0.503 s of 0.5 s" */
static void tell_use(const ruc_account_t *a, ruc_stop_t what, size_t bytes, char out[96])
{
    const ruc__budget_t *budget = &ruc__guard.budgets[a->kind];
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
    ruc__guard_place(ruc__guard.running, place, sizeof place);
    ruc_log(RUC_LOG_SCRIPT, stop ? RUC_ERROR : RUC_WARN,
            "%s%s%s %s: %s its budget of %s: %s (budgets.%s.%s)", place,
            place[0] != '\0' ? ": " : "", ruc_budget_name(a->kind), a->what,
            stop ? "stopped, it has used up" : "it has used half of", ruc_stop_name(what), use,
            ruc_budget_name(a->kind), ruc_stop_name(what));
}

void ruc__guard_arm(void)
{
    if (ruc__guard.running == NULL) {
        return;
    }
    if (!ruc__guard.armed) {
        ruc__guard.mark = ruc__guard_cpu_ns();
        ruc__guard.armed = 1;
    }
    lua_sethook(ruc__guard.running, ruc__guard_on_count, LUA_MASKCOUNT, 1);
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
    ruc__guard_arm();
}

/* What the error says has no figures but the budget's, so that the same is the same each time. */
void ruc__guard_stop(ruc_account_t *a, ruc_stop_t what, size_t bytes)
{
    const ruc__budget_t *budget = &ruc__guard.budgets[a->kind];
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
void ruc__guard_stop_full(ruc_account_t *a)
{
    char place[320];
    snprintf(a->why, sizeof a->why, "stopped: this state's memory is full (limits.lua_memory)");
    ruc__guard_place(ruc__guard.running, place, sizeof place);
    ruc_log(RUC_LOG_SCRIPT, RUC_ERROR,
            "%s%s%s %s: stopped, this state's memory is full: %zu of %zu bytes (limits.lua_memory)",
            place, place[0] != '\0' ? ": " : "", ruc_budget_name(a->kind), a->what, a->vm->used,
            a->vm->cap);
    mark_stopped(a, RUC_STOP_MEMORY);
}

/* Warns at half, stops at the whole. */
void ruc__guard_judge(ruc_account_t *a, ruc_stop_t what, uint64_t used, uint64_t most)
{
    if (most == 0 || used < most / 2 || a->stopped != RUC_STOP_NOT) {
        return;
    }
    if (used >= most) {
        ruc__guard_stop(a, what, 0);
    } else if ((a->warned & (1u << what)) == 0) {
        a->warned |= 1u << what;
        tell(a, what, 0, false);
    }
}

void ruc__guard_judge_all(void)
{
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        const ruc__budget_t *budget = &ruc__guard.budgets[a->kind];
        ruc__guard_judge(a, RUC_STOP_TIME, a->ns, budget->ns);
        ruc__guard_judge(a, RUC_STOP_INSTRUCTIONS, a->instructions, budget->instructions);
    }
}

/* Charges the CPU time since the last time. */
void ruc__guard_settle(void)
{
    uint64_t now = ruc__guard_cpu_ns(), spent = now - ruc__guard.mark;
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        a->ns += spent;
    }
    ruc__guard.mark = now;
}

void ruc__guard_charge(uint64_t instructions)
{
    for (ruc_account_t *a = ruc__guard.top; a != NULL; a = a->outer) {
        a->instructions += instructions;
    }
}

/* RAISES, with where the script is. */
static int raise_stop(lua_State *L, const ruc_account_t *a)
{
    char place[320];
    ruc__guard_place(L, place, sizeof place);
    lua_pushfstring(L, "%s%s%s", place, place[0] != '\0' ? ": " : "", a->why);
    return lua_error(L);
}

void ruc__guard_on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (!ruc__guard.armed ||
        ruc__guard.top == NULL) { /* left over on a coroutine of an earlier slice */
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    const ruc_account_t *stopped = ruc__guard_first_stopped();
    if (stopped == NULL) {
        if (lua_gethookcount(L) ==
            RUC__GUARD_COUNT) { /* else the signal has sent it, or another coroutine */
            ruc__guard_charge(RUC__GUARD_COUNT);
        }
        ruc__guard.ticked = 0;
        ruc__guard_settle();
        ruc__guard_judge_all();
        if (ruc__guard.collect) {
            ruc__guard_collect(L);
        }
        stopped = ruc__guard_first_stopped();
    }
    if (stopped != NULL) {
        lua_sethook(L, ruc__guard_on_count, LUA_MASKCOUNT, 1);
        raise_stop(L, stopped);
    } else if (lua_gethookcount(L) != RUC__GUARD_COUNT) {
        lua_sethook(L, ruc__guard_on_count, LUA_MASKCOUNT, RUC__GUARD_COUNT);
    }
}

bool ruc_guard_is_stopped(void)
{
    return ruc__guard_first_stopped() != NULL;
}

/* Long work in C gives the hook no chance. */
static void settle_ticked(void)
{
    if (ruc__guard.ticked) {
        ruc__guard.ticked = 0;
        ruc__guard_settle();
        ruc__guard_judge_all();
    }
}

bool ruc_guard_over(void)
{
    settle_ticked();
    return ruc__guard_first_stopped() != NULL;
}

void ruc_guard_check(lua_State *L)
{
    settle_ticked();
    const ruc_account_t *stopped = ruc__guard_first_stopped();
    if (stopped != NULL) {
        raise_stop(L, stopped);
    }
}
