/* surreal.c - the SurrealDB backend: the order of calls, their tries, and what became of them.
 *
 * Many requests are under way at once, and their answers come in any order over several
 * connections. What the store promises is made here:
 *
 *   - Changes of one record, and of one name, are made one after the other, in the order of the
 *     calls: each is in a chain by its id (and, when it makes a record, one by its name), and
 * begins when the one before it has ended.
 *   - A question for one record stands in the chain of its id. Any other sees all changes that this
 *     server asked for before it: it waits at the gate of the changes until those are answered.
 * Heartbeats wait there too; making a record waits for removals before it (they may free its name),
 * a removal for heartbeats before it.
 *   - Answers are handed out in the order of the calls: a list keeps them until those before them
 *     are there. Changes of others, renewals and leaving do not stand in it: a lease must not wait
 *     behind a slow question.
 *
 * A change whose answer was lost is asked again: its revision keeps it from being made twice, and
 * its attempt in the record (or its event) tells afterwards whether it was made. Where that cannot
 * be found out before the call's time is over the caller is told so: RUC_EUNSURE. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "store/surreal_backend.h"

#define CALL_MS 10000          /* a call, over all its tries */
#define UNDER_WAY 32           /* requests at a time */
#define WAIT_MS 100            /* between looks at calls that are not sure */
#define CALL_MAX (3584u << 10) /* bytes of one call: SurrealDB takes 4 MiB */
#define MISSING_MAX 2          /* times a call waits for tables that are gone */

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

static void begin_ready(backend_t *backend);
static void hand_out(backend_t *backend);
static void ended(task_t *task);
static void on_wake(uv_timer_t *timer);

static void fifo_init(fifo_t *fifo)
{
    fifo->head = NULL;
    fifo->tail = &fifo->head;
}

static void fifo_push(fifo_t *fifo, task_t *task)
{
    task->link = NULL;
    *fifo->tail = task;
    fifo->tail = &task->link;
}

static task_t *fifo_pop(fifo_t *fifo)
{
    task_t *task = fifo->head;
    if (task) {
        fifo->head = task->link;
        if (!fifo->head) {
            fifo->tail = &fifo->head;
        }
    }
    return task;
}

/* ---- who waits for whom ---- */

static void one_less(task_t *task)
{
    RUC_MUST(task->waits > 0);
    if (--task->waits == 0) {
        fifo_push(&task->backend->ready, task);
    }
}

static void join_gate(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    task->member[id] = true;
    DL_APPEND2(gate->members, task, in[id].prev, in[id].next);
}

static void wait_at(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    if (gate->members) {
        task->waits++;
        fifo_push(&gate->waiters, task);
    }
}

static void leave_gate(task_t *task, gate_id_t id)
{
    gate_t *gate = &task->backend->gates[id];
    DL_DELETE2(gate->members, task, in[id].prev, in[id].next);
    while (gate->waiters.head &&
           (!gate->members || gate->members->seq >= gate->waiters.head->seq)) {
        one_less(fifo_pop(&gate->waiters));
    }
}

/* Puts a task at the end of the chain of `kind` and `name`. False without memory. */
static bool join_chain(task_t *task, int at, char kind, const char *name)
{
    backend_t *backend = task->backend;
    size_t len = strlen(name);
    chain_t *fresh = calloc(1, sizeof *fresh + len + 2), *chain = NULL;
    if (!fresh) {
        return false;
    }
    fresh->key[0] = kind;
    memcpy(fresh->key + 1, name, len + 1);
    HASH_FIND(hh, backend->chains, fresh->key, len + 1, chain);
    if (chain) {
        free(fresh);
        task_t *before = chain->last;
        before->links[before->links[0].chain == chain ? 0 : 1].after = task;
        task->waits++;
    } else {
        chain = fresh;
        HASH_ADD(hh, backend->chains, key[0], len + 1, chain);
        if (!chain->hh.tbl) {
            free(chain);
            return false;
        }
    }
    chain->last = task;
    task->links[at].chain = chain;
    return true;
}

