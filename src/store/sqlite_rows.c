/* sqlite_rows.c - what each kind of call does in SQLite, inside the writer's open transaction.
 *
 * A call that needs several statements runs between SAVEPOINT and RELEASE, so that it happens whole
 * or not at all and its neighbours of the same transaction do not notice. Its own fault (a lost
 * race, a name that is taken) is its own answer; an error of the database itself (disk full, I/O)
 * loses the transaction, which is for sqlite.c to say to everybody in it. */
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "store/sqlite.h"

#define ROW_COLUMNS                                                                                \
    "e.id, e.name, e.rev, e.state, e.desired, e.type, e.platform, e.owner, e.keeper, e.due_ms, "   \
    "e.doc, ifnull(b.at_ms, 0)"
#define ROW_FROM " FROM engine e LEFT JOIN beat b ON b.engine = e.id"

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

/* --- changes. Each returns SQLITE_OK or a code, and sets op->rc to what the caller is told --- */

static void bind_row(sqlite3_stmt *statement, const ruc_store_row_t *row)
{
    bind_text(statement, 1, row->id);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)row->rev);
    bind_text(statement, 4, row->state);
    bind_text(statement, 5, row->desired);
    bind_text(statement, 6, row->type);
    bind_text(statement, 7, row->platform);
    bind_text(statement, 8, row->owner);
    bind_text(statement, 9, row->keeper);
    sqlite3_bind_int64(statement, 10, row->due_ms);
    sqlite3_bind_text64(statement, 11, row->doc, row->doc_len, SQLITE_STATIC, SQLITE_UTF8);
}

static int do_create(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_CREATE);
    bind_row(statement, &op->row);
    bind_text(statement, 2, op->row.name);
    return ruc__sqlite_run(db, statement);
}

/* After a change that met no row: was there none, or one of another revision? */
static int tell_lost(ruc__sqlite_t *db, ruc__store_op_t *op, const char *id)
{
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_IS_THERE);
    bind_text(statement, 1, id);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        code = ruc__sqlite_note(db, sqlite3_extended_errcode(db->handle));
    } else {
        op->rc = code == SQLITE_ROW ? RUC_ECONFLICT : RUC_ENOTFOUND;
        code = SQLITE_OK;
    }
    sqlite3_reset(statement);
    return code;
}

static int do_update(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_UPDATE);
    bind_row(statement, &op->row);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)op->expected);
    int code = ruc__sqlite_run(db, statement);
    if (code == SQLITE_OK && sqlite3_changes(db->handle) == 0) {
        return tell_lost(db, op, op->row.id);
    }
    return code;
}

static int do_remove(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_REMOVE);
    bind_text(statement, 1, op->key);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)op->expected);
    int code = ruc__sqlite_run(db, statement);
    if (code == SQLITE_OK && sqlite3_changes(db->handle) == 0) {
        return tell_lost(db, op, op->key);
    }
    if (code == SQLITE_OK) {
        statement = ruc__sqlite_use(db, RUC_SQL_UNBEAT);
        bind_text(statement, 1, op->key);
        code = ruc__sqlite_run(db, statement);
    }
    return code;
}

static int do_beats(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < op->nbeats && code == SQLITE_OK; i++) {
        sqlite3_stmt *statement = ruc__sqlite_use(db, RUC_SQL_BEAT);
        bind_text(statement, 1, op->beats[i].id);
        sqlite3_bind_int64(statement, 2, op->beats[i].at_ms);
        code = ruc__sqlite_run(db, statement);
    }
    return code;
}

static int do_change(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    int code = SQLITE_OK;
    switch (op->kind) {
    case RUC_OP_CREATE:
        code = do_create(db, op);
        break;
    case RUC_OP_UPDATE:
        code = do_update(db, op);
        break;
    case RUC_OP_REMOVE:
        code = do_remove(db, op);
        break;
    case RUC_OP_BEATS:
        code = do_beats(db, op);
        break;
    case RUC_OP_PROBE:
        code = ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_PROBE));
        break;
    default:
        break;
    }
    if (code == SQLITE_OK && op->rc == 0) {
        code = ruc__sqlite_add_events(db, op->events, op->nevents);
    }
    return code;
}

/* --- questions --- */

static const char *column(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);
    return text ? text : "";
}

