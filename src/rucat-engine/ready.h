/* ready.h - when is the driver ready? As the plan says: a line of its output, a port that accepts,
 * both (the line, then the port), or as soon as it runs. At the plan's timeout it is too late. */
#ifndef RUC_RE_READY_H
#define RUC_RE_READY_H

#include <stdbool.h>
#include <stddef.h>

#include "rucat-engine/loop.h"
#include "rucat-engine/plan.h"

typedef struct ruc_re_ready {
    ruc_re_loop_t *loop;
    const ruc_re_plan_t *plan;
    int port, ui_port;    /* 0: not known (yet) */
    bool line_seen;       /* ready.log matched */
    bool ui_seen;         /* ui_log matched */
    bool settled;         /* told, or stopped */
    bool overdue;         /* the timeout is over: ui_log is not looked for any more */
    int64_t probe_gap_ms; /* until the next probe */
    ruc_re_timer_t timeout, retry;
    ruc_re_source_t probe; /* a connect under way */
    void (*ready)(void *arg);
    void (*late)(void *arg);    /* not ready in time */
    void (*changed)(void *arg); /* ui_port became known after ready */
    void *arg;
} ruc_re_ready_t;

/* Fills in the rest (loop, plan, callbacks and arg are set by the caller). */
void ruc_re_ready_init(ruc_re_ready_t *ready);

/* The driver runs: the time starts; may call `ready` at once. */
void ruc_re_ready_started(ruc_re_ready_t *ready);

/* A line of output. False: no further line is of interest. */
bool ruc_re_ready_line(ruc_re_ready_t *ready, const char *line, size_t len);

/* It does not matter any more (stopping, ended): no callback comes after this. */
void ruc_re_ready_stop(ruc_re_ready_t *ready);

#endif
