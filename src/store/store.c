/* store.c - the face of the store: checks and copies each call, counts what is under way, measures,
 * and hands the call to the backend; hands the answers to the callers.
 *
 * Nothing here knows of a database. What is under way stands in a list in the order of the calls,
 * so that the oldest is at its head: when that one has waited long, the store is not ready. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/metrics.h"
#include "store/op.h"

#define PAGE_OF_LOAD 256
#define PAGE_OF_REVS 1000
#define PAGE_OF_CHANGES 1000
#define REPLICAS_MAX 1000
#define SLOW_MS 10000u /* an answer that takes longer makes the store not ready */

struct ruc_store {
    const ruc_store_ops_t *ops;
    void *backend;
    size_t queue_max, queue_bytes;
    ruc__store_op_t *under_way; /* the oldest first */
    size_t pending, bytes;
    bool closing;
    bool failing; /* the last answer was RUC_ESTORE */
    bool probing;
    ruc_why_t trouble;
    unsigned long failed; /* answers since it is failing */
    ruc_store_cb on_closed;
    void *closed_arg;
    ruc_metric_t *seconds[RUC_OP_COUNT];
    ruc_metric_t *errors;
};

static const ruc_store_ops_t *const backends[] = {&ruc__store_sqlite, &ruc__store_surreal};

