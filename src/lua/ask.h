/* ask.h - asking the operator's scripts from another state: the restart and health policies and the
 * templates, on behalf of reconcile. Arguments and results are copied. */
#ifndef RUC_LUA_ASK_H
#define RUC_LUA_ASK_H

#include <lua.h>

#include "lua/generation.h"
#include "lua/job.h"

/* YIELDS until the answer is there; `return` it. Calls the policy's function (or, with `field`,
 * that field of the policy's table) of the serving generation with the `nargs` arguments on top of
 * L's stack. Returns true and the results, or nil, message, code. `seconds`: the call is given up
 * after that (0: no bound; for those that may wait). */
int ruc_ask_policy(lua_State *L, ruc_policy_t policy, const char *field, int nargs,
                   ruc_phase_t phase, double seconds);

/* The same, asking that generation. */
int ruc_ask_generation(lua_State *L, ruc_generation_t *generation, ruc_policy_t policy,
                       const char *field, int nargs, ruc_phase_t phase, double seconds);

/* The same for a function of the template of that type and platform: submit(engine, ctx) or
 * activity(engine). A template without the function answers nil. "NOTFOUND": no such template. */
int ruc_ask_template(lua_State *L, const char *type, const char *platform, const char *field,
                     int nargs, ruc_phase_t phase, double seconds);

/* Counts a failure of a policy for the metrics. */
void ruc_ask_count_error(const char *policy, const char *kind);

/* Counts the time of a call, from the monotonic nanoseconds at its start. */
void ruc_ask_count_time(const char *policy, uint64_t began_ns);

#endif
