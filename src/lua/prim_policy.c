/* prim_policy.c - rucat.policy: asking the operator's policies.
 *
 * For handlers, in their own state and job:
 *     local ok, status, problem, headers = rucat.policy.allow(req.user, "stop", engine)
 *     local request, status, problem, headers = rucat.policy.admit(request, req.user)
 *         -- admitted: request, asked; `asked` is for the event of rucat.store.engines.create
 * For reconcile, across states (each waits; true and the answer, or nil, message, code):
 *     rucat.policy.restart(engine, exit, history)   rucat.policy.probe(engine, seconds)
 *     rucat.policy.unhealthy(engine, why)           rucat.policy.submit(engine, ctx)
 *     rucat.policy.activity(engine, seconds)        rucat.policy.idle(engine, activity)
 *     rucat.policy.health()   -- interval, timeout, failures of the serving health policy
 */
#include <lauxlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "lua/ask.h"
#include "lua/job.h"
#include "lua/prims.h"
#include "lua/scripts.h"
#include "lua/value.h"
#include "lua/view.h"

/* Pushes status, problem, headers by rucat.http.problem. */
static int push_problem(lua_State *L, int status, const char *detail, const char *title)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_getfield(L, -1, "rucat");
    lua_getfield(L, -1, "http");
    lua_getfield(L, -1, "problem");
    lua_pushinteger(L, status);
    lua_pushstring(L, detail);
    lua_pushnil(L);
    lua_pushstring(L, title);
    lua_call(L, 4, 3);
    return 3;
}

static int push_policy_error(lua_State *L, const char *policy, const char *kind, const char *text)
{
    ruc_log(RUC_LOG_SCRIPT, RUC_ERROR, "policy %s: %s", policy, text);
    ruc_ask_count_error(policy, kind);
    char detail[128];
    snprintf(detail, sizeof detail, "the %s policy failed; the log says why", policy);
    return push_problem(L, 503, detail, "PolicyError");
}

static int with_traceback(lua_State *L)
{
    luaL_traceback(L, L, ruc_guard_is_stopped() ? lua_tostring(L, 1) : luaL_tolstring(L, 1, NULL),
                   1);
    return 1;
}

/* Calls the policy with the arguments on top; leaves its results. 0 or a Lua error code, then the
 * message is on top and `kind` says what it was. It has a budget of its own, within that of the
 * job: where it uses that up it fails and the handler goes on; where the job's is used up
 * meanwhile, all of it ends. */
static int call_policy(lua_State *L, ruc_policy_t policy, int nargs, int nresults,
                       const char **kind)
{
    ruc_vm_t *vm = ruc_vm_of(L);
    ruc_generation_t *generation = vm->arg;
    ruc_scope_t scope;
    ruc_account_t account;
    int base = lua_gettop(L) - nargs + 1;
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, base);
    lua_rawgeti(L, LUA_REGISTRYINDEX, generation->policies[policy]);
    lua_insert(L, base + 1);
    ruc_phase_t before = ruc_job_set_phase(L, RUC_PHASE_POLICY);
    ruc_account_init(&account, RUC_BUDGET_POLICY, ruc_policy_name(policy), vm);
    uint64_t began = ruc_clock_mono_ns();
    ruc_guard_enter(&scope, vm, L, &account);
    int rc = lua_pcall(L, nargs, nresults, base);
    ruc_guard_leave(&scope);
    ruc_job_set_phase(L, before);
    ruc_ask_count_time(ruc_policy_name(policy), began);
    ruc_guard_check(L);
    lua_remove(L, base);
    *kind = account.stopped == RUC_STOP_NOT ? "error" : ruc_stop_name(account.stopped);
    return rc;
}

