/* store_copy.c - see store_copy.h.
 *
 * Two cursors walk both stores in the order of ids, like a merge of two sorted lists: what only the
 * source has is written, what both have is compared. A cursor holds copies of one page. Writes go
 * out while the walk goes on, and are waited for at the end of each page of the source, so that as
 * much is under way as one page holds. What a cursor of the target reads always lies behind what
 * was written: it asks for the next page only when the source is beyond the last one. */
#include "store_copy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

#define PAGE 256      /* rows or events of one page */
#define TOLD_EVERY 64 /* things between two calls of `progress` */

/* A copy of a row or an event; `text` is the memory of all its texts. */
typedef struct item {
    ruc_store_row_t row;
    ruc_store_event_t event;
    char *text;
} item_t;

typedef struct cursor {
    uv_loop_t *loop;
    ruc_store_t *store;
    bool events; /* else rows */
    item_t *items;
    size_t n, at;
    bool more, asked;
    char after[64];
    int left, rc; /* of the question under way */
} cursor_t;

/* One write under way. */
typedef struct write {
    struct ruc_copy_work *work;
    char id[32], name[72];
} write_t;

typedef struct ruc_copy_work {
    ruc_copy_t *copy;
    ruc_why_t *why;
    int under_way;
    int rc; /* the first failure */
    bool checking;
    size_t seen;
    ruc_store_event_t batch[RUC_STORE_EVENTS_MAX]; /* texts are the source's cursor's */
    size_t nbatch;
    ruc_store_beat_t beats[PAGE]; /* the same */
    size_t nbeats;
    size_t named;
} work_t;

typedef int (*meet_t)(work_t *work, const item_t *from, const item_t *to);

/* ---- waiting ---- */

/* Runs the loop until *left is 0. Each answer calls uv_stop: one that comes by a timer would leave
 * the loop waiting for input in the same turn, of which there may be none. */
static int wait_for(work_t *work, const int *left)
{
    while (*left > 0) {
        if (uv_run(work->copy->loop, UV_RUN_ONCE) == 0 && RUC_FAILS(*left > 0)) {
            work->rc = ruc_why_set(work->why, RUC_ESTORE, "a store does not answer");
            break;
        }
    }
    return work->rc;
}

static int fail(work_t *work, ruc_store_t *store, int rc, const char *what)
{
    if (work->rc == 0) {
        ruc_why_t trouble = {""};
        work->rc = rc;
        ruc_store_ready(store, &trouble);
        ruc_why_set(work->why, rc, "%s the %s: %s", what,
                    store == work->copy->from ? "source" : "target",
                    rc == RUC_ESTORE && trouble.text[0] != '\0' ? trouble.text : ruc_err_text(rc));
    }
    return work->rc;
}

static void differs(work_t *work, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void differs(work_t *work, const char *format, ...)
{
    char sentence[600];
    va_list args;
    if (work->copy->differs == NULL || ++work->named > RUC_COPY_NAMED) {
        return;
    }
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    work->copy->differs(work->copy->arg, sentence);
}

/* ---- copies of rows and events ---- */

/* Moves one text to *at, which goes on behind it. */
static const char *put(char **at, const char *text, size_t len)
{
    char *place = *at;
    memcpy(place, text == NULL ? "" : text, len);
    place[len] = '\0';
    *at += len + 1;
    return place;
}

static size_t length(const char *text)
{
    return text == NULL ? 0 : strlen(text);
}

static int keep_row(item_t *item, const ruc_store_row_t *row)
{
    const char *texts[] = {row->id,   row->name,     row->state, row->desired,
                           row->type, row->platform, row->owner, row->keeper};
    size_t size = row->doc_len + 1;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size += length(texts[i]) + 1;
    }
    char *at = item->text = malloc(size);
    if (at == NULL) {
        return UV_ENOMEM;
    }
    item->row = *row;
    item->row.id = put(&at, row->id, length(row->id));
    item->row.name = put(&at, row->name, length(row->name));
    item->row.state = put(&at, row->state, length(row->state));
    item->row.desired = put(&at, row->desired, length(row->desired));
    item->row.type = put(&at, row->type, length(row->type));
    item->row.platform = put(&at, row->platform, length(row->platform));
    item->row.owner = put(&at, row->owner, length(row->owner));
    item->row.keeper = put(&at, row->keeper, length(row->keeper));
    item->row.doc = put(&at, row->doc, row->doc_len);
    return 0;
}

