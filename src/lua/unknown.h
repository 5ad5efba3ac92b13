/* unknown.h - names that a script reaches and that are not there: loud, with what was meant. */
#ifndef RUC_LUA_UNKNOWN_H
#define RUC_LUA_UNKNOWN_H

#include <lua.h>

#include "lua/namelist.h"
#include "lua/vm.h"

/* For the __index of what all environments stand on: RAISES "unknown name 'engnie', did you mean
 * 'engine'?" for the key at stack index 2. Looked through: the locals and upvalues of the function
 * that reached for it, the file's own globals, the base list. */
int ruc_unknown_global(lua_State *L);

/* Makes the table on top of the stack, and the tables in it, loud about fields that are not there;
 * `path` is how scripts call it ("rucat"). Tables that have a metatable are left alone. May raise.
 */
void ruc_unknown_guard(lua_State *L, const char *path);

/* Lists what scripts of that state see, with the fields of tables: for ruc_globals_warn. Sorted. 0
 * or a negative code, then the list is empty. Does not raise. */
int ruc_unknown_list(ruc_vm_t *vm, ruc_names_t *names);

#endif
