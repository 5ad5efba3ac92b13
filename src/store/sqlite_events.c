/* sqlite_events.c - events in SQLite, and their bounds.
 *
 * At most events_per_engine of one engine and events_total in all are kept; the oldest go. Counting
 * at each write would be dear, so the counts are kept here (of engines that had events lately) and
 * taken from the database when they are not known. At a bound a sixteenth (of all: a
 * sixty-fourth) is dropped at once, so that most writes drop nothing. */
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "store/sqlite.h"

#define TALLIES_MAX 20000u

typedef struct ruc__sqlite_tally {
    char engine[32];
    int64_t count;
    UT_hash_handle hh;
} tally_t;

void ruc__sqlite_forget_counts(ruc__sqlite_t *db)
{
    tally_t *tally, *next;
    HASH_ITER(hh, db->tallies, tally, next)
    {
        HASH_DEL(db->tallies, tally);
        free(tally);
    }
    db->tallies = NULL;
    db->events = -1;
}

/* The number that a prepared count gives. */
static int count(ruc__sqlite_t *db, sqlite3_stmt *statement, int64_t *number)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *number = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    } else {
        code = ruc__sqlite_note(db, sqlite3_extended_errcode(db->handle));
    }
    sqlite3_reset(statement);
    return code;
}

/* The tally of an engine; counted when it is not known. NULL without memory or on an error (*code).
 */
static tally_t *find_tally(ruc__sqlite_t *db, const char *engine, int *code)
{
    tally_t *tally = NULL;
    HASH_FIND_STR(db->tallies, engine, tally);
    if (tally) {
        return tally;
    }
    if (HASH_COUNT(db->tallies) >= TALLIES_MAX) {
        int64_t events = db->events;
        ruc__sqlite_forget_counts(db);
        db->events = events;
    }
    tally = calloc(1, sizeof *tally);
    if (!tally || strlen(engine) >= sizeof tally->engine) {
        free(tally);
        *code = SQLITE_NOMEM;
        return NULL;
    }
    memcpy(tally->engine, engine, strlen(engine) + 1);
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_COUNT_ENGINE);
    sqlite3_bind_text(statement, 1, engine, -1, SQLITE_STATIC);
    *code = count(db, statement, &tally->count);
    if (*code != SQLITE_OK) {
        free(tally);
        return NULL;
    }
    HASH_ADD_STR(db->tallies, engine, tally);
    if (!tally->hh.tbl) {
        free(tally);
        *code = SQLITE_NOMEM;
        return NULL;
    }
    return tally;
}

static int trim_engine(ruc__sqlite_t *db, tally_t *tally)
{
    int64_t drop = tally->count - (int64_t)(db->events_per_engine - db->events_per_engine / 16);
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_TRIM_ENGINE);
    sqlite3_bind_text(statement, 1, tally->engine, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, drop);
    int code = ruc__sqlite_run(db, statement);
    if (code == SQLITE_OK) {
        int64_t dropped = sqlite3_changes64(db->handle);
        tally->count -= dropped;
        db->events -= dropped;
    }
    return code;
}

static int trim_all(ruc__sqlite_t *db)
{
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_TRIM_EVENTS);
    sqlite3_bind_int64(statement, 1,
                       db->events - (int64_t)(db->events_total - db->events_total / 64));
    int code = ruc__sqlite_run(db, statement);
    if (code == SQLITE_OK) {
        int64_t events = db->events - sqlite3_changes64(db->handle);
        ruc__sqlite_forget_counts(db);
        db->events = events;
    }
    return code;
}

static int add_event(ruc__sqlite_t *db, const ruc_store_event_t *event)
{
    int code = SQLITE_OK;
    tally_t *tally = find_tally(db, event->engine, &code);
    if (!tally) {
        return code;
    }
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_EVENT);
    sqlite3_bind_text(statement, 1, event->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, event->engine, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, event->at_ms);
    sqlite3_bind_text(statement, 4, event->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text64(statement, 5, event->doc, event->doc_len, SQLITE_STATIC, SQLITE_UTF8);
    code = ruc__sqlite_run(db, statement);
    if (code != SQLITE_OK) {
        return code;
    }
    db->events++;
    tally->count++;
    return tally->count > (int64_t)db->events_per_engine ? trim_engine(db, tally) : SQLITE_OK;
}

int ruc__sqlite_add_events(ruc__sqlite_t *db, const ruc_store_event_t *events, size_t n)
{
    int code = SQLITE_OK;
    if (n > 0 && db->events < 0) {
        code = count(db, ruc__sqlite_use(db, RUC_SQL_COUNT_EVENTS), &db->events);
    }
    for (size_t i = 0; i < n && code == SQLITE_OK; i++) {
        code = add_event(db, &events[i]);
    }
    if (code == SQLITE_OK && db->events > (int64_t)db->events_total) {
        code = trim_all(db);
    }
    return code;
}
