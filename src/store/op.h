/* op.h - what the store and its backends share: one call, and the table a backend fills in.
 *
 * store.c checks and copies a call into one ruc__store_op_t (one allocation) and hands it to the
 * backend's `submit`; the backend fills in the answer, on whatever thread it likes, and hands it
 * back by ruc__store_finish on the loop thread, in the order of the calls (changes, renew and
 * leave, which must not wait behind others, at any time). Only for files of this room. */
#ifndef RUC_STORE_OP_H
#define RUC_STORE_OP_H

#include "store/store.h"

/* Kind, name in metrics, does it write. */
#define RUC_STORE_OP_MAP(XX)                                                                       \
    XX(CREATE, "create", true)                                                                     \
    XX(UPDATE, "update", true)                                                                     \
    XX(REMOVE, "remove", true)                                                                     \
    XX(APPEND, "append", true)                                                                     \
    XX(BEATS, "beats", true)                                                                       \
    XX(PROBE, "probe", true)                                                                       \
    XX(LOAD, "load", false)                                                                        \
    XX(GET, "get", false)                                                                          \
    XX(BY_NAME, "by_name", false)                                                                  \
    XX(PAGE, "page", false)                                                                        \
    XX(DUE, "due", false)                                                                          \
    XX(EVENTS, "events", false)                                                                    \
    XX(CHANGES, "changes", false)                                                                  \
    XX(REVS, "revs", false)                                                                        \
    XX(RENEW, "renew", true)                                                                       \
    XX(LEAVE, "leave", true)

typedef enum {
#define XX(id, name, writes) RUC_OP_##id,
    RUC_STORE_OP_MAP(XX)
#undef XX
        RUC_OP_COUNT
} ruc__store_kind_t;

#define RUC_STORE_ANSWER_MAX (16u << 20) /* bytes after which an answer ends */

typedef struct ruc__store_rev {
    char id[32];
    uint64_t rev;
    int64_t beat_ms;
} ruc__store_rev_t;

typedef struct ruc__store_op ruc__store_op_t;
struct ruc__store_op {
    ruc__store_kind_t kind;
    ruc_store_t *store;
    ruc__store_op_t *prev, *next; /* store.c's list of what is under way */
    ruc__store_op_t *link;        /* for the backend's queues */
    uint64_t started_ns;
    size_t bytes; /* of this allocation */

    /* The question: which of these are set depends on the kind. */
    ruc_store_row_t row; /* create, update */
    uint64_t expected;   /* update, remove */
    const ruc_store_event_t *events;
    size_t nevents;
    const ruc_store_beat_t *beats;
    size_t nbeats;
    const char *key; /* get, remove, leave: the id; by_name: the name; events: the engine or NULL */
    const char *after; /* page, events, changes; load and revs keep their place in `place`; leave:
                          the instance */
    ruc_store_replica_t self; /* renew */
    int64_t lease_ms;
    size_t limit;
    int64_t until_ms;
    bool newest_first;
    bool filtered;
    ruc_store_filter_t filter;
    char place[32];

    ruc_store_cb done;
    ruc_store_rows_cb on_rows;
    ruc_store_events_cb on_events;
    ruc_store_row_cb each;
    ruc_store_changes_cb on_changes;
    ruc_store_rev_cb each_rev;
    ruc_store_replicas_cb on_replicas;
    void *arg;

    /* The answer. */
    int rc;
    char *why; /* malloc'ed sentence beside RUC_ESTORE, or NULL */
    ruc_store_row_t *rows;
    ruc_store_event_t *found;
    ruc_store_change_t *changes;
    ruc__store_rev_t *revs;
    ruc_store_replica_t *replicas; /* at most one of these lists, with `n` elements */
    size_t n, cap, answer_bytes;
    bool more;
    int64_t now_ms;      /* renew */
    char place_next[64]; /* changes */
};

/* A backend. `open` may wait for the disk; the others run on the loop thread and never wait. */
typedef struct ruc_store_ops {
    const char *kind;
    bool shared;     /* other servers may write to it too */
    size_t call_max; /* bytes of one call, its documents and texts; 0: no bound of its own */
    int (*open)(ruc_store_t *store, uv_loop_t *loop, const ruc_store_config_t *config, void **out,
                ruc_why_t *why);
    /* Takes the call; ruc__store_finish(op) later, once, never from inside. */
    void (*submit)(void *backend, ruc__store_op_t *op);
    /* Finishes what it has, then frees itself and calls ruc__store_closed. */
    void (*close)(void *backend);
    /* Optional: 0, or RUC_ESTORE with a sentence where calls would fail. */
    int (*ready)(void *backend, ruc_why_t *why);
    /* Optional, see store.h. */
    unsigned (*emptied)(void *backend);
    struct ruc_surreal *(*surreal)(void *backend);
} ruc_store_ops_t;

extern const ruc_store_ops_t ruc__store_sqlite;
extern const ruc_store_ops_t ruc__store_surreal;

/* For backends, on the loop thread. */
void ruc__store_finish(ruc__store_op_t *op);
void ruc__store_closed(ruc_store_t *store, int rc);

/* A checked deep copy of a call whose texts are borrowed. 0 and *out, RUC_EINVALID, RUC_ETOOBIG or
 * UV_ENOMEM. */
int ruc__store_op_copy(const ruc__store_op_t *borrowed, ruc__store_op_t **out);

/* Adds a copy of a row or event to the answer. 0; 1 when the answer is full and this one was left
 * out (`more` is then set); UV_ENOMEM. Any thread that owns the op. */
int ruc__store_add_row(ruc__store_op_t *op, const ruc_store_row_t *row);
int ruc__store_add_event(ruc__store_op_t *op, const ruc_store_event_t *event);
int ruc__store_add_change(ruc__store_op_t *op, const ruc_store_change_t *change);
int ruc__store_add_rev(ruc__store_op_t *op, const char *id, uint64_t rev, int64_t beat_ms);
int ruc__store_add_replica(ruc__store_op_t *op, const ruc_store_replica_t *replica);

/* Forgets the answer (and its sentence). */
void ruc__store_op_clear(ruc__store_op_t *op);
void ruc__store_op_free(ruc__store_op_t *op);

bool ruc__store_writes(ruc__store_kind_t kind);
const char *ruc__store_kind_name(ruc__store_kind_t kind);

#endif
