/* dirs.h - the directories of an engine: state_dir/engines/ID/EPOCH. All on the thread pool. */
#ifndef RUC_ENGINE_DIRS_H
#define RUC_ENGINE_DIRS_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* rc 0 or a negative code; loop thread. */
typedef void (*ruc_dirs_cb)(void *arg, int rc);

/* Removes the oldest epochs but the newest `keep`. An epoch whose helper lives is never removed.
 * 0 or a code (then no callback comes); `cb` may be NULL. */
int ruc_dirs_prune(uv_loop_t *loop, const char *engine_dir, size_t keep, ruc_dirs_cb cb, void *arg);

/* Removes a directory and all that is in it; symbolic links are removed, not followed. What is not
 * there is fine. Returns as ruc_dirs_prune. */
int ruc_dirs_remove(uv_loop_t *loop, const char *dir, ruc_dirs_cb cb, void *arg);

/* The epochs (directories named by a number) of an engine in ascending order, in an array the
 * caller frees. Their number, or a negative code; no such directory is 0. Blocks: thread pool. */
int ruc_dirs_epochs(const char *engine_dir, uint64_t **epochs);

/* The same removal at once. Blocks: thread pool, or before the loop runs. 0 or a negative code. */
int ruc_dirs_remove_now(const char *dir);

#endif