static const ruc_store_ops_t *find_backend(const char *kind)
{
    for (size_t i = 0; kind && i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(backends[i]->kind, kind) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

int ruc_store_open(uv_loop_t *loop, const ruc_store_config_t *config, ruc_store_t **out,
                   ruc_why_t *why)
{
    const ruc_store_ops_t *ops = find_backend(config->kind);
    if (!ops) {
        return ruc_why_set(why, RUC_EINVALID, "store kind \"%s\" is not supported in this build",
                           config->kind ? config->kind : "");
    }
    ruc_store_t *store = calloc(1, sizeof *store);
    if (!store) {
        return ruc_why_set(why, UV_ENOMEM, "no memory for the store");
    }
    ruc_store_config_t filled = *config;
    filled.events_per_engine = filled.events_per_engine ? filled.events_per_engine : 1000;
    filled.events_total = filled.events_total ? filled.events_total : 100000;
    store->queue_max = config->queue_max ? config->queue_max : 65536;
    store->queue_bytes = config->queue_bytes ? config->queue_bytes : 256u << 20;
    store->ops = ops;
    int rc = ops->open(store, loop, &filled, &store->backend, why);
    if (rc < 0) {
        free(store);
        return rc;
    }
    for (int kind = 0; kind < RUC_OP_COUNT; kind++) {
        store->seconds[kind] = ruc_metrics_series(RUC_M_STORE, ruc__store_kind_name(kind));
    }
    store->errors = ruc_metrics_series(RUC_M_STORE_ERRORS);
    *out = store;
    return 0;
}

/* --- calls --- */

static int submit(ruc_store_t *store, ruc__store_op_t *question)
{
    if (store->closing) {
        return RUC_ECLOSED;
    }
    if (store->pending >= store->queue_max) {
        return RUC_EFULL;
    }
    ruc__store_op_t *op = NULL;
    int rc = ruc__store_op_copy(question, &op);
    if (rc < 0) {
        return rc;
    }
    if (store->ops->call_max > 0 && op->bytes > store->ops->call_max) {
        ruc__store_op_free(op);
        return RUC_ETOOBIG;
    }
    if (op->bytes > store->queue_bytes - store->bytes) {
        ruc__store_op_free(op);
        return RUC_EFULL;
    }
    op->store = store;
    op->started_ns = ruc_clock_mono_ns();
    DL_APPEND(store->under_way, op);
    store->pending++;
    store->bytes += op->bytes;
    store->ops->submit(store->backend, op);
    return 0;
}

static size_t limited(size_t limit)
{
    return limit == 0 || limit > RUC_STORE_LIMIT_MAX ? RUC_STORE_LIMIT_MAX : limit;
}

int ruc_store_create(ruc_store_t *store, const ruc_store_row_t *row,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    return submit(store, &(ruc__store_op_t){.kind = RUC_OP_CREATE,
                                            .row = *row,
                                            .events = events,
                                            .nevents = n,
                                            .done = cb,
                                            .arg = arg});
}

int ruc_store_update(ruc_store_t *store, const ruc_store_row_t *row, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    return submit(store, &(ruc__store_op_t){.kind = RUC_OP_UPDATE,
                                            .row = *row,
                                            .expected = expected,
                                            .events = events,
                                            .nevents = n,
                                            .done = cb,
                                            .arg = arg});
}

int ruc_store_remove(ruc_store_t *store, const char *id, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    return submit(store, &(ruc__store_op_t){.kind = RUC_OP_REMOVE,
                                            .key = id,
                                            .expected = expected,
                                            .events = events,
                                            .nevents = n,
                                            .done = cb,
                                            .arg = arg});
}

int ruc_store_append(ruc_store_t *store, const ruc_store_event_t *events, size_t n, ruc_store_cb cb,
                     void *arg)
{
    return submit(
        store, &(ruc__store_op_t){
                   .kind = RUC_OP_APPEND, .events = events, .nevents = n, .done = cb, .arg = arg});
}

int ruc_store_beats(ruc_store_t *store, const ruc_store_beat_t *beats, size_t n, ruc_store_cb cb,
                    void *arg)
{
    return submit(store,
                  &(ruc__store_op_t){
                      .kind = RUC_OP_BEATS, .beats = beats, .nbeats = n, .done = cb, .arg = arg});
}

int ruc_store_load(ruc_store_t *store, ruc_store_row_cb each, ruc_store_cb done, void *arg)
{
    return submit(
        store,
        &(ruc__store_op_t){
            .kind = RUC_OP_LOAD, .limit = PAGE_OF_LOAD, .each = each, .done = done, .arg = arg});
}

int ruc_store_get(ruc_store_t *store, const char *id, ruc_store_rows_cb cb, void *arg)
{
    return submit(store, &(ruc__store_op_t){
                             .kind = RUC_OP_GET, .key = id, .limit = 1, .on_rows = cb, .arg = arg});
}

int ruc_store_by_name(ruc_store_t *store, const char *name, ruc_store_rows_cb cb, void *arg)
{
    return submit(store,
                  &(ruc__store_op_t){
                      .kind = RUC_OP_BY_NAME, .key = name, .limit = 1, .on_rows = cb, .arg = arg});
}

int ruc_store_page(ruc_store_t *store, const char *after, size_t limit,
                   const ruc_store_filter_t *filter, ruc_store_rows_cb cb, void *arg)
{
    ruc__store_op_t op = {.kind = RUC_OP_PAGE,
                          .after = after,
                          .limit = limited(limit),
                          .filtered = filter != NULL,
                          .on_rows = cb,
                          .arg = arg};
    if (filter) {
        op.filter = *filter;
    }
    return submit(store, &op);
}

int ruc_store_due(ruc_store_t *store, int64_t until_ms, size_t limit, ruc_store_rows_cb cb,
                  void *arg)
{
    return submit(store, &(ruc__store_op_t){.kind = RUC_OP_DUE,
                                            .until_ms = until_ms,
                                            .limit = limited(limit),
                                            .on_rows = cb,
                                            .arg = arg});
}

int ruc_store_events(ruc_store_t *store, const char *engine, const char *after, size_t limit,
                     bool newest_first, ruc_store_events_cb cb, void *arg)
{
    return submit(store, &(ruc__store_op_t){.kind = RUC_OP_EVENTS,
                                            .key = engine,
                                            .after = after,
                                            .limit = limited(limit),
                                            .newest_first = newest_first,
                                            .on_events = cb,
                                            .arg = arg});
}

/* --- shared stores --- */

bool ruc_store_shared(const ruc_store_t *store)
{
    return store->ops->shared;
}

static int submit_shared(ruc_store_t *store, ruc__store_op_t *question)
{
    return store->ops->shared ? submit(store, question) : RUC_EINVALID;
}

int ruc_store_changes(ruc_store_t *store, const char *since, ruc_store_changes_cb cb, void *arg)
{
    return submit_shared(store, &(ruc__store_op_t){.kind = RUC_OP_CHANGES,
                                                   .after = since && since[0] ? since : NULL,
                                                   .limit = PAGE_OF_CHANGES,
                                                   .on_changes = cb,
                                                   .arg = arg});
}

int ruc_store_revs(ruc_store_t *store, ruc_store_rev_cb each, ruc_store_cb done, void *arg)
{
    return submit_shared(store, &(ruc__store_op_t){.kind = RUC_OP_REVS,
                                                   .limit = PAGE_OF_REVS,
                                                   .each_rev = each,
                                                   .done = done,
                                                   .arg = arg});
}

int ruc_store_renew(ruc_store_t *store, const ruc_store_replica_t *self, int64_t lease_ms,
                    ruc_store_replicas_cb cb, void *arg)
{
    return submit_shared(store, &(ruc__store_op_t){.kind = RUC_OP_RENEW,
                                                   .self = *self,
                                                   .lease_ms = lease_ms,
                                                   .limit = REPLICAS_MAX,
                                                   .on_replicas = cb,
                                                   .arg = arg});
}

int ruc_store_leave(ruc_store_t *store, const char *id, const char *instance, ruc_store_cb cb,
                    void *arg)
{
    return submit_shared(
        store, &(ruc__store_op_t){
                   .kind = RUC_OP_LEAVE, .key = id, .after = instance, .done = cb, .arg = arg});
}

unsigned ruc_store_emptied(const ruc_store_t *store)
{
    return store->ops->emptied ? store->ops->emptied(store->backend) : 0;
}

struct ruc_surreal *ruc_store_surreal(const ruc_store_t *store)
{
    return store->ops->surreal ? store->ops->surreal(store->backend) : NULL;
}

/* --- answers --- */

/* Keeps the state of readiness; says the first failure of a row of them, and their end. */
static void note_outcome(ruc_store_t *store, const ruc__store_op_t *op)
{
    ruc_metric_observe(store->seconds[op->kind],
                       (double)(ruc_clock_mono_ns() - op->started_ns) / 1e9);
    if (op->rc == RUC_ESTORE || op->rc == RUC_EUNSURE || op->rc == UV_ENOMEM) {
        ruc_metric_add(store->errors, 1);
        store->failed++;
        if (!store->failing || op->why) {
            ruc_why_set(&store->trouble, 0, "%s", op->why ? op->why : ruc_err_text(op->rc));
        }
        if (!store->failing) {
            ruc_log(RUC_LOG_STORE, RUC_ERROR, "the store fails: %s", store->trouble.text);
        }
        store->failing = true;
    } else if (store->failing) {
        ruc_log(RUC_LOG_STORE, RUC_INFO, "the store works again; %lu calls failed", store->failed);
        store->failing = false;
        store->failed = 0;
    }
}

/* Hands a page of a load to its caller. True when the next page was asked for. */
static bool load_goes_on(ruc_store_t *store, ruc__store_op_t *op)
{
    const char *last = NULL;
    for (size_t i = 0; i < op->n && op->revs; i++) {
        last = op->revs[i].id;
        op->each_rev(op->arg, last, op->revs[i].rev, op->revs[i].beat_ms);
    }
    for (size_t i = 0; i < op->n && op->rows; i++) {
        last = op->rows[i].id;
        op->each(op->arg, &op->rows[i]);
    }
    if (op->rc < 0 || !op->more) {
        return false;
    }
    if (store->closing) {
        op->rc = RUC_ECLOSED;
        return false;
    }
    if (RUC_FAILS(!last || strlen(last) >= sizeof op->place)) {
        op->rc = RUC_ESTORE;
        return false;
    }
    memcpy(op->place, last, strlen(last) + 1);
    ruc__store_op_clear(op);
    op->after = op->place;
    op->started_ns = ruc_clock_mono_ns();
    DL_DELETE(store->under_way, op);
    DL_APPEND(store->under_way, op);
    store->ops->submit(store->backend, op);
    return true;
}

void ruc__store_finish(ruc__store_op_t *op)
{
    ruc_store_t *store = op->store;
    RUC_MUST(store->pending > 0 && store->bytes >= op->bytes);
    note_outcome(store, op);
    if (ruc__store_writes(op->kind)) {
        RUC_FAILPOINT("store.answer");
    }
    if ((op->kind == RUC_OP_LOAD || op->kind == RUC_OP_REVS) && load_goes_on(store, op)) {
        return;
    }
    DL_DELETE(store->under_way, op);
    store->pending--;
    store->bytes -= op->bytes;
    if (op->on_rows) {
        op->on_rows(op->arg, op->rc, op->rows, op->n, op->more);
    } else if (op->on_events) {
        op->on_events(op->arg, op->rc, op->found, op->n, op->more);
    } else if (op->on_changes) {
        op->on_changes(op->arg, op->rc, op->changes, op->n, op->place_next, op->more);
    } else if (op->on_replicas) {
        op->on_replicas(op->arg, op->rc, op->now_ms, op->replicas, op->n);
    } else if (op->done) {
        op->done(op->arg, op->rc);
    }
    ruc__store_op_free(op);
}

/* --- readiness, closing --- */

static void on_probe(void *arg, int rc)
{
    (void)rc;
    ((ruc_store_t *)arg)->probing = false;
}

int ruc_store_ready(ruc_store_t *store, ruc_why_t *why)
{
    if (store->closing) {
        return ruc_why_set(why, RUC_ESTORE, "the store is being closed");
    }
    if (store->under_way) {
        uint64_t waited = (ruc_clock_mono_ns() - store->under_way->started_ns) / 1000000;
        if (waited > SLOW_MS) {
            return ruc_why_set(why, RUC_ESTORE, "the store has not answered for %llu s",
                               (unsigned long long)waited / 1000);
        }
    }
    int rc = store->ops->ready ? store->ops->ready(store->backend, why) : 0;
    if (rc < 0 || !store->failing) {
        return rc;
    }
    if (!store->probing) {
        ruc__store_op_t op = {.kind = RUC_OP_PROBE, .done = on_probe, .arg = store};
        store->probing = submit(store, &op) == 0;
    }
    return ruc_why_set(why, RUC_ESTORE, "%s", store->trouble.text);
}

size_t ruc_store_pending(const ruc_store_t *store)
{
    return store->pending;
}

int ruc_store_close(ruc_store_t *store, ruc_store_cb cb, void *arg)
{
    if (store->closing) {
        return RUC_ECLOSED;
    }
    store->closing = true;
    store->on_closed = cb;
    store->closed_arg = arg;
    store->ops->close(store->backend);
    return 0;
}

void ruc__store_closed(ruc_store_t *store, int rc)
{
    RUC_MUST(store->closing && store->pending == 0);
    ruc_store_cb cb = store->on_closed;
    void *arg = store->closed_arg;
    free(store);
    if (cb) {
        cb(arg, rc);
    }
}