static int take_row(ruc__store_op_t *op, sqlite3_stmt *statement)
{
    ruc_store_row_t row = {.id = column(statement, 0),
                           .name = column(statement, 1),
                           .rev = (uint64_t)sqlite3_column_int64(statement, 2),
                           .state = column(statement, 3),
                           .desired = column(statement, 4),
                           .type = column(statement, 5),
                           .platform = column(statement, 6),
                           .owner = column(statement, 7),
                           .keeper = column(statement, 8),
                           .due_ms = sqlite3_column_int64(statement, 9),
                           .doc = column(statement, 10),
                           .doc_len = (size_t)sqlite3_column_bytes(statement, 10),
                           .beat_ms = sqlite3_column_int64(statement, 11)};
    return ruc__store_add_row(op, &row);
}

static int take_event(ruc__store_op_t *op, sqlite3_stmt *statement)
{
    ruc_store_event_t event = {.id = column(statement, 0),
                               .engine = column(statement, 1),
                               .at_ms = sqlite3_column_int64(statement, 2),
                               .kind = column(statement, 3),
                               .doc = column(statement, 4),
                               .doc_len = (size_t)sqlite3_column_bytes(statement, 4)};
    return ruc__store_add_event(op, &event);
}

/* Adds " AND <test>" for a wish, and remembers its text as the next parameter. */
static int wish(ruc_buf_t *sql, const char **values, int *n, const char *column_is,
                const char *value)
{
    if (!value) {
        return 0;
    }
    values[(*n)++] = value;
    return ruc_buf_addf(sql, " AND %s ?%d", column_is, *n);
}

/* The question's text, and the texts its parameters ?1, ?2 ... stand for. */
static int build_page(const ruc__store_op_t *op, ruc_buf_t *sql, const char **values, int *n)
{
    const ruc_store_filter_t *filter = &op->filter;
    int rc = ruc_buf_adds(sql, "SELECT " ROW_COLUMNS ROW_FROM " WHERE 1");
    rc = rc ? rc : wish(sql, values, n, "e.id >", op->after);
    rc = rc ? rc : wish(sql, values, n, "e.state =", filter->state);
    rc = rc ? rc : wish(sql, values, n, "e.desired =", filter->desired);
    rc = rc ? rc : wish(sql, values, n, "e.type =", filter->type);
    rc = rc ? rc : wish(sql, values, n, "e.platform =", filter->platform);
    rc = rc ? rc : wish(sql, values, n, "e.owner =", filter->owner);
    rc = rc ? rc : wish(sql, values, n, "e.keeper =", filter->keeper);
    rc = rc ? rc : wish(sql, values, n, "e.name =", filter->name);
    if (rc == 0 && filter->label) {
        values[(*n)++] = filter->label;
        values[(*n)++] = filter->value;
        rc = ruc_buf_addf(sql,
                          " AND json_valid(e.doc) AND EXISTS (SELECT 1 FROM"
                          " json_each(e.doc, '$.labels') l WHERE l.key = ?%d AND l.value = ?%d)",
                          *n - 1, *n);
    }
    return rc ? rc : ruc_buf_adds(sql, " ORDER BY e.id");
}

static int build_one(const ruc__store_op_t *op, ruc_buf_t *sql, const char **values, int *n)
{
    values[(*n)++] = op->key;
    return ruc_buf_adds(sql, op->kind == RUC_OP_GET
                                 ? "SELECT " ROW_COLUMNS ROW_FROM " WHERE e.id = ?1"
                                 : "SELECT " ROW_COLUMNS ROW_FROM " WHERE e.name = ?1");
}

static int build_due(const ruc__store_op_t *op, ruc_buf_t *sql)
{
    return ruc_buf_addf(sql,
                        "SELECT " ROW_COLUMNS ROW_FROM
                        " WHERE e.due_ms > 0 AND e.due_ms <= %lld ORDER BY e.due_ms, e.id",
                        (long long)op->until_ms);
}

static int build_events(const ruc__store_op_t *op, ruc_buf_t *sql, const char **values, int *n)
{
    int rc = ruc_buf_adds(sql, "SELECT id, engine, at_ms, kind, doc FROM event WHERE 1");
    rc = rc ? rc : wish(sql, values, n, "engine =", op->key);
    rc = rc ? rc : wish(sql, values, n, op->newest_first ? "id <" : "id >", op->after);
    return rc ? rc : ruc_buf_adds(sql, op->newest_first ? " ORDER BY id DESC" : " ORDER BY id");
}