static void leave_chains(task_t *task)
{
    for (int at = 0; at < 2; at++) {
        chain_t *chain = task->links[at].chain;
        if (!chain) {
            continue;
        }
        if (task->links[at].after) {
            one_less(task->links[at].after);
        } else {
            RUC_MUST(chain->last == task);
            HASH_DEL(task->backend->chains, chain);
            free(chain);
        }
        task->links[at].chain = NULL;
    }
}

/* Before it joins a gate itself, it waits for those who were there before it. */
static bool set_order(task_t *task)
{
    const ruc__store_op_t *op = task->op;
    switch (op->kind) {
    case RUC_OP_CREATE:
        wait_at(task, GATE_REMOVALS);
        join_gate(task, GATE_CHANGES);
        return join_chain(task, 0, 'i', op->row.id) && join_chain(task, 1, 'n', op->row.name);
    case RUC_OP_UPDATE:
        join_gate(task, GATE_CHANGES);
        return join_chain(task, 0, 'i', op->row.id);
    case RUC_OP_REMOVE:
        wait_at(task, GATE_BEATS);
        join_gate(task, GATE_CHANGES);
        join_gate(task, GATE_REMOVALS);
        return join_chain(task, 0, 'i', op->key);
    case RUC_OP_APPEND:
        join_gate(task, GATE_CHANGES);
        return true;
    case RUC_OP_BEATS:
        wait_at(task, GATE_CHANGES);
        join_gate(task, GATE_CHANGES);
        join_gate(task, GATE_BEATS);
        return true;
    case RUC_OP_GET:
        return join_chain(task, 0, 'i', op->key);
    case RUC_OP_PROBE:
    case RUC_OP_CHANGES:
    case RUC_OP_RENEW:
    case RUC_OP_LEAVE:
        return true;
    default:
        wait_at(task, GATE_CHANGES);
        return true;
    }
}

/* ---- the end of a task ---- */

static void task_free(task_t *task)
{
    task->backend->tasks--;
    free(task);
}

static void close_if_idle(backend_t *backend);

/* Hands out what has ended, in the order of the calls. Not from inside itself. */
static void hand_out(backend_t *backend)
{
    if (backend->handing_out) {
        return;
    }
    backend->handing_out = true;
    while (backend->order && backend->order->done) {
        task_t *task = backend->order;
        ruc__store_op_t *op = task->op;
        DL_DELETE(backend->order, task);
        task_free(task);
        ruc__store_finish(op);
    }
    backend->handing_out = false;
    close_if_idle(backend);
}

/* The task leaves those who waited for it, and is handed out when it is its turn. */
static void leave(task_t *task)
{
    for (int id = 0; id < GATES; id++) {
        if (task->member[id]) {
            leave_gate(task, (gate_id_t)id);
        }
    }
    leave_chains(task);
    task->done = true;
}

static void ended(task_t *task)
{
    backend_t *backend = task->backend;
    leave(task);
    begin_ready(backend);
    if (!task->op) {
        task_free(task);
    } else if (!task->ordered) {
        ruc__store_op_t *op = task->op;
        task_free(task);
        ruc__store_finish(op);
    }
    hand_out(backend);
}

static void fail(task_t *task, int rc, const char *why)
{
    if (task->op) {
        ruc__store_op_clear(task->op);
        task->op->rc = rc;
        if (why && (rc == RUC_ESTORE || rc == RUC_EUNSURE)) {
            task->op->why = strdup(why);
        }
    } else {
        ruc_log(RUC_LOG_STORE, RUC_WARN, "old events could not be dropped: %s",
                why ? why : ruc_err_text(rc));
    }
}

/* ---- tidying ---- */

static void tidy(backend_t *backend, const char *engine)
{
    task_t *task = calloc(1, sizeof *task);
    if (!task) {
        return; /* another time */
    }
    task->backend = backend;
    task->seq = ++backend->seq;
    snprintf(task->engine, sizeof task->engine, "%s", engine);
    backend->tasks++;
    join_gate(task, GATE_CHANGES); /* questions behind it see the bounds kept */
    fifo_push(&backend->ready, task);
}

