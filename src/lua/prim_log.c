/* prim_log.c - rucat.log: lines for the log, in the group "script".
 *
 *     rucat.log.warn("engine %s is slow", engine.name)
 */
#include <lauxlib.h>

#include "core/log.h"
#include "lua/prims.h"

/* The text of the arguments: a format and what it needs, or one value. */
static const char *message(lua_State *L, size_t *len)
{
    if (lua_gettop(L) > 1) {
        luaL_checkstring(L, 1);
        lua_getfield(L, lua_upvalueindex(2), "format");
        lua_insert(L, 1);
        lua_call(L, lua_gettop(L) - 1, 1);
    }
    return luaL_tolstring(L, 1, len);
}

static int write_line(lua_State *L)
{
    size_t len;
    ruc_log_level_t level = (ruc_log_level_t)lua_tointeger(L, lua_upvalueindex(1));
    const char *text = message(L, &len);
    const char *group = ruc_vm_of(L)->kind == RUC_VM_SYSTEM ? "monitor" : "script";
    ruc_log_line(group, level, text, len);
    return 0;
}

void ruc_prim_log(lua_State *L)
{
    static const struct {
        const char *name;
        ruc_log_level_t level;
    } levels[] = {
#define XX(name, text) {text, RUC_##name},
        RUC_LOG_LEVELS(XX)
#undef XX
    };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        lua_pushinteger(L, levels[i].level);
        lua_getglobal(L, "string");
        lua_pushcclosure(L, write_line, 2);
        lua_setfield(L, -2, levels[i].name);
    }
}
