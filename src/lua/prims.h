/* prims.h - the openers of prims.def. Each leaves its table (or function) on the stack; called
 * protected, may raise. */
#ifndef RUC_LUA_PRIMS_H
#define RUC_LUA_PRIMS_H

#include <lua.h>

#include "lua/vm.h"

#define RUC_PRIM(name, opener, kinds) void opener(lua_State *L);
#include "lua/prims.def"
#undef RUC_PRIM

/* Pushes a new `rucat` module for that kind of state. */
void ruc_prims_push(lua_State *L, ruc_vm_kind_t kind);

/* RAISES in a process that is no server: there are no engines to be asked for. */
void ruc_prims_need_server(lua_State *L, const char *primitive);

/* Stops the timers of a state that ends. */
void ruc_timers_stop(ruc_vm_t *vm);

#endif