/* Counts the events of a change that was made. */
static void count_events(task_t *task)
{
    backend_t *backend = task->backend;
    const ruc__store_op_t *op = task->op;
    for (size_t i = 0; i < op->nevents; i++) {
        if (ruc__surreal_count_event(&backend->tidy, op->events[i].engine)) {
            tidy(backend, op->events[i].engine);
        }
    }
    if (op->nevents > 0 && ruc__surreal_count_all(&backend->tidy)) {
        tidy(backend, "");
    }
}

static void tidied(task_t *task, const cbor_item_t *results)
{
    int64_t left = 0;
    char text[320];
    const cbor_item_t *entry = ruc__cbor_at(results, 0);
    const char *error = ruc__surreal_error(entry, text, sizeof text);
    if (error) {
        fail(task, RUC_ESTORE, error);
    } else if (ruc__cbor_is_int(ruc__cbor_get(entry, "result"), &left) && left > 0) {
        tidy(task->backend, task->engine);
    }
    ended(task);
}

/* ---- asking ---- */

static void ask(task_t *task);

/* What is the time left for this task? At least a moment, so that it is asked once. */
static int64_t time_left(task_t *task)
{
    uint64_t now = ruc_clock_mono_ms();
    if (task->deadline_ms == 0) {
        task->deadline_ms = now + CALL_MS;
    }
    return task->deadline_ms > now + 50 ? (int64_t)(task->deadline_ms - now) : 50;
}

static void wake_at(backend_t *backend, uint64_t ms)
{
    if (!backend->closed && (ms == 0 || !uv_is_active((uv_handle_t *)&backend->timer))) {
        uv_update_time(backend->loop);
        (void)RUC_FAILS(uv_timer_start(&backend->timer, on_wake, ms, 0) < 0);
    }
}

/* It may have been made, and cannot be found out now: later, while there is time. */
static void not_sure(task_t *task, const char *why)
{
    if (ruc_clock_mono_ms() + 50 >= task->deadline_ms) {
        fail(task, RUC_EUNSURE, why);
        ended(task);
        return;
    }
    fifo_push(&task->backend->unsure, task);
    wake_at(task->backend, WAIT_MS);
}

/* An error of the one statement of a call. */
static void statement_failed(task_t *task, const char *error)
{
    ruc__store_op_t *op = task->op;
    bool gone = strstr(error, "does not exist") &&
                (strstr(error, "able '") || strstr(error, "amespace") || strstr(error, "atabase "));
    bool taken = strstr(error, "already exists") || strstr(error, "already contains");
    if (gone && task->missing++ < MISSING_MAX) {
        ruc__surreal_suspect(task->backend->surreal, error);
        ask(task);
    } else if (taken && (op->kind == RUC_OP_CREATE || op->kind == RUC_OP_APPEND)) {
        task->finding_out = task->met_nothing = true;
        ask(task);
    } else {
        bool wrong = strstr(error, "Couldn't coerce") || strstr(error, "Found field");
        fail(task, taken ? RUC_EEXISTS : wrong ? RUC_EINVALID : RUC_ESTORE, error);
        ended(task);
    }
}

/* A read whose answer was too large: fewer rows at once. */
static bool ask_for_less(task_t *task)
{
    ruc__store_op_t *op = task->op;
    bool list = op->kind == RUC_OP_LOAD || op->kind == RUC_OP_PAGE || op->kind == RUC_OP_DUE ||
                op->kind == RUC_OP_EVENTS || op->kind == RUC_OP_CHANGES;
    size_t least = op->kind == RUC_OP_CHANGES ? 4 : 1; /* more than a commit has tables */
    if (!list || op->limit <= least) {
        return false;
    }
    op->limit = op->limit > 4 * least ? op->limit / 4 : least;
    ask(task);
    return true;
}

