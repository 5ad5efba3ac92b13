/* table.c - see table.h. Entries hang in two hashes (id, name) and in an array sorted by id. Ids
 * sort by time, so a new one nearly always goes to the end of the array. */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "engine/table_room.h"

ruc_table_t *ruc_table_new(ruc_store_t *store, size_t max)
{
    ruc_table_t *table = calloc(1, sizeof *table);
    if (table != NULL) {
        table->store = store;
        table->shared = store != NULL && ruc_store_shared(store);
        table->max = max;
    }
    return table;
}

ruc_store_t *ruc_table_store(const ruc_table_t *table)
{
    return table->store;
}

entry_t *ruc__table_entry(const ruc_table_t *table, const char *id)
{
    entry_t *entry = NULL;
    HASH_FIND(by_id, table->ids, id, strlen(id), entry);
    return entry;
}

ruc_record_t *ruc_table_find(const ruc_table_t *table, const char *id_or_name)
{
    entry_t *entry = NULL;
    size_t len = strlen(id_or_name);
    HASH_FIND(by_id, table->ids, id_or_name, len, entry);
    if (entry == NULL) {
        HASH_FIND(by_name, table->names, id_or_name, len, entry);
    }
    return entry == NULL ? NULL : entry->record;
}

size_t ruc_table_count(const ruc_table_t *table)
{
    return table->count;
}

ruc_record_t *ruc_table_at(const ruc_table_t *table, size_t index)
{
    return index < table->count ? table->sorted[index]->record : NULL;
}

size_t ruc_table_after(const ruc_table_t *table, const char *id)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(table->sorted[middle]->record->id, id) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int ruc__table_insert(ruc_table_t *table, ruc_record_t *record)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 16 : table->room * 2;
        entry_t **sorted = realloc(table->sorted, room * sizeof *sorted);
        if (sorted == NULL) {
            return UV_ENOMEM;
        }
        table->sorted = sorted;
        table->room = room;
    }
    entry_t *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return UV_ENOMEM;
    }
    entry->record = ruc_record_ref(record);
    size_t place = ruc_table_after(table, record->id);
    memmove(table->sorted + place + 1, table->sorted + place,
            (table->count - place) * sizeof *table->sorted);
    table->sorted[place] = entry;
    table->count++;
    /* The keys live in the record's document; `replace` keeps them valid. */
    HASH_ADD_KEYPTR(by_id, table->ids, entry->record->id, strlen(entry->record->id), entry);
    HASH_ADD_KEYPTR(by_name, table->names, entry->record->name, strlen(entry->record->name), entry);
    return 0;
}

void ruc__table_take_out(ruc_table_t *table, entry_t *entry)
{
    size_t place = ruc_table_after(table, entry->record->id) - 1;
    memmove(table->sorted + place, table->sorted + place + 1,
            (table->count - place - 1) * sizeof *table->sorted);
    table->count--;
    HASH_DELETE(by_id, table->ids, entry);
    HASH_DELETE(by_name, table->names, entry);
    ruc_record_unref(entry->record);
    free(entry);
}

void ruc__table_replace(entry_t *entry, ruc_record_t *next)
{
    ruc_record_t *before = entry->record;
    entry->record = ruc_record_ref(next);
    /* Same id and name, but their bytes are the new snapshot's. */
    entry->by_id.key = next->id;
    entry->by_name.key = next->name;
    ruc_record_unref(before);
}

void ruc__table_tell(ruc_table_t *table, ruc_record_t *before, ruc_record_t *after)
{
    for (ruc_watcher_t *watcher = table->watchers; watcher != NULL; watcher = table->next_watcher) {
        table->next_watcher = watcher->next;
        watcher->changed(watcher, before, after);
    }
    table->next_watcher = NULL;
}

void ruc_table_watch(ruc_table_t *table, ruc_watcher_t *watcher)
{
    watcher->next = table->watchers;
    watcher->link = &table->watchers;
    if (watcher->next != NULL) {
        watcher->next->link = &watcher->next;
    }
    table->watchers = watcher;
}

