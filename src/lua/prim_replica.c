/* prim_replica.c - rucat.replica: this server and the others on its store.
 *
 *     for _, r in ipairs(rucat.replica.list()) do print(r.name, r.url, r.alive) end
 *     local url, why = rucat.replica.route(engine)   -- who has what it has written; "" is us
 *     return 200, rucat.replica.forward(engine)      -- for handlers: let that one answer
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/job.h"
#include "lua/prims.h"
#include "lua/proxy.h"
#include "lua/value.h"
#include "lua/view.h"

/* RAISES while a file is loaded, and where no server runs. */
static const ruc_replicas_t *replicas_of(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.replica");
    ruc_prims_need_server(L, "rucat.replica");
    return ruc_vm_of(L)->app->replicas;
}

static int replica_shared(lua_State *L)
{
    lua_pushboolean(L, ruc_replicas_shared(replicas_of(L)));
    return 1;
}

static int replica_id(lua_State *L)
{
    lua_pushstring(L, ruc_replicas_self(replicas_of(L))->id);
    return 1;
}

static int replica_holds(lua_State *L)
{
    lua_pushboolean(L, ruc_replicas_holds(replicas_of(L)));
    return 1;
}

/* Seconds until what belongs to others may be taken; nil while our own lease does not hold. */
static int replica_settles_in(lua_State *L)
{
    int64_t ms = ruc_replicas_shared(replicas_of(L)) ? ruc_replicas_settles_in(replicas_of(L)) : 0;
    if (ms < 0) {
        lua_pushnil(L);
    } else {
        lua_pushnumber(L, (double)ms / 1000);
    }
    return 1;
}

/* How many engines it keeps. */
static lua_Integer keeps(lua_State *L, const ruc_replica_t *one)
{
    const ruc_table_t *table = ruc_vm_of(L)->app->table;
    lua_Integer n = 0;
    for (size_t i = 0; i < ruc_table_count(table); i++) {
        n += strcmp(ruc_record_text(ruc_table_at(table, i), "keeper"), one->id) == 0;
    }
    return n;
}

static void push_replica(lua_State *L, const ruc_replicas_t *replicas, const ruc_replica_t *one)
{
    const ruc_replica_t *self = ruc_replicas_self(replicas);
    lua_createtable(L, 0, 10);
    lua_pushinteger(L, keeps(L, one));
    lua_setfield(L, -2, "engines");
    lua_pushstring(L, one->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, one->host);
    lua_setfield(L, -2, "host");
    lua_pushstring(L, one->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, one->url);
    lua_setfield(L, -2, "url");
    lua_pushstring(L, one->version);
    lua_setfield(L, -2, "version");
    lua_newtable(L);
    ruc_value_mark_array(L);
    if (one->server) {
        lua_pushliteral(L, "server");
        lua_rawseti(L, -2, 1);
    }
    if (one->monitor) {
        lua_pushliteral(L, "monitor");
        lua_rawseti(L, -2, one->server ? 2 : 1);
    }
    lua_setfield(L, -2, "roles");
    lua_pushboolean(L, one->alive);
    lua_setfield(L, -2, "alive");
    if (ruc_replicas_shared(replicas)) {
        lua_pushnumber(L, (double)ruc_replicas_left_ms(replicas, one) / 1000);
        lua_setfield(L, -2, "left");
    }
    lua_pushboolean(L, strcmp(one->id, self->id) == 0);
    lua_setfield(L, -2, "self");
}

