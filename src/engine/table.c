/* table.c - see table.h. Entries hang in two hashes (id, name) and in an array sorted by id. Ids
 * sort by time, so a new one nearly always goes to the end of the array. */
#include "engine/table.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/event.h"

#define NOTES_MAX 3 /* events beside one change: state, health, note */

typedef struct entry {
    ruc_record_t *record;
    int64_t beat_ms;
    bool beat_new; /* not in the store yet */
    UT_hash_handle by_id, by_name;
} entry_t;

struct ruc_table {
    ruc_store_t *store;
    entry_t *ids, *names;
    entry_t **sorted;
    size_t count, room, max;
    size_t creating; /* creates under way, for the bound */
    ruc_watcher_t *watchers;
    ruc_watcher_t *next_watcher; /* while they are told */
    ruc_listener_t *listeners;
    ruc_listener_t *next_listener;
};

/* A change under way: what will be visible once it is committed. */
typedef struct change {
    ruc_table_t *table;
    ruc_record_t *next; /* NULL: a removal */
    char id[RUC_ULID_SIZE];
    ruc_event_t events[NOTES_MAX];
    size_t event_count;
    ruc_table_cb cb;
    void *arg;
} change_t;

ruc_table_t *ruc_table_new(ruc_store_t *store, size_t max)
{
    ruc_table_t *table = calloc(1, sizeof *table);
    if (table != NULL) {
        table->store = store;
        table->max = max;
    }
    return table;
}

ruc_store_t *ruc_table_store(const ruc_table_t *table)
{
    return table->store;
}

static entry_t *entry_of(const ruc_table_t *table, const char *id)
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

static int insert(ruc_table_t *table, ruc_record_t *record)
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

static void take_out(ruc_table_t *table, entry_t *entry)
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

static void replace(entry_t *entry, ruc_record_t *next)
{
    ruc_record_t *before = entry->record;
    entry->record = ruc_record_ref(next);
    /* Same id and name, but their bytes are the new snapshot's. */
    entry->by_id.key = next->id;
    entry->by_name.key = next->name;
    ruc_record_unref(before);
}

static void tell(ruc_table_t *table, ruc_record_t *before, ruc_record_t *after)
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

static void tell_event(ruc_table_t *table, const ruc_event_t *event)
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

/* Makes a committed change visible. */
static int apply(ruc_table_t *table, change_t *change)
{
    entry_t *entry = entry_of(table, change->id);
    ruc_record_t *before = entry == NULL ? NULL : ruc_record_ref(entry->record);
    int rc = 0;
    if (change->next == NULL) {
        if (entry != NULL) {
            take_out(table, entry);
        }
    } else if (entry != NULL) {
        replace(entry, change->next);
    } else {
        rc = insert(table, change->next);
    }
    if (rc == 0 && (before != NULL || change->next != NULL)) {
        tell(table, before, change->next);
    }
    ruc_record_unref(before);
    return rc;
}

static void change_free(change_t *change)
{
    for (size_t i = 0; i < change->event_count; i++) {
        ruc_event_free(&change->events[i]);
    }
    ruc_record_unref(change->next);
    free(change);
}

static void committed(void *arg, int rc)
{
    change_t *change = arg;
    ruc_table_t *table = change->table;
    if (change->next != NULL && change->next->rev == 1) {
        table->creating--;
    }
    if (rc == 0) {
        rc = apply(table, change);
        for (size_t i = 0; i < change->event_count; i++) {
            tell_event(table, &change->events[i]);
        }
    }
    if (rc == RUC_ESTORE) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "a change of engine %s was not stored", change->id);
    }
    entry_t *entry = entry_of(table, change->id);
    if (change->cb != NULL) {
        change->cb(change->arg, rc, entry == NULL ? NULL : entry->record);
    }
    change_free(change);
}

static change_t *change_new(ruc_table_t *table, const char *id, ruc_record_t *next, ruc_table_cb cb,
                            void *arg)
{
    change_t *change = calloc(1, sizeof *change);
    if (change == NULL) {
        ruc_record_unref(next);
        return NULL;
    }
    change->table = table;
    change->next = next;
    snprintf(change->id, sizeof change->id, "%s", id);
    change->cb = cb;
    change->arg = arg;
    return change;
}

