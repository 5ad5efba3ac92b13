/* run_dir.h - the run directory of one epoch (state_dir/engines/ID/EPOCH) from the server's side:
 * making it before a start, and looking at what a helper left or holds there. All of it blocks:
 * thread pool only.
 *
 *   lock         flock: held by the one living helper of this epoch (and by whoever starts it)
 *   plan.json    what to run                    log, log.1   the driver's output
 *   status.json  what the helper last knew      helper.log   the helper's own words
 *   rpc          its socket                     record.json  the engine, see recover.h
 *   others       the plan's `files` */
#ifndef RUC_ENGINE_RUN_DIR_H
#define RUC_ENGINE_RUN_DIR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* Makes a directory and those above it that are missing, 0700. 0 or a negative errno. */
int ruc_run_dir_mkdirs(const char *path);

/* Makes run_dir and data_dir, takes the lock, writes files and plan.json, opens helper.log. The two
 * descriptors (close-on-exec) are the caller's. 0; RUC_EEXISTS when a helper lives in it; else a
 * negative code with a sentence. */
int ruc_run_dir_make(const char *run_dir, const char *data_dir, const json_t *files,
                     const char *plan, int *lock_fd, int *log_fd, ruc_why_t *why);

typedef struct ruc_run_look {
    bool held;        /* a helper lives */
    json_t *status;   /* status.json, or NULL; the caller's */
    int64_t mtime_ms; /* of status.json, wall: its last beat */
    int left;         /* processes of the instance that were found and killed; negative: a code */
} ruc_run_look_t;

/* Looks. When there is no helper and its status does not say "ended", what is left of the instance
 * is killed (see proc/identity.h); to be repeated until `left` is 0. */
void ruc_run_dir_look(const char *run_dir, const char *instance, ruc_run_look_t *look);

/* True when a helper lives in it. Touches nothing. */
bool ruc_run_dir_held(const char *run_dir);

/* The engine's record as it was when its driver was started (record.json); NULL when there is none
 * that can be read. The caller's. */
json_t *ruc_run_dir_record(const char *run_dir);

/* True when no process works in the directory: who holds its lock then is no helper, but a server
 * that was about to start one, and stands still. Reads all of /proc. */
bool ruc_run_dir_vacant(const char *run_dir);

/* The pid of the driver that runs in it, by its status.json and checked; 0: none. */
int ruc_run_dir_driver(const char *run_dir);

/* The instance (37 bytes) of the plan in it; "" when it has none yet. */
void ruc_run_dir_instance(const char *run_dir, char instance[37]);

/* For a helper that does not answer. Each reads the files of the directory for who is meant, and
 * signals through a verified pidfd. */

/* Sends a signal to the helper. 0, -ESRCH (gone, or not to be told apart from others on this
 * kernel) or another negative errno. `*stopped`: it was stopped (SIGSTOP, a debugger). */
int ruc_run_dir_signal_helper(const char *run_dir, int signal, bool *stopped);

/* Sends the stop signal (`signal`, or the plan's for NULL) to the driver, then SIGCONT. 0 or a
 * negative errno; `*grace_ms` is the plan's. */
int ruc_run_dir_stop_driver(const char *run_dir, const char *signal, int64_t *grace_ms);

#endif
