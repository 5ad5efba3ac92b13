/* table_others.c - what other servers wrote to a store that is shared: rows that come by the feed,
 * or that are read because a change of ours lost the race against theirs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/id.h"
#include "core/log.h"
#include "engine/table_room.h"

void ruc__table_note_gone(ruc_table_t *table, const char *id)
{
    if (!table->shared) {
        return;
    }
    if (table->gone == NULL) {
        table->gone = calloc(RUC__TABLE_GONE, sizeof *table->gone);
    }
    if (table->gone != NULL) { /* without memory it is heard of once more, and goes again */
        snprintf(table->gone[table->gone_at], sizeof *table->gone, "%s", id);
        table->gone_at = (table->gone_at + 1) % RUC__TABLE_GONE;
    }
}

static bool was_removed(const ruc_table_t *table, const char *id)
{
    for (size_t i = 0; table->gone != NULL && i < RUC__TABLE_GONE; i++) {
        if (strcmp(table->gone[i], id) == 0) {
            return true;
        }
    }
    return false;
}

/* Somebody may have edited the row by hand: what can be asked for must be what the document says.
 */
static bool columns_fit(const ruc_record_t *record, const ruc_store_row_t *row)
{
    return (row->state == NULL || strcmp(row->state, ruc_state_name(record->state)) == 0) &&
           (row->desired == NULL || strcmp(row->desired, ruc_record_text(record, "desired")) == 0);
}

ruc_record_t *ruc__table_read_row(ruc_table_t *table, const ruc_store_row_t *row)
{
    char which[sizeof table->bad];
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_record_parse(row->doc, row->doc_len, &why);
    if (record != NULL && strcmp(record->id, row->id) == 0 && record->rev == row->rev &&
        strcmp(record->name, row->name) == 0 && columns_fit(record, row)) {
        return record;
    }
    snprintf(which, sizeof which, "%.26s %llu", row->id, (unsigned long long)row->rev);
    if (strcmp(which, table->bad) != 0) {
        memcpy(table->bad, which, sizeof which);
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "the record of engine %s (%s) is left alone: %s", row->id,
                row->name,
                record == NULL ? why.text
                               : "its document does not say what its row says (id, name, revision, "
                                 "state, desired)");
    }
    ruc_record_unref(record);
    return NULL;
}

static void take_out(ruc_table_t *table, entry_t *entry)
{
    ruc_record_t *before = ruc_record_ref(entry->record);
    ruc__table_take_out(table, entry);
    ruc__table_note_gone(table, before->id);
    ruc__table_tell(table, before, NULL);
    ruc_record_unref(before);
}

/* A server that has just read all rows is told of the last second's changes once more: among them
 * may be an engine that is gone, and whose name another one has by now. Ids sort by time. */
static bool is_outlived(const ruc_record_t *record, const ruc_record_t *namesake)
{
    return strcmp(namesake->id, record->id) > 0;
}

static int take_new(ruc_table_t *table, ruc_record_t *record, bool truth)
{
    entry_t *namesake = NULL;
    HASH_FIND(by_name, table->names, record->name, strlen(record->name), namesake);
    if (namesake != NULL && !truth && is_outlived(record, namesake->record)) {
        return 0;
    }
    if (namesake != NULL) { /* a name is taken once: its removal was not heard of */
        take_out(table, namesake);
    }
    int rc = ruc__table_insert(table, record);
    if (rc == 0) {
        ruc__table_tell(table, NULL, record);
    }
    return rc;
}

int ruc_table_take_row(ruc_table_t *table, const ruc_store_row_t *row, bool truth)
{
    entry_t *entry = ruc__table_entry(table, row->id);
    if (entry == NULL
            ? !truth && was_removed(table, row->id)
            : entry->record->rev == row->rev || (!truth && entry->record->rev > row->rev)) {
        return 0;
    }
    ruc_record_t *record = ruc__table_read_row(table, row);
    if (record == NULL) {
        return RUC_EINVALID;
    }
    ruc_id_after(row->id);
    int rc = 0;
    if (entry == NULL) {
        rc = take_new(table, record, truth);
    } else {
        ruc_record_t *before = ruc_record_ref(entry->record);
        if (before->rev > record->rev) {
            ruc_log(
                RUC_LOG_STORE, RUC_WARN,
                "engine %s: the store has revision %llu where %llu was known; the store is right",
                record->name, (unsigned long long)record->rev, (unsigned long long)before->rev);
        }
        ruc__table_replace(entry, record);
        ruc__table_tell(table, before, record);
        ruc_record_unref(before);
    }
    ruc_record_unref(record);
    return rc;
}

void ruc_table_take_beat(ruc_table_t *table, const char *id, int64_t beat_ms)
{
    entry_t *entry = ruc__table_entry(table, id);
    if (entry != NULL && beat_ms > entry->beat_ms) {
        entry->beat_ms = beat_ms; /* the store has it: it is not written again */
    }
}

void ruc_table_take_gone(ruc_table_t *table, const char *id)
{
    entry_t *entry = ruc__table_entry(table, id);
    if (entry != NULL) {
        take_out(table, entry);
    }
}

/* ---- one engine, read just now ---- */

typedef struct fetching {
    ruc_table_t *table;
    char key[RUC_STORE_TEXT_MAX];
    bool named; /* by name, not by id */
    ruc_table_cb cb;
    void *arg;
} fetching_t;

static void fetched(void *arg, int rc, const ruc_store_row_t *rows, size_t n, bool more)
{
    (void)more;
    fetching_t *fetching = arg;
    ruc_table_t *table = fetching->table;
    if (rc == 0 && n > 0) {
        rc = ruc_table_take_row(table, &rows[0], true);
    } else if (rc == RUC_ENOTFOUND && !fetching->named) {
        ruc_table_take_gone(table, fetching->key);
        fetching->named = true; /* a name may look like an id */
        if (ruc_store_by_name(table->store, fetching->key, fetched, fetching) == 0) {
            return;
        }
    }
    ruc_record_t *record = rc == 0 ? ruc_table_find(table, fetching->key) : NULL;
    if (rc == 0 && record == NULL) {
        rc = RUC_ENOTFOUND;
    }
    fetching->cb(fetching->arg, rc, record);
    free(fetching);
}

int ruc_table_fetch(ruc_table_t *table, const char *id_or_name, ruc_table_cb cb, void *arg)
{
    if (strlen(id_or_name) >= RUC_STORE_TEXT_MAX) {
        return RUC_ENOTFOUND;
    }
    fetching_t *fetching = calloc(1, sizeof *fetching);
    if (fetching == NULL) {
        return UV_ENOMEM;
    }
    *fetching =
        (fetching_t){.table = table, .named = !ruc_id_is_ulid(id_or_name), .cb = cb, .arg = arg};
    memcpy(fetching->key, id_or_name, strlen(id_or_name) + 1);
    int rc = fetching->named ? ruc_store_by_name(table->store, id_or_name, fetched, fetching)
                             : ruc_store_get(table->store, id_or_name, fetched, fetching);
    if (rc < 0) {
        free(fetching);
    }
    return rc;
}
