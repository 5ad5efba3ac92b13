/* sqlite_db.c - the database file: whose it is, its schema, its settings, its errors.
 *
 * One server owns the file: a lock file beside it is held by flock for as long as it is open, so
 * that a second server is told so at once, while people may still look into the database with
 * other tools. `application_id` says that a file is ours, and `meta` holds the version of the
 * schema. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/id.h"
#include "core/log.h"
#include "store/sqlite.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x52634174 /* "RcAt" */
#define BUSY_MS 2000 /* how long another program's lock on the database is waited for */

static const char settings[] = "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cache_size = -4096;"
                               "PRAGMA journal_size_limit = 67108864;";

static const char schema[] =
    "CREATE TABLE meta(key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE engine("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE CHECK (length(id) = 26),"
    "  name TEXT NOT NULL UNIQUE,"
    "  rev INTEGER NOT NULL CHECK (rev > 0),"
    "  state TEXT NOT NULL CHECK (state IN ('Pending', 'Running', 'Stopped')),"
    "  desired TEXT NOT NULL CHECK (desired IN ('Running', 'Stopped', 'Deleted')),"
    "  type TEXT NOT NULL,"
    "  platform TEXT NOT NULL,"
    "  owner TEXT NOT NULL,"
    "  keeper TEXT NOT NULL,"
    "  due_ms INTEGER NOT NULL CHECK (due_ms >= 0),"
    "  doc TEXT NOT NULL) STRICT;"
    "CREATE INDEX engine_state ON engine(state, id);"
    "CREATE INDEX engine_due ON engine(due_ms, id) WHERE due_ms > 0;"
    "CREATE TABLE event("
    "  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 26),"
    "  engine TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  kind TEXT NOT NULL CHECK (kind IN ('state', 'policy', 'health', 'request')),"
    "  doc TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX event_engine ON event(engine, id);"
    "CREATE TABLE beat("
    "  engine TEXT NOT NULL PRIMARY KEY,"
    "  at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

int ruc__sqlite_note(ruc__sqlite_t *db, int code)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
    int error = db->handle ? sqlite3_system_errno(db->handle) : 0;
    bool outside = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_FULL ||
                   (code & 0xff) == SQLITE_CANTOPEN;
    snprintf(db->trouble, sizeof db->trouble, "SQLite: %s (%d)%s%s", text, code,
             outside && error ? ": " : "", outside && error ? strerror(error) : "");
    return code;
}

sqlite3_stmt *ruc__sqlite_use(ruc__sqlite_t *db, int which)
{
    sqlite3_stmt *statement = db->statements[which];
    sqlite3_reset(statement);
    return statement;
}

int ruc__sqlite_run(ruc__sqlite_t *db, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        code = SQLITE_OK;
    } else {
        code = ruc__sqlite_note(db, sqlite3_extended_errcode(db->handle));
    }
    sqlite3_reset(statement);
    return code;
}

/* --- the file --- */

/* Holds PATH.lock; it stays when it is let go, since removing it would race with the next one. */
static int lock(ruc__sqlite_t *db, const char *path, ruc_why_t *why)
{
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name) {
        return ruc_why_set(why, RUC_EINVALID, "the path of the database is too long");
    }
    db->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (db->lock_fd < 0) {
        return ruc_why_set(why, RUC_ESTORE, "cannot open %s: %s", name, strerror(errno));
    }
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(db->lock_fd);
        db->lock_fd = -1;
        return error == EWOULDBLOCK
                   ? ruc_why_set(why, RUC_ESTORE, "the database %s is in use by another rucat",
                                 path)
                   : ruc_why_set(why, RUC_ESTORE, "cannot lock %s: %s", name, strerror(error));
    }
    return 0;
}

/* Makes the file when it is not there, so that it never is readable by others. */
static int make_file(const char *path, ruc_why_t *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    struct stat info;
    if (errno != EEXIST || stat(path, &info) != 0) {
        return ruc_why_set(why, RUC_ESTORE, "cannot open the database %s: %s", path,
                           strerror(errno));
    }
    return S_ISREG(info.st_mode)
               ? 0
               : ruc_why_set(why, RUC_ESTORE, "the database %s is not a file", path);
}

/* Takes the file away from the eyes of others. */
static int make_private(const char *path, ruc_why_t *why)
{
    struct stat info;
    if (stat(path, &info) != 0 || ((info.st_mode & 077) != 0 && chmod(path, 0600) != 0)) {
        return ruc_why_set(why, RUC_ESTORE, "cannot make %s private: %s", path, strerror(errno));
    }
    return 0;
}

/* What an error at open means to the person who started rucat. */
static int explain(ruc__sqlite_t *db, int code, const char *path, ruc_why_t *why)
{
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return ruc_why_set(why, RUC_ESTORE, "%s is not a SQLite database", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ruc_why_set(why, RUC_ESTORE, "the database %s is locked by another program", path);
    case SQLITE_CORRUPT:
        return ruc_why_set(why, RUC_ESTORE, "the database %s is damaged: %s", path,
                           sqlite3_errmsg(db->handle));
    default:
        return ruc_why_set(why, RUC_ESTORE, "cannot open the database %s: %s", path,
                           db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
    }
}

/* The one number a query gives. */
static int ask_number(ruc__sqlite_t *db, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW) {
            *number = sqlite3_column_int64(statement, 0);
            code = SQLITE_OK;
        } else if (code == SQLITE_DONE) {
            *number = -1;
            code = SQLITE_OK;
        }
    }
    sqlite3_finalize(statement);
    return code;
}

