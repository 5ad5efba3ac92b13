/* op.c - one call of the store as a block of memory: checked, copied, answered, freed.
 *
 * The copy is made by running the same packing code twice: first without memory, to learn the size,
 * then into one allocation. The public functions can so describe a call on their stack with
 * borrowed texts, and nothing has to be freed piece by piece. */
#include "store/op.h"

#include <stdlib.h>
#include <string.h>

#include "core/id.h"
#include "core/utf8.h"

static const struct {
    const char *name;
    bool writes;
} kinds[RUC_OP_COUNT] = {
#define XX(id, name, writes) {name, writes},
    RUC_STORE_OP_MAP(XX)
#undef XX
};

bool ruc__store_writes(ruc__store_kind_t kind)
{
    return kinds[kind].writes;
}

const char *ruc__store_kind_name(ruc__store_kind_t kind)
{
    return kinds[kind].name;
}

/* --- packing --- */

typedef struct pack {
    char *base; /* NULL while only measuring */
    size_t used;
} pack_t;

static void *pack_bytes(pack_t *pack, const void *data, size_t len)
{
    char *at = NULL;
    if (pack->base) {
        at = pack->base + pack->used;
        if (len > 0) {
            memcpy(at, data, len);
        }
        at[len] = '\0';
    }
    pack->used += len + 1;
    return at;
}

static const char *pack_text(pack_t *pack, const char *text)
{
    return text ? pack_bytes(pack, text, strlen(text)) : NULL;
}

static void *pack_array(pack_t *pack, const void *data, size_t count, size_t size)
{
    if (count == 0) {
        return NULL;
    }
    pack->used = (pack->used + 15) & ~(size_t)15;
    return pack_bytes(pack, data, count * size);
}

/* The id comes first: its address is that of the allocation of an answer's row. */
static void pack_row(pack_t *pack, ruc_store_row_t *row)
{
    row->id = pack_text(pack, row->id);
    row->name = pack_text(pack, row->name ? row->name : "");
    row->state = pack_text(pack, row->state);
    row->desired = pack_text(pack, row->desired);
    row->type = pack_text(pack, row->type);
    row->platform = pack_text(pack, row->platform);
    row->owner = pack_text(pack, row->owner ? row->owner : "");
    row->keeper = pack_text(pack, row->keeper ? row->keeper : "");
    row->doc = pack_bytes(pack, row->doc, row->doc_len);
}

static void pack_event(pack_t *pack, ruc_store_event_t *event)
{
    event->id = pack_text(pack, event->id);
    event->engine = pack_text(pack, event->engine);
    event->kind = pack_text(pack, event->kind);
    event->doc = pack_bytes(pack, event->doc, event->doc_len);
}

static void pack_replica(pack_t *pack, ruc_store_replica_t *replica)
{
    replica->id = pack_text(pack, replica->id);
    replica->instance = pack_text(pack, replica->instance ? replica->instance : "");
    replica->host = pack_text(pack, replica->host ? replica->host : "");
    replica->name = pack_text(pack, replica->name ? replica->name : "");
    replica->url = pack_text(pack, replica->url ? replica->url : "");
    replica->roles = pack_text(pack, replica->roles ? replica->roles : "");
    replica->version = pack_text(pack, replica->version ? replica->version : "");
}

static void pack_change(pack_t *pack, ruc_store_change_t *change)
{
    if (change->kind == RUC_CHANGE_ROW) {
        pack_row(pack, &change->row);
    } else if (change->kind == RUC_CHANGE_GONE) {
        change->row.id = pack_text(pack, change->row.id);
    } else {
        pack_event(pack, &change->event);
    }
}

static void pack_filter(pack_t *pack, ruc_store_filter_t *filter)
{
    filter->state = pack_text(pack, filter->state);
    filter->desired = pack_text(pack, filter->desired);
    filter->type = pack_text(pack, filter->type);
    filter->platform = pack_text(pack, filter->platform);
    filter->owner = pack_text(pack, filter->owner);
    filter->keeper = pack_text(pack, filter->keeper);
    filter->name = pack_text(pack, filter->name);
    filter->label = pack_text(pack, filter->label);
    filter->value = pack_text(pack, filter->value);
}

/* Packs what `op` borrows and makes it point at the copies. While measuring, `op` is only a scratch
 * copy. */
static void pack_op(pack_t *pack, ruc__store_op_t *op)
{
    ruc_store_event_t *events = pack_array(pack, op->events, op->nevents, sizeof *events);
    for (size_t i = 0; i < op->nevents; i++) {
        ruc_store_event_t event = op->events[i];
        pack_event(pack, &event);
        if (events) {
            events[i] = event;
        }
    }
    op->events = events;
    ruc_store_beat_t *beats = pack_array(pack, op->beats, op->nbeats, sizeof *beats);
    for (size_t i = 0; i < op->nbeats; i++) {
        ruc_store_beat_t beat = op->beats[i];
        beat.id = pack_text(pack, beat.id);
        if (beats) {
            beats[i] = beat;
        }
    }
    op->beats = beats;
    if (op->kind == RUC_OP_CREATE || op->kind == RUC_OP_UPDATE) {
        pack_row(pack, &op->row);
    }
    if (op->filtered) {
        pack_filter(pack, &op->filter);
    }
    if (op->kind == RUC_OP_RENEW) {
        pack_replica(pack, &op->self);
    }
    op->key = pack_text(pack, op->key);
    op->after = pack_text(pack, op->after);
}

