/* sqlite.c - the SQLite backend: one writer thread that owns the connection, and group commit.
 *
 * The loop thread puts calls into a queue. The writer takes everything that is there (up to a
 * bound) as one transaction, and only after its COMMIT hands the calls back through uv_async: one
 * fsync pays for all who came meanwhile, and what was acknowledged is on the disk. Questions go
 * the same way, in order, so that each sees the writes before it.
 *
 *     loop: submit -> [queue] -> writer: BEGIN, each call, COMMIT -> [done] -> loop: finish
 *
 * A transaction that is lost (disk full, I/O error) fails for all calls in it, and the writer goes
 * on with the next. */
#include "store/sqlite.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/failpoint.h"
#include "core/log.h"

#define BATCH_MAX 512         /* calls in one transaction */
#define BATCH_BYTES (8 << 20) /* and bytes, so that large documents do not pile up */
#define TURN_MAX 512          /* answers handed out in one turn of the loop */

typedef struct queue {
    ruc__store_op_t *head, **tail;
} queue_t;

typedef struct backend {
    ruc_store_t *store;
    uv_async_t wake_loop;
    uv_thread_t writer;
    uv_mutex_t mutex; /* guards what follows, up to the rule */
    uv_cond_t wake_writer;
    queue_t queue, done;
    bool closing, finished;
    /* ---- */
    queue_t turn;     /* loop thread: taken from `done`, not handed out yet */
    ruc__sqlite_t db; /* writer thread */
    int close_rc;     /* written by the writer before `finished` */
} backend_t;

static void queue_init(queue_t *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
}

static void queue_push(queue_t *queue, ruc__store_op_t *op)
{
    op->link = NULL;
    *queue->tail = op;
    queue->tail = &op->link;
}

static ruc__store_op_t *queue_pop(queue_t *queue)
{
    ruc__store_op_t *op = queue->head;
    if (op) {
        queue->head = op->link;
        if (!queue->head) {
            queue->tail = &queue->head;
        }
        op->link = NULL;
    }
    return op;
}

/* Moves all of `from` behind `to`. */
static void queue_move(queue_t *to, queue_t *from)
{
    if (from->head) {
        *to->tail = from->head;
        to->tail = from->tail;
        queue_init(from);
    }
}

/* --- the writer thread --- */

/* Waits for work and takes the next batch; false when there will be none any more. */
static bool take_batch(backend_t *backend, queue_t *batch)
{
    size_t count = 0, bytes = 0;
    queue_init(batch);
    uv_mutex_lock(&backend->mutex);
    while (!backend->queue.head && !backend->closing) {
        uv_cond_wait(&backend->wake_writer, &backend->mutex);
    }
    while (backend->queue.head && count < BATCH_MAX && bytes < BATCH_BYTES) {
        ruc__store_op_t *op = queue_pop(&backend->queue);
        bytes += op->bytes;
        count++;
        queue_push(batch, op);
    }
    uv_mutex_unlock(&backend->mutex);
    return count > 0;
}

static bool has_writes(const queue_t *batch)
{
    for (const ruc__store_op_t *op = batch->head; op; op = op->link) {
        if (ruc__store_writes(op->kind)) {
            return true;
        }
    }
    return false;
}

/* The transaction is lost: all in it are told so, and only so. */
static void fail_batch(backend_t *backend, queue_t *batch)
{
    ruc__sqlite_t *db = &backend->db;
    char *why = strndup(db->trouble, sizeof db->trouble);
    if (!sqlite3_get_autocommit(db->handle)) {
        ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_ROLLBACK));
    }
    ruc__sqlite_forget_counts(db);
    for (ruc__store_op_t *op = batch->head; op; op = op->link) {
        ruc__store_op_clear(op);
        op->rc = RUC_ESTORE;
    }
    batch->head->why = why;
}

static void run_batch(backend_t *backend, queue_t *batch)
{
    ruc__sqlite_t *db = &backend->db;
    int begin = has_writes(batch) ? RUC_SQL_BEGIN_WRITE : RUC_SQL_BEGIN_READ;
    bool writes = begin == RUC_SQL_BEGIN_WRITE;
    bool fine = ruc__sqlite_run(db, ruc__sqlite_use(db, begin)) == SQLITE_OK;
    for (ruc__store_op_t *op = batch->head; op && fine; op = op->link) {
        fine = ruc__sqlite_answer(db, op);
        if (fine && writes && RUC_FAILPOINT("store.write") < 0) {
            fine = false;
            snprintf(db->trouble, sizeof db->trouble, "a fail point of a test");
        }
    }
    if (fine && writes) {
        fine = RUC_FAILPOINT("store.commit.before") == 0;
    }
    if (!fine || ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_COMMIT)) != SQLITE_OK) {
        fail_batch(backend, batch);
    } else if (writes) {
        RUC_FAILPOINT("store.commit.after");
    }
}

