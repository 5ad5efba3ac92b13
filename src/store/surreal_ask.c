/* surreal_ask.c - each kind of call as one SurrealQL statement and its variables.
 *
 * What a caller gives goes into variables; in the text there are only our own words and numbers.
 * A row's columns are fields of `engine`, its document is a text in `doc`, and its labels are
 * repeated as texts "key=value", because an index can hold those. `attempt` names the call that
 * wrote the record last: so a change whose answer was lost can be told from one that lost a race.
 * `notes` are the events of the change: the trigger of the table writes them in the same statement.
 *
 * How SurrealDB 3.0.5 carries them out (EXPLAIN): by id a record or a record range; by name, state,
 * desired, type, platform, owner, keeper or label an index scan, whose order within one value is
 * that of the ids, so nothing is sorted; due: a range of its index. The newest events of one
 * engine: its index backwards; of all: the table backwards. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "store/surreal_backend.h"

#define BEAT "type::record('beat', record::id(id)).at AS beat_at"
#define COLUMNS "id, name, rev, state, desired, type, platform, owner, keeper, due, doc, " BEAT
#define EVENT_COLUMNS "id, engine, at, kind, doc"
#define WRITE_EVENTS                                                                               \
    "FOR $n IN $notes { CREATE type::record('event', $n.id) SET eid = $n.id, engine = $n.engine, " \
    "at = $n.at, kind = $n.kind, doc = $n.doc RETURN NONE; }; "

/* ---- labels ---- */

/* One label as "key=value"; % and = in the key are escaped, so that no two are alike. */
static int add_label(ruc_buf_t *buf, const char *key, const char *value)
{
    int rc = 0;
    for (; *key && rc == 0; key++) {
        rc = *key == '%'   ? ruc_buf_adds(buf, "%25")
             : *key == '=' ? ruc_buf_adds(buf, "%3D")
                           : ruc_buf_add(buf, key, 1);
    }
    rc = rc ? rc : ruc_buf_adds(buf, "=");
    return rc ? rc : ruc_buf_adds(buf, value);
}

static void write_label(ruc__cbor_t *vars, const char *key, const char *value)
{
    ruc_buf_t text;
    ruc_buf_init(&text, RUC__SURREAL_BODY);
    if (vars->rc == 0) {
        vars->rc = add_label(&text, key, value);
    }
    ruc__cbor_text(vars, ruc_buf_str(&text), text.len);
    ruc_buf_free(&text);
}

/* The labels of a document that are texts. A document that is no object of JSON has none. */
static void write_labels(ruc__cbor_t *vars, const char *doc, size_t len)
{
    json_t *root = json_loadb(doc, len, 0, NULL);
    json_t *labels = json_object_get(root, "labels");
    const char *key;
    json_t *value;
    size_t count = 0;
    json_object_foreach(labels, key, value)
    {
        count += json_is_string(value);
    }
    ruc__cbor_array(vars, count);
    json_object_foreach(labels, key, value)
    {
        if (json_is_string(value)) {
            write_label(vars, key, json_string_value(value));
        }
    }
    json_decref(root);
}

/* ---- changes ---- */

static void write_notes(ruc__cbor_t *vars, const ruc__store_op_t *op)
{
    ruc__cbor_array(vars, op->nevents);
    for (size_t i = 0; i < op->nevents; i++) {
        const ruc_store_event_t *event = &op->events[i];
        ruc__cbor_map(vars, 5);
        ruc__cbor_str(vars, "id");
        ruc__cbor_str(vars, event->id);
        ruc__cbor_str(vars, "engine");
        ruc__cbor_str(vars, event->engine);
        ruc__cbor_str(vars, "at");
        ruc__cbor_int(vars, event->at_ms);
        ruc__cbor_str(vars, "kind");
        ruc__cbor_str(vars, event->kind);
        ruc__cbor_str(vars, "doc");
        ruc__cbor_text(vars, event->doc, event->doc_len);
    }
}

static void write_field(ruc__cbor_t *vars, const char *key, const char *value)
{
    ruc__cbor_str(vars, key);
    ruc__cbor_str(vars, value);
}

