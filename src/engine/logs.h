/* logs.h - the end of an engine's log, over all its epochs: what is on disk under
 * state_dir/engines/ID, each epoch's log.1 before its log, the oldest first. */
#ifndef RUC_ENGINE_LOGS_H
#define RUC_ENGINE_LOGS_H

#include <stddef.h>
#include <uv.h>

#define RUC_LOGS_LINES_MAX 100000
#define RUC_LOGS_ALL (-1)

/* `data` (len bytes, raw: a driver may write anything) is valid during the call; loop thread. rc 0,
 * or a negative code and no data. No log at all is rc 0 with len 0. */
typedef void (*ruc_logs_cb)(void *arg, int rc, const char *data, size_t len);

/* Reads the last `lines` lines (1 to RUC_LOGS_LINES_MAX, or RUC_LOGS_ALL), at most `max_bytes` of
 * them: where that cuts, the end is kept, from a whole line on. On the thread pool; `cb` comes
 * once, later. 0, RUC_EINVALID or another code (then no callback comes). */
int ruc_logs_tail(uv_loop_t *loop, const char *engine_dir, int lines, size_t max_bytes,
                  ruc_logs_cb cb, void *arg);

#endif
