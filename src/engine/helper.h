/* helper.h - starts a rucat-engine and reaps it: the process only, not the conversation with it.
 *
 * The start takes as long as fork and exec do, which on a busy machine is long for a loop that
 * answers requests: it is done on the thread pool, and what comes of it is taken over on the loop.
 */
#ifndef RUC_ENGINE_HELPER_H
#define RUC_ENGINE_HELPER_H

#include <stdbool.h>
#include <uv.h>

#include "engine/driver.h"

typedef struct ruc_helper ruc_helper_t;

/* One that was just started. */
typedef struct ruc_helper_born {
    int pid, pidfd;
    int rpc; /* a socket, connected to its descriptor 4 */
} ruc_helper_born_t;

/* Starts spec->helper on spec->run_dir, in a session of its own, with the descriptors it knows
 * (rucat-engine/main.c): `log_fd` as its output, a pidfd of this process in embedded mode, the
 * other end of `born->rpc`, `lock_fd`. The descriptors given stay the caller's, those in `born`
 * become its. 0 or a negative errno (there is no process then). For the thread pool. */
int ruc_helper_start(const ruc_driver_spec_t *spec, int lock_fd, int log_fd,
                     ruc_helper_born_t *born);

/* Takes over the process, which is reaped when it ends, and its pidfd; born->rpc stays the
 * caller's. 0 and `*helper`, or a negative code: it was ended then. `gone(arg)` comes once: when it
 * was reaped. Loop thread only, as all below. */
int ruc_helper_watch(uv_loop_t *loop, const char *name, const ruc_helper_born_t *born,
                     void (*gone)(void *arg), void *arg, ruc_helper_t **helper);

/* The owner lets go: `gone` does not come any more. The helper runs on and is reaped when it ends,
 * so that none is ever left as a zombie; it does not keep the loop alive. NULL is fine. */
void ruc_helper_leave(ruc_helper_t *helper);

/* True when this program watches the process and has not reaped it yet. */
bool ruc_helper_is(int pid);

/* Closes what is kept for those that were let go of, on this loop: at the end of the server, whose
 * children then are the system's. */
void ruc_helper_leave_all(uv_loop_t *loop);

#endif
