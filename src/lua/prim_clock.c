/* prim_clock.c - rucat.clock: what time it is.
 *
 *     local began = rucat.clock.monotonic()
 *     rucat.log.info("it is " .. rucat.clock.text())
 */
#include <lauxlib.h>

#include "core/clock.h"
#include "core/id.h"
#include "lua/job.h"
#include "lua/prims.h"

static int clock_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)ruc_clock_wall_ms() / 1000.0);
    return 1;
}

static int clock_monotonic(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)ruc_clock_mono_ns() / 1e9);
    return 1;
}

static int clock_text(lua_State *L)
{
    char text[RUC_RFC3339_SIZE];
    lua_Number at = luaL_optnumber(L, 1, (lua_Number)ruc_clock_wall_ms() / 1000.0);
    lua_pushstring(L, ruc_clock_rfc3339((int64_t)(at * 1000.0 + 0.5), text));
    return 1;
}

static int clock_parse(lua_State *L)
{
    int64_t ms;
    if (ruc_clock_parse(luaL_checkstring(L, 1), &ms) < 0) {
        return ruc_push_err(L, RUC_EINVALID, "not a time as 2026-11-23T01:02:03.456Z");
    }
    lua_pushnumber(L, (lua_Number)ms / 1000.0);
    return 1;
}

static int clock_duration(lua_State *L)
{
    int64_t ms;
    if (ruc_clock_duration(luaL_checkstring(L, 1), &ms) < 0) {
        return ruc_push_err(L, RUC_EINVALID,
                            "not a duration: a number of seconds or 10ms, 30s, 5m, 2h, 1d");
    }
    lua_pushnumber(L, (lua_Number)ms / 1000.0);
    return 1;
}

/* The time that an id of ours (a ULID) carries; without one: that of the newest there is. */
static int clock_id_time(lua_State *L)
{
    const char *id = luaL_optstring(L, 1, NULL);
    luaL_argcheck(L, id == NULL || ruc_id_is_ulid(id), 1, "not an id");
    lua_pushnumber(L, (lua_Number)(id == NULL ? ruc_id_newest_ms() : ruc_id_time_ms(id)) / 1000.0);
    return 1;
}

static int clock_uuid(lua_State *L)
{
    char text[RUC_UUID_SIZE];
    lua_pushstring(L, ruc_id_uuid(text));
    return 1;
}

void ruc_prim_clock(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", clock_now},           {"monotonic", clock_monotonic},
        {"text", clock_text},         {"parse", clock_parse},
        {"duration", clock_duration}, {"uuid", clock_uuid},
        {"id_time", clock_id_time},   {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