static int add_event(change_t *change, const char *kind, const ruc_record_t *before,
                     const ruc_record_t *after, const char *reason, const char *message,
                     const char *by)
{
    RUC_MUST(change->event_count < NOTES_MAX);
    int rc = ruc_event_make(&change->events[change->event_count], kind, before, after, reason,
                            message, by);
    change->event_count += rc == 0;
    return rc;
}

/* The events that a change brings with it, and the caller's own. */
static int add_events(change_t *change, const ruc_record_t *before, json_t *note, const char *by)
{
    const ruc_record_t *after = change->next;
    int rc = 0;
    bool moved = before->state != after->state ||
                 strcmp(ruc_record_text(before, "reason"), ruc_record_text(after, "reason")) != 0 ||
                 (before->epoch != after->epoch);
    if (moved) {
        rc = add_event(change, "state", before, after, ruc_record_text(after, "reason"),
                       ruc_record_text(after, "message"), by);
    }
    const char *health = ruc_record_text(after, "health");
    if (rc == 0 && strcmp(ruc_record_text(before, "health"), health) != 0 &&
        strcmp(health, "unknown") != 0) {
        rc = add_event(change, "health", before, after, health, ruc_record_text(after, "message"),
                       "monitor");
    }
    if (rc == 0 && note != NULL) {
        const char *kind = ruc_event_kind(json_string_value(json_object_get(note, "kind")));
        rc = add_event(change, kind != NULL ? kind : "policy", before, after,
                       json_string_value(json_object_get(note, "reason")),
                       json_string_value(json_object_get(note, "message")), by);
    }
    return rc;
}

static ruc_store_row_t row_of(const ruc_record_t *record, char *doc)
{
    return (ruc_store_row_t){.id = record->id,
                             .name = record->name,
                             .rev = record->rev,
                             .state = ruc_state_name(record->state),
                             .desired = ruc_record_text(record, "desired"),
                             .type = ruc_record_text(record, "type"),
                             .platform = ruc_record_text(record, "platform"),
                             .owner = ruc_record_text(record, "owner"),
                             .keeper = ruc_record_text(record, "keeper"),
                             .doc = doc,
                             .doc_len = strlen(doc)};
}

/* Hands the change to the store; frees it when the store does not take it. `expected` 0: create. */
static int submit(change_t *change, uint64_t expected)
{
    ruc_store_t *store = change->table->store;
    ruc_store_event_t rows[NOTES_MAX];
    for (size_t i = 0; i < change->event_count; i++) {
        rows[i] = ruc_event_row(&change->events[i]);
    }
    int rc;
    if (change->next == NULL) {
        rc = ruc_store_remove(store, change->id, expected, rows, change->event_count, committed,
                              change);
    } else {
        char *doc = ruc_record_dump(change->next);
        if (doc == NULL) {
            rc = UV_ENOMEM;
        } else {
            ruc_store_row_t row = row_of(change->next, doc);
            rc = expected == 0
                     ? ruc_store_create(store, &row, rows, change->event_count, committed, change)
                     : ruc_store_update(store, &row, expected, rows, change->event_count, committed,
                                        change);
            free(doc);
        }
    }
    if (rc < 0) {
        change_free(change);
    }
    return rc;
}

int ruc_table_create(ruc_table_t *table, json_t *doc, const char *by, ruc_table_cb cb, void *arg,
                     ruc_why_t *why)
{
    char id[RUC_ULID_SIZE], at[RUC_RFC3339_SIZE];
    if (table->count + table->creating >= table->max) {
        return ruc_why_set(why, RUC_EFULL,
                           "there are %zu engines, the most that limits.engines allows",
                           table->count);
    }
    json_t *whole = json_copy(doc);
    if (whole == NULL || json_object_set_new(whole, "id", json_string(ruc_id_ulid(id))) < 0 ||
        json_object_set_new(whole, "rev", json_integer(1)) < 0 ||
        json_object_set_new(whole, "created_at",
                            json_string(ruc_clock_rfc3339(ruc_clock_wall_ms(), at))) < 0) {
        json_decref(whole);
        return UV_ENOMEM;
    }
    ruc_record_t *record = ruc_record_make(whole, why);
    if (record == NULL) {
        return RUC_EINVALID;
    }
    if (ruc_table_find(table, record->name) != NULL) {
        ruc_record_unref(record);
        return ruc_why_set(why, RUC_EEXISTS, "there is an engine of that name");
    }
    change_t *change = change_new(table, record->id, record, cb, arg);
    if (change == NULL) {
        return UV_ENOMEM;
    }
    int rc = add_event(change, "state", NULL, record, ruc_record_text(record, "reason"),
                       ruc_record_text(record, "message"), by);
    if (rc < 0) {
        change_free(change);
        return rc;
    }
    rc = submit(change, 0);
    table->creating += rc == 0;
    return rc;
}

