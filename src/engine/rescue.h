/* rescue.h - ends a driver whose rucat-engine does not answer: it is stopped, hangs in the kernel,
 * or spins. Step by step, each with some patience, until it speaks again or is gone:
 *
 *   1. SIGCONT to rucat-engine: it was stopped, and now does what it was told
 *   2. the stop signal to the driver, by us
 *   3. after the grace SIGKILL to rucat-engine; the kernel takes the driver along, and the look
 * that follows (run_dir.h) clears away the rest
 *
 * Signals go through verified pidfds, from the thread pool. Each step is logged. Loop thread only.
 */
#ifndef RUC_ENGINE_RESCUE_H
#define RUC_ENGINE_RESCUE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct ruc_rescue ruc_rescue_t;

typedef struct ruc_rescue_spec { /* texts are copied */
    const char *name;            /* of the engine, for the log */
    const char *run_dir;
    const char *signal; /* of the stop; "": the plan's */
    int64_t grace_ms;   /* -1: the plan's */
} ruc_rescue_spec_t;

/* Begins, with the first patience. NULL without memory. It ends by ruc_rescue_end only. */
ruc_rescue_t *ruc_rescue_begin(uv_loop_t *loop, const ruc_rescue_spec_t *spec);

/* True when it went as far as to kill rucat-engine. */
bool ruc_rescue_killed(const ruc_rescue_t *rescue);

/* It is not needed (any more), and frees itself. NULL is fine. */
void ruc_rescue_end(ruc_rescue_t *rescue);

#endif
