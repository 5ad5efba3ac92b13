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
#include "store/surreal_task.h"

#define CALL_MS 10000          /* a call, over all its tries */
#define UNDER_WAY 32           /* requests at a time */
#define WAIT_MS 100            /* between looks at calls that are not sure */
#define CALL_MAX (3584u << 10) /* bytes of one call: SurrealDB takes 4 MiB */
#define MISSING_MAX 2          /* times a call waits for tables that are gone */

static void begin_ready(backend_t *backend);
static void hand_out(backend_t *backend);
static void ended(task_t *task);
static void on_wake(uv_timer_t *timer);

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
    ruc__task_leave(task);
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
    ruc__task_among_changes(task); /* questions behind it see the bounds kept */
    ruc__task_fifo_push(&backend->ready, task);
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
    ruc__task_fifo_push(&task->backend->unsure, task);
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
        ruc__task_fifo_push(&backend->unsure, task); /* handed out by the timer, since it is done */
        wake_at(backend, 0);
    }
}

static void begin_ready(backend_t *backend)
{
    while (backend->ready.head && backend->under_way < UNDER_WAY) {
        ask(ruc__task_fifo_pop(&backend->ready));
    }
}

static void on_wake(uv_timer_t *timer)
{
    backend_t *backend = timer->data;
    fifo_t unsure = backend->unsure;
    if (unsure.head) {
        ruc__task_fifo_init(&backend->unsure);
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
            ruc__task_fifo_push(&backend->unsure, task);
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
    task->broken = !ruc__task_order(task);
    if (!task->ordered) {
        ask(task); /* leases and the feed do not wait for a place among the others */
    } else if (task->waits == 0) {
        ruc__task_fifo_push(&backend->ready, task);
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
        uv_stop(backend->loop); /* it would sleep through this turn where a timer brought this */
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
    ruc__task_fifo_init(&backend->ready);
    ruc__task_fifo_init(&backend->unsure);
    for (int id = 0; id < GATES; id++) {
        ruc__task_fifo_init(&backend->gates[id].waiters);
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
