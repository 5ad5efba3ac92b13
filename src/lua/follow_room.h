/* follow_room.h - what follow.c, follow_log.c and follow_events.c share. */
#ifndef RUC_LUA_FOLLOW_ROOM_H
#define RUC_LUA_FOLLOW_ROOM_H

#include "engine/logs.h"
#include "lua/follow.h"

#define RUC__FOLLOW_QUEUE (256 * 1024) /* bytes queued beyond which reading on waits */

typedef struct ruc__follower {
    ruc_follow_t what;
    ruc_app_t *app;
    ruc_http_stream_t *stream; /* NULL when it is over */
    uv_timer_t timer;
    ruc_watcher_t watcher;   /* log: is the engine still there? */
    ruc_listener_t listener; /* events */
    unsigned pending;        /* callbacks that will still come */
    bool timer_closed;
    bool full;             /* the peer does not keep up */
    bool replaying, again; /* events: reading what is stored; something came meanwhile */
    char replayed[27];     /* events: ids up to here were read from the store */
    ruc_logs_mark_t mark;  /* log: read up to here */
    struct ruc__follower *prev, *next;
} ruc__follower_t;

/* Begin after the head was sent. */
void ruc__follow_log_begin(ruc__follower_t *follower);
void ruc__follow_events_begin(ruc__follower_t *follower);

/* The peer has caught up. */
void ruc__follow_log_drained(ruc__follower_t *follower);

/* Sends text; false when the follower is over (it was ended here if the peer reads too slowly). */
bool ruc__follow_write(ruc__follower_t *follower, const char *data, size_t len);

/* Completes the answer, with a last marker where `why` is not NULL. */
void ruc__follow_end(ruc__follower_t *follower, const char *why);

/* One callback fewer is pending; frees the follower when it is over and nothing is. */
void ruc__follow_settle(ruc__follower_t *follower);

#endif
