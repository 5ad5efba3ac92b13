/* prim_server.c - rucat.server: the server itself.
 *
 *     rucat.server.ready()     -- true, or false and why
 *     rucat.server.scripts()   -- generation, files, last error
 *     rucat.server.reload()    -- waits; the report, or nil, the report
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/job.h"
#include "lua/prims.h"
#include "lua/scripts.h"
#include "lua/value.h"

/* RAISES while a file is loaded: there may be no generation yet. */
static ruc_scripts_t *scripts_of(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.server");
    ruc_prims_need_server(L, "rucat.server");
    return ruc_vm_of(L)->app->scripts;
}

static int server_scripts(lua_State *L)
{
    return ruc_value_push_owned(L, ruc_scripts_status(scripts_of(L)));
}

typedef struct reloading {
    ruc_ticket_t ticket;
    int rc;
    json_t *report;
} reloading_t;

static int push_report(lua_State *L, void *arg)
{
    reloading_t *reloading = arg;
    if (reloading->report == NULL) {
        return ruc_push_err(L, reloading->rc, NULL);
    }
    if (reloading->rc < 0) {
        lua_pushnil(L);
    }
    ruc_value_push_json(L, reloading->report, true);
    return reloading->rc < 0 ? 2 : 1;
}

static void reloaded(void *arg, int rc, json_t *report)
{
    reloading_t *reloading = arg;
    reloading->rc = rc;
    reloading->report = report;
    ruc_job_wake(reloading->ticket, push_report, reloading);
    free(reloading);
}

static int server_reload(lua_State *L)
{
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.server.reload");
    ruc_prims_need_server(L, "rucat.server.reload");
    reloading_t *reloading = malloc(sizeof *reloading);
    if (reloading == NULL) {
        return luaL_error(L, "not enough memory");
    }
    reloading->ticket = ticket;
    int rc = ruc_scripts_reload(ruc_vm_of(L)->app->scripts, reloaded, reloading);
    if (rc < 0) {
        free(reloading);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

static int server_ready(lua_State *L)
{
    ruc_app_t *app = ruc_vm_of(L)->app;
    ruc_why_t why = {""};
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.server.ready");
    ruc_prims_need_server(L, "rucat.server.ready");
    if (app->closing) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "the server is stopping");
        return 2;
    }
    if (ruc_store_ready(app->store, &why) < 0) {
        lua_pushboolean(L, 0);
        lua_pushfstring(L, "the store: %s", why.text);
        return 2;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* The template names there are, as one text. */
static int server_templates(lua_State *L)
{
    ruc_generation_t *generation = ruc_scripts_now(scripts_of(L));
    ruc_buf_t names;
    ruc_buf_init(&names, 16384);
    ruc_generation_templates(generation, &names);
    lua_pushlstring(L, ruc_buf_str(&names), names.len);
    ruc_buf_free(&names);
    return 1;
}

static int server_has_template(lua_State *L)
{
    ruc_generation_t *generation = ruc_scripts_now(scripts_of(L));
    const char *type = luaL_checkstring(L, 1), *platform = luaL_checkstring(L, 2);
    int top = lua_gettop(generation->vm->L);
    lua_pushboolean(L, ruc_generation_template(generation, type, platform, "submit"));
    lua_settop(generation->vm->L, top);
    return 1;
}

/* A group of the configuration, as a copy: "spark", "limits", ... */
static int server_config(lua_State *L)
{
    return ruc_value_push_owned(L,
                                ruc_config_tree(ruc_vm_of(L)->app->config, luaL_checkstring(L, 1)));
}

static int server_info(lua_State *L)
{
    ruc_app_t *app = ruc_vm_of(L)->app;
    lua_createtable(L, 0, 7);
    lua_pushinteger(L, (lua_Integer)sysconf(_SC_NPROCESSORS_ONLN));
    lua_setfield(L, -2, "cpus");
    lua_pushstring(L, app->instance);
    lua_setfield(L, -2, "instance");
    lua_pushstring(L, app->listen);
    lua_setfield(L, -2, "listen");
    lua_pushstring(L, ruc_config_text(app->config, "mode"));
    lua_setfield(L, -2, "mode");
    lua_pushliteral(L, RUCAT_VERSION);
    lua_setfield(L, -2, "version");
    lua_newtable(L);
    ruc_value_mark_array(L);
    lua_Integer n = 0;
    if (app->server) {
        lua_pushliteral(L, "server");
        lua_rawseti(L, -2, ++n);
    }
    if (app->monitor) {
        lua_pushliteral(L, "monitor");
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "roles");
    if (app->replicas != NULL && ruc_replicas_shared(app->replicas)) {
        lua_pushstring(L, ruc_replicas_self(app->replicas)->id);
        lua_setfield(L, -2, "replica");
    }
    return 1;
}

/* The routes of this script generation: { route =, file =, doc = } each. Operator's scripts only.
 */
static int server_routes(lua_State *L)
{
    ruc_generation_t *generation = ruc_vm_of(L)->arg;
    lua_Integer n = 0;
    lua_newtable(L);
    for (ruc_route_t *route = generation->routes; route != NULL; route = route->next) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, route->text);
        lua_setfield(L, -2, "route");
        lua_pushstring(L, route->file);
        lua_setfield(L, -2, "file");
        lua_rawgeti(L, LUA_REGISTRYINDEX, route->value);
        if (lua_istable(L, -1)) {
            lua_getfield(L, -1, "doc");
            lua_setfield(L, -3, "doc");
        }
        lua_pop(L, 1);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

void ruc_prim_server(lua_State *L)
{
    static const luaL_Reg functions[] = {{"scripts", server_scripts},
                                         {"reload", server_reload},
                                         {"ready", server_ready},
                                         {"templates", server_templates},
                                         {"has_template", server_has_template},
                                         {"routes", server_routes},
                                         {"config", server_config},
                                         {"info", server_info},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    if (ruc_vm_of(L)->kind != RUC_VM_OPERATOR) {
        lua_pushnil(L);
        lua_setfield(L, -2, "routes");
    }
}
