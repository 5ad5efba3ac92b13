/* conn.h - one console's connection: frames in, frames out, bounds on both. */
#ifndef RUC_CONSOLE_CONN_H
#define RUC_CONSOLE_CONN_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "console/follow.h"
#include "console/wire.h"
#include "lua/app.h"
#include "lua/fileset.h"

#define RUC_CONN_QUEUE                                                                             \
    ((size_t)1 << 20)          /* unsent bytes; beyond it output is dropped and counted            \
                                */
#define RUC_CONN_STALL_MS 5000 /* a peer that takes nothing for that long is let go */

struct ruc_session;

typedef struct ruc_conn {
    ruc_app_t *app;
    uv_pipe_t pipe;
    uv_timer_t stall;
    unsigned number; /* counts up from 1 */
    uid_t uid;
    pid_t pid;
    char user[64];
    uv_work_t lookup; /* of the user's name */
    bool looking, reading, greeted, closing;
    int handles;
    ruc_wire_t wire;
    ruc_fileset_t *files; /* the shipped library */
    struct ruc_session *session;
    ruc_console_follow_t follow;
    size_t queued;         /* bytes handed to uv_write and not written */
    unsigned long dropped; /* outputs that found no room */
    const char *why;       /* a reason to close it that came up inside a job; static */
    struct ruc_conn *prev, *next;
} ruc_conn_t;

/* The consoles that are open. */
extern ruc_conn_t *ruc__consoles;

/* Takes the next connection off the listening socket; refuses it where it must. */
void ruc_conn_accept(ruc_app_t *app, uv_stream_t *listener, ruc_fileset_t *files);

/* {"type":type,"text":text}. What is no answer ("out", "push") is dropped when the queue is full.
 * May be called inside a job. */
void ruc_conn_say(ruc_conn_t *conn, const char *type, const char *text, size_t len);

/* The answer to an eval. */
void ruc_conn_result(ruc_conn_t *conn, int64_t id, bool ok, bool incomplete, const char *text,
                     size_t len);

/* Ends it with a last message (NULL: none). Not from inside a job. */
void ruc_conn_end(ruc_conn_t *conn, const char *type, const char *text);

#endif