static void no_answer(task_t *task, int rc, const char *error)
{
    ruc__store_op_t *op = task->op;
    if (rc == RUC_EUNSURE) {
        task->unsure = task->finding_out = true;
        not_sure(task, error);
    } else if (task->unsure && rc == RUC_ESTORE) {
        not_sure(task, error);
    } else if (rc == RUC_ETOOBIG && op && !ruc__store_writes(op->kind) && ask_for_less(task)) {
        return;
    } else {
        fail(task, rc, error);
        ended(task);
    }
}

/* After a lost answer that was not made yet is asked again; after an answer it is what is told. */
static void found_out(task_t *task, const cbor_item_t *entry)
{
    char text[320];
    const char *error = ruc__surreal_error(entry, text, sizeof text);
    if (!error && !task->met_nothing &&
        ruc__surreal_became(task->op, task->attempt, true, ruc__cbor_get(entry, "result")) != 0) {
        task->finding_out = false;
        ask(task);
        return;
    }
    if (error) {
        fail(task, task->unsure ? RUC_EUNSURE : RUC_ESTORE, error);
    } else {
        task->op->rc = ruc__surreal_became(task->op, task->attempt, task->unsure,
                                           ruc__cbor_get(entry, "result"));
        if (task->op->rc == 0) {
            count_events(task);
        }
    }
    ended(task);
}

static void on_answer(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    task_t *task = arg;
    backend_t *backend = task->backend;
    char text[320];
    backend->under_way--;
    const cbor_item_t *entry = ruc__cbor_at(results, 0);
    if (rc < 0) {
        no_answer(task, rc, error);
    } else if (!task->op) {
        tidied(task, results);
    } else if (task->finding_out) {
        found_out(task, entry);
    } else if ((error = ruc__surreal_error(entry, text, sizeof text))) {
        statement_failed(task, error);
    } else {
        ruc__surreal_taken_t taken = RUC__TAKEN;
        if (task->op->kind == RUC_OP_CHANGES) {
            ruc__surreal_take_changes(task->op, results, backend->schema.uuid, &backend->feeds);
        } else {
            taken = ruc__surreal_take(task->op, results);
        }
        if (taken == RUC__TAKEN) {
            if (task->op->rc == 0) {
                count_events(task);
            }
            ended(task);
        } else {
            task->finding_out = task->met_nothing = taken == RUC__LOST;
            ask(task);
        }
    }
    begin_ready(backend);
}

static int write_question(task_t *task, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    backend_t *backend = task->backend;
    if (!task->op) {
        const char *engine = task->engine[0] != '\0' ? task->engine : NULL;
        int rc = ruc_buf_adds(sql, ruc__surreal_tidy_sql(&backend->tidy, engine, vars));
        return rc < 0 ? rc : vars->rc;
    }
    if (task->finding_out) {
        return ruc__surreal_whatis(task->op, sql, vars);
    }
    return ruc__surreal_question(task->op, task->attempt, backend->schema.uuid, sql, vars);
}

/* Asks what the task is for, or, for a change that met nothing, what became of it. */
static void ask(task_t *task)
{
    backend_t *backend = task->backend;
    ruc_buf_t sql;
    ruc__cbor_t vars;
    ruc_why_t why = {""};
    ruc_buf_init(&sql, 65536);
    ruc__cbor_init(&vars, RUC__SURREAL_BODY);
    int rc = task->broken ? UV_ENOMEM : write_question(task, &sql, &vars);
    bool again = !task->op || task->finding_out || !ruc__store_writes(task->op->kind) ||
                 task->op->kind == RUC_OP_BEATS || task->op->kind == RUC_OP_RENEW ||
                 task->op->kind == RUC_OP_LEAVE || task->op->kind == RUC_OP_PROBE;
    if (rc == 0 && !ruc__surreal_ask(backend->surreal, ruc_buf_str(&sql), &vars, again, false,
                                     time_left(task), on_answer, task, &why)) {
        rc = task->unsure ? RUC_EUNSURE : RUC_ESTORE;
    }
    ruc_buf_free(&sql);
    ruc__cbor_free(&vars);
    if (rc == 0) {
        backend->under_way++;
        return;
    }
    fail(task, rc, why.text); /* this may be inside the call: the rest is for another turn */
    leave(task);
    if (task->ordered) {
        wake_at(backend, 0);
    } else {
        fifo_push(&backend->unsure, task); /* handed out by the timer, since it is done */
        wake_at(backend, 0);
    }
}

