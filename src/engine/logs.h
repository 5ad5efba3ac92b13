/* logs.h - the end of an engine's log, over all its epochs: what is on disk under
 * state_dir/engines/ID, each epoch's log.1 before its log, the oldest first. */
#ifndef RUC_ENGINE_LOGS_H
#define RUC_ENGINE_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define RUC_LOGS_LINES_MAX 100000
#define RUC_LOGS_ALL (-1)

/* Up to where a log was read, so that a follower can go on from there. */
typedef struct ruc_logs_mark {
    uint64_t epoch; /* 0: nothing yet */
    ino_t inode;    /* of its log; 0: there was none yet */
    off_t offset;
    bool half; /* the last line was not whole */
} ruc_logs_mark_t;

/* `data` (len bytes, raw: a driver may write anything) is valid during the call; loop thread. rc 0,
 * or a negative code and no data. No log at all is rc 0 with len 0. `mark`: where the text ends. */
typedef void (*ruc_logs_cb)(void *arg, int rc, const char *data, size_t len,
                            const ruc_logs_mark_t *mark);

/* Reads the last `lines` lines (0 to RUC_LOGS_LINES_MAX, or RUC_LOGS_ALL), at most `max_bytes` of
 * them: where that cuts, the end is kept, from a whole line on. On the thread pool; `cb` comes
 * once, later. 0, RUC_EINVALID or another code (then no callback comes). */
int ruc_logs_tail(uv_loop_t *loop, const char *engine_dir, int lines, size_t max_bytes,
                  ruc_logs_cb cb, void *arg);

/* Reads what has come since `mark`, at most `max_bytes`, into the same epoch's log or those of
 * later ones; len 0 when nothing has. What a rotation took away before it was read is passed over.
 * On the thread pool, as above. */
int ruc_logs_since(uv_loop_t *loop, const char *engine_dir, const ruc_logs_mark_t *mark,
                   size_t max_bytes, ruc_logs_cb cb, void *arg);

#endif