static int build(const ruc__store_op_t *op, ruc_buf_t *sql, const char **values, int *n)
{
    int rc;
    switch (op->kind) {
    case RUC_OP_GET:
    case RUC_OP_BY_NAME:
        rc = build_one(op, sql, values, n);
        break;
    case RUC_OP_DUE:
        rc = build_due(op, sql);
        break;
    case RUC_OP_EVENTS:
        rc = build_events(op, sql, values, n);
        break;
    default:
        rc = build_page(op, sql, values, n);
        break;
    }
    /* One more than wanted, to know whether there is more. */
    return rc ? rc : ruc_buf_addf(sql, " LIMIT %zu", op->limit + 1);
}

static int take_all(ruc__sqlite_t *db, ruc__store_op_t *op, sqlite3_stmt *statement)
{
    for (;;) {
        int code = sqlite3_step(statement);
        if (code == SQLITE_DONE) {
            return SQLITE_OK;
        }
        if (code != SQLITE_ROW) {
            return ruc__sqlite_note(db, sqlite3_extended_errcode(db->handle));
        }
        int rc = op->kind == RUC_OP_EVENTS ? take_event(op, statement) : take_row(op, statement);
        if (rc < 0) {
            op->rc = rc;
        }
        if (rc != 0) {
            return SQLITE_OK;
        }
    }
}

static int do_question(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    const char *values[12];
    int n = 0;
    ruc_buf_t sql;
    ruc_buf_init(&sql, 4096);
    op->rc = build(op, &sql, values, &n);
    if (op->rc < 0) {
        ruc_buf_free(&sql);
        return SQLITE_OK;
    }
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, ruc_buf_str(&sql), (int)sql.len, &statement, NULL);
    ruc_buf_free(&sql);
    if (code != SQLITE_OK) {
        return ruc__sqlite_note(db, code);
    }
    for (int i = 0; i < n; i++) {
        bind_text(statement, i + 1, values[i]);
    }
    code = take_all(db, op, statement);
    sqlite3_finalize(statement);
    bool single = op->kind == RUC_OP_GET || op->kind == RUC_OP_BY_NAME;
    if (code == SQLITE_OK && op->rc == 0 && single && op->n == 0) {
        op->rc = RUC_ENOTFOUND;
    }
    return code;
}

/* --- one call --- */

/* Does an error with this code lose the whole transaction? */
static bool loses_all(ruc__sqlite_t *db, int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_BUSY:
    case SQLITE_READONLY:
        return true;
    default:
        return sqlite3_get_autocommit(db->handle) != 0;
    }
}

/* What a SQLite code means to the one caller. */
static int translate(int code)
{
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return RUC_EEXISTS;
    }
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return RUC_EINVALID;
    case SQLITE_TOOBIG:
        return RUC_ETOOBIG;
    default:
        return RUC_ESTORE;
    }
}

/* How many statements at most; one alone is whole by itself. */
static bool needs_savepoint(const ruc__store_op_t *op)
{
    return op->nevents > 1 || op->nbeats > 1 || op->kind == RUC_OP_REMOVE ||
           (op->nevents == 1 && op->kind != RUC_OP_APPEND);
}

static int change(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    if (!needs_savepoint(op)) {
        return do_change(db, op);
    }
    int code = ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_SAVE));
    if (code != SQLITE_OK) {
        return code;
    }
    code = do_change(db, op);
    if (code != SQLITE_OK && loses_all(db, code)) {
        return code;
    }
    if (code != SQLITE_OK) {
        char trouble[sizeof db->trouble];
        memcpy(trouble, db->trouble, sizeof trouble);
        int undone = ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_UNDO));
        if (undone != SQLITE_OK) {
            return undone;
        }
        ruc__sqlite_forget_counts(db);
        memcpy(db->trouble, trouble, sizeof trouble);
    }
    int released = ruc__sqlite_run(db, ruc__sqlite_use(db, RUC_SQL_RELEASE));
    return code != SQLITE_OK ? code : released;
}

bool ruc__sqlite_answer(ruc__sqlite_t *db, ruc__store_op_t *op)
{
    op->rc = 0;
    int code = ruc__store_writes(op->kind) ? change(db, op) : do_question(db, op);
    if (code == SQLITE_OK) {
        return true;
    }
    if (loses_all(db, code)) {
        return false;
    }
    op->rc = translate(code);
    if (op->rc == RUC_ESTORE) {
        op->why = strndup(db->trouble, sizeof db->trouble);
    }
    return true;
}
