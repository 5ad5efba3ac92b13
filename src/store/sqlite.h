/* sqlite.h - the connection of the SQLite backend: what sqlite.c (queue, writer thread, group
 * commit) wants from sqlite_db.c (file, schema, errors) and sqlite_rows.c (one statement per kind
 * of call). Everything here runs on the thread that owns the connection: the opener's until the
 * writer thread is started, then that one. Only for files of this room. */
#ifndef RUC_STORE_SQLITE_H
#define RUC_STORE_SQLITE_H

#include <sqlite3.h>

#include "core/err.h"
#include "store/op.h"

/* Prepared once: name, text. */
#define RUC_SQLITE_MAP(XX)                                                                         \
    XX(BEGIN_READ, "BEGIN")                                                                        \
    XX(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                             \
    XX(COMMIT, "COMMIT")                                                                           \
    XX(ROLLBACK, "ROLLBACK")                                                                       \
    XX(SAVE, "SAVEPOINT one")                                                                      \
    XX(UNDO, "ROLLBACK TO one")                                                                    \
    XX(RELEASE, "RELEASE one")                                                                     \
    XX(CREATE, "INSERT INTO engine(id, name, rev, state, desired, type, platform, owner, keeper, " \
               "due_ms, doc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")               \
    XX(UPDATE, "UPDATE engine SET rev = ?3, state = ?4, desired = ?5, type = ?6, platform = ?7, "  \
               "owner = ?8, keeper = ?9, due_ms = ?10, doc = ?11 WHERE id = ?1 AND rev = ?2")      \
    XX(REMOVE, "DELETE FROM engine WHERE id = ?1 AND rev = ?2")                                    \
    XX(IS_THERE, "SELECT 1 FROM engine WHERE id = ?1")                                             \
    XX(EVENT, "INSERT INTO event(id, engine, at_ms, kind, doc) VALUES (?1, ?2, ?3, ?4, ?5)")       \
    XX(BEAT, "INSERT INTO beat(engine, at_ms) SELECT ?1, ?2 WHERE EXISTS "                         \
             "(SELECT 1 FROM engine WHERE id = ?1) ON CONFLICT(engine) DO UPDATE "                 \
             "SET at_ms = excluded.at_ms WHERE excluded.at_ms > at_ms")                            \
    XX(UNBEAT, "DELETE FROM beat WHERE engine = ?1")                                               \
    XX(PROBE, "INSERT INTO meta(key, value) VALUES ('probe', '1') ON CONFLICT(key) DO UPDATE "     \
              "SET value = CAST(value AS INTEGER) % 1000 + 1")                                     \
    XX(COUNT_EVENTS, "SELECT count(*) FROM event")                                                 \
    XX(COUNT_ENGINE, "SELECT count(*) FROM event WHERE engine = ?1")                               \
    XX(TRIM_EVENTS, "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?1)")   \
    XX(TRIM_ENGINE, "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE engine = ?1 "       \
                    "ORDER BY id LIMIT ?2)")

enum {
#define XX(name, text) RUC_SQL_##name,
    RUC_SQLITE_MAP(XX)
#undef XX
        RUC_SQL_COUNT
};

struct ruc__sqlite_tally; /* how many events an engine has */

typedef struct ruc__sqlite {
    sqlite3 *handle;
    sqlite3_stmt *statements[RUC_SQL_COUNT];
    size_t events_per_engine, events_total; /* bounds */
    struct ruc__sqlite_tally *tallies;
    int64_t events; /* in all; -1: to be counted */
    int lock_fd;
    char trouble[256]; /* the last error, in words */
} ruc__sqlite_t;

/* sqlite_db.c: opens, locks and checks the file, makes the schema in an empty one, prepares the
 * statements. On failure nothing stays open. */
int ruc__sqlite_open(ruc__sqlite_t *db, const ruc_store_config_t *config, ruc_why_t *why);

/* Checkpoints and closes. 0 or RUC_ESTORE. */
int ruc__sqlite_close(ruc__sqlite_t *db);

/* A statement, reset and without bindings. */
sqlite3_stmt *ruc__sqlite_use(ruc__sqlite_t *db, int which);

/* Steps a statement that gives no row to its end, and resets it. SQLITE_OK or an (extended) SQLite
 * code; the trouble is noted then. */
int ruc__sqlite_run(ruc__sqlite_t *db, sqlite3_stmt *statement);

/* Notes the connection's last error as the trouble; returns `code`. */
int ruc__sqlite_note(ruc__sqlite_t *db, int code);

/* sqlite_rows.c: answers one call inside the open transaction. Sets op->rc (and op->why). False
 * when the whole transaction is lost; db->trouble says why. */
bool ruc__sqlite_answer(ruc__sqlite_t *db, ruc__store_op_t *op);

/* sqlite_events.c: adds events and keeps them within their bounds. SQLITE_OK or a code. */
int ruc__sqlite_add_events(ruc__sqlite_t *db, const ruc_store_event_t *events, size_t n);

/* Forgets the counts (they are taken anew): after a rollback, and at the end. */
void ruc__sqlite_forget_counts(ruc__sqlite_t *db);

#endif
