/* table.h - all engines that this server knows, in memory, over the store.
 *
 * Reads are answered from here. A change is a compare-and-swap in the store first and becomes
 * visible here when it is committed; then the watchers are told. Every change of state, reason or
 * health writes its event in the same transaction. Loop thread only; callbacks never come from
 * inside a call. */
#ifndef RUC_ENGINE_TABLE_H
#define RUC_ENGINE_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "engine/event.h"
#include "engine/record.h"
#include "store/store.h"

typedef struct ruc_table ruc_table_t;

/* The outcome of a change. `record` is the engine as it is now (borrowed; NULL when there is none
 * or it was removed). */
typedef void (*ruc_table_cb)(void *arg, int rc, ruc_record_t *record);

/* Somebody who wants to hear of changes: `before` is NULL for a new engine, `after` is NULL for a
 * removed one. Both are borrowed. A watcher may remove itself or others while it is called. */
typedef struct ruc_watcher {
    void (*changed)(struct ruc_watcher *watcher, ruc_record_t *before, ruc_record_t *after);
    struct ruc_watcher *next, **link; /* the table's */
} ruc_watcher_t;

/* Somebody who wants to hear of events, in the order of their ids, once they are stored. May remove
 * itself or others while it is called. */
typedef struct ruc_listener {
    void (*told)(struct ruc_listener *listener, const ruc_event_t *event);
    struct ruc_listener *next, **link; /* the table's */
} ruc_listener_t;

/* Makes an empty table over `store` (borrowed; must live longer). `max`: bound on engines. NULL
 * without memory. */
ruc_table_t *ruc_table_new(ruc_store_t *store, size_t max);

/* Reads all records from the store, then calls back; a record that cannot be read is logged, left
 * alone and not shown. */
int ruc_table_load(ruc_table_t *table, ruc_store_cb done, void *arg);

/* Frees it. No change may be under way (close the store first). */
void ruc_table_free(ruc_table_t *table);

/* The engine of that id or name; NULL. Borrowed until the loop's next turn. */
ruc_record_t *ruc_table_find(const ruc_table_t *table, const char *id_or_name);

/* Engines in the order of their ids: how many, the one at a place, the first place behind an id. */
size_t ruc_table_count(const ruc_table_t *table);
ruc_record_t *ruc_table_at(const ruc_table_t *table, size_t index);
size_t ruc_table_after(const ruc_table_t *table, const char *id);

/* Creates an engine from `doc` (borrowed; id, rev, created_at are set here). `by` and `data`
 * (borrowed, may be NULL; see event.h) go into the event. Errors: RUC_EEXISTS (name taken),
 * RUC_EFULL (too many engines), RUC_EINVALID and `why`; RUC_ESTORE by callback. */
int ruc_table_create(ruc_table_t *table, json_t *doc, const json_t *data, const char *by,
                     ruc_table_cb cb, void *arg, ruc_why_t *why);

/* Writes `changes` (borrowed) if the engine is at `rev`. `note`: a further event {kind, reason,
 * message, data} or NULL. By callback: RUC_ECONFLICT, RUC_ENOTFOUND, RUC_ESTORE. */
int ruc_table_change(ruc_table_t *table, const char *id, uint64_t rev, json_t *changes,
                     json_t *note, const char *by, ruc_table_cb cb, void *arg, ruc_why_t *why);

/* Removes it if it is at `rev`. */
int ruc_table_remove(ruc_table_t *table, const char *id, uint64_t rev, const char *by,
                     ruc_table_cb cb, void *arg);

/* Writes an event without a change of the record. Fire and forget: a failure is logged. */
void ruc_table_note(ruc_table_t *table, const ruc_record_t *record, const char *kind,
                    const char *reason, const char *message, const char *by);

/* The last heartbeat, wall ms; 0 none. Kept in memory, stored in batches by ruc_table_flush. */
void ruc_table_beat(ruc_table_t *table, const char *id, int64_t wall_ms);
int64_t ruc_table_last_beat(const ruc_table_t *table, const char *id);
void ruc_table_flush(ruc_table_t *table);

/* ---- what other servers wrote (a shared store; table_others.c) ---- */

/* Takes a row over as it is in the store, and tells the watchers where that is news. An older one
 * than what is known is passed over, unless it is the `truth`: read from the store just now. A row
 * that cannot be read is logged, once for each revision, and left alone. 0, RUC_EINVALID,
 * UV_ENOMEM.
 */
int ruc_table_take_row(ruc_table_t *table, const ruc_store_row_t *row, bool truth);

/* The last heartbeat that the store has of an engine; an older one than what is known is passed
 * over.
 */
void ruc_table_take_beat(ruc_table_t *table, const char *id, int64_t beat_ms);

/* The row of that id is not in the store any more. */
void ruc_table_take_gone(ruc_table_t *table, const char *id);

/* Reads one engine, by id or name, from the store and takes it over. By callback: 0 and the record,
 * RUC_ENOTFOUND, RUC_ESTORE. */
int ruc_table_fetch(ruc_table_t *table, const char *id_or_name, ruc_table_cb cb, void *arg);

/* Writes a record that the store has lost as it is, with an event that says so. By callback:
 * RUC_EEXISTS (somebody else has), RUC_ESTORE. */
int ruc_table_restore(ruc_table_t *table, ruc_record_t *record, const char *message,
                      ruc_table_cb cb, void *arg);

void ruc_table_watch(ruc_table_t *table, ruc_watcher_t *watcher);
void ruc_table_unwatch(ruc_table_t *table, ruc_watcher_t *watcher);

void ruc_table_listen(ruc_table_t *table, ruc_listener_t *listener);
void ruc_table_unlisten(ruc_table_t *table, ruc_listener_t *listener);

ruc_store_t *ruc_table_store(const ruc_table_t *table);

#endif
