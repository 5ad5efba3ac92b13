/* ladder.h - ends the driver and all that came from it, and reaps.
 *
 *   the stop signal to the driver (through its pidfd), then SIGCONT
 *   -> after the grace, or when the driver ended: SIGKILL to its group and to its cgroup, in one
 * go; where there is none, to all that descends from us, again and again, as each that dies leaves
 *      its own children to us (we are the subreaper)
 *   -> empty: we have no child any more, and nobody lives in the cgroup
 *
 * Children are ours until they are reaped here, so their numbers cannot be used by others; the
 * driver's group is signalled while the driver itself is not reaped yet. */
#ifndef RUC_RE_LADDER_H
#define RUC_RE_LADDER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "rucat-engine/loop.h"
#include "rucat-engine/spawn.h"

typedef struct ruc_re_ladder {
    ruc_re_loop_t *loop;
    ruc_re_driver_t *driver;
    int cgroup;           /* its directory; -1: none */
    bool started;         /* a stop was asked for */
    bool killing;         /* the grace is over, or the driver is */
    bool gone;            /* the driver was reaped */
    bool incomplete;      /* ten seconds of killing were not enough */
    int last_signal;      /* the one that was sent last */
    uint64_t killing_ms;  /* since when, monotonic */
    int64_t took_ms;      /* from there until it was empty; -1: not (yet) */
    int64_t retry_gap_ms; /* until the next round */
    ruc_re_timer_t grace, retry, more;
    void (*exited)(void *arg, const siginfo_t *how); /* the driver, before its tree is cleared */
    void (*stuck)(void *arg);                        /* `incomplete` became true */
    void (*empty)(void *arg);                        /* nothing is left of it; the last call */
    void *arg;
} ruc_re_ladder_t;

/* Fills in the rest (loop, driver, callbacks and arg are set by the caller). */
void ruc_re_ladder_init(ruc_re_ladder_t *ladder);

/* Starts the ladder, or hurries it: a shorter grace counts, another signal is sent as well. */
void ruc_re_ladder_stop(ruc_re_ladder_t *ladder, int signal, int64_t grace_ms);

/* SIGCHLD came: reaps all there is. A bounded number at a time, the rest in the next turn of the
 * loop: children that come faster than they are reaped must not keep the grace from ending. */
void ruc_re_ladder_reap(ruc_re_ladder_t *ladder);

#endif