/* --- the schema --- */

static int make_schema(ruc__sqlite_t *db)
{
    char tail[256];
    snprintf(tail, sizeof tail,
             "INSERT INTO meta(key, value) VALUES ('schema', '%d'), ('made_by', 'rucat %s');"
             "PRAGMA application_id = %d; COMMIT",
             SCHEMA_VERSION, RUCAT_VERSION, APPLICATION_ID);
    int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_exec(db->handle, schema, NULL, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(db->handle, tail, NULL, NULL, NULL);
    }
    return code;
}

/* Is it of a version we know? */
static int check_schema(ruc__sqlite_t *db, const char *path, ruc_why_t *why)
{
    int64_t version = 0;
    int code =
        ask_number(db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema'", &version);
    if (code != SQLITE_OK) {
        return explain(db, code, path, why);
    }
    if (version > SCHEMA_VERSION) {
        return ruc_why_set(why, RUC_ESTORE,
                           "the database %s was written by a newer rucat (schema %lld, this one "
                           "knows %d)",
                           path, (long long)version, SCHEMA_VERSION);
    }
    return version == SCHEMA_VERSION
               ? 0
               : ruc_why_set(why, RUC_ESTORE, "the database %s has no schema version", path);
}

static int prepare(ruc__sqlite_t *db, const char *path, ruc_why_t *why)
{
    static const char *const texts[] = {
#define XX(name, text) text,
        RUC_SQLITE_MAP(XX)
#undef XX
    };
    for (int i = 0; i < RUC_SQL_COUNT; i++) {
        int code = sqlite3_prepare_v3(db->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &db->statements[i], NULL);
        if (code != SQLITE_OK) {
            return explain(db, code, path, why);
        }
    }
    return 0;
}

/* --- opening, closing --- */

static int open_handle(ruc__sqlite_t *db, const char *path)
{
    int code = sqlite3_open_v2(
        path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
        NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, (int)RUC_STORE_DOC_MAX * 2);
    }
    return code;
}

/* New ids must sort behind those there are, whatever the clock says now: events are paged and
 * followed in the order of their ids. */
static int go_on(ruc__sqlite_t *db, const char *path, ruc_why_t *why)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle,
                                  "SELECT max(coalesce((SELECT max(id) FROM event), ''), "
                                  "coalesce((SELECT max(id) FROM engine), ''))",
                                  -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        ruc_id_after((const char *)sqlite3_column_text(statement, 0));
    }
    code = sqlite3_finalize(statement);
    return code == SQLITE_OK ? prepare(db, path, why) : explain(db, code, path, why);
}

/* Looks before it changes anything: another program's file is left as it is. */
static int open_locked(ruc__sqlite_t *db, const char *path, ruc_why_t *why)
{
    int64_t tables = 0, owner = 0;
    int code = open_handle(db, path);
    if (code == SQLITE_OK) {
        code = ask_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    }
    if (code == SQLITE_OK) {
        code = ask_number(db, "PRAGMA application_id", &owner);
    }
    if (code == SQLITE_OK && owner != APPLICATION_ID && (tables > 0 || owner != 0)) {
        return ruc_why_set(why, RUC_ESTORE, "the database %s belongs to another program", path);
    }
    int rc = code == SQLITE_OK ? make_private(path, why) : 0;
    if (rc < 0) {
        return rc;
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(db->handle, settings, NULL, NULL, NULL);
    }
    if (code == SQLITE_OK && owner != APPLICATION_ID) {
        code = make_schema(db);
    }
    if (code != SQLITE_OK) {
        return explain(db, code, path, why);
    }
    rc = check_schema(db, path, why);
    return rc < 0 ? rc : go_on(db, path, why);
}

int ruc__sqlite_open(ruc__sqlite_t *db, const ruc_store_config_t *config, ruc_why_t *why)
{
    memset(db, 0, sizeof *db);
    db->lock_fd = -1;
    db->events = -1;
    db->events_per_engine = config->events_per_engine;
    db->events_total = config->events_total;
    if (!config->path || !*config->path || strncmp(config->path, "file:", 5) == 0 ||
        config->path[0] == ':') {
        return ruc_why_set(why, RUC_EINVALID, "store.path must be the path of a file");
    }
    int rc = make_file(config->path, why);
    if (rc == 0) {
        rc = lock(db, config->path, why);
    }
    if (rc == 0) {
        rc = open_locked(db, config->path, why);
    }
    if (rc < 0) {
        ruc__sqlite_close(db);
    }
    return rc;
}

int ruc__sqlite_close(ruc__sqlite_t *db)
{
    for (int i = 0; i < RUC_SQL_COUNT; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    ruc__sqlite_forget_counts(db);
    int code = db->handle ? sqlite3_close(db->handle) : SQLITE_OK;
    if (code != SQLITE_OK) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "the database was not closed cleanly: %s",
                sqlite3_errmsg(db->handle));
        sqlite3_close_v2(db->handle);
    }
    db->handle = NULL;
    if (db->lock_fd >= 0) {
        close(db->lock_fd);
        db->lock_fd = -1;
    }
    return code == SQLITE_OK ? 0 : RUC_ESTORE;
}