/* --- checking --- */

static bool is_text(const char *text, bool may_be_empty)
{
    if (!text) {
        return false;
    }
    size_t len = strnlen(text, RUC_STORE_TEXT_MAX + 1);
    return len <= RUC_STORE_TEXT_MAX && (may_be_empty || len > 0) && ruc_utf8_valid(text, len);
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; text && *words; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static int check_doc(const char *doc, size_t len)
{
    if (len > RUC_STORE_DOC_MAX) {
        return RUC_ETOOBIG;
    }
    return doc ? 0 : RUC_EINVALID;
}

static int check_row(const ruc_store_row_t *row, bool named)
{
    static const char *const states[] = {"Pending", "Running", "Stopped", NULL};
    static const char *const desires[] = {"Running", "Stopped", "Deleted", NULL};
    bool fine = row->id && ruc_id_is_ulid(row->id) && (!named || is_text(row->name, false)) &&
                (!row->name || is_text(row->name, true)) && is_one_of(row->state, states) &&
                is_one_of(row->desired, desires) && is_text(row->type, false) &&
                is_text(row->platform, false) && (!row->owner || is_text(row->owner, true)) &&
                (!row->keeper || is_text(row->keeper, true)) && row->rev > 0 &&
                row->rev <= INT64_MAX && row->due_ms >= 0;
    return fine ? check_doc(row->doc, row->doc_len) : RUC_EINVALID;
}

static int check_events(const ruc_store_event_t *events, size_t n)
{
    static const char *const words[] = {"state", "policy", "health", "request", NULL};
    if (n > RUC_STORE_EVENTS_MAX) {
        return RUC_ETOOBIG;
    }
    for (size_t i = 0; i < n; i++) {
        const ruc_store_event_t *event = &events[i];
        if (!event->id || !ruc_id_is_ulid(event->id) || !event->engine ||
            !ruc_id_is_ulid(event->engine) || !is_one_of(event->kind, words)) {
            return RUC_EINVALID;
        }
        int rc = check_doc(event->doc, event->doc_len);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_beats(const ruc_store_beat_t *beats, size_t n)
{
    if (n > RUC_STORE_BEATS_MAX) {
        return RUC_ETOOBIG;
    }
    for (size_t i = 0; i < n; i++) {
        if (!beats[i].id || !ruc_id_is_ulid(beats[i].id) || beats[i].at_ms < 0) {
            return RUC_EINVALID;
        }
    }
    return 0;
}

static int check_filter(const ruc_store_filter_t *filter)
{
    const char *const texts[] = {filter->state,    filter->desired, filter->type,
                                 filter->platform, filter->owner,   filter->keeper,
                                 filter->name,     filter->label,   filter->value};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] && !is_text(texts[i], true)) {
            return RUC_EINVALID;
        }
    }
    return !filter->label == !filter->value ? 0 : RUC_EINVALID;
}

static int check_replica(const ruc_store_replica_t *self)
{
    const char *const texts[] = {self->host, self->name, self->url, self->roles, self->version};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] && !is_text(texts[i], true)) {
            return RUC_EINVALID;
        }
    }
    return self->id && ruc_id_is_ulid(self->id) && is_text(self->instance, false) ? 0
                                                                                  : RUC_EINVALID;
}

static int check_op(const ruc__store_op_t *op)
{
    int rc = check_events(op->events, op->nevents);
    if (rc == 0) {
        rc = check_beats(op->beats, op->nbeats);
    }
    if (rc == 0 && (op->kind == RUC_OP_CREATE || op->kind == RUC_OP_UPDATE)) {
        rc = check_row(&op->row, op->kind == RUC_OP_CREATE);
    }
    if (rc == 0 && op->filtered) {
        rc = check_filter(&op->filter);
    }
    if (rc == 0 && op->kind == RUC_OP_RENEW) {
        rc = op->lease_ms > 0 ? check_replica(&op->self) : RUC_EINVALID;
    }
    if (rc < 0) {
        return rc;
    }
    bool fine = (!op->key || is_text(op->key, true)) && (!op->after || is_text(op->after, true));
    bool keyed = op->kind == RUC_OP_GET || op->kind == RUC_OP_BY_NAME ||
                 op->kind == RUC_OP_REMOVE || op->kind == RUC_OP_LEAVE;
    return fine && (!keyed || op->key) ? 0 : RUC_EINVALID;
}

/* --- the op --- */