int ruc_table_change(ruc_table_t *table, const char *id, uint64_t rev, json_t *changes,
                     json_t *note, const char *by, ruc_table_cb cb, void *arg, ruc_why_t *why)
{
    entry_t *entry = entry_of(table, id);
    if (entry == NULL || entry->record->rev != rev) {
        return ruc_why_set(why, entry == NULL ? RUC_ENOTFOUND : RUC_ECONFLICT,
                           entry == NULL ? "no such engine" : "the engine was changed meanwhile");
    }
    ruc_record_t *next = ruc_record_with(entry->record, changes, why);
    if (next == NULL) {
        return RUC_EINVALID;
    }
    change_t *change = change_new(table, id, next, cb, arg);
    if (change == NULL) {
        return UV_ENOMEM;
    }
    int rc = add_events(change, entry->record, note, by);
    if (rc < 0) {
        change_free(change);
        return rc;
    }
    return submit(change, rev);
}

int ruc_table_remove(ruc_table_t *table, const char *id, uint64_t rev, const char *by,
                     ruc_table_cb cb, void *arg)
{
    entry_t *entry = entry_of(table, id);
    if (entry == NULL) {
        return RUC_ENOTFOUND;
    }
    change_t *change = change_new(table, id, NULL, cb, arg);
    if (change == NULL) {
        return UV_ENOMEM;
    }
    int rc = add_event(change, "state", entry->record, NULL, "Deleted", "", by);
    if (rc < 0) {
        change_free(change);
        return rc;
    }
    return submit(change, rev);
}

/* An event on its own, until it is stored. */
typedef struct note {
    ruc_table_t *table;
    ruc_event_t event;
} note_t;

static void log_lost(int rc)
{
    if (rc < 0) {
        ruc_log(RUC_LOG_STORE, RUC_WARN, "an event was not stored: %s", ruc_err_text(rc));
    }
}

static void noted(void *arg, int rc)
{
    note_t *note = arg;
    log_lost(rc);
    if (rc == 0) {
        tell_event(note->table, &note->event);
    }
    ruc_event_free(&note->event);
    free(note);
}

void ruc_table_note(ruc_table_t *table, const ruc_record_t *record, const char *kind,
                    const char *reason, const char *message, const char *by)
{
    note_t *note = calloc(1, sizeof *note);
    const char *known = ruc_event_kind(kind);
    int rc = note == NULL ? UV_ENOMEM
                          : ruc_event_make(&note->event, known != NULL ? known : "policy", record,
                                           record, reason, message, by);
    if (rc == 0) {
        note->table = table;
        ruc_store_event_t row = ruc_event_row(&note->event);
        rc = ruc_store_append(table->store, &row, 1, noted, note);
        if (rc < 0) {
            ruc_event_free(&note->event);
        }
    }
    if (rc < 0) {
        free(note);
        log_lost(rc);
    }
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
    entry_t *entry = entry_of(table, id);
    if (entry != NULL && wall_ms > entry->beat_ms) {
        entry->beat_ms = wall_ms;
        entry->beat_new = true;
    }
}

int64_t ruc_table_last_beat(const ruc_table_t *table, const char *id)
{
    entry_t *entry = entry_of(table, id);
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
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_record_parse(row->doc, row->doc_len, &why);
    if (record == NULL || strcmp(record->id, row->id) != 0 || record->rev != row->rev) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "the record of engine %s (%s) is left alone: %s", row->id,
                row->name, record == NULL ? why.text : "its id or revision is not its row's");
    } else if (insert(table, record) < 0) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "no memory for engine %s", row->id);
    } else {
        entry_of(table, record->id)->beat_ms = row->beat_ms;
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
        take_out(table, table->sorted[table->count - 1]);
    }
    free(table->sorted);
    free(table);
}
