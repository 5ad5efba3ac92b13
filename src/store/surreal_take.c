/* surreal_take.c - the answers of SurrealDB, read into the answer of a call.
 *
 * The tables hold most of what is not ours away, but people can edit records by hand: one that is
 * not as rucat writes them is reported with its id, once, and passed over; the others go on. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "store/surreal_backend.h"

#define REPORTS_MAX 1000 /* records that are remembered as reported */

/* ---- nonsense ---- */

void ruc__surreal_report(const char *table, const char *id, const char *what)
{
    static uint64_t seen[REPORTS_MAX];
    static size_t count;
    uint64_t hash = 1469598103934665603u; /* FNV-1a: two that meet only cost a line of the log */
    for (const char *at = table; *at; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211u;
    }
    for (const char *at = id; *at; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211u;
    }
    for (size_t i = 0; i < count && i < REPORTS_MAX; i++) {
        if (seen[i] == hash) {
            return;
        }
    }
    seen[count++ % REPORTS_MAX] = hash;
    ruc_log(RUC_LOG_STORE, RUC_ERROR,
            "the record %s:%s of the database is not as rucat writes them (%s); it is left alone",
            table, id, what);
}

/* ---- rows and events ---- */

typedef struct texts {
    char id[64], name[RUC_STORE_TEXT_MAX + 1], state[16], desired[16];
    char type[RUC_STORE_TEXT_MAX + 1], platform[RUC_STORE_TEXT_MAX + 1];
    char owner[RUC_STORE_TEXT_MAX + 1], keeper[RUC_STORE_TEXT_MAX + 1];
} texts_t;

static bool is_doc(const cbor_item_t *item, const char **doc, size_t *len)
{
    return ruc__cbor_is_text(item, doc, len) && *len <= RUC_STORE_DOC_MAX &&
           !memchr(*doc, '\0', *len);
}

/* NULL, or which field is not as it should be. */
static const char *read_row(const cbor_item_t *item, texts_t *texts, ruc_store_row_t *row)
{
    int64_t rev = 0, due = 0;
    const cbor_item_t *beat = ruc__cbor_get(item, "beat_at");
    *row = (ruc_store_row_t){.id = texts->id,
                             .name = texts->name,
                             .state = texts->state,
                             .desired = texts->desired,
                             .type = texts->type,
                             .platform = texts->platform,
                             .owner = texts->owner,
                             .keeper = texts->keeper};
    const struct {
        const char *field;
        char *out;
        size_t size;
        bool needed;
    } fields[] = {
        {"name", texts->name, sizeof texts->name, true},
        {"state", texts->state, sizeof texts->state, true},
        {"desired", texts->desired, sizeof texts->desired, true},
        {"type", texts->type, sizeof texts->type, true},
        {"platform", texts->platform, sizeof texts->platform, true},
        {"owner", texts->owner, sizeof texts->owner, false},
        {"keeper", texts->keeper, sizeof texts->keeper, false},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        bool fine =
            ruc__cbor_copy(ruc__cbor_get(item, fields[i].field), fields[i].out, fields[i].size);
        if (!fine || (fields[i].needed && fields[i].out[0] == '\0')) {
            return fields[i].field;
        }
    }
    if (!ruc_id_is_ulid(texts->id)) {
        return "its id is no ULID";
    }
    if (!ruc__cbor_is_int(ruc__cbor_get(item, "rev"), &rev) || rev < 1) {
        return "rev";
    }
    if (!ruc__cbor_is_int(ruc__cbor_get(item, "due"), &due) || due < 0) {
        return "due";
    }
    if (!ruc__cbor_is_none(beat) && !ruc__cbor_is_int(beat, &row->beat_ms)) {
        return "beat";
    }
    row->rev = (uint64_t)rev;
    row->due_ms = due;
    return is_doc(ruc__cbor_get(item, "doc"), &row->doc, &row->doc_len) ? NULL : "doc";
}

static const char *read_event(const cbor_item_t *item, texts_t *texts, ruc_store_event_t *event)
{
    *event = (ruc_store_event_t){.id = texts->id, .engine = texts->name, .kind = texts->state};
    if (!ruc_id_is_ulid(texts->id)) {
        return "its id is no ULID";
    }
    if (!ruc__cbor_copy(ruc__cbor_get(item, "engine"), texts->name, sizeof texts->name) ||
        !ruc_id_is_ulid(texts->name)) {
        return "engine";
    }
    if (!ruc__cbor_copy(ruc__cbor_get(item, "kind"), texts->state, sizeof texts->state)) {
        return "kind";
    }
    if (!ruc__cbor_is_int(ruc__cbor_get(item, "at"), &event->at_ms)) {
        return "at";
    }
    return is_doc(ruc__cbor_get(item, "doc"), &event->doc, &event->doc_len) ? NULL : "doc";
}

