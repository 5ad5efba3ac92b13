/* session.h - the Lua side of one console: a state of its own with a cap on its memory, globals
 * that stay from line to line, one job for each line. */
#ifndef RUC_CONSOLE_SESSION_H
#define RUC_CONSOLE_SESSION_H

#include <stdint.h>

#include "console/conn.h"

typedef struct ruc_session ruc_session_t;

/* Makes one for `conn` (borrowed). `files`: the shipped library, must outlive it. NULL and `why`.
 */
ruc_session_t *ruc_session_new(ruc_conn_t *conn, ruc_fileset_t *files, ruc_why_t *why);

/* Cancels its job and closes the state. Not from inside one of its jobs. */
void ruc_session_free(ruc_session_t *session);

/* Runs code, first as an expression, then as statements; the answer goes out by ruc_conn_result,
 * perhaps before this returns. `name` as Lua wants it ("=console"); `columns`: of the peer's
 * terminal, 0 when it has none. Answers that a line still runs when one does. */
void ruc_session_eval(ruc_session_t *session, int64_t id, const char *code, size_t len,
                      const char *name, int columns);

/* Ends the line that runs; false when there is none. */
bool ruc_session_cancel(ruc_session_t *session);

/* Words that `text` could go on with: appends ["a","b"] to `out` and sets where in `text` they
 * begin. 0 or a negative code. */
int ruc_session_complete(ruc_session_t *session, const char *text, size_t len, ruc_buf_t *out,
                         size_t *from);

#endif