static void begin_ready(backend_t *backend)
{
    while (backend->ready.head && backend->under_way < UNDER_WAY) {
        ask(fifo_pop(&backend->ready));
    }
}

static void on_wake(uv_timer_t *timer)
{
    backend_t *backend = timer->data;
    fifo_t unsure = backend->unsure;
    if (unsure.head) {
        fifo_init(&backend->unsure);
    }
    for (task_t *task = unsure.head, *next; task; task = next) {
        next = task->link;
        if (task->done) {
            ended(task);
        } else if (ruc_clock_mono_ms() + 50 >= task->deadline_ms) {
            fail(task, RUC_EUNSURE, backend->surreal->trouble);
            ended(task);
        } else if (backend->surreal->state == RUC__SURREAL_UP) {
            ask(task);
        } else {
            fifo_push(&backend->unsure, task);
        }
    }
    begin_ready(backend);
    if (backend->unsure.head) {
        wake_at(backend, WAIT_MS);
    }
    while (backend->refused) {
        ruc__store_op_t *op = backend->refused;
        backend->refused = op->link;
        ruc__store_finish(op);
    }
    hand_out(backend);
}

/* ---- calls ---- */

static void surreal_submit(void *arg, ruc__store_op_t *op)
{
    backend_t *backend = arg;
    task_t *task = calloc(1, sizeof *task);
    if (!task) {
        op->rc = UV_ENOMEM;
        op->link = backend->refused;
        backend->refused = op;
        wake_at(backend, 0);
        return;
    }
    task->backend = backend;
    task->op = op;
    task->seq = ++backend->seq;
    task->ordered =
        op->kind != RUC_OP_CHANGES && op->kind != RUC_OP_RENEW && op->kind != RUC_OP_LEAVE;
    backend->tasks++;
    op->rc = 0;
    if (ruc__store_writes(op->kind)) {
        ruc_id_uuid(task->attempt);
    }
    if (task->ordered) {
        DL_APPEND(backend->order, task);
    }
    task->broken = !set_order(task);
    if (!task->ordered) {
        ask(task); /* leases and the feed do not wait for a place among the others */
    } else if (task->waits == 0) {
        fifo_push(&backend->ready, task);
        begin_ready(backend);
    }
}

static int surreal_ready(void *arg, ruc_why_t *why)
{
    const backend_t *backend = arg;
    if (backend->surreal->state == RUC__SURREAL_DOWN) {
        return ruc_why_set(why, RUC_ESTORE, "%s", backend->surreal->trouble);
    }
    return 0;
}

static unsigned surreal_emptied(void *arg)
{
    return ((const backend_t *)arg)->schema.emptied;
}

static ruc_surreal_t *surreal_of(void *arg)
{
    return ((backend_t *)arg)->surreal;
}

/* ---- opening, closing ---- */

static void on_check(void *arg)
{
    backend_t *backend = arg;
    ruc__surreal_check_schema(&backend->schema);
}

static void on_checked(void *arg, int rc, const char *why)
{
    backend_t *backend = arg;
    if (backend->opening) {
        backend->open_rc = rc;
        ruc_why_set(&backend->open_why, rc, "%s", why);
    } else if (rc == RUC_EREFUSED && backend->surreal->failed == 1) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "%s", why);
    }
}