static void write_all(void *arg)
{
    backend_t *backend = arg;
    sigset_t all; /* signals are the loop thread's; SIGXFSZ becomes EFBIG */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    queue_t batch;
    while (take_batch(backend, &batch)) {
        run_batch(backend, &batch);
        uv_mutex_lock(&backend->mutex);
        queue_move(&backend->done, &batch);
        uv_mutex_unlock(&backend->mutex);
        uv_async_send(&backend->wake_loop);
    }
    backend->close_rc = ruc__sqlite_close(&backend->db);
    uv_mutex_lock(&backend->mutex);
    backend->finished = true;
    uv_mutex_unlock(&backend->mutex);
    uv_async_send(&backend->wake_loop);
}

/* --- the loop thread --- */

static void on_async_closed(uv_handle_t *handle)
{
    backend_t *backend = handle->data;
    ruc_store_t *store = backend->store;
    int rc = backend->close_rc;
    uv_cond_destroy(&backend->wake_writer);
    uv_mutex_destroy(&backend->mutex);
    free(backend);
    ruc__store_closed(store, rc);
}

static void on_wake(uv_async_t *async)
{
    backend_t *backend = async->data;
    uv_mutex_lock(&backend->mutex);
    queue_move(&backend->turn, &backend->done);
    bool finished = backend->finished;
    uv_mutex_unlock(&backend->mutex);
    ruc__store_op_t *op = NULL;
    for (int i = 0; i < TURN_MAX && (op = queue_pop(&backend->turn)); i++) {
        ruc__store_finish(op);
    }
    if (backend->turn.head) {
        uv_async_send(async);
    } else if (finished) {
        int rc = uv_thread_join(&backend->writer);
        RUC_MUST(rc == 0);
        uv_close((uv_handle_t *)async, on_async_closed);
    }
}

static void sqlite_submit(void *arg, ruc__store_op_t *op)
{
    backend_t *backend = arg;
    uv_mutex_lock(&backend->mutex);
    bool asleep = !backend->queue.head;
    queue_push(&backend->queue, op);
    uv_mutex_unlock(&backend->mutex);
    if (asleep) {
        uv_cond_signal(&backend->wake_writer);
    }
}

static void sqlite_close(void *arg)
{
    backend_t *backend = arg;
    uv_mutex_lock(&backend->mutex);
    backend->closing = true;
    uv_cond_signal(&backend->wake_writer);
    uv_mutex_unlock(&backend->mutex);
}

/* Starts the thread; on failure what was made is unmade. */
static int start_writer(backend_t *backend)
{
    int rc = uv_mutex_init(&backend->mutex);
    if (rc < 0) {
        return rc;
    }
    rc = uv_cond_init(&backend->wake_writer);
    if (rc == 0) {
        rc = uv_thread_create(&backend->writer, write_all, backend);
        if (rc < 0) {
            uv_cond_destroy(&backend->wake_writer);
        }
    }
    if (rc < 0) {
        uv_mutex_destroy(&backend->mutex);
    }
    return rc;
}

static void free_unused(uv_handle_t *handle)
{
    free(handle->data);
}

static int sqlite_open(ruc_store_t *store, uv_loop_t *loop, const ruc_store_config_t *config,
                       void **out, ruc_why_t *why)
{
    backend_t *backend = calloc(1, sizeof *backend);
    if (!backend) {
        return ruc_why_set(why, UV_ENOMEM, "no memory for the store");
    }
    backend->store = store;
    queue_init(&backend->queue);
    queue_init(&backend->done);
    queue_init(&backend->turn);
    int rc = ruc__sqlite_open(&backend->db, config, why);
    if (rc < 0) {
        free(backend);
        return rc;
    }
    rc = uv_async_init(loop, &backend->wake_loop, on_wake);
    if (rc < 0) {
        ruc__sqlite_close(&backend->db);
        free(backend);
        return ruc_why_set(why, rc, "the store cannot wake the loop: %s", uv_strerror(rc));
    }
    backend->wake_loop.data = backend;
    rc = start_writer(backend);
    if (rc < 0) {
        ruc__sqlite_close(&backend->db);
        uv_close((uv_handle_t *)&backend->wake_loop, free_unused);
        return ruc_why_set(why, rc, "the store's thread does not start: %s", uv_strerror(rc));
    }
    *out = backend;
    return 0;
}

const ruc_store_ops_t ruc__store_sqlite = {
    .kind = "sqlite",
    .open = sqlite_open,
    .submit = sqlite_submit,
    .close = sqlite_close,
};
