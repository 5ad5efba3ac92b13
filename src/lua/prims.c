/* prims.c - puts the module `rucat` together from prims.def. */
#include "lua/prims.h"

#include <lauxlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*open)(lua_State *L);
    const char *kinds;
} prims[] = {
#define RUC_PRIM(name, opener, kinds) {#name, opener, kinds},
#include "lua/prims.def"
#undef RUC_PRIM
};

static int unknown_primitive(lua_State *L)
{
    return luaL_error(L, "rucat.%s is not there", luaL_tolstring(L, 2, NULL));
}

void ruc_prims_push(lua_State *L, ruc_vm_kind_t kind)
{
    static const char letters[] = {[RUC_VM_SYSTEM] = 'S',
                                   [RUC_VM_OPERATOR] = 'O',
                                   [RUC_VM_TOOL] = 'T',
                                   [RUC_VM_CONSOLE] = 'C'};
    char letter = letters[kind];
    lua_newtable(L);
    for (size_t i = 0; i < sizeof prims / sizeof prims[0]; i++) {
        if (strchr(prims[i].kinds, letter) != NULL) {
            prims[i].open(L);
            lua_setfield(L, -2, prims[i].name);
        }
    }
    lua_pushliteral(L, RUCAT_VERSION);
    lua_setfield(L, -2, "version");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, unknown_primitive);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}
