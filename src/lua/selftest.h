/* selftest.h - the tests that script files bring along, run before their generation serves.
 *
 * A file that returns a table (handlers, health, idle, templates) has them in its field
 * `self_test`; one that returns a function returns them as a second value. A self-test that raises,
 * or returns false and why, refuses the generation. */
#ifndef RUC_LUA_SELFTEST_H
#define RUC_LUA_SELFTEST_H

#include <lua.h>

#include "lua/vm.h"

/* Takes the self-test of a file off the top of the stack: a function is kept, nil is none. False:
 * it is something else. May raise (memory). */
bool ruc_selftest_take(lua_State *L);

/* Runs all that were kept, as if the files were still being loaded. Calls told(arg, "FILE:LINE:
 * what") for each that fails. Does not raise. */
void ruc_selftest_run(ruc_vm_t *vm, void (*told)(void *arg, const char *text), void *arg);

#endif