static int keep_event(item_t *item, const ruc_store_event_t *event)
{
    char *at = item->text = malloc(length(event->id) + length(event->engine) + length(event->kind) +
                                   event->doc_len + 4);
    if (at == NULL) {
        return UV_ENOMEM;
    }
    item->event = *event;
    item->event.id = put(&at, event->id, length(event->id));
    item->event.engine = put(&at, event->engine, length(event->engine));
    item->event.kind = put(&at, event->kind, length(event->kind));
    item->event.doc = put(&at, event->doc, event->doc_len);
    return 0;
}

/* What of two rows is not the same, as a list of words; "" when nothing is. */
static const char *row_difference(const ruc_store_row_t *a, const ruc_store_row_t *b,
                                  char words[96])
{
    words[0] = '\0';
    const struct {
        const char *name;
        bool same;
    } parts[] = {
        {"name", strcmp(a->name, b->name) == 0},
        {"revision", a->rev == b->rev},
        {"state", strcmp(a->state, b->state) == 0},
        {"desired", strcmp(a->desired, b->desired) == 0},
        {"type", strcmp(a->type, b->type) == 0},
        {"platform", strcmp(a->platform, b->platform) == 0},
        {"owner", strcmp(a->owner, b->owner) == 0},
        {"keeper", strcmp(a->keeper, b->keeper) == 0},
        {"next check", a->due_ms == b->due_ms},
        {"document", a->doc_len == b->doc_len && memcmp(a->doc, b->doc, a->doc_len) == 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].same) {
            size_t len = strlen(words);
            snprintf(words + len, 96 - len, "%s%s", len > 0 ? ", " : "", parts[i].name);
        }
    }
    return words;
}

static bool same_event(const ruc_store_event_t *a, const ruc_store_event_t *b)
{
    return strcmp(a->engine, b->engine) == 0 && a->at_ms == b->at_ms &&
           strcmp(a->kind, b->kind) == 0 && a->doc_len == b->doc_len &&
           memcmp(a->doc, b->doc, a->doc_len) == 0;
}

/* ---- cursors ---- */

static void cursor_drop(cursor_t *cursor)
{
    for (size_t i = 0; i < cursor->n; i++) {
        free(cursor->items[i].text);
    }
    free(cursor->items);
    cursor->items = NULL;
    cursor->n = cursor->at = 0;
}

/* Makes room for the copies of a page. */
static bool cursor_room(cursor_t *cursor, int rc, size_t n, bool more)
{
    uv_stop(cursor->loop);
    cursor->left = 0;
    cursor->rc = rc;
    cursor->more = more;
    if (rc < 0 || n == 0) {
        return false;
    }
    cursor->items = calloc(n, sizeof *cursor->items);
    cursor->rc = cursor->items == NULL ? UV_ENOMEM : 0;
    return cursor->rc == 0;
}

static void on_rows(void *arg, int rc, const ruc_store_row_t *rows, size_t n, bool more)
{
    cursor_t *cursor = arg;
    if (cursor_room(cursor, rc, n, more)) {
        for (; cursor->n < n && cursor->rc == 0; cursor->n++) {
            cursor->rc = keep_row(&cursor->items[cursor->n], &rows[cursor->n]);
        }
    }
}

static void on_events(void *arg, int rc, const ruc_store_event_t *events, size_t n, bool more)
{
    cursor_t *cursor = arg;
    if (cursor_room(cursor, rc, n, more)) {
        for (; cursor->n < n && cursor->rc == 0; cursor->n++) {
            cursor->rc = keep_event(&cursor->items[cursor->n], &events[cursor->n]);
        }
    }
}

static const char *item_id(const cursor_t *cursor, const item_t *item)
{
    return cursor->events ? item->event.id : item->row.id;
}

