/* loop.h - the helper's event loop: epoll, and one timerfd for all timers. Nothing wakes it but a
 * file descriptor that is ready or a timer that is due. One event is taken at a time, so that a
 * callback may close any source. */
#ifndef RUC_RE_LOOP_H
#define RUC_RE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A watched descriptor; the owner keeps it alive while it is watched. */
typedef struct ruc_re_source {
    int fd;
    void (*ready)(void *arg, uint32_t events);
    void *arg;
} ruc_re_source_t;

/* A timer; the owner keeps it alive while it is set. */
typedef struct ruc_re_timer {
    void (*due)(void *arg);
    void *arg;
    uint64_t at_ms;
    bool set;
    struct ruc_re_timer *next;
} ruc_re_timer_t;

typedef struct ruc_re_loop {
    int epoll;
    ruc_re_source_t clock;
    ruc_re_timer_t *timers; /* unordered: there are fewer than ten */
} ruc_re_loop_t;

/* Opens the loop. 0 or a negative errno. */
int ruc_re_loop_open(ruc_re_loop_t *loop);
void ruc_re_loop_close(ruc_re_loop_t *loop);

/* Watches a source for EPOLLIN, EPOLLOUT or both. 0 or a negative errno. */
int ruc_re_loop_watch(ruc_re_loop_t *loop, ruc_re_source_t *source, uint32_t events);
/* Changes what it is watched for. */
int ruc_re_loop_change(ruc_re_loop_t *loop, ruc_re_source_t *source, uint32_t events);
/* Stops watching and closes the descriptor; a source with fd -1 is left as it is. */
void ruc_re_loop_drop(ruc_re_loop_t *loop, ruc_re_source_t *source);

/* Sets (or sets anew) a timer, `ms` from now; `due` and `arg` are filled in already. */
void ruc_re_loop_set(ruc_re_loop_t *loop, ruc_re_timer_t *timer, int64_t ms);
void ruc_re_loop_unset(ruc_re_loop_t *loop, ruc_re_timer_t *timer);

/* Waits for one event and handles it. 0 or a negative errno that cannot be handled. */
int ruc_re_loop_turn(ruc_re_loop_t *loop);

#endif
