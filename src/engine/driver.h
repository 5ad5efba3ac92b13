/* driver.h - a driver: the process (or pod, or submission) that is one epoch of an engine, however
 * it is run. One object for each engine and epoch; it starts or adopts, tells what is seen, stops.
 * What runs does not belong to the object: closing it leaves the driver alone.
 *
 * All functions are for the loop thread. Callbacks come on the loop thread too, and never from
 * inside a call into this API, so a callback may do anything, close the driver included. */
#ifndef RUC_ENGINE_DRIVER_H
#define RUC_ENGINE_DRIVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "engine/seen.h"

typedef struct ruc_driver ruc_driver_t;

typedef struct ruc_driver_spec { /* all of it is copied */
    const char *engine;          /* ULID */
    const char *name;
    const char *instance; /* uuid of this epoch: RUCAT_INSTANCE in the driver's environment */
    uint64_t epoch;
    const char *run_dir;  /* state_dir/engines/ID/EPOCH; its "rpc" must fit into 107 bytes */
    const char *data_dir; /* the engine's own directory: the default cwd */
    bool embedded;        /* the driver ends with this server */
    const char *helper;   /* path of rucat-engine */
    int64_t beat_ms;
    uint64_t until_ms;  /* ruc_clock_mono_ms: a start that comes later is not made; 0: whenever */
    int64_t log_max;    /* bytes of its log before it is rotated; 0: 64 MiB */
    const char *record; /* the engine's whole record, kept beside the plan; NULL: none (adoption) */
} ruc_driver_spec_t;

/* There is something new in ruc_driver_seen; `beat_only`: nothing but a sign of life. */
typedef void (*ruc_driver_cb)(void *arg, ruc_driver_t *driver, bool beat_only);

/* Makes a driver of a kind ("process", "external"). NULL: unknown kind or no memory. */
ruc_driver_t *ruc_driver_new(uv_loop_t *loop, const char *kind, const ruc_driver_spec_t *spec,
                             ruc_driver_cb cb, void *arg);

bool ruc_driver_kind_known(const char *kind);

/* Starts what the template's plan says (ruc_plan_check passed it; it is read before this returns).
 * 0 or a code with a sentence in `why` (bad plan, no memory, started or adopted before). What
 * fails after acceptance comes as ENDED with a `why`, what came after spec.until_ms as NONE. If the
 * epoch has a driver already it is adopted: there is never a second one. */
int ruc_driver_start(ruc_driver_t *driver, const json_t *plan, ruc_why_t *why);

/* Looks for the driver of this epoch. Ends in a callback with what was found: NONE (start may then
 * be called), STARTING, READY or STOPPING (and from now on it is followed), or ENDED. 0 or a code.
 */
int ruc_driver_adopt(ruc_driver_t *driver);

/* Asks it to end: `signal` ("TERM"; NULL: the plan's), then after `grace_ms` (-1: the plan's) KILL.
 * May be repeated; with a shorter grace or another signal it hurries. 0 also when it has ended;
 * RUC_ENOTFOUND when there is none; RUC_EINVALID for what is no stop signal. */
int ruc_driver_stop(ruc_driver_t *driver, const char *signal, int64_t grace_ms);

/* Sets the bound on the log of a driver that runs, where its rucat-engine can take it (an older one
 * keeps what it has), and of one that will be started. */
void ruc_driver_set_log_max(ruc_driver_t *driver, int64_t log_max);

/* What is seen now; valid until the next turn of the loop. Never NULL. */
const ruc_seen_t *ruc_driver_seen(const ruc_driver_t *driver);

/* Detaches: what runs lives on, no callback comes any more, the memory goes when the last handle is
 * closed. A rucat-engine that this process started is still reaped when it ends; at the end of the
 * loop ruc_helper_leave_all closes what that takes. NULL is fine. */
void ruc_driver_close(ruc_driver_t *driver);

#endif
