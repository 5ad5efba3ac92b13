/* store.h - where records, events and heartbeats are kept. The store knows rows, not engines.
 *
 * A row is a handful of columns that can be asked for, a revision, and a document (the JSON text of
 * the whole record) that the store never looks into, but for label filters. Every change is a
 * compare-and-swap on the revision, and the events that tell of a change are written in the same
 * transaction. Backends (SQLite; SurrealDB) stand behind one table, ruc_store_ops_t in
 * store/op.h; spec/unit/store_test.c is the specification that each of them passes.
 *
 * All calls are asynchronous. A call either returns a negative code, and its callback is never
 * called, or returns 0, and its callback is called exactly once, on the loop thread, never from
 * inside the call. Callbacks come in the order of the calls (but for changes, renew and leave,
 * which wait for nobody: a change may be seen by ruc_store_changes before its own callback).
 * Everything given is copied before the call returns; everything handed to a callback lives until
 * the callback returns.
 *
 * What any call may return:  RUC_EINVALID (a field is not as described here), RUC_ETOOBIG (a
 * document or list above its bound), RUC_EFULL (too much is waiting), RUC_ECLOSED, UV_ENOMEM.
 * What any callback may say: RUC_ESTORE (the store did not take it: disk full, database away; none
 * of the call's changes was made), RUC_EUNSURE (a change of a store that servers share, whose
 * answer was lost and could not be found out within 10 s: it was made, or will be, or not), and
 * what is named at each call. A record that somebody edited by hand into nonsense is logged once
 * with its id and left out of answers; asked for alone it is RUC_EINVALID.
 *
 * Loop thread only. */
#ifndef RUC_STORE_STORE_H
#define RUC_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

#define RUC_STORE_DOC_MAX (4u << 20) /* bytes of one document */
#define RUC_STORE_TEXT_MAX 1024u     /* bytes of any other text */
#define RUC_STORE_EVENTS_MAX 64u     /* events beside one change */
#define RUC_STORE_BEATS_MAX 4096u    /* heartbeats in one call */
#define RUC_STORE_LIMIT_MAX 1000u    /* rows or events of one answer; 0 means this */

typedef struct ruc_store ruc_store_t;

/* One record. Texts are UTF-8; NULL where there is none is allowed for owner and keeper only and
 * comes back as "". */
typedef struct ruc_store_row {
    const char *id;      /* a ULID of 26 characters; never changes */
    const char *name;    /* unique; never changes */
    uint64_t rev;        /* 1 or more, at most INT64_MAX */
    const char *state;   /* Pending, Running or Stopped */
    const char *desired; /* Running, Stopped or Deleted */
    const char *type;
    const char *platform;
    const char *owner;
    const char *keeper;
    int64_t due_ms; /* wall milliseconds of the next check, 0: none */
    const char *doc;
    size_t doc_len;
    int64_t beat_ms; /* wall milliseconds of the last heartbeat, 0: none. Answers only */
} ruc_store_row_t;

typedef struct ruc_store_event {
    const char *id;     /* a ULID, unique; the order of events is the order of their ids */
    const char *engine; /* a ULID */
    int64_t at_ms;      /* wall milliseconds */
    const char *kind;   /* state, policy, health or request */
    const char *doc;
    size_t doc_len;
} ruc_store_event_t;

typedef struct ruc_store_beat {
    const char *id; /* of the row */
    int64_t at_ms;
} ruc_store_beat_t;

/* Which rows; NULL members ask for nothing. */
typedef struct ruc_store_filter {
    const char *state;
    const char *desired;
    const char *type;
    const char *platform;
    const char *owner;
    const char *keeper;
    const char *name;
    const char *label; /* a key of "labels" in the document ... */
    const char *value; /* ... and the text it must have (needed when label is set) */
} ruc_store_filter_t;

struct ruc_http_client;
struct ruc_surreal;

