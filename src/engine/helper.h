/* helper.h - starts a rucat-engine and reaps it: the process only, not the conversation with it. */
#ifndef RUC_ENGINE_HELPER_H
#define RUC_ENGINE_HELPER_H

#include <stdbool.h>
#include <uv.h>

#include "engine/driver.h"

typedef struct ruc_helper ruc_helper_t;

/* Starts spec->helper on spec->run_dir, in a session of its own, with the descriptors it knows
 * (rucat-engine/main.c): `log_fd` as its output, a pidfd of this process in embedded mode, the
 * other end of `rpc` (which is connected by this), `lock_fd`. The descriptors stay the caller's. 0
 * and
 * `*helper`, or a negative code. `gone(arg)` comes once: when it has exited and was reaped. Blocks
 * for the fork and exec. */
int ruc_helper_spawn(uv_loop_t *loop, const ruc_driver_spec_t *spec, uv_pipe_t *rpc, int lock_fd,
                     int log_fd, void (*gone)(void *arg), void *arg, ruc_helper_t **helper);

/* The owner lets go: `gone` does not come any more. The helper runs on and is reaped when it ends,
 * so that none is ever left as a zombie; it does not keep the loop alive. NULL is fine. */
void ruc_helper_leave(ruc_helper_t *helper);

/* True when this program started the process and has not reaped it yet: libuv waits for it. */
bool ruc_helper_is(int pid);

/* Closes what is kept for those that were let go of, on this loop: at the end of the server, whose
 * children then are the system's. */
void ruc_helper_leave_all(uv_loop_t *loop);

#endif