/* Asks the auth policy: 1 yes, 0 no, -1 it failed (the problem is pushed: 3 values). */
static int ask_auth(lua_State *L, int user, const char *verb, int engine)
{
    const char *kind;
    lua_pushvalue(L, user);
    lua_pushstring(L, verb);
    lua_pushvalue(L, engine);
    if (call_policy(L, RUC_POLICY_AUTH, 3, 2, &kind) != LUA_OK) {
        push_policy_error(L, "auth", kind, lua_tostring(L, -1));
        return -1;
    }
    if (!lua_isboolean(L, -2)) {
        push_policy_error(L, "auth", "nonsense", "it must return true or false");
        return -1;
    }
    bool yes = lua_toboolean(L, -2);
    lua_remove(L, -2); /* why, for a refusal */
    if (yes) {
        lua_pop(L, 1);
    }
    return yes;
}

static int policy_allow(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.policy.allow");
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *verb = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    if (!lua_isnil(L, 3)) {
        ruc_view_check(L, 3);
    }
    int answer = ask_auth(L, 1, verb, 3);
    if (answer == 1) {
        lua_pushboolean(L, 1);
        return 1;
    }
    if (answer == 0) {
        const char *why = lua_isstring(L, -1) ? lua_tostring(L, -1) : "not allowed";
        /* Who may not even see it is told what they are told of an engine that is not there. */
        int seen = lua_isnil(L, 3) ? 1 : strcmp(verb, "read") == 0 ? 0 : ask_auth(L, 1, "read", 3);
        if (seen == 0) {
            push_problem(L, 404, "there is no such engine", NULL);
        } else if (seen == 1) {
            push_problem(L, 403, why, NULL);
        }
    }
    lua_pushboolean(L, 0);
    lua_insert(L, -4);
    return 4;
}

/* {engines=, running=} of a user. */
static void push_counts(lua_State *L, const char *owner)
{
    ruc_table_t *table = ruc_vm_of(L)->app->table;
    lua_Integer engines = 0, running = 0;
    for (size_t i = 0; i < ruc_table_count(table); i++) {
        ruc_record_t *record = ruc_table_at(table, i);
        if (strcmp(ruc_record_text(record, "owner"), owner) == 0) {
            engines++;
            running += record->state != RUC_STATE_STOPPED;
        }
    }
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, engines);
    lua_setfield(L, -2, "engines");
    lua_pushinteger(L, running);
    lua_setfield(L, -2, "running");
}

/* {request =, user =, counts =}: what the policy is asked, as it is before it is asked; for the
 * event of the engine, so without secrets. nil when it cannot be kept. */
static void push_asked(lua_State *L, const char *owner)
{
    static const char *const maps[] = {"config", "env"};
    ruc_why_t why;
    json_t *request = ruc_value_to_json(L, 1, false, &why);
    for (size_t i = 0; i < 2 && json_is_object(request); i++) {
        json_t *map = json_object_get(request, maps[i]);
        if (json_is_object(map)) {
            json_object_set_new(request, maps[i], ruc_record_mask(map));
        }
    }
    if (!json_is_object(request)) {
        json_decref(request);
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 3);
    ruc_value_push_owned(L, request);
    lua_setfield(L, -2, "request");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "user");
    push_counts(L, owner);
    lua_setfield(L, -2, "counts");
}

static int policy_admit(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.policy.admit");
    ruc_prims_need_server(L, "rucat.policy.admit");
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getfield(L, 2, "name");
    const char *owner = luaL_checkstring(L, -1);
    push_asked(L, owner);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    push_counts(L, owner);
    int pushed = 0, asked = 4;
    const char *kind;
    if (call_policy(L, RUC_POLICY_ADMISSION, 3, 3, &kind) != LUA_OK) {
        pushed = push_policy_error(L, "admission", kind, lua_tostring(L, -1));
    } else if (lua_istable(L, -3)) {
        lua_pop(L, 2);
        lua_pushvalue(L, asked);
        return 2;
    } else if (!lua_isnil(L, -3)) {
        pushed = push_policy_error(L, "admission", "nonsense",
                                   "it must return the request, or nil and why not");
    } else {
        const char *why = lua_isstring(L, -2) ? lua_tostring(L, -2) : "refused by policy";
        lua_Integer status = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 403;
        bool fits = status >= 400 && status < 600;
        pushed = push_problem(L, fits ? (int)status : 403, why, NULL);
    }
    lua_pushnil(L);
    lua_insert(L, -1 - pushed);
    return pushed + 1;
}