static void on_gone(void *arg)
{
    backend_t *backend = arg;
    if (--backend->handles > 0) {
        return;
    }
    ruc_store_t *store = backend->store;
    bool opening = backend->opening;
    if (opening) {
        backend->closed = true; /* open_failed() frees it */
        return;
    }
    ruc__surreal_tidy_free(&backend->tidy);
    ruc__surreal_feeds_free(&backend->feeds);
    free(backend);
    ruc__store_closed(store, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_gone(handle->data);
}

static void close_if_idle(backend_t *backend)
{
    if (!backend->closing || backend->closed || backend->tasks > 0 || backend->refused) {
        return;
    }
    backend->closed = true;
    uv_close((uv_handle_t *)&backend->timer, on_timer_closed);
    ruc__surreal_close(backend->surreal, on_gone);
}

static void surreal_close(void *arg)
{
    backend_t *backend = arg;
    backend->closing = true;
    wake_at(backend, 0); /* not from inside the call */
}

/* Runs the loop until a check went well, was refused, or the time is over. */
static int wait_for_check(backend_t *backend, int64_t connect_ms)
{
    uint64_t until = ruc_clock_mono_ms() + (uint64_t)(connect_ms > 0 ? connect_ms : 0);
    backend->open_rc = 1;
    while (backend->open_rc != 0 && backend->open_rc != RUC_EREFUSED &&
           (backend->open_rc == 1 || ruc_clock_mono_ms() < until)) {
        uv_run(backend->loop, UV_RUN_ONCE);
    }
    return backend->open_rc;
}

static int open_failed(backend_t *backend, ruc_why_t *why)
{
    ruc_why_set(why, 0, "%s", backend->open_why.text);
    ruc__surreal_close(backend->surreal, on_gone);
    uv_close((uv_handle_t *)&backend->timer, on_timer_closed);
    while (!backend->closed) {
        uv_run(backend->loop, UV_RUN_ONCE);
    }
    free(backend);
    return RUC_ESTORE;
}

static void free_unused(uv_handle_t *handle)
{
    free(handle->data);
}

static int surreal_open(ruc_store_t *store, uv_loop_t *loop, const ruc_store_config_t *config,
                        void **out, ruc_why_t *why)
{
    backend_t *backend = calloc(1, sizeof *backend);
    if (!backend) {
        return ruc_why_set(why, UV_ENOMEM, "no memory for the store");
    }
    backend->store = store;
    backend->loop = loop;
    backend->handles = 2;
    backend->tidy = (ruc__surreal_tidy_t){.per_engine = config->events_per_engine,
                                          .total = config->events_total};
    fifo_init(&backend->ready);
    fifo_init(&backend->unsure);
    for (int id = 0; id < GATES; id++) {
        fifo_init(&backend->gates[id].waiters);
    }
    ruc__surreal_config_t client = {.url = config->url,
                                    .name_space = config->name_space,
                                    .database = config->database,
                                    .user = config->user,
                                    .password = config->password,
                                    .ca_file = config->ca_file,
                                    .check = on_check,
                                    .on_checked = on_checked,
                                    .arg = backend};
    int rc = uv_timer_init(loop, &backend->timer);
    if (rc < 0) {
        free(backend);
        return ruc_why_set(why, rc, "the store has no timer: %s", uv_strerror(rc));
    }
    backend->timer.data = backend;
    rc = ruc__surreal_new(loop, &client, &backend->surreal, why);
    if (rc < 0) {
        uv_close((uv_handle_t *)&backend->timer, free_unused);
        return rc;
    }
    backend->schema.surreal = backend->surreal;
    backend->opening = true;
    if (wait_for_check(backend, config->connect_ms) != 0) {
        return open_failed(backend, why);
    }
    backend->opening = false;
    *out = backend;
    return 0;
}

const ruc_store_ops_t ruc__store_surreal = {
    .kind = "surreal",
    .shared = true,
    .call_max = CALL_MAX,
    .open = surreal_open,
    .submit = surreal_submit,
    .close = surreal_close,
    .ready = surreal_ready,
    .emptied = surreal_emptied,
    .surreal = surreal_of,
};
