/* spawn.h - starts the driver: own session and process group, a clean signal state, its output into
 * our pipe, killed by the kernel when the helper dies. The cgroup of the driver will be made here.
 */
#ifndef RUC_RE_SPAWN_H
#define RUC_RE_SPAWN_H

#include <stddef.h>

#include "proc/identity.h"
#include "rucat-engine/plan.h"

typedef struct ruc_re_driver {
    int pidfd; /* -1: none */
    ruc_proc_id_t id;
} ruc_re_driver_t;

/* Starts plan->argv with the write end `output` (which stays the caller's) as its stdout and
 * stderr. The child is forked and waits; `record(arg, driver)` is told who it is and writes that
 * down; only then it executes the program, and never if we die before. So whatever of a driver runs
 * was recorded first, and a server that finds no helper knows whom to look for. `record` returns 0
 * or a negative errno, which ends the start.
 *
 * Returns when it was executed: 0, or -1 with "cannot run /x/y: why" and no process left (its
 * zombie was reaped). Waits for the exec itself, which takes as long as the file system. */
int ruc_re_spawn(const ruc_re_plan_t *plan, int output, ruc_re_driver_t *driver,
                 int (*record)(void *arg, const ruc_re_driver_t *driver), void *arg, char *why,
                 size_t size);

/* Is the plan's fixed port free on its host? 0, or -1 with "port N on H is taken". A look before
 * the start, so that somebody else's listener is not taken for the driver. */
int ruc_re_spawn_port_free(const ruc_re_plan_t *plan, char *why, size_t size);

#endif
