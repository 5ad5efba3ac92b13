/* surreal_task.h - inside the SurrealDB backend: a call as a task, and the backend they are of.
 * surreal_order.c decides who waits for whom, surreal.c asks and hands out. */
#ifndef RUC_STORE_SURREAL_TASK_H
#define RUC_STORE_SURREAL_TASK_H

#include "store/surreal_backend.h"

typedef enum { GATE_CHANGES, GATE_REMOVALS, GATE_BEATS, GATES } gate_id_t;

typedef struct task task_t;

typedef struct chain {
    task_t *last;
    UT_hash_handle hh;
    char key[];
} chain_t;

struct task {
    struct backend *backend;
    ruc__store_op_t *op; /* NULL: it tidies events */
    task_t *prev, *next; /* the order of the calls */
    task_t *link;        /* of the waiters of a gate, of the ready, of the unsure */
    struct {
        task_t *prev, *next;
    } in[GATES]; /* members of a gate, in the order of the calls */
    bool member[GATES];
    struct {
        chain_t *chain;
        task_t *after;
    } links[2];
    uint64_t seq;
    unsigned waits; /* for so many others */
    bool ordered, done, unsure, finding_out;
    bool met_nothing; /* it was answered: it changed nothing */
    bool broken;      /* there was no memory to set its order: it fails when it is its turn */
    unsigned missing;
    uint64_t deadline_ms; /* 0: not begun */
    char attempt[RUC_UUID_SIZE];
    char engine[32]; /* whose events to tidy; "": all */
};

typedef struct fifo {
    task_t *head, **tail;
} fifo_t;

typedef struct gate {
    task_t *members;
    fifo_t waiters;
} gate_t;

typedef struct backend {
    ruc_store_t *store;
    uv_loop_t *loop;
    ruc_surreal_t *surreal;
    ruc__surreal_schema_t schema;
    ruc__surreal_tidy_t tidy;
    ruc__surreal_feeds_t feeds;
    task_t *order;
    chain_t *chains;
    gate_t gates[GATES];
    fifo_t ready, unsure;
    ruc__store_op_t *refused; /* there was no memory for a task */
    size_t tasks, under_way;
    uint64_t seq;
    uv_timer_t timer; /* hands out what ended inside a call; looks at the unsure */
    bool handing_out, closing, closed;
    bool opening;
    int open_rc; /* of the last check while opening; 1: none yet */
    ruc_why_t open_why;
    unsigned handles;
} backend_t;

void ruc__task_fifo_init(fifo_t *fifo);
void ruc__task_fifo_push(fifo_t *fifo, task_t *task);
task_t *ruc__task_fifo_pop(fifo_t *fifo); /* NULL when it is empty */

/* Sets for whom a call waits (task->waits) and who will wait for it. False without memory: its
 * order then does not hold, and it must fail. */
bool ruc__task_order(task_t *task);

/* A task without a call stands among the changes: questions behind it wait for it. */
void ruc__task_among_changes(task_t *task);

/* It has ended: those who waited for it alone become ready. */
void ruc__task_leave(task_t *task);

#endif
