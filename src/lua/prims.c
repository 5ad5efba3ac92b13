/* prims.c - puts the module `rucat` together from prims.def. */
#include "lua/prims.h"

#include <lauxlib.h>
#include <string.h>

#include "lua/unknown.h"

static const struct {
    const char *name;
    void (*open)(lua_State *L);
    const char *kinds;
} prims[] = {
#define RUC_PRIM(name, opener, kinds) {#name, opener, kinds},
#include "lua/prims.def"
#undef RUC_PRIM
};

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
    ruc_unknown_guard(L, "rucat");
}

void ruc_prims_need_server(lua_State *L, const char *primitive)
{
    if (ruc_vm_of(L)->app->table == NULL) {
        luaL_error(L, "%s is not to be had here: no server runs in this process", primitive);
    }
}
