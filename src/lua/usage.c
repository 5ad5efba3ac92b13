/* usage.c - see usage.h. /proc is read on the thread pool, once for all engines that are asked for.
 */
#include "lua/usage.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "engine/run_dir.h"
#include "lua/job.h"
#include "lua/prims.h"
#include "proc/usage.h"

#define ENGINES_MAX 1000

typedef struct looking {
    uv_work_t work;
    ruc_ticket_t ticket;
    int rc;
    size_t n;
    char (*ids)[27];
    char **dirs; /* of drivers that another replica of this host keeps: their run directories */
    ruc_usage_t *usages;
} looking_t;

static void looking_free(looking_t *looking)
{
    if (looking != NULL) {
        for (size_t i = 0; looking->dirs != NULL && i < looking->n; i++) {
            free(looking->dirs[i]);
        }
        free(looking->dirs);
        free(looking->ids);
        free(looking->usages);
        free(looking);
    }
}

static void look(uv_work_t *work)
{
    looking_t *looking = work->data;
    for (size_t i = 0; i < looking->n; i++) {
        if (looking->dirs[i] != NULL) {
            looking->usages[i].pid = ruc_run_dir_driver(looking->dirs[i]);
        }
    }
    looking->rc = looking->n == 0 ? 0 : ruc_proc_usage(looking->usages, looking->n);
}

static int push_usages(lua_State *L, void *arg)
{
    looking_t *looking = arg;
    if (looking->rc < 0) {
        return ruc_push_err(L, looking->rc, NULL);
    }
    lua_createtable(L, 0, (int)looking->n);
    for (size_t i = 0; i < looking->n; i++) {
        const ruc_usage_t *usage = &looking->usages[i];
        if (usage->processes > 0) {
            lua_createtable(L, 0, 4);
            lua_pushinteger(L, usage->pid);
            lua_setfield(L, -2, "pid");
            lua_pushinteger(L, usage->processes);
            lua_setfield(L, -2, "processes");
            lua_pushnumber(L, (double)usage->cpu_ms / 1000);
            lua_setfield(L, -2, "cpu_seconds");
            lua_pushinteger(L, (lua_Integer)usage->memory_bytes);
            lua_setfield(L, -2, "memory_bytes");
            lua_setfield(L, -2, looking->ids[i]);
        }
    }
    return 1;
}

static void looked(uv_work_t *work, int status)
{
    (void)status;
    looking_t *looking = work->data;
    ruc_job_wake(looking->ticket, push_usages, looking); /* late: nobody waits any more */
    looking_free(looking);
}

static looking_t *looking_new(size_t n)
{
    looking_t *looking = calloc(1, sizeof *looking);
    if (looking != NULL) {
        looking->ids = calloc(n + 1, sizeof *looking->ids);
        looking->usages = calloc(n + 1, sizeof *looking->usages);
        looking->dirs = calloc(n + 1, sizeof *looking->dirs);
        if (looking->ids == NULL || looking->dirs == NULL || looking->usages == NULL) {
            looking_free(looking);
            return NULL;
        }
        looking->work.data = looking;
    }
    return looking;
}

/* The run directory of a driver on this host that is not ours; NULL. */
static char *others_dir(const ruc_app_t *app, const char *id)
{
    char dir[4096];
    const ruc_record_t *record =
        ruc_replicas_shared(app->replicas) ? ruc_table_find(app->table, id) : NULL;
    if (record == NULL || record->state == RUC_STATE_STOPPED ||
        ruc_record_place(record, "dir")[0] == '\0' ||
        !ruc_replicas_has_files(app->replicas, record) ||
        ruc_fleet_run_dir(app->fleet, ruc_record_place(record, "dir"), id, record->epoch, dir,
                          sizeof dir) < 0) {
        return NULL;
    }
    return strdup(dir);
}

/* The engines of the list at 1 that have a driver. */
static void add_drivers(lua_State *L, ruc_app_t *app, looking_t *looking, size_t n)
{
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i);
        const char *id = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        const ruc_seen_t *seen = strlen(id) == 26 ? ruc_fleet_seen(app->fleet, id) : NULL;
        if (seen != NULL && seen->pid > 0 && seen->phase != RUC_SEEN_ENDED) {
            memcpy(looking->ids[looking->n], id, 27);
            looking->usages[looking->n++].pid = seen->pid;
        } else if (strlen(id) == 26 && seen == NULL &&
                   (looking->dirs[looking->n] = others_dir(app, id)) != NULL) {
            memcpy(looking->ids[looking->n++], id, 27);
        }
        lua_pop(L, 1);
    }
}

int ruc_engines_usage(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t n = lua_rawlen(L, 1);
    luaL_argcheck(L, n <= ENGINES_MAX, 1, "at most 1000 engines");
    ruc_prims_need_server(L, "rucat.store.engines.usage");
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.store.engines.usage");
    ruc_app_t *app = ruc_vm_of(L)->app;
    looking_t *looking = looking_new(n);
    if (looking == NULL) {
        return luaL_error(L, "not enough memory");
    }
    looking->ticket = ticket;
    add_drivers(L, app, looking, n);
    int rc = uv_queue_work(app->loop, &looking->work, look, looked);
    if (rc < 0) {
        looking_free(looking);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}
