/* usage.h - rucat.store.engines.usage: what engines take of this machine. */
#ifndef RUC_LUA_USAGE_H
#define RUC_LUA_USAGE_H

#include <lua.h>

/* usage({ id, ... }) -> { [id] = { pid =, processes =, cpu_seconds =, memory_bytes = } }; at most
 * 1,000 ids. An engine without a driver on this machine is not in it. YIELDS. */
int ruc_engines_usage(lua_State *L);

#endif
