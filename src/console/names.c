/* names.c - see names.h. Each function has the connection as its upvalue; the state it is in ends
 * before the connection does. */
#include "console/names.h"

#include <lauxlib.h>

#include "core/log.h"
#include "engine/verbs.h"
#include "lua/job.h"

#define JOBS_SHOWN 1000

static ruc_conn_t *conn_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* write(text): to this console. */
static int host_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    for (size_t at = 0; at < len || at == 0; at += RUC_CONN_QUEUE / 4) { /* frames have a bound */
        size_t part = len - at < RUC_CONN_QUEUE / 4 ? len - at : RUC_CONN_QUEUE / 4;
        ruc_conn_say(conn_of(L), "out", text + at, part);
    }
    return 0;
}

/* follow_events([id]) */
static int host_follow_events(lua_State *L)
{
    ruc_console_follow_events(conn_of(L), luaL_optstring(L, 1, NULL));
    return 0;
}

static ruc_log_level_t check_level(lua_State *L, int index)
{
    int level = ruc_log_level_of(luaL_checkstring(L, index));
    luaL_argcheck(L, level >= 0, index, "a level: debug, info, warn or error");
    return (ruc_log_level_t)level;
}

static int host_follow_log(lua_State *L)
{
    ruc_console_follow_log(conn_of(L), check_level(L, 1));
    return 0;
}

static int host_unfollow(lua_State *L)
{
    lua_pushinteger(L, ruc_console_follow_stop(conn_of(L)));
    return 1;
}

/* levels(): group -> level */
static int host_levels(lua_State *L)
{
    static const char *const groups[] = {
#define XX(name, text) text,
        RUC_LOG_GROUPS(XX)
#undef XX
    };
    static const char *const levels[] = {
#define XX(name, text) text,
        RUC_LOG_LEVELS(XX)
#undef XX
    };
    lua_createtable(L, 0, RUC_LOG_GROUP_COUNT);
    for (int group = 0; group < RUC_LOG_GROUP_COUNT; group++) {
        int level = 0;
        while (level < RUC_LEVEL_COUNT - 1 &&
               !ruc_log_wants((ruc_log_group_t)group, (ruc_log_level_t)level)) {
            level++;
        }
        lua_pushstring(L, levels[level]);
        lua_setfield(L, -2, groups[group]);
    }
    return 1;
}

/* set_level(group or nil, level) */
static int host_set_level(lua_State *L)
{
    const char *group = luaL_optstring(L, 1, NULL), *level = luaL_checkstring(L, 2);
    check_level(L, 2);
    luaL_argcheck(L, ruc_log_set_level(group, level) == 0, 1, "there is no such group of the log");
    return 0;
}

/* jobs(): { {id=, what=, where=, request=, waiting=}, ... }, how many there are */
static int host_jobs(lua_State *L)
{
    ruc_job_info_t *list = lua_newuserdatauv(L, JOBS_SHOWN * sizeof *list, 0);
    size_t n = ruc_job_list(list, JOBS_SHOWN);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 5);
        lua_pushinteger(L, (lua_Integer)list[i].id);
        lua_setfield(L, -2, "id");
        lua_pushstring(L, list[i].what);
        lua_setfield(L, -2, "what");
        lua_pushstring(L, list[i].where);
        lua_setfield(L, -2, "where");
        lua_pushstring(L, list[i].request);
        lua_setfield(L, -2, "request");
        lua_pushboolean(L, list[i].waiting);
        lua_setfield(L, -2, "waiting");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushinteger(L, ruc_job_total());
    return 2;
}

/* settled(id, verb): true when no more will happen of itself; nil when the engine is gone. */
static int host_settled(lua_State *L)
{
    static const char *const verbs[] = {"start", "stop", "restart", "delete", NULL};
    const ruc_record_t *record = ruc_table_find(conn_of(L)->app->table, luaL_checkstring(L, 1));
    const char *verb = verbs[luaL_checkoption(L, 2, NULL, verbs)];
    if (record == NULL) {
        lua_pushnil(L);
    } else {
        lua_pushboolean(L, ruc_verb_settled(record, verb));
    }
    return 1;
}

void ruc_names_push(lua_State *L, ruc_conn_t *conn)
{
    static const luaL_Reg functions[] = {{"write", host_write},
                                         {"follow_events", host_follow_events},
                                         {"follow_log", host_follow_log},
                                         {"unfollow", host_unfollow},
                                         {"levels", host_levels},
                                         {"set_level", host_set_level},
                                         {"jobs", host_jobs},
                                         {"settled", host_settled},
                                         {NULL, NULL}};
    luaL_newlibtable(L, functions);
    lua_pushlightuserdata(L, conn);
    luaL_setfuncs(L, functions, 1);
    lua_pushstring(L, conn->user);
    lua_setfield(L, -2, "user");
}