/* The key of an element's record id: false when it is no text (then it is no record of ours). */
static bool read_id(const cbor_item_t *item, const char *table, texts_t *texts)
{
    bool fine = ruc__cbor_is_rid(ruc__cbor_get(item, "id"), table, texts->id, sizeof texts->id);
    if (texts->id[0] == '\0') {
        snprintf(texts->id, sizeof texts->id, "?");
    }
    return fine;
}

/* Adds one element to the answer. 0, 1 (the answer is full), or a negative code. */
static int take_one(ruc__store_op_t *op, const cbor_item_t *item, texts_t *texts)
{
    const char *table = op->kind == RUC_OP_EVENTS ? "event" : "engine", *wrong;
    ruc_store_row_t row;
    ruc_store_event_t event;
    int64_t rev = 0, beat_ms = 0;
    int rc = 0;
    if (!read_id(item, table, texts)) {
        wrong = "its id is no ULID";
    } else if (op->kind == RUC_OP_EVENTS) {
        wrong = read_event(item, texts, &event);
        rc = wrong ? 0 : ruc__store_add_event(op, &event);
    } else if (op->kind == RUC_OP_REVS) {
        bool fine = ruc_id_is_ulid(texts->id) &&
                    ruc__cbor_is_int(ruc__cbor_get(item, "rev"), &rev) && rev > 0;
        wrong = fine ? NULL : "rev";
        ruc__cbor_is_int(ruc__cbor_get(item, "beat_at"),
                         &beat_ms); /* as it is where there is none */
        rc = wrong ? 0 : ruc__store_add_rev(op, texts->id, (uint64_t)rev, beat_ms);
    } else {
        wrong = read_row(item, texts, &row);
        rc = wrong ? 0 : ruc__store_add_row(op, &row);
    }
    if (wrong) {
        ruc__surreal_report(table, texts->id, wrong);
    }
    return rc;
}

/* Where to go on behind a piece of an answer in which nothing was sound: its last id. One that is
 * no text sorts before all texts; one that is too long is passed over with all that begin so. */
static void set_place(ruc__store_op_t *op, const texts_t *texts)
{
    const char *id = strcmp(texts->id, "?") == 0 ? " " : texts->id;
    size_t len = strlen(id);
    if (len < sizeof op->place) {
        memcpy(op->place, id, len + 1);
    } else {
        len = 24;
        while (len > 0 && ((unsigned char)id[len] & 0xc0) == 0x80) {
            len--;
        }
        snprintf(op->place, sizeof op->place, "%.*s\xf4\x8f\xbf\xbf", (int)len, id);
    }
    op->after = op->place;
}

static ruc__surreal_taken_t take_list(ruc__store_op_t *op, const cbor_item_t *list)
{
    static texts_t texts; /* loop thread only; too large for a stack that callbacks share */
    size_t n = ruc__cbor_count(list);
    for (size_t i = 0; i < n && op->rc == 0; i++) {
        if (i == op->limit) {
            op->more = true;
            break;
        }
        int rc = take_one(op, ruc__cbor_at(list, i), &texts);
        op->rc = rc < 0 ? rc : op->rc;
        if (rc == 1) {
            break;
        }
    }
    bool single = op->kind == RUC_OP_GET || op->kind == RUC_OP_BY_NAME;
    if (op->rc == 0 && single && op->n == 0) {
        op->rc = n == 0 ? RUC_ENOTFOUND : RUC_EINVALID;
    }
    bool ranged = op->kind == RUC_OP_LOAD || op->kind == RUC_OP_REVS || op->kind == RUC_OP_PAGE ||
                  op->kind == RUC_OP_EVENTS;
    if (op->rc == 0 && op->n == 0 && op->more && ranged) {
        op->more = false;
        set_place(op, &texts);
        return RUC__FURTHER;
    }
    return RUC__TAKEN;
}

/* ---- changes ---- */

int ruc__surreal_take_change(ruc__store_op_t *op, const cbor_item_t *item)
{
    static texts_t space; /* as in take_list */
    texts_t *texts = &space;
    ruc_store_change_t change = {.kind = RUC_CHANGE_ROW};
    const cbor_item_t *record = ruc__cbor_get(item, "update");
    const cbor_item_t *gone = ruc__cbor_get(item, "delete");
    const char *wrong = NULL;
    record = record ? record : ruc__cbor_get(item, "create");
    if (read_id(record ? record : gone, "engine", texts)) {
        change.kind = record ? RUC_CHANGE_ROW : RUC_CHANGE_GONE;
        change.row.id = texts->id;
        wrong = record ? read_row(record, texts, &change.row)
                       : (ruc_id_is_ulid(texts->id) ? NULL : "its id is no ULID");
    } else if (record && read_id(record, "event", texts)) {
        change.kind = RUC_CHANGE_EVENT;
        wrong = read_event(record, texts, &change.event);
    } else {
        return 0; /* another table's, an event that was dropped, a definition */
    }
    if (wrong) {
        ruc__surreal_report(change.kind == RUC_CHANGE_EVENT ? "event" : "engine", texts->id, wrong);
        return 0;
    }
    return ruc__store_add_change(op, &change);
}

