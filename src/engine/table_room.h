/* table_room.h - what table.c (what is there, who is told) and table_write.c (changes) share. */
#ifndef RUC_ENGINE_TABLE_ROOM_H
#define RUC_ENGINE_TABLE_ROOM_H

#include <uthash.h>

#include "engine/table.h"

typedef struct entry {
    ruc_record_t *record;
    int64_t beat_ms;
    bool beat_new; /* not in the store yet */
    UT_hash_handle by_id, by_name;
} entry_t;

#define RUC__TABLE_GONE 4096u /* ids of engines that were removed lately */

struct ruc_table {
    ruc_store_t *store;
    bool shared;      /* others write to the store too */
    char (*gone)[27]; /* a ring of RUC__TABLE_GONE ids; NULL: not needed yet */
    size_t gone_at;
    char bad[64]; /* id and revision of the last row that could not be read */
    entry_t *ids, *names;
    entry_t **sorted;
    size_t count, room, max;
    size_t creating; /* creates under way, for the bound */
    ruc_watcher_t *watchers;
    ruc_watcher_t *next_watcher; /* while they are told */
    ruc_listener_t *listeners;
    ruc_listener_t *next_listener;
};

/* The entry of that id, or NULL. */
entry_t *ruc__table_entry(const ruc_table_t *table, const char *id);

/* Puts a record in, takes an entry out, gives it its next snapshot. Insert: 0 or UV_ENOMEM. */
int ruc__table_insert(ruc_table_t *table, ruc_record_t *record);
void ruc__table_take_out(ruc_table_t *table, entry_t *entry);
void ruc__table_replace(entry_t *entry, ruc_record_t *next);

/* The record of a row; NULL, and a line in the log the first time, where it cannot be read or was
 * edited by hand. */
ruc_record_t *ruc__table_read_row(ruc_table_t *table, const ruc_store_row_t *row);

/* Remembers that an engine was removed: what is heard of it later is old. */
void ruc__table_note_gone(ruc_table_t *table, const char *id);

/* Tells the watchers, or the listeners. */
void ruc__table_tell(ruc_table_t *table, ruc_record_t *before, ruc_record_t *after);
void ruc__table_tell_event(ruc_table_t *table, const ruc_event_t *event);

#endif