/* The next page. The copies of the one before are gone afterwards. */
static int cursor_fill(work_t *work, cursor_t *cursor)
{
    if (cursor->n > 0) {
        snprintf(cursor->after, sizeof cursor->after, "%s",
                 item_id(cursor, &cursor->items[cursor->n - 1]));
    }
    const char *after = cursor->asked ? cursor->after : NULL;
    cursor_drop(cursor);
    cursor->asked = true;
    cursor->left = 1;
    int rc = cursor->events
                 ? ruc_store_events(cursor->store, NULL, after, PAGE, false, on_events, cursor)
                 : ruc_store_page(cursor->store, after, PAGE, NULL, on_rows, cursor);
    if (rc == 0) {
        rc = wait_for(work, &cursor->left);
    }
    rc = rc == 0 ? cursor->rc : rc;
    return rc < 0 ? fail(work, cursor->store, rc, "reading") : 0;
}

/* What it is at; NULL at the end, and after a failure (work->rc). */
static const item_t *cursor_item(work_t *work, cursor_t *cursor)
{
    if (cursor->at == cursor->n && (!cursor->asked || cursor->more)) {
        cursor_fill(work, cursor);
    }
    return work->rc == 0 && cursor->at < cursor->n ? &cursor->items[cursor->at] : NULL;
}

/* ---- writes ---- */

static void on_written(void *arg, int rc)
{
    write_t *write = arg;
    work_t *work = write->work;
    uv_stop(work->copy->loop);
    work->under_way--;
    if (rc == RUC_EEXISTS) {
        work->copy->engines.copied--;
        work->copy->engines.different++;
        differs(work, "engine '%s' (%s): its name is another engine's there", write->name,
                write->id);
    } else if (rc == RUC_ECONFLICT || rc == RUC_ENOTFOUND) {
        fail(work, work->copy->to, rc, "somebody else writes to");
    } else if (rc < 0) {
        fail(work, work->copy->to, rc, "writing to");
    }
    free(write);
}

static void on_bulk(void *arg, int rc)
{
    work_t *work = arg;
    uv_stop(work->copy->loop);
    work->under_way--;
    if (rc < 0) {
        fail(work, work->copy->to, rc, "writing to");
    }
}

static int write_row(work_t *work, const ruc_store_row_t *row, const ruc_store_row_t *old)
{
    write_t *write = calloc(1, sizeof *write);
    if (write == NULL) {
        return fail(work, work->copy->to, UV_ENOMEM, "writing to");
    }
    write->work = work;
    snprintf(write->id, sizeof write->id, "%s", row->id);
    snprintf(write->name, sizeof write->name, "%s", row->name);
    int rc = old == NULL
                 ? ruc_store_create(work->copy->to, row, NULL, 0, on_written, write)
                 : ruc_store_update(work->copy->to, row, old->rev, NULL, 0, on_written, write);
    if (rc < 0) {
        free(write);
        return fail(work, work->copy->to, rc, "writing to");
    }
    work->under_way++;
    return 0;
}

static void flush_events(work_t *work)
{
    if (work->nbatch > 0 && work->rc == 0) {
        int rc = ruc_store_append(work->copy->to, work->batch, work->nbatch, on_bulk, work);
        if (rc < 0) {
            fail(work, work->copy->to, rc, "writing to");
        } else {
            work->under_way++;
        }
    }
    work->nbatch = 0;
}

static void flush_beats(work_t *work)
{
    if (work->nbeats > 0 && work->rc == 0) {
        int rc = ruc_store_beats(work->copy->to, work->beats, work->nbeats, on_bulk, work);
        if (rc < 0) {
            fail(work, work->copy->to, rc, "writing to");
        } else {
            work->under_way++;
            work->copy->beats += work->nbeats;
        }
    }
    work->nbeats = 0;
}

/* ---- copying ---- */

static int copy_row(work_t *work, const item_t *from, const item_t *to)
{
    ruc_copy_t *copy = work->copy;
    char words[96];
    if (from == NULL) {
        copy->engines.extra++;
        return 0;
    }
    if (to == NULL) {
        copy->engines.copied++;
        write_row(work, &from->row, NULL);
    } else if (row_difference(&from->row, &to->row, words)[0] == '\0') {
        copy->engines.there++;
    } else if (copy->overwrite && strcmp(from->row.name, to->row.name) == 0) {
        copy->engines.replaced++;
        write_row(work, &from->row, &to->row);
    } else {
        copy->engines.different++;
        differs(work, "engine '%s' (%s) differs: %s (revision %" PRIu64 ", there %" PRIu64 ")",
                from->row.name, from->row.id, words, from->row.rev, to->row.rev);
        return 0;
    }
    if (from->row.beat_ms > (to == NULL ? 0 : to->row.beat_ms)) {
        work->beats[work->nbeats++] =
            (ruc_store_beat_t){.id = from->row.id, .at_ms = from->row.beat_ms};
    }
    return work->rc;
}