/* The record as a map; its name only where it is made. */
static void write_row(ruc__cbor_t *vars, const ruc__store_op_t *op, const char *attempt)
{
    const ruc_store_row_t *row = &op->row;
    bool made = op->kind == RUC_OP_CREATE;
    ruc__cbor_map(vars, made ? 13 : 12);
    if (made) {
        write_field(vars, "name", row->name);
    }
    ruc__cbor_str(vars, "rev");
    ruc__cbor_int(vars, (int64_t)row->rev);
    write_field(vars, "state", row->state);
    write_field(vars, "desired", row->desired);
    write_field(vars, "type", row->type);
    write_field(vars, "platform", row->platform);
    write_field(vars, "owner", row->owner);
    write_field(vars, "keeper", row->keeper);
    ruc__cbor_str(vars, "due");
    ruc__cbor_int(vars, row->due_ms);
    ruc__cbor_str(vars, "labels");
    write_labels(vars, row->doc, row->doc_len);
    ruc__cbor_str(vars, "doc");
    ruc__cbor_text(vars, row->doc, row->doc_len);
    write_field(vars, "attempt", attempt);
    ruc__cbor_str(vars, "notes");
    write_notes(vars, op);
}

static void write_rid(ruc__cbor_t *vars, const char *key, const char *table, const char *id)
{
    ruc__cbor_str(vars, key);
    ruc__cbor_rid(vars, table, id);
}

static int ask_create(const ruc__store_op_t *op, const char *attempt, ruc_buf_t *sql,
                      ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 2);
    write_rid(vars, "rid", "engine", op->row.id);
    ruc__cbor_str(vars, "row");
    write_row(vars, op, attempt);
    return ruc_buf_adds(sql, "CREATE $rid CONTENT $row RETURN VALUE rev");
}

static int ask_update(const ruc__store_op_t *op, const char *attempt, ruc_buf_t *sql,
                      ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 3);
    write_rid(vars, "rid", "engine", op->row.id);
    ruc__cbor_str(vars, "rev");
    ruc__cbor_int(vars, (int64_t)op->expected);
    ruc__cbor_str(vars, "row");
    write_row(vars, op, attempt);
    return ruc_buf_adds(sql, "UPDATE $rid MERGE $row WHERE rev = $rev RETURN VALUE rev");
}

/* The record is changed once more before it goes, so that the trigger writes its last events. */
static int ask_remove(const ruc__store_op_t *op, const char *attempt, ruc_buf_t *sql,
                      ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 5);
    write_rid(vars, "rid", "engine", op->key);
    write_rid(vars, "beat", "beat", op->key);
    ruc__cbor_str(vars, "rev");
    ruc__cbor_int(vars, (int64_t)op->expected);
    write_field(vars, "attempt", attempt);
    ruc__cbor_str(vars, "notes");
    write_notes(vars, op);
    return ruc_buf_adds(sql, "{ LET $u = (UPDATE $rid SET attempt = $attempt, notes = $notes WHERE "
                             "rev = $rev RETURN VALUE rev); IF array::len($u) > 0 { DELETE $rid "
                             "RETURN NONE; DELETE $beat RETURN NONE; }; RETURN $u; }");
}

static int ask_append(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 1);
    ruc__cbor_str(vars, "notes");
    write_notes(vars, op);
    return ruc_buf_adds(sql, "{ " WRITE_EVENTS "}");
}

static int ask_beats(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 1);
    ruc__cbor_str(vars, "beats");
    ruc__cbor_array(vars, op->nbeats);
    for (size_t i = 0; i < op->nbeats; i++) {
        ruc__cbor_map(vars, 3);
        write_rid(vars, "e", "engine", op->beats[i].id);
        write_rid(vars, "b", "beat", op->beats[i].id);
        ruc__cbor_str(vars, "at");
        ruc__cbor_int(vars, op->beats[i].at_ms);
    }
    return ruc_buf_adds(sql,
                        "{ FOR $b IN $beats { IF record::exists($b.e) AND ($b.b.at ?? -1) < $b.at "
                        "{ UPSERT $b.b SET at = $b.at RETURN NONE; }; }; }");
}

/* ---- questions ---- */

static int ask_one(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 1);
    if (op->kind == RUC_OP_GET) {
        write_rid(vars, "rid", "engine", op->key);
        return ruc_buf_adds(sql, "SELECT " COLUMNS " FROM $rid");
    }
    write_field(vars, "name", op->key);
    return ruc_buf_adds(sql, "SELECT " COLUMNS " FROM engine WHERE name = $name LIMIT 1");
}

/* All records behind a place. `limit` is one more than wanted, to know whether there is more. */
static int ask_range(const ruc__store_op_t *op, const char *table, const char *columns,
                     ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 1);
    ruc__cbor_str(vars, "range");
    ruc__cbor_behind(vars, table, op->after);
    return ruc_buf_addf(sql, "SELECT %s FROM $range LIMIT %zu", columns, op->limit + 1);
}

