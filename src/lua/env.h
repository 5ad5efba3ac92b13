/* env.h - what a script sees: environments by allow list.
 *
 * A tool has the whole standard library. The system's and the operator's states have a short list:
 * no files, no processes, no debug library, no loading of code; what reaches out of a script is a
 * primitive of `rucat`. Each file gets an environment of its own over that list, so that a file's
 * globals are its own, and an unknown name raises when it is reached. */
#ifndef RUC_LUA_ENV_H
#define RUC_LUA_ENV_H

#include <lua.h>

#include "lua/vm.h"

/* Opens libraries and primitives of that kind of state. May raise. */
void ruc_env_open(lua_State *L, ruc_vm_kind_t kind);

/* Gives the function on top of the stack an environment of its own. May raise. */
void ruc_env_own(lua_State *L);

#endif