/* ---- for reconcile ---- */

static int policy_restart(lua_State *L)
{
    lua_settop(L, 3);
    return ruc_ask_policy(L, RUC_POLICY_RESTART, NULL, 3, RUC_PHASE_POLICY, 0);
}

static int policy_probe(lua_State *L)
{
    double seconds = luaL_checknumber(L, 2);
    lua_settop(L, 1);
    return ruc_ask_policy(L, RUC_POLICY_HEALTH, "probe", 1, RUC_PHASE_PROBE, seconds);
}

static int policy_unhealthy(lua_State *L)
{
    lua_settop(L, 2);
    return ruc_ask_policy(L, RUC_POLICY_HEALTH, "unhealthy", 2, RUC_PHASE_POLICY, 0);
}

static int policy_submit(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getfield(L, 1, "type");
    lua_getfield(L, 1, "platform");
    const char *type = luaL_checkstring(L, 3), *platform = luaL_checkstring(L, 4);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    return ruc_ask_template(L, type, platform, "submit", 2, RUC_PHASE_TEMPLATE, 0);
}

static int policy_activity(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    double seconds = luaL_checknumber(L, 2);
    lua_settop(L, 1);
    lua_getfield(L, 1, "type");
    lua_getfield(L, 1, "platform");
    const char *type = luaL_checkstring(L, 2), *platform = luaL_checkstring(L, 3);
    lua_pushvalue(L, 1);
    return ruc_ask_template(L, type, platform, "activity", 1, RUC_PHASE_PROBE, seconds);
}

static int policy_idle(lua_State *L)
{
    lua_settop(L, 2);
    return ruc_ask_policy(L, RUC_POLICY_IDLE, "check", 2, RUC_PHASE_POLICY, 0);
}

typedef struct numbers {
    int ref;
    double interval, timeout, failures;
} numbers_t;

static int read_numbers(lua_State *L)
{
    numbers_t *numbers = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, numbers->ref);
    lua_getfield(L, -1, "interval");
    lua_getfield(L, -2, "timeout");
    lua_getfield(L, -3, "failures");
    numbers->interval = lua_tonumber(L, -3);
    numbers->timeout = lua_tonumber(L, -2);
    numbers->failures = lua_tonumber(L, -1);
    return 0;
}

static int policy_health(lua_State *L)
{
    ruc_generation_t *generation = ruc_scripts_now(ruc_vm_of(L)->app->scripts);
    numbers_t numbers = {.ref = generation->policies[RUC_POLICY_HEALTH]};
    ruc_why_t why;
    if (ruc_guard_protect(generation->vm, RUC_BUDGET_POLICY, "health", read_numbers, &numbers,
                          &why) < 0) {
        return ruc_push_err(L, RUC_ESCRIPT, why.text);
    }
    lua_pushnumber(L, numbers.interval);
    lua_pushnumber(L, numbers.timeout);
    lua_pushnumber(L, numbers.failures);
    return 3;
}

static int policy_nonsense(lua_State *L)
{
    ruc_ask_count_error(luaL_checkstring(L, 1), "nonsense");
    return 0;
}

void ruc_prim_policy(lua_State *L)
{
    static const luaL_Reg operators[] = {
        {"allow", policy_allow}, {"admit", policy_admit}, {NULL, NULL}};
    static const luaL_Reg systems[] = {
        {"restart", policy_restart}, {"probe", policy_probe},       {"unhealthy", policy_unhealthy},
        {"submit", policy_submit},   {"health", policy_health},     {"activity", policy_activity},
        {"idle", policy_idle},       {"nonsense", policy_nonsense}, {NULL, NULL}};
    lua_newtable(L);
    luaL_setfuncs(L, ruc_vm_of(L)->kind == RUC_VM_SYSTEM ? systems : operators, 0);
}
