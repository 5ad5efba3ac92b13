/* child.h - child processes for scripts (not drivers: those belong to rucat-engine).
 *
 * A child runs in a session of its own, so that a signal to the terminal or the group does not
 * reach it. Its output is kept up to a bound, the newest part. It is done when it has ended and its
 * pipes are at their end. Loop thread only. */
#ifndef RUC_PROC_CHILD_H
#define RUC_PROC_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

typedef struct ruc_child ruc_child_t;

typedef enum { RUC_CHILD_COLLECT, RUC_CHILD_NULL, RUC_CHILD_INHERIT } ruc_child_io_t;

typedef struct ruc_child_spec {
    char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    char *const *env;  /* NULL-terminated "K=V"; NULL: this process's own */
    const char *cwd;   /* NULL: this process's own */
    const char *input; /* what it reads; NULL: nothing */
    size_t input_len;
    ruc_child_io_t out, err;
    bool err_to_out; /* collect both as one */
    size_t keep;     /* bytes of output kept of each */
} ruc_child_spec_t;

/* Called once when the child is done. */
typedef void (*ruc_child_cb)(void *arg, ruc_child_t *child);

/* Starts a child; everything is copied. NULL and `why` when it cannot be run. One reference to the
 * caller; the child holds another one until it is done. */
ruc_child_t *ruc_child_spawn(uv_loop_t *loop, const ruc_child_spec_t *spec, ruc_child_cb cb,
                             void *arg, ruc_why_t *why);

/* Gives the caller's reference back. A child that still runs goes on; `cb` is not called. */
void ruc_child_release(ruc_child_t *child);

int ruc_child_pid(const ruc_child_t *child);
bool ruc_child_done(const ruc_child_t *child);

/* How it ended: exit code or -1, signal number or 0. */
void ruc_child_exit(const ruc_child_t *child, int64_t *code, int *signal);

/* The kept output; `which` 1 or 2. Valid until the next turn of the loop. */
const char *ruc_child_output(const ruc_child_t *child, int which, size_t *len);

/* Sends a signal, while it has not ended: 0, UV_ESRCH. */
int ruc_child_kill(ruc_child_t *child, int signal);

#endif