int ruc__store_op_copy(const ruc__store_op_t *borrowed, ruc__store_op_t **out)
{
    int rc = check_op(borrowed);
    if (rc < 0) {
        return rc;
    }
    ruc__store_op_t scratch = *borrowed;
    pack_t pack = {NULL, sizeof scratch};
    pack_op(&pack, &scratch);
    ruc__store_op_t *op = malloc(pack.used);
    if (!op) {
        return UV_ENOMEM;
    }
    *op = *borrowed;
    op->bytes = pack.used;
    pack = (pack_t){(char *)op, sizeof *op};
    pack_op(&pack, op);
    *out = op;
    return 0;
}

/* Room for one more element; 1 when the answer is full. */
static int make_room(ruc__store_op_t *op, void **list, size_t size, size_t bytes)
{
    if (op->n >= op->limit || (op->n > 0 && op->answer_bytes + bytes > RUC_STORE_ANSWER_MAX)) {
        op->more = true;
        return 1;
    }
    if (op->n == op->cap) {
        size_t cap = op->cap ? op->cap * 2 : 8;
        void *grown = realloc(*list, cap * size);
        if (!grown) {
            return UV_ENOMEM;
        }
        *list = grown;
        op->cap = cap;
    }
    op->answer_bytes += bytes;
    return 0;
}

int ruc__store_add_row(ruc__store_op_t *op, const ruc_store_row_t *row)
{
    ruc_store_row_t copy = *row;
    pack_t pack = {NULL, 0};
    pack_row(&pack, &copy);
    int rc = make_room(op, (void **)&op->rows, sizeof *op->rows, pack.used);
    if (rc != 0) {
        return rc;
    }
    pack = (pack_t){malloc(pack.used), 0};
    if (!pack.base) {
        return UV_ENOMEM;
    }
    copy = *row;
    pack_row(&pack, &copy);
    op->rows[op->n++] = copy;
    return 0;
}

int ruc__store_add_event(ruc__store_op_t *op, const ruc_store_event_t *event)
{
    ruc_store_event_t copy = *event;
    pack_t pack = {NULL, 0};
    pack_event(&pack, &copy);
    int rc = make_room(op, (void **)&op->found, sizeof *op->found, pack.used);
    if (rc != 0) {
        return rc;
    }
    pack = (pack_t){malloc(pack.used), 0};
    if (!pack.base) {
        return UV_ENOMEM;
    }
    copy = *event;
    pack_event(&pack, &copy);
    op->found[op->n++] = copy;
    return 0;
}

int ruc__store_add_change(ruc__store_op_t *op, const ruc_store_change_t *change)
{
    ruc_store_change_t copy = *change;
    pack_t pack = {NULL, 0};
    pack_change(&pack, &copy);
    int rc = make_room(op, (void **)&op->changes, sizeof *op->changes, pack.used);
    if (rc != 0) {
        return rc;
    }
    pack = (pack_t){malloc(pack.used), 0};
    if (!pack.base) {
        return UV_ENOMEM;
    }
    copy = *change;
    pack_change(&pack, &copy);
    op->changes[op->n++] = copy;
    return 0;
}

int ruc__store_add_rev(ruc__store_op_t *op, const char *id, uint64_t rev, int64_t beat_ms)
{
    ruc__store_rev_t one = {.rev = rev, .beat_ms = beat_ms};
    if (strlen(id) >= sizeof one.id) {
        return RUC_EINVALID;
    }
    memcpy(one.id, id, strlen(id) + 1);
    int rc = make_room(op, (void **)&op->revs, sizeof *op->revs, sizeof one);
    if (rc == 0) {
        op->revs[op->n++] = one;
    }
    return rc;
}

int ruc__store_add_replica(ruc__store_op_t *op, const ruc_store_replica_t *replica)
{
    ruc_store_replica_t copy = *replica;
    pack_t pack = {NULL, 0};
    pack_replica(&pack, &copy);
    int rc = make_room(op, (void **)&op->replicas, sizeof *op->replicas, pack.used);
    if (rc != 0) {
        return rc;
    }
    pack = (pack_t){malloc(pack.used), 0};
    if (!pack.base) {
        return UV_ENOMEM;
    }
    copy = *replica;
    pack_replica(&pack, &copy);
    op->replicas[op->n++] = copy;
    return 0;
}

/* The first text of an element is at the address of its allocation. */
static const char *base_of(const ruc__store_op_t *op, size_t at)
{
    if (op->changes) {
        const ruc_store_change_t *change = &op->changes[at];
        return change->kind == RUC_CHANGE_EVENT ? change->event.id : change->row.id;
    }
    return op->rows ? op->rows[at].id : op->found ? op->found[at].id : op->replicas[at].id;
}

void ruc__store_op_clear(ruc__store_op_t *op)
{
    for (size_t i = 0; i < op->n && !op->revs; i++) {
        free((void *)base_of(op, i));
    }
    free(op->rows);
    free(op->found);
    free(op->changes);
    free(op->revs);
    free(op->replicas);
    free(op->why);
    op->rows = NULL;
    op->found = NULL;
    op->changes = NULL;
    op->revs = NULL;
    op->replicas = NULL;
    op->why = NULL;
    op->n = op->cap = op->answer_bytes = 0;
    op->more = false;
}

void ruc__store_op_free(ruc__store_op_t *op)
{
    ruc__store_op_clear(op);
    free(op);
}