static int wish(ruc_buf_t *sql, ruc__cbor_t *vars, const char *field, const char *value)
{
    if (!value) {
        return 0;
    }
    write_field(vars, field, value);
    return ruc_buf_addf(sql, " AND %s = $%s", field, field);
}

static int ask_filtered(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    const ruc_store_filter_t *is = &op->filter;
    const char *const fields[] = {"name",     "keeper", "owner",  "state",
                                  "platform", "type",   "desired"};
    const char *const values[] = {is->name,     is->keeper, is->owner,  is->state,
                                  is->platform, is->type,   is->desired};
    size_t n = (op->after != NULL) + (is->label != NULL);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        n += values[i] != NULL;
    }
    ruc__cbor_map(vars, n);
    int rc = ruc_buf_adds(sql, "SELECT " COLUMNS " FROM engine WHERE true");
    if (is->label) {
        ruc__cbor_str(vars, "label");
        write_label(vars, is->label, is->value);
        rc = rc ? rc : ruc_buf_adds(sql, " AND labels CONTAINS $label");
    }
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        rc = rc ? rc : wish(sql, vars, fields[i], values[i]);
    }
    if (op->after) {
        write_rid(vars, "after", "engine", op->after);
        rc = rc ? rc : ruc_buf_adds(sql, " AND id > $after");
    }
    return rc ? rc : ruc_buf_addf(sql, " ORDER BY id LIMIT %zu", op->limit + 1);
}

static bool has_wishes(const ruc__store_op_t *op)
{
    const ruc_store_filter_t *is = &op->filter;
    return op->filtered && (is->state || is->desired || is->type || is->platform || is->owner ||
                            is->keeper || is->name || is->label);
}

static int ask_due(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 1);
    ruc__cbor_str(vars, "until");
    ruc__cbor_int(vars, op->until_ms);
    return ruc_buf_addf(sql,
                        "SELECT " COLUMNS " FROM engine WHERE due > 0 AND due <= $until "
                        "ORDER BY due, id LIMIT %zu",
                        op->limit + 1);
}

static int ask_events(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    if (!op->key && !op->newest_first) {
        return ask_range(op, "event", EVENT_COLUMNS, sql, vars);
    }
    const char *order = op->newest_first ? "DESC" : "ASC", *beyond = op->newest_first ? "<" : ">";
    ruc__cbor_map(vars, (size_t)((op->key != NULL) + (op->after != NULL)));
    if (!op->key) {
        if (op->after) {
            write_rid(vars, "after", "event", op->after);
        }
        return ruc_buf_addf(sql, "SELECT " EVENT_COLUMNS " FROM event%s ORDER BY id DESC LIMIT %zu",
                            op->after ? " WHERE id < $after" : "", op->limit + 1);
    }
    write_field(vars, "engine", op->key);
    int rc = ruc_buf_adds(sql, "SELECT " EVENT_COLUMNS ", eid FROM event WHERE engine = $engine");
    if (op->after) {
        write_field(vars, "after", op->after);
        rc = rc ? rc : ruc_buf_addf(sql, " AND eid %s $after", beyond);
    }
    return rc ? rc : ruc_buf_addf(sql, " ORDER BY eid %s LIMIT %zu", order, op->limit + 1);
}

/* ---- what several servers share ---- */

static int ask_changes(const ruc__store_op_t *op, const char *uuid, ruc_buf_t *sql,
                       ruc__cbor_t *vars)
{
    ruc__surreal_place_t place;
    ruc__cbor_map(vars, 0);
    if (!op->after) {
        return ruc_buf_adds(sql, "RETURN []; RETURN time::millis(time::now())");
    }
    if (!ruc__surreal_place(op->after, uuid, &place)) {
        return RUC_ENOTFOUND;
    }
    return ruc_buf_addf(sql,
                        "SHOW CHANGES FOR DATABASE SINCE %" PRId64
                        " LIMIT %zu; RETURN time::millis(time::now())",
                        place.at, op->limit);
}