void ruc_table_unwatch(ruc_table_t *table, ruc_watcher_t *watcher)
{
    if (watcher->link == NULL) {
        return;
    }
    if (table->next_watcher == watcher) {
        table->next_watcher = watcher->next;
    }
    *watcher->link = watcher->next;
    if (watcher->next != NULL) {
        watcher->next->link = watcher->link;
    }
    watcher->link = NULL;
}

void ruc__table_tell_event(ruc_table_t *table, const ruc_event_t *event)
{
    for (ruc_listener_t *listener = table->listeners; listener != NULL;
         listener = table->next_listener) {
        table->next_listener = listener->next;
        listener->told(listener, event);
    }
    table->next_listener = NULL;
}

void ruc_table_listen(ruc_table_t *table, ruc_listener_t *listener)
{
    listener->next = table->listeners;
    listener->link = &table->listeners;
    if (listener->next != NULL) {
        listener->next->link = &listener->next;
    }
    table->listeners = listener;
}

void ruc_table_unlisten(ruc_table_t *table, ruc_listener_t *listener)
{
    if (listener->link == NULL) {
        return;
    }
    if (table->next_listener == listener) {
        table->next_listener = listener->next;
    }
    *listener->link = listener->next;
    if (listener->next != NULL) {
        listener->next->link = listener->link;
    }
    listener->link = NULL;
}

static void flushed(void *arg, int rc)
{
    (void)arg;
    if (rc < 0) {
        ruc_log(RUC_LOG_STORE, RUC_WARN, "heartbeats were not stored: %s", ruc_err_text(rc));
    }
}

void ruc_table_beat(ruc_table_t *table, const char *id, int64_t wall_ms)
{
    entry_t *entry = ruc__table_entry(table, id);
    if (entry != NULL && wall_ms != entry->beat_ms) {
        entry->beat_ms = wall_ms;
        entry->beat_new = true;
    }
}

int64_t ruc_table_last_beat(const ruc_table_t *table, const char *id)
{
    entry_t *entry = ruc__table_entry(table, id);
    return entry == NULL ? 0 : entry->beat_ms;
}

void ruc_table_flush(ruc_table_t *table)
{
    ruc_store_beat_t beats[256];
    size_t n = 0;
    for (size_t i = 0; i <= table->count; i++) {
        if (n > 0 && (i == table->count || n == sizeof beats / sizeof beats[0])) {
            int rc = ruc_store_beats(table->store, beats, n, flushed, NULL);
            if (rc < 0) {
                flushed(NULL, rc);
            }
            n = 0;
        }
        if (i < table->count && table->sorted[i]->beat_new) {
            table->sorted[i]->beat_new = false;
            beats[n++] = (ruc_store_beat_t){.id = table->sorted[i]->record->id,
                                            .at_ms = table->sorted[i]->beat_ms};
        }
    }
}

typedef struct loading {
    ruc_table_t *table;
    ruc_store_cb done;
    void *arg;
} loading_t;

static void load_row(void *arg, const ruc_store_row_t *row)
{
    ruc_table_t *table = ((loading_t *)arg)->table;
    ruc_record_t *record = ruc__table_read_row(table, row);
    if (record != NULL && ruc__table_insert(table, record) < 0) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "no memory for engine %s", row->id);
    } else if (record != NULL) {
        ruc__table_entry(table, record->id)->beat_ms = row->beat_ms;
    }
    ruc_record_unref(record);
}

static void loaded(void *arg, int rc)
{
    loading_t *loading = arg;
    loading->done(loading->arg, rc);
    free(loading);
}

int ruc_table_load(ruc_table_t *table, ruc_store_cb done, void *arg)
{
    loading_t *loading = malloc(sizeof *loading);
    if (loading == NULL) {
        return UV_ENOMEM;
    }
    *loading = (loading_t){table, done, arg};
    int rc = ruc_store_load(table->store, load_row, loaded, loading);
    if (rc < 0) {
        free(loading);
    }
    return rc;
}

void ruc_table_free(ruc_table_t *table)
{
    if (table == NULL) {
        return;
    }
    while (table->count > 0) {
        ruc__table_take_out(table, table->sorted[table->count - 1]);
    }
    free(table->sorted);
    free(table->gone);
    free(table);
}
