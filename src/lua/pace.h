/* pace.h - nobody has more than half of the loop.
 *
 * A piece of work that has taken long (a route, a policy, a timer's function: by its name) does not
 * run again before as much time has gone by as it took, so that others come in between; what is
 * asked of it meanwhile waits. A state in which nothing takes long has no list, and looking costs
 * nothing. */
#ifndef RUC_LUA_PACE_H
#define RUC_LUA_PACE_H

#include <stdint.h>

#include "lua/vm.h"

#define RUC_PACE_LONG_NS 20000000u /* CPU time of a slice from which it counts */

/* `what` has just run for that long. */
void ruc__pace_note(ruc_vm_t *vm, const char *what, uint64_t ns);

/* How long it has to wait, in milliseconds; 0: it may run. */
uint64_t ruc__pace_wait(ruc_vm_t *vm, const char *what);

/* The state closes. */
void ruc__pace_drop(ruc_vm_t *vm);

#endif