static int ask_renew(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    const ruc_store_replica_t *self = &op->self;
    ruc__cbor_map(vars, 3);
    write_rid(vars, "rid", "replica", self->id);
    ruc__cbor_str(vars, "lease");
    ruc__cbor_int(vars, op->lease_ms);
    ruc__cbor_str(vars, "me");
    ruc__cbor_map(vars, 6);
    write_field(vars, "instance", self->instance);
    write_field(vars, "host", self->host);
    write_field(vars, "name", self->name);
    write_field(vars, "url", self->url);
    write_field(vars, "roles", self->roles);
    write_field(vars, "version", self->version);
    return ruc_buf_addf(
        sql,
        "{ LET $now = time::millis(time::now()); LET $old = (SELECT * FROM ONLY $rid); "
        "IF $old != NONE AND $old.instance != $me.instance AND $old.until > $now "
        "{ RETURN { taken: true, now: $now, all: [] }; }; "
        "UPSERT $rid SET instance = $me.instance, host = $me.host, name = $me.name, "
        "url = $me.url, roles = $me.roles, version = $me.version, until = $now + $lease "
        "RETURN NONE; "
        "DELETE replica WHERE until < $now - 86400000 RETURN NONE; "
        "RETURN { taken: false, now: $now, all: (SELECT * FROM replica LIMIT %zu) }; }",
        op->limit);
}

static int ask_leave(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    ruc__cbor_map(vars, 2);
    write_rid(vars, "rid", "replica", op->key);
    write_field(vars, "instance", op->after);
    return ruc_buf_adds(sql, "UPDATE $rid SET until = math::min([until, time::millis(time::now())])"
                             " WHERE instance = $instance RETURN NONE");
}

/* ---- any of them ---- */

static bool is_sound(const ruc__store_op_t *op)
{
    bool fine = op->kind != RUC_OP_CREATE && op->kind != RUC_OP_UPDATE
                    ? true
                    : ruc_utf8_valid(op->row.doc, op->row.doc_len);
    for (size_t i = 0; i < op->nevents && fine; i++) {
        fine = ruc_utf8_valid(op->events[i].doc, op->events[i].doc_len);
    }
    return fine;
}

static int ask(const ruc__store_op_t *op, const char *attempt, const char *uuid, ruc_buf_t *sql,
               ruc__cbor_t *vars)
{
    switch (op->kind) {
    case RUC_OP_CREATE:
        return ask_create(op, attempt, sql, vars);
    case RUC_OP_UPDATE:
        return ask_update(op, attempt, sql, vars);
    case RUC_OP_REMOVE:
        return ask_remove(op, attempt, sql, vars);
    case RUC_OP_APPEND:
        return ask_append(op, sql, vars);
    case RUC_OP_BEATS:
        return ask_beats(op, sql, vars);
    case RUC_OP_PROBE:
        ruc__cbor_map(vars, 0);
        return ruc_buf_adds(sql, "UPDATE meta:schema SET probed = time::now() RETURN NONE");
    case RUC_OP_GET:
    case RUC_OP_BY_NAME:
        return ask_one(op, sql, vars);
    case RUC_OP_DUE:
        return ask_due(op, sql, vars);
    case RUC_OP_EVENTS:
        return ask_events(op, sql, vars);
    case RUC_OP_CHANGES:
        return ask_changes(op, uuid, sql, vars);
    case RUC_OP_REVS:
        return ask_range(op, "engine", "id, rev, " BEAT, sql, vars);
    case RUC_OP_RENEW:
        return ask_renew(op, sql, vars);
    case RUC_OP_LEAVE:
        return ask_leave(op, sql, vars);
    default:
        return has_wishes(op) ? ask_filtered(op, sql, vars)
                              : ask_range(op, "engine", COLUMNS, sql, vars);
    }
}

int ruc__surreal_question(const ruc__store_op_t *op, const char *attempt, const char *uuid,
                          ruc_buf_t *sql, ruc__cbor_t *vars)
{
    int rc = is_sound(op) ? ask(op, attempt, uuid, sql, vars) : RUC_EINVALID;
    return rc < 0 ? rc : vars->rc;
}

int ruc__surreal_whatis(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars)
{
    const char *id = op->kind == RUC_OP_REMOVE ? op->key : op->row.id;
    ruc__cbor_map(vars, 2);
    ruc__cbor_str(vars, "rid");
    if (op->kind == RUC_OP_APPEND) {
        ruc__cbor_null(vars);
    } else {
        ruc__cbor_rid(vars, "engine", id);
    }
    ruc__cbor_str(vars, "event");
    if (op->nevents > 0) {
        ruc__cbor_rid(vars, "event", op->events[0].id);
    } else {
        ruc__cbor_null(vars);
    }
    int rc = ruc_buf_adds(sql, "RETURN [[$rid.rev, $rid.attempt], [$event.engine, $event.doc]]");
    return rc < 0 ? rc : vars->rc;
}
