/* prim_driver.c - rucat.driver: the hands of reconcile. The system's state only.
 *
 *     local id = rucat.driver.next()          -- waits for an engine that is to be looked at
 *     local seen = rucat.driver.seen(id)      -- { phase = "ready", port = 15002, ... } or nil
 *     rucat.driver.start(view, plan)          -- and adopt, stop, forget
 *     rucat.driver.put(id, 5)                 -- look at it again in 5 s
 */
#include <errno.h>
#include <lauxlib.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "engine/dirs.h"
#include "lua/job.h"
#include "lua/monitor.h"
#include "lua/port_owner.h"
#include "lua/prims.h"
#include "lua/value.h"
#include "lua/view.h"

#define KEEP_EPOCHS 5
#define FENCED "the lease of this replica does not hold"

static ruc_fleet_t *fleet_of(lua_State *L)
{
    return ruc_vm_of(L)->app->fleet;
}

static int push_rc(lua_State *L, int rc, const char *why)
{
    if (rc < 0) {
        return ruc_push_err(L, rc, why);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static void set_number(lua_State *L, const char *name, double value)
{
    if (value != 0) {
        lua_pushnumber(L, value);
        lua_setfield(L, -2, name);
    }
}

static void set_integer(lua_State *L, const char *name, lua_Integer value)
{
    if (value != 0) {
        lua_pushinteger(L, value);
        lua_setfield(L, -2, name);
    }
}

static void push_exit(lua_State *L, const ruc_exit_t *exit)
{
    lua_createtable(L, 0, 3);
    if (exit->code >= 0) {
        lua_pushinteger(L, exit->code);
        lua_setfield(L, -2, "code");
    }
    if (exit->signal[0] != '\0') {
        lua_pushstring(L, exit->signal);
        lua_setfield(L, -2, "signal");
    }
    if (exit->oom >= 0) {
        lua_pushboolean(L, exit->oom);
        lua_setfield(L, -2, "oom");
    }
}

static int driver_seen(lua_State *L)
{
    const ruc_seen_t *seen = ruc_fleet_seen(fleet_of(L), luaL_checkstring(L, 1));
    if (seen == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, 14);
    lua_pushstring(L, ruc_seen_name(seen->phase));
    lua_setfield(L, -2, "phase");
    lua_pushinteger(L, (lua_Integer)seen->epoch);
    lua_setfield(L, -2, "epoch");
    set_integer(L, "pid", seen->pid);
    set_integer(L, "port", seen->port);
    set_integer(L, "ui_port", seen->ui_port);
    set_number(L, "started", (double)seen->started_ms / 1000);
    set_number(L, "ready", (double)seen->ready_ms / 1000);
    set_number(L, "ended", (double)seen->ended_ms / 1000);
    if (seen->ended_mono_ms != 0) {
        set_number(L, "ended_age",
                   0.001 + (double)((int64_t)ruc_clock_mono_ms() - seen->ended_mono_ms) / 1000);
    }
    if (seen->ready_mono_ms != 0 && seen->ended_mono_ms >= seen->ready_mono_ms) {
        set_number(L, "uptime", 0.001 + (double)(seen->ended_mono_ms - seen->ready_mono_ms) / 1000);
    }
    if (seen->beat_mono_ms != 0) {
        set_number(L, "beat_age",
                   0.001 + (double)(ruc_clock_mono_ms() - seen->beat_mono_ms) / 1000);
    }
    push_exit(L, &seen->exit);
    lua_setfield(L, -2, "exit");
    lua_pushboolean(L, seen->timed_out);
    lua_setfield(L, -2, "timed_out");
    lua_pushboolean(L, seen->kill_incomplete);
    lua_setfield(L, -2, "kill_incomplete");
    lua_pushstring(L, seen->why);
    lua_setfield(L, -2, "why");
    lua_pushstring(L, seen->tail);
    lua_setfield(L, -2, "tail");
    return 1;
}

static int driver_has(lua_State *L)
{
    lua_pushboolean(L, ruc_fleet_has(fleet_of(L), luaL_checkstring(L, 1)));
    return 1;
}

static int driver_start(lua_State *L)
{
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_view_check(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (ruc_vm_of(L)->app->closing) {
        return ruc_push_err(L, RUC_ECLOSED, "the server is stopping");
    }
    uint64_t until_ms = ruc_replicas_holds_until(ruc_vm_of(L)->app->replicas);
    if (until_ms == 0) {
        return ruc_push_err(L, RUC_ECLOSED, FENCED);
    }
    json_t *plan = ruc_value_to_json(L, 2, true, &why); /* the plan's check names the NUL */
    if (plan == NULL) {
        return ruc_push_err(L, RUC_EINVALID, why.text);
    }
    int rc = ruc_fleet_start(fleet_of(L), record, plan, until_ms, &why);
    json_decref(plan);
    return push_rc(L, rc, why.text);
}

static int driver_adopt(lua_State *L)
{
    return push_rc(L, ruc_fleet_adopt(fleet_of(L), ruc_view_check(L, 1)), NULL);
}

static int driver_stop(lua_State *L)
{
    if (!ruc_replicas_holds(ruc_vm_of(L)->app->replicas)) {
        return ruc_push_err(L, RUC_ECLOSED, FENCED);
    }
    return push_rc(L, ruc_fleet_stop(fleet_of(L), luaL_checkstring(L, 1), NULL, -1), NULL);
}

static int driver_forget(lua_State *L)
{
    ruc_fleet_forget(fleet_of(L), luaL_checkstring(L, 1));
    return 0;
}

/* rucat.driver.dirs(id, epoch [, base]): data directory, run directory */
static int driver_dirs(lua_State *L)
{
    char data[4096], run[4096];
    const char *id = luaL_checkstring(L, 1), *base = luaL_optstring(L, 3, NULL);
    uint64_t epoch = (uint64_t)luaL_checkinteger(L, 2);
    if (ruc_fleet_data_dir(fleet_of(L), base, id, data, sizeof data) < 0 ||
        ruc_fleet_run_dir(fleet_of(L), base, id, epoch, run, sizeof run) < 0) {
        return luaL_error(L, "the state directory's path is too long");
    }
    lua_pushstring(L, data);
    lua_pushstring(L, run);
    return 2;
}

/* A port on the loopback address that was free just now. The kernel does not hand the same one out
 * again soon, as it chooses at random among those that are free. */
static int driver_port(lua_State *L)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
                     getsockname(fd, (struct sockaddr *)&address, &size) < 0
                 ? -errno
                 : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (rc < 0) {
        return ruc_push_err(L, rc, NULL);
    }
    lua_pushinteger(L, ntohs(address.sin_port));
    return 1;
}

static int driver_put(lua_State *L)
{
    const char *id = luaL_checkstring(L, 1);
    double seconds = luaL_optnumber(L, 2, 0);
    seconds = seconds < 0 ? 0 : seconds > 86400 ? 86400 : seconds;
    /* Rounded up: looking a moment too early would find nothing to do and look again at once. */
    ruc_agenda_put(ruc_vm_of(L)->app->agenda, id, (uint64_t)(seconds * 1000 + 0.999));
    return 0;
}

static int driver_next(lua_State *L)
{
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.driver.next");
    char id[27];
    ruc_app_t *app = ruc_vm_of(L)->app;
    if (!app->closing && ruc_agenda_take(app->agenda, id)) {
        lua_pushstring(L, id);
        return 1;
    }
    ruc_monitor_wait(ticket);
    return ruc_job_wait(L, NULL, NULL);
}

/* Runs a function as a job of its own: one engine's reconciliation does not wait for another's. */
static int push_function(lua_State *L)
{
    lua_State *from = lua_touserdata(L, 1);
    lua_pushvalue(from, 1);
    lua_xmove(from, L, 1);
    lua_pushvalue(from, 2);
    lua_xmove(from, L, 1);
    return 2;
}

static void spawned_over(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    (void)arg;
    (void)outcome;
    (void)co;
    (void)n;
}

static int driver_spawn(lua_State *L)
{
    ruc_why_t why;
    ruc_vm_t *vm = ruc_vm_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    int rc = ruc_vm_protect(vm, push_function, L, &why);
    if (rc == 0) {
        rc = ruc_job_start(vm, RUC_PHASE_SYSTEM, 1, "reconcile", NULL, spawned_over, NULL, NULL);
    }
    return push_rc(L, rc, NULL);
}

/* ---- directories ---- */

typedef struct clearing {
    ruc_ticket_t ticket;
    int rc;
} clearing_t;

static int push_cleared(lua_State *L, void *arg)
{
    return push_rc(L, ((clearing_t *)arg)->rc, NULL);
}

static void cleared(void *arg, int rc)
{
    clearing_t *clearing = arg;
    clearing->rc = rc;
    ruc_job_wake(clearing->ticket, push_cleared, clearing);
    free(clearing);
}

static int clear(lua_State *L, bool all)
{
    char dir[4096];
    int rc = ruc_fleet_dir(fleet_of(L), luaL_optstring(L, 2, NULL), luaL_checkstring(L, 1), dir,
                           sizeof dir);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.driver.prune");
    clearing_t *clearing = malloc(sizeof *clearing);
    if (clearing == NULL) {
        return luaL_error(L, "not enough memory");
    }
    clearing->ticket = ticket;
    uv_loop_t *loop = ruc_vm_of(L)->app->loop;
    if (rc == 0) {
        rc = all ? ruc_dirs_remove(loop, dir, cleared, clearing)
                 : ruc_dirs_prune(loop, dir, KEEP_EPOCHS, cleared, clearing);
    }
    if (rc < 0) {
        free(clearing);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

static int driver_prune(lua_State *L)
{
    return clear(L, false);
}

static int driver_remove(lua_State *L)
{
    return clear(L, true);
}

/* rucat.driver.sweep([id]): ends drivers here whose epoch is over; see engine/strays.h. */
static int driver_sweep(lua_State *L)
{
    ruc_fleet_sweep(fleet_of(L), ruc_vm_of(L)->app->table, luaL_optstring(L, 1, NULL));
    return 0;
}

static int driver_count_takeover(lua_State *L)
{
    (void)L;
    ruc_metric_add(ruc_metrics_series(RUC_M_TAKEOVERS), 1);
    return 0;
}

static int driver_count_restart(lua_State *L)
{
    (void)L;
    ruc_metric_add(ruc_metrics_series(RUC_M_ENGINE_RESTARTS), 1);
    return 0;
}

static int driver_count_start(lua_State *L)
{
    ruc_metric_observe(ruc_metrics_series(RUC_M_ENGINE_START), luaL_checknumber(L, 1));
    return 0;
}

/* rucat.driver.count_own(span, seconds): what of a start was rucat's own doing. */
static int driver_count_own(lua_State *L)
{
    ruc_metric_observe(ruc_metrics_series(RUC_M_ENGINE_OWN, luaL_checkstring(L, 1)),
                       luaL_checknumber(L, 2));
    return 0;
}

void ruc_prim_driver(lua_State *L)
{
    static const luaL_Reg functions[] = {{"seen", driver_seen},
                                         {"has", driver_has},
                                         {"start", driver_start},
                                         {"adopt", driver_adopt},
                                         {"stop", driver_stop},
                                         {"forget", driver_forget},
                                         {"dirs", driver_dirs},
                                         {"port", driver_port},
                                         {"listeners", ruc_port_listeners},
                                         {"owner", ruc_port_owner},
                                         {"put", driver_put},
                                         {"next", driver_next},
                                         {"spawn", driver_spawn},
                                         {"prune", driver_prune},
                                         {"remove", driver_remove},
                                         {"sweep", driver_sweep},
                                         {"count_takeover", driver_count_takeover},
                                         {"count_restart", driver_count_restart},
                                         {"count_start", driver_count_start},
                                         {"count_own", driver_count_own},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
}