typedef struct ruc_store_config {
    const char *kind; /* "sqlite" or "surreal" */
    const char *path; /* sqlite: the file; made with mode 0600 when it is not there */
    /* surreal: http://HOST:PORT or https://HOST:PORT, where everything is, who asks (user NULL: no
     * sign-in), a PEM file of authorities (NULL: the system's). */
    const char *url, *name_space, *database, *user, *password, *ca_file;
    struct ruc_http_client
        *client;        /* not used: the store has one of its own, which it closes last */
    int64_t connect_ms; /* how long the opening waits for a database that is not there yet */
    /* Bounds; 0 means the default in brackets. */
    size_t events_per_engine; /* [1,000]  the oldest are dropped, a sixteenth at a time */
    size_t events_total;      /* [100,000] */
    size_t queue_max;         /* [65,536] calls waiting */
    size_t queue_bytes;       /* [256 MiB] bytes held for them */
} ruc_store_config_t;

typedef void (*ruc_store_cb)(void *arg, int rc);
/* `more`: there are rows (or events) behind these. */
typedef void (*ruc_store_rows_cb)(void *arg, int rc, const ruc_store_row_t *rows, size_t n,
                                  bool more);
typedef void (*ruc_store_events_cb)(void *arg, int rc, const ruc_store_event_t *events, size_t n,
                                    bool more);
typedef void (*ruc_store_row_cb)(void *arg, const ruc_store_row_t *row);

/* Opens the store and makes or checks its schema. Waits for the disk, so it is called before the
 * loop runs. On success *out is the caller's until ruc_store_close has called back. RUC_EINVALID
 * (unknown kind, bad path), RUC_ESTORE (locked by another server, not a database, of another
 * program, of a newer rucat, damaged) with a sentence in `why`. */
int ruc_store_open(uv_loop_t *loop, const ruc_store_config_t *config, ruc_store_t **out,
                   ruc_why_t *why);

/* Adds a row and, with it, `n` events. cb: RUC_EEXISTS when its id or name (or an event's id) is
 * taken. */
int ruc_store_create(ruc_store_t *store, const ruc_store_row_t *row,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg);

/* Replaces the row of row->id (its name stays as it is), if its revision is `expected`;
 * row->rev is the new one. cb: RUC_ECONFLICT, RUC_ENOTFOUND. */
int ruc_store_update(ruc_store_t *store, const ruc_store_row_t *row, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg);

/* Removes the row and its heartbeat, if its revision is `expected`. Its events stay until they
 * fall to their bound. cb: RUC_ECONFLICT, RUC_ENOTFOUND. */
int ruc_store_remove(ruc_store_t *store, const char *id, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg);

/* Adds events without a change of a row. */
int ruc_store_append(ruc_store_t *store, const ruc_store_event_t *events, size_t n, ruc_store_cb cb,
                     void *arg);

/* Writes the last heartbeats of rows, outside revision and events. Ids without a row are passed
 * over; an older beat does not replace a newer one. */
int ruc_store_beats(ruc_store_t *store, const ruc_store_beat_t *beats, size_t n, ruc_store_cb cb,
                    void *arg);

/* Hands every row to `each` in the order of ids, in pages over several turns of the loop, then
 * calls `done`. Rows written meanwhile may or may not be seen. */
int ruc_store_load(ruc_store_t *store, ruc_store_row_cb each, ruc_store_cb done, void *arg);

/* One row, by id or by name. cb: RUC_ENOTFOUND. */
int ruc_store_get(ruc_store_t *store, const char *id, ruc_store_rows_cb cb, void *arg);
int ruc_store_by_name(ruc_store_t *store, const char *name, ruc_store_rows_cb cb, void *arg);

/* Up to `limit` rows in the order of ids, those behind `after` (NULL: from the first). `filter` may
 * be NULL. An answer also ends, with `more`, when it has grown to 16 MiB. */
int ruc_store_page(ruc_store_t *store, const char *after, size_t limit,
                   const ruc_store_filter_t *filter, ruc_store_rows_cb cb, void *arg);

/* Up to `limit` rows whose due_ms is not 0 and is not after `until_ms`, the earliest first. */
int ruc_store_due(ruc_store_t *store, int64_t until_ms, size_t limit, ruc_store_rows_cb cb,
                  void *arg);

/* Up to `limit` events of one engine, or of all (NULL), behind `after` (NULL: from the start):
 * oldest first, or, with `newest_first`, backwards. */
int ruc_store_events(ruc_store_t *store, const char *engine, const char *after, size_t limit,
                     bool newest_first, ruc_store_events_cb cb, void *arg);

/* 0 when the store takes writes; else RUC_ESTORE and the last trouble in `why` (which may be NULL).
 * After a failure it asks the store again by itself (a small write, on each call), so that it
 * becomes ready without other work. */
