/* table_write.c - changes of engines: into the store first, visible when they are committed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/table_room.h"

#define NOTES_MAX 3 /* events beside one change: state, health, note */

/* A change under way: what will be visible once it is committed. */
typedef struct change {
    ruc_table_t *table;
    ruc_record_t *next; /* NULL: a removal */
    char id[RUC_ULID_SIZE];
    ruc_event_t events[NOTES_MAX];
    size_t event_count;
    int rc; /* what the store has said */
    ruc_table_cb cb;
    void *arg;
} change_t;

/* Makes a committed change visible. */
static int apply(ruc_table_t *table, change_t *change)
{
    entry_t *entry = ruc__table_entry(table, change->id);
    ruc_record_t *before = entry == NULL ? NULL : ruc_record_ref(entry->record);
    int rc = 0;
    if (change->next != NULL && before != NULL && before->rev > change->next->rev) {
        ruc_record_unref(before);
        return 0; /* a later one has been seen already, by way of the feed */
    }
    if (change->next == NULL) {
        if (entry != NULL) {
            ruc__table_take_out(table, entry);
        }
        ruc__table_note_gone(table, change->id);
    } else if (entry != NULL) {
        ruc__table_replace(entry, change->next);
    } else {
        rc = ruc__table_insert(table, change->next);
    }
    if (rc == 0 && (before != NULL || change->next != NULL)) {
        ruc__table_tell(table, before, change->next);
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

static void end(change_t *change, int rc)
{
    entry_t *entry = ruc__table_entry(change->table, change->id);
    if (change->cb != NULL) {
        change->cb(change->arg, rc, entry == NULL ? NULL : entry->record);
    }
    change_free(change);
}

/* Somebody else was faster, and what they wrote is known now. */
static void caught_up(void *arg, int rc, ruc_record_t *record)
{
    (void)record;
    change_t *change = arg;
    end(change, rc == RUC_ESTORE ? rc : change->rc);
}

static void committed(void *arg, int rc)
{
    change_t *change = arg;
    ruc_table_t *table = change->table;
    bool create = change->next != NULL && change->next->rev == 1;
    if (create) {
        table->creating--;
    }
    if (rc == 0) {
        rc = apply(table, change);
        for (size_t i = 0; !table->shared && i < change->event_count; i++) {
            ruc__table_tell_event(table, &change->events[i]); /* else the feed does */
        }
    }
    if (rc == RUC_ESTORE) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "a change of engine %s was not stored", change->id);
    }
    change->rc = rc;
    bool behind = rc == RUC_ECONFLICT || rc == RUC_ENOTFOUND || rc == RUC_EEXISTS;
    if (table->shared && behind &&
        ruc_table_fetch(table, create ? change->next->name : change->id, caught_up, change) == 0) {
        return;
    }
    end(change, rc);
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
                     const char *by, const json_t *data)
{
    RUC_MUST(change->event_count < NOTES_MAX);
    int rc = ruc_event_make(&change->events[change->event_count], kind, before, after, reason,
                            message, by, data);
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
                       ruc_record_text(after, "message"), by, NULL);
    }
    const char *health = ruc_record_text(after, "health");
    if (rc == 0 && strcmp(ruc_record_text(before, "health"), health) != 0 &&
        strcmp(health, "unknown") != 0) {
        rc = add_event(change, "health", before, after, health, ruc_record_text(after, "message"),
                       "monitor", NULL);
    }
    if (rc == 0 && note != NULL) {
        const char *kind = ruc_event_kind(json_string_value(json_object_get(note, "kind")));
        rc = add_event(change, kind != NULL ? kind : "policy", before, after,
                       json_string_value(json_object_get(note, "reason")),
                       json_string_value(json_object_get(note, "message")), by,
                       json_object_get(note, "data"));
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

int ruc_table_restore(ruc_table_t *table, ruc_record_t *record, const char *message,
                      ruc_table_cb cb, void *arg)
{
    ruc_event_t event;
    change_t *change = change_new(table, record->id, ruc_record_ref(record), cb, arg);
    if (change == NULL) {
        return UV_ENOMEM;
    }
    int rc = ruc_event_make(&event, "state", NULL, record, ruc_record_text(record, "reason"),
                            message, "monitor", NULL);
    if (rc < 0) {
        change_free(change);
        return rc;
    }
    change->events[change->event_count++] = event;
    rc = submit(change, 0);
    table->creating += rc == 0 && record->rev == 1;
    return rc;
}

int ruc_table_create(ruc_table_t *table, json_t *doc, const json_t *data, const char *by,
                     ruc_table_cb cb, void *arg, ruc_why_t *why)
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
                            json_string(ruc_clock_rfc3339(ruc_clock_wall_ms(), at))) < 0 ||
        json_object_set_new(whole, "asked_at", json_string(at)) < 0) {
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
                       ruc_record_text(record, "message"), by, data);
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
    entry_t *entry = ruc__table_entry(table, id);
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
    entry_t *entry = ruc__table_entry(table, id);
    if (entry == NULL) {
        return RUC_ENOTFOUND;
    }
    change_t *change = change_new(table, id, NULL, cb, arg);
    if (change == NULL) {
        return UV_ENOMEM;
    }
    int rc = add_event(change, "state", entry->record, NULL, "Deleted", "", by, NULL);
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
    if (rc == 0 && !note->table->shared) {
        ruc__table_tell_event(note->table, &note->event);
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
                                           record, reason, message, by, NULL);
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