/* An event is never changed, so another one of the same id is nothing to be overwritten. */
static int copy_event(work_t *work, const item_t *from, const item_t *to)
{
    ruc_copy_t *copy = work->copy;
    if (from == NULL) {
        copy->events.extra++;
    } else if (to == NULL) {
        copy->events.copied++;
        work->batch[work->nbatch++] = from->event;
        if (work->nbatch == RUC_STORE_EVENTS_MAX) {
            flush_events(work);
        }
    } else if (same_event(&from->event, &to->event)) {
        copy->events.there++;
    } else {
        copy->events.different++;
        differs(work, "event %s of engine %s differs", from->event.id, from->event.engine);
    }
    return work->rc;
}

/* ---- comparing at the end ---- */

static int check_row(work_t *work, const item_t *from, const item_t *to)
{
    char words[96] = "";
    if (from == NULL) {
        return 0;
    }
    if (to == NULL || row_difference(&from->row, &to->row, words)[0] != '\0' ||
        to->row.beat_ms < from->row.beat_ms) {
        work->copy->checked = false;
        differs(work, "engine '%s' (%s) is %s%s after it was copied: who writes to these stores?",
                from->row.name, from->row.id, to == NULL ? "not there" : "different: ",
                to == NULL         ? ""
                : words[0] != '\0' ? words
                                   : "heartbeat");
    } else {
        work->copy->checked_engines++;
    }
    return 0;
}

static int check_event(work_t *work, const item_t *from, const item_t *to)
{
    if (from == NULL) {
        return 0;
    }
    if (to == NULL || !same_event(&from->event, &to->event)) {
        work->copy->checked = false;
        differs(work, "event %s of engine %s is %s after it was copied", from->event.id,
                from->event.engine, to == NULL ? "not there" : "different");
    } else {
        work->copy->checked_events++;
    }
    return 0;
}

/* ---- the walk ---- */

static void tell(work_t *work, const char *step)
{
    if (work->copy->progress != NULL && work->seen % TOLD_EVERY == 0) {
        work->copy->progress(work->copy->arg, work->copy, step);
    }
    work->seen++;
}

/* Everything that was begun has ended. */
static int settle(work_t *work)
{
    flush_events(work);
    wait_for(work, &work->under_way);
    flush_beats(work); /* now that their rows are there */
    return wait_for(work, &work->under_way);
}

/* Goes through both in the order of ids. */
static int walk(work_t *work, bool events, meet_t meet, const char *step)
{
    uv_loop_t *loop = work->copy->loop;
    cursor_t from = {.loop = loop, .store = work->copy->from, .events = events};
    cursor_t to = {.loop = loop, .store = work->copy->to, .events = events};
    while (work->rc == 0) {
        if (from.at == from.n && settle(work) < 0) { /* its texts go with its page */
            break;
        }
        const item_t *a = cursor_item(work, &from);
        const item_t *b = cursor_item(work, &to);
        if (work->rc < 0 || (a == NULL && b == NULL)) {
            break;
        }
        int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(item_id(&from, a), item_id(&to, b));
        tell(work, step);
        meet(work, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
        from.at += order <= 0;
        to.at += order >= 0;
    }
    settle(work);
    cursor_drop(&from);
    cursor_drop(&to);
    return work->rc;
}

int ruc_copy_run(ruc_copy_t *copy, ruc_why_t *why)
{
    work_t *work = calloc(1, sizeof *work);
    if (work == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    *work = (work_t){.copy = copy, .why = why};
    int rc = walk(work, false, copy_row, "engines");
    rc = rc < 0 ? rc : walk(work, true, copy_event, "events");
    if (rc == 0 && copy->engines.different + copy->events.different == 0) {
        copy->checked = true;
        rc = walk(work, false, check_row, "checking engines");
        rc = rc < 0 ? rc : walk(work, true, check_event, "checking events");
        copy->checked = copy->checked && rc == 0;
    }
    free(work);
    return rc;
}
