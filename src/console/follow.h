/* follow.h - what a console follows: events of engines, lines of the log. A line is told when it
 * happens, between what the console prints otherwise. */
#ifndef RUC_CONSOLE_FOLLOW_H
#define RUC_CONSOLE_FOLLOW_H

#include <stdbool.h>
#include <uv.h>

#include "core/err.h"
#include "core/log.h"
#include "engine/table.h"

struct ruc_conn;

typedef struct ruc_console_follow {
    ruc_listener_t listener; /* first member */
    struct ruc_conn *conn;
    bool events, log;
    char engine[27]; /* only this one; "" all */
    ruc_log_level_t level;
} ruc_console_follow_t;

/* Opens and closes what brings log lines from other threads to the loop. */
int ruc_console_follow_open(uv_loop_t *loop);
void ruc_console_follow_close(void);

/* From now on tell of events of the engine (an id; NULL all), or of log lines from that level on.
 * Following anew replaces what was followed of that kind. */
void ruc_console_follow_events(struct ruc_conn *conn, const char *engine);
void ruc_console_follow_log(struct ruc_conn *conn, ruc_log_level_t level);

/* Stops both; how many there were. */
int ruc_console_follow_stop(struct ruc_conn *conn);

#endif