int ruc_store_ready(ruc_store_t *store, ruc_why_t *why);

/* ---- stores that several servers share ---- */

/* True when other servers may write to it too (SurrealDB). The calls below return RUC_EINVALID for
 * a store that is not shared, but for ruc_store_emptied. */
bool ruc_store_shared(const ruc_store_t *store);

typedef enum { RUC_CHANGE_ROW, RUC_CHANGE_GONE, RUC_CHANGE_EVENT } ruc_store_change_kind_t;

typedef struct ruc_store_change {
    ruc_store_change_kind_t kind;
    ruc_store_row_t row;     /* ROW: as it was written (beat_ms 0). GONE: its id only */
    ruc_store_event_t event; /* EVENT */
} ruc_store_change_t;

typedef void (*ruc_store_changes_cb)(void *arg, int rc, const ruc_store_change_t *changes, size_t n,
                                     const char *next, bool more);

/* What was committed behind the place `since`, in the order of the commits; this server's own
 * changes are among it. `next` (at most 63 bytes) is `since` for the next time; `more`: ask again
 * at once. NULL or "": no changes, but the place behind which everything comes that is committed
 * from now on. cb: RUC_ENOTFOUND when the store has no record of so old a place (it keeps an hour),
 * or the place is another database's: read everything anew. */
int ruc_store_changes(ruc_store_t *store, const char *since, ruc_store_changes_cb cb, void *arg);

/* Hands id, revision and last heartbeat (wall milliseconds, 0: none) of every row to `each` in the
 * order of ids, as ruc_store_load does. */
typedef void (*ruc_store_rev_cb)(void *arg, const char *id, uint64_t rev, int64_t beat_ms);
int ruc_store_revs(ruc_store_t *store, ruc_store_rev_cb each, ruc_store_cb done, void *arg);

/* A server on this store. Texts as in a row: NULL comes back as "". */
typedef struct ruc_store_replica {
    const char *id;       /* a ULID, the same over restarts (of one state directory) */
    const char *instance; /* of the process: a UUID */
    const char *host;     /* which machine, boot and pid namespace: opaque */
    const char *name;     /* of the machine, for people */
    const char *url;      /* where the others reach it */
    const char *roles;    /* "server,monitor" */
    const char *version;  /* of rucat */
    int64_t left_ms;      /* answers: of its lease, on the database's clock; negative: over since */
} ruc_store_replica_t;

typedef void (*ruc_store_replicas_cb)(void *arg, int rc, int64_t now_ms,
                                      const ruc_store_replica_t *replicas, size_t n);

/* Writes self's lease (from now, for `lease_ms`, both on the database's clock) and answers with all
 * replicas, itself among them, and the database's clock (wall milliseconds). Replicas whose lease
 * has been over for a day are removed. cb: RUC_ECONFLICT when another process (instance) holds a
 * lease of the same id that is not over. */
int ruc_store_renew(ruc_store_t *store, const ruc_store_replica_t *self, int64_t lease_ms,
                    ruc_store_replicas_cb cb, void *arg);

/* Ends the lease of that id and instance at once: the server is going. */
int ruc_store_leave(ruc_store_t *store, const char *id, const char *instance, ruc_store_cb cb,
                    void *arg);

/* How many times this store was found without a schema, and one was made: 1 after an opening that
 * found nothing, one more each time that the database came back empty or exchanged. */
unsigned ruc_store_emptied(const ruc_store_t *store);

/* The connection of a SurrealDB store (store/surreal_client.h), for queries of one's own; NULL for
 * another kind. Borrowed; it lives as long as the store. */
struct ruc_surreal *ruc_store_surreal(const ruc_store_t *store);

/* The tables of a SurrealDB store as SurrealQL, with a word on users and rights. Static memory. */
const char *ruc_store_schema(void);

/* How many calls wait for their answer. */
size_t ruc_store_pending(const ruc_store_t *store);

/* Takes no more calls, finishes those it has, closes, calls `cb` and frees the store. cb:
 * RUC_ESTORE when it could not be closed cleanly (nothing that was acknowledged is lost). Twice is
 * RUC_ECLOSED. */
int ruc_store_close(ruc_store_t *store, ruc_store_cb cb, void *arg);

#endif