/* ---- replicas ---- */

static void take_replica(ruc__store_op_t *op, const cbor_item_t *item)
{
    char id[64] = "", texts[6][RUC_STORE_TEXT_MAX + 1];
    static const char *const fields[6] = {"instance", "host", "name", "url", "roles", "version"};
    int64_t until = 0;
    bool fine = ruc__cbor_is_rid(ruc__cbor_get(item, "id"), "replica", id, sizeof id) &&
                ruc_id_is_ulid(id) && ruc__cbor_is_int(ruc__cbor_get(item, "until"), &until);
    for (int i = 0; i < 6 && fine; i++) {
        fine = ruc__cbor_copy(ruc__cbor_get(item, fields[i]), texts[i], sizeof texts[i]);
    }
    if (!fine) {
        ruc__surreal_report("replica", id, "a field of it");
        return;
    }
    ruc_store_replica_t replica = {.id = id,
                                   .instance = texts[0],
                                   .host = texts[1],
                                   .name = texts[2],
                                   .url = texts[3],
                                   .roles = texts[4],
                                   .version = texts[5],
                                   .left_ms = until - op->now_ms};
    int rc = ruc__store_add_replica(op, &replica);
    op->rc = rc < 0 ? rc : op->rc;
}

static void take_renewal(ruc__store_op_t *op, const cbor_item_t *result)
{
    const cbor_item_t *all = ruc__cbor_get(result, "all"), *taken = ruc__cbor_get(result, "taken");
    if (!ruc__cbor_is_int(ruc__cbor_get(result, "now"), &op->now_ms) || !taken) {
        op->rc = RUC_ESTORE;
    } else if (cbor_isa_float_ctrl(taken) && cbor_is_bool(taken) && cbor_get_bool(taken)) {
        op->rc = RUC_ECONFLICT;
    } else {
        for (size_t i = 0; i < ruc__cbor_count(all) && op->rc == 0; i++) {
            take_replica(op, ruc__cbor_at(all, i));
        }
    }
}

/* ---- any of them ---- */

ruc__surreal_taken_t ruc__surreal_take(ruc__store_op_t *op, const cbor_item_t *results)
{
    const cbor_item_t *result = ruc__cbor_get(ruc__cbor_at(results, 0), "result");
    op->rc = 0;
    switch (op->kind) {
    case RUC_OP_UPDATE:
    case RUC_OP_REMOVE:
        return ruc__cbor_count(result) == 0 ? RUC__LOST : RUC__TAKEN;
    case RUC_OP_CREATE:
    case RUC_OP_APPEND:
    case RUC_OP_BEATS:
    case RUC_OP_PROBE:
    case RUC_OP_LEAVE:
        return RUC__TAKEN;
    case RUC_OP_RENEW:
        take_renewal(op, result);
        return RUC__TAKEN;
    default:
        return take_list(op, result);
    }
}

int ruc__surreal_became(const ruc__store_op_t *op, const char *attempt, bool unsure,
                        const cbor_item_t *answer)
{
    const cbor_item_t *row = ruc__cbor_at(answer, 0), *event = ruc__cbor_at(answer, 1);
    bool there = !ruc__cbor_is_none(ruc__cbor_at(row, 0));
    bool ours = ruc__cbor_equals(ruc__cbor_at(row, 1), attempt);
    bool told = false; /* is its first event there, as it was to be written? */
    if (op->nevents > 0) {
        const char *doc;
        size_t len;
        told = ruc__cbor_equals(ruc__cbor_at(event, 0), op->events[0].engine) &&
               ruc__cbor_is_text(ruc__cbor_at(event, 1), &doc, &len) &&
               len == op->events[0].doc_len && memcmp(doc, op->events[0].doc, len) == 0;
    }
    switch (op->kind) {
    case RUC_OP_APPEND:
        return told ? 0 : RUC_EEXISTS;
    case RUC_OP_CREATE:
        return ours || (unsure && told) ? 0 : RUC_EEXISTS;
    case RUC_OP_REMOVE:
        return there ? RUC_ECONFLICT : told || (unsure && op->nevents == 0) ? 0 : RUC_ENOTFOUND;
    default:
        return ours || (unsure && told) ? 0 : there ? RUC_ECONFLICT : RUC_ENOTFOUND;
    }
}