static int replica_list(lua_State *L)
{
    const ruc_replicas_t *replicas = replicas_of(L);
    lua_newtable(L);
    ruc_value_mark_array(L);
    if (!ruc_replicas_shared(replicas)) {
        push_replica(L, replicas, ruc_replicas_self(replicas));
        lua_rawseti(L, -2, 1);
        return 1;
    }
    for (size_t i = 0; i < ruc_replicas_count(replicas); i++) {
        push_replica(L, replicas, ruc_replicas_at(replicas, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* One of them by its id, or nil. */
static int replica_get(lua_State *L)
{
    const ruc_replicas_t *replicas = replicas_of(L);
    const ruc_replica_t *one = ruc_replicas_find(replicas, luaL_checkstring(L, 1));
    if (one == NULL) {
        lua_pushnil(L);
    } else {
        push_replica(L, replicas, one);
    }
    return 1;
}

static int replica_alive(lua_State *L)
{
    const ruc_replica_t *one = ruc_replicas_find(replicas_of(L), luaL_checkstring(L, 1));
    lua_pushboolean(L, one != NULL && one->alive);
    return 1;
}

/* winner(engine id [, host]) -> id of the replica that is to take it, or nil */
static int replica_winner(lua_State *L)
{
    const ruc_replica_t *one =
        ruc_replicas_winner(replicas_of(L), luaL_checkstring(L, 1), luaL_optstring(L, 2, NULL));
    if (one == NULL) {
        lua_pushnil(L);
    } else {
        lua_pushstring(L, one->id);
    }
    return 1;
}

/* What a host is to us: "here", "rebooted" (this machine before its last start), "machine" (another
 * container of it), "elsewhere". */
static int replica_host(lua_State *L)
{
    const char *host = luaL_checkstring(L, 1), *ours = ruc_replicas_self(replicas_of(L))->host;
    lua_pushstring(L, strcmp(host, ours) == 0             ? "here"
                      : ruc_host_rebooted(host, ours)     ? "rebooted"
                      : ruc_host_same_machine(host, ours) ? "machine"
                                                          : "elsewhere");
    return 1;
}

/* What a record keeps of a driver that is started here: place(dir). */
static int replica_place(lua_State *L)
{
    const ruc_replica_t *self = ruc_replicas_self(replicas_of(L));
    const char *dir = luaL_optstring(L, 1, ruc_vm_of(L)->app->state_dir);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, self->host);
    lua_setfield(L, -2, "host");
    lua_pushstring(L, self->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, self->id);
    lua_setfield(L, -2, "replica");
    lua_pushstring(L, dir);
    lua_setfield(L, -2, "dir");
    return 1;
}

/* ---- is that directory to be had here? ---- */

typedef struct reaching {
    uv_work_t work;
    ruc_ticket_t ticket;
    bool there;
    char path[];
} reaching_t;

static void reach(uv_work_t *work)
{
    reaching_t *reaching = work->data;
    reaching->there = access(reaching->path, R_OK | W_OK | X_OK) == 0;
}

static int push_reached(lua_State *L, void *arg)
{
    lua_pushboolean(L, ((reaching_t *)arg)->there);
    return 1;
}

static void reached(uv_work_t *work, int status)
{
    reaching_t *reaching = work->data;
    (void)status; /* never cancelled */
    ruc_job_wake(reaching->ticket, push_reached, reaching);
    free(reaching);
}

/* reaches(dir, engine id): can this process work in that engine's directory there? Waits. */
static int replica_reaches(lua_State *L)
{
    (void)replicas_of(L);
    ruc_job_need(L, RUC_PHASE_SYSTEM, "rucat.replica.reaches");
    const char *dir = luaL_checkstring(L, 1), *engine = luaL_checkstring(L, 2);
    ruc_ticket_t ticket = ruc_job_ticket(L, "reaches");
    size_t size = strlen(dir) + strlen(engine) + sizeof "/engines/";
    reaching_t *reaching = calloc(1, sizeof *reaching + size);
    if (reaching == NULL) {
        return luaL_error(L, "not enough memory");
    }
    snprintf(reaching->path, size, "%s/engines/%s", dir, engine);
    reaching->ticket = ticket;
    reaching->work.data = reaching;
    int rc = uv_queue_work(ruc_vm_of(L)->app->loop, &reaching->work, reach, reached);
    if (rc < 0) {
        free(reaching);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

/* ---- passing on ---- */

/* route(engine) -> "": what it has written is here; a url: there; nil, why */
static int replica_route(lua_State *L)
{
    ruc_why_t why = {""};
    const ruc_replicas_t *replicas = replicas_of(L);
    const ruc_record_t *record = ruc_view_check(L, 1);
    if (ruc_replicas_has_files(replicas, record)) {
        lua_pushliteral(L, "");
        return 1;
    }
    const ruc_replica_t *one = ruc_replicas_with_files(replicas, record, &why);
    if (one == NULL) {
        return ruc_push_err(L, RUC_ENOTFOUND, why.text);
    }
    lua_pushstring(L, one->url);
    return 1;
}

/* forward(engine): a body for a handler, with which the replica of route() answers. RAISES when
 * that is us or nobody. */
static int replica_forward(lua_State *L)
{
    ruc_proxy_t proxy;
    ruc_why_t why = {""};
    const ruc_replicas_t *replicas = replicas_of(L);
    const ruc_record_t *record = ruc_view_check(L, 1);
    ruc_job_need(L, RUC_PHASE_HANDLER, "rucat.replica.forward");
    const ruc_replica_t *one = ruc_replicas_has_files(replicas, record)
                                   ? NULL
                                   : ruc_replicas_with_files(replicas, record, &why);
    if (one == NULL) {
        return luaL_error(L, "rucat.replica.forward: nobody else has it%s%s",
                          why.text[0] != '\0' ? ": " : "", why.text);
    }
    snprintf(proxy.url, sizeof proxy.url, "%s", one->url);
    snprintf(proxy.name, sizeof proxy.name, "%s", one->name);
    ruc_proxy_push(L, &proxy);
    return 1;
}

void ruc_prim_replica(lua_State *L)
{
    static const luaL_Reg functions[] = {{"shared", replica_shared},   {"id", replica_id},
                                         {"list", replica_list},       {"route", replica_route},
                                         {"forward", replica_forward}, {NULL, NULL}};
    /* For reconcile (lua/rucat/keeper.lua) alone. */
    static const luaL_Reg system[] = {
        {"holds", replica_holds}, {"settles_in", replica_settles_in}, {"get", replica_get},
        {"alive", replica_alive}, {"winner", replica_winner},         {"host", replica_host},
        {"place", replica_place}, {"reaches", replica_reaches},       {NULL, NULL}};
    luaL_newlib(L, functions);
    if (ruc_vm_of(L)->kind == RUC_VM_SYSTEM) {
        luaL_setfuncs(L, system, 0);
    }
}
