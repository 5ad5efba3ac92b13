/* renew.h - a script generation whose memory is full of what its scripts keep.
 *
 * Scripts may keep things between calls, and a mistake keeps more with each, until nothing runs in
 * their state any more. Then the generation is made anew of the same files; not oftener than every
 * two seconds. In between what wants more than a little memory there is stopped. */
#ifndef RUC_LUA_RENEW_H
#define RUC_LUA_RENEW_H

#include "lua/vm.h"

/* To be vm->filled of a state that serves. Allocates nothing: it is called by the allocator. */
void ruc_renew_soon(ruc_vm_t *vm);

/* To be vm->stopped of a state that serves: a second later what the stopped script has left is
 * collected and given back to the system; where too many of the state's pages are empty then, it is
 * made anew as well. The same rules. */
void ruc_renew_shrink(ruc_vm_t *vm);

/* Before the scripts are closed. */
void ruc_renew_close(void);

#endif
