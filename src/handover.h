/* handover.h - a server whose loop stands still starts itself again: the same process, the same
 * listening sockets, the same lock on its directories, new everything else.
 *
 * The watchdog sees that the loop has not come back for `limits.stall`. What holds it cannot be
 * ended from outside (it is in C, or the budgets would have ended it), so the program is executed
 * anew in its place: who connects meanwhile waits in the sockets' queues, the helpers of local
 * engines do not notice (the pid is the same) and are adopted as after any restart. What the next
 * one must know is in the environment variable RUC_HANDOVER, who did it in STATE_DIR/stall.json. */
#ifndef RUC_HANDOVER_H
#define RUC_HANDOVER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "lua/app.h"

#define RUC_HANDOVER_MOST 3         /* restarts within ... */
#define RUC_HANDOVER_SPAN (10 * 60) /* ... so many seconds; then the server ends */
#define RUC_HANDOVER_SOCKETS 8

/* What goes from one to the next. */
typedef struct ruc_handover {
    bool given;                                 /* this process was started by itself */
    int http[RUC_HANDOVER_SOCKETS], http_count; /* descriptors it listens on */
    int console, lock, db_lock;                 /* descriptors; -1 */
    bool remove;                                /* the state directory is private */
    char state_dir[PATH_MAX], db_dir[PATH_MAX]; /* "" */
    int64_t times[RUC_HANDOVER_MOST];  /* of the last restarts, seconds of CLOCK_BOOTTIME, newest
                                        * first; 0 none */
    unsigned count;                    /* of all restarts of this process */
    uint64_t digests[RUC_STALLED_MAX]; /* of script generations that did it; 0 none */
} ruc_handover_t;

/* Reads what the one before has left, and takes it out of the environment. First thing in serve. */
void ruc_handover_take(ruc_handover_t *handover);

/* Remembers how this process was started. `handover` is borrowed for good: what is opened later is
 * put into it as it comes. 0 or a negative code. */
int ruc_handover_prepare(const ruc_handover_t *handover, ruc_why_t *why);

/* For the watchdog (core/watchdog.h): in a signal handler, or on the watchdog's thread. Returns
 * only when the program could not be executed. */
void ruc_handover_stalled(bool on_loop);

/* After a restart: what STATE_DIR/stall.json says, as one line for the log; "" when nothing. */
void ruc_handover_story(const ruc_handover_t *handover, const char *state_dir, char *out,
                        size_t size);

#endif
