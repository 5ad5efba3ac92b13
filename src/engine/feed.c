/* feed.c - see feed.h. One step at a time: a poll, or a comparison of all revisions, or writing
 * back what the database has lost; `after_step` says what is next. */
#include "engine/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/check.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/feed_held.h"

#define STALE_MS 2000u /* or eight polls: longer than that without an answer is not fresh */
#define AT_ONCE 32u    /* engines that are read, or written back, at a time */

/* An engine to be looked at one by one: read again, or written back. */
typedef struct item {
    char id[RUC_ULID_SIZE];
    uint64_t rev; /* of the comparison */
    UT_hash_handle hh;
} item_t;

struct ruc_feed {
    uv_loop_t *loop;
    ruc_table_t *table;
    ruc_store_t *store;
    ruc_feed_config_t config;
    uv_timer_t timer;
    char place[64]; /* what was read up to; "": from now on */
    ruc__held_t held;
    ruc_store_cb loaded; /* until the first load is over */
    void *loaded_arg;
    unsigned emptied;  /* what was known of ruc_store_emptied */
    uint64_t asked_ms; /* when the poll that is under way was sent */
    uint64_t fresh_ms; /* when the last one was sent that brought all */
    uint64_t compared_ms;
    bool opened, fresh, busy, closing, restoring;
    item_t *revs; /* of the store, while they are compared */
    item_t *todo;
    size_t under_way; /* engines that are read or written back just now */
    bool failed;      /* something in this step did */
    size_t restored;
};

static void step(uv_timer_t *timer);

static uint64_t now_of(const ruc_feed_t *feed)
{
    return uv_now(feed->loop);
}

static void set_fresh(ruc_feed_t *feed, bool fresh)
{
    if (feed->fresh != fresh) {
        feed->fresh = fresh;
        if (feed->config.changed != NULL && !feed->closing) {
            feed->config.changed(feed->config.arg, fresh);
        }
    }
}

/* All is known as it was when the poll was sent. One that took long was not fresh meanwhile,
 * without anybody being told: what waited for it must hear that it goes on. */
static void take_fresh(ruc_feed_t *feed)
{
    feed->fresh = ruc_feed_fresh(feed);
    feed->fresh_ms = feed->asked_ms;
    set_fresh(feed, true);
}

/* ---- the end ---- */

static void drop_items(item_t **items)
{
    item_t *item, *next;
    HASH_ITER(hh, *items, item, next)
    {
        HASH_DEL(*items, item);
        free(item);
    }
}

static void timer_closed(uv_handle_t *handle)
{
    ruc_feed_t *feed = handle->data;
    drop_items(&feed->revs);
    drop_items(&feed->todo);
    ruc__held_free(&feed->held);
    free(feed);
}

/* Nothing is under way any more: the timer can go, and with it the memory. */
static void leave(ruc_feed_t *feed)
{
    if (feed->closing && !feed->busy && !uv_is_closing((uv_handle_t *)&feed->timer)) {
        uv_close((uv_handle_t *)&feed->timer, timer_closed);
    }
}

static void after_step(ruc_feed_t *feed, uint64_t delay_ms)
{
    feed->busy = false;
    if (feed->closing) {
        leave(feed);
    } else {
        uv_timer_start(&feed->timer, step, delay_ms, 0);
    }
}

/* ---- engines one by one ---- */

static item_t *put_item(item_t **items, const char *id, uint64_t rev)
{
    item_t *item = NULL;
    HASH_FIND_STR(*items, id, item);
    if (item == NULL && (item = calloc(1, sizeof *item)) != NULL) {
        snprintf(item->id, sizeof item->id, "%s", id);
        item->rev = rev;
        HASH_ADD_STR(*items, id, item);
    }
    return item;
}

static void go_on(ruc_feed_t *feed);

static void one_done(void *arg, int rc, ruc_record_t *record)
{
    (void)record;
    ruc_feed_t *feed = arg;
    feed->under_way--;
    feed->failed = feed->failed || rc == RUC_ESTORE || rc == RUC_EUNSURE;
    feed->restored += feed->restoring && rc == 0;
    go_on(feed);
}

/* Begins with the next one; false when it cannot be begun now. */
static int begin_one(ruc_feed_t *feed, const item_t *item)
{
    if (!feed->restoring) {
        return ruc_table_fetch(feed->table, item->id, one_done, feed);
    }
    ruc_record_t *record = ruc_table_find(feed->table, item->id);
    return record == NULL
               ? 0
               : ruc_table_restore(feed->table, record, "written again: the database had lost it",
                                   one_done, feed);
}

static void items_done(ruc_feed_t *feed)
{
    if (feed->restoring) {
        ruc_log(RUC_LOG_STORE, feed->failed ? RUC_ERROR : RUC_WARN,
                "%zu engines were written again to a database that had lost them%s", feed->restored,
                feed->failed ? "; not all could be" : "");
        feed->restoring = feed->failed; /* once more, then */
        feed->compared_ms = 0;
        if (feed->failed) {
            feed->emptied--;
        }
    } else if (!feed->failed) {
        feed->compared_ms = now_of(feed);
    }
    after_step(feed, feed->failed ? feed->config.poll_ms : 0);
}

static void go_on(ruc_feed_t *feed)
{
    item_t *item, *next;
    HASH_ITER(hh, feed->todo, item, next)
    {
        if (feed->under_way >= AT_ONCE || feed->failed || feed->closing) {
            break;
        }
        HASH_DEL(feed->todo, item);
        bool known = !feed->restoring || ruc_table_find(feed->table, item->id) != NULL;
        int rc = known ? begin_one(feed, item) : 0;
        feed->under_way += known && rc == 0;
        feed->failed = feed->failed || rc < 0;
        free(item);
    }
    if (feed->under_way == 0) {
        drop_items(&feed->todo);
        items_done(feed);
    }
}

/* ---- everything is compared ---- */

static void take_rev(void *arg, const char *id, uint64_t rev, int64_t beat_ms)
{
    ruc_feed_t *feed = arg;
    ruc_table_take_beat(feed->table, id, beat_ms);
    if (put_item(&feed->revs, id, rev) == NULL) {
        feed->failed = true;
    }
}

/* What differs is read one by one: also what was changed meanwhile, which does no harm. */
static void revs_done(void *arg, int rc)
{
    ruc_feed_t *feed = arg;
    item_t *item, *next;
    feed->failed = feed->failed || rc < 0;
    if (feed->failed) {
        set_fresh(feed, false);
    }
    for (size_t i = 0; !feed->failed && i < ruc_table_count(feed->table); i++) {
        ruc_record_t *record = ruc_table_at(feed->table, i);
        HASH_FIND_STR(feed->revs, record->id, item);
        if (item == NULL || item->rev != record->rev) {
            feed->failed = put_item(&feed->todo, record->id, 0) == NULL;
        }
    }
    HASH_ITER(hh, feed->revs, item, next)
    {
        if (!feed->failed && ruc_table_find(feed->table, item->id) == NULL) {
            feed->failed = put_item(&feed->todo, item->id, 0) == NULL;
        }
    }
    drop_items(&feed->revs);
    go_on(feed);
}

static void compare(ruc_feed_t *feed)
{
    feed->failed = false;
    if (ruc_store_revs(feed->store, take_rev, revs_done, feed) < 0) {
        set_fresh(feed, false);
        after_step(feed, feed->config.poll_ms);
    }
}

/* The database came back without what was in it: it gets what is in memory. */
static void restore(ruc_feed_t *feed)
{
    feed->failed = false;
    feed->restoring = true;
    feed->restored = 0;
    feed->emptied = ruc_store_emptied(feed->store);
    feed->place[0] = '\0';
    set_fresh(feed, false);
    for (size_t i = 0; i < ruc_table_count(feed->table); i++) {
        feed->failed =
            put_item(&feed->todo, ruc_table_at(feed->table, i)->id, 0) == NULL || feed->failed;
    }
    go_on(feed);
}

/* ---- a poll ---- */

static void take_change(ruc_feed_t *feed, const ruc_store_change_t *change)
{
    int rc = 0;
    switch (change->kind) {
    case RUC_CHANGE_ROW:
        rc = ruc_table_take_row(feed->table, &change->row, false);
        break;
    case RUC_CHANGE_GONE:
        ruc_table_take_gone(feed->table, change->row.id);
        break;
    case RUC_CHANGE_EVENT:
        ruc_id_after(change->event.id); /* what we number from now on comes behind it */
        rc = ruc__held_add(&feed->held, &change->event);
        break;
    }
    if (rc == UV_ENOMEM) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "no memory for a change of another server");
        feed->compared_ms = 0;
    }
}

static void load_done(void *arg, int rc)
{
    ruc_feed_t *feed = arg;
    ruc_store_cb loaded = feed->loaded;
    feed->loaded = NULL;
    if (rc == 0) {
        feed->compared_ms = feed->fresh_ms = now_of(feed);
        set_fresh(feed, true);
        after_step(feed, feed->config.poll_ms);
    } else {
        feed->busy = false;
    }
    loaded(feed->loaded_arg, rc);
    leave(feed);
}

static void place_lost(ruc_feed_t *feed)
{
    if (feed->place[0] != '\0') {
        ruc_log(
            RUC_LOG_STORE, RUC_WARN,
            "the store cannot say what was changed since it was asked last: everything is read");
    }
    feed->place[0] = '\0';
    feed->compared_ms = 0;
    after_step(feed, 0);
}

static void polled(void *arg, int rc, const ruc_store_change_t *changes, size_t n, const char *next,
                   bool more)
{
    ruc_feed_t *feed = arg;
    if (rc < 0) {
        ruc__held_release(&feed->held, feed->table, true);
        if (rc == RUC_ENOTFOUND && feed->loaded == NULL) {
            place_lost(feed);
            return;
        }
        set_fresh(feed, false);
        if (feed->loaded != NULL) {
            load_done(feed, rc);
        } else {
            after_step(feed, feed->config.poll_ms);
        }
        return;
    }
    for (size_t i = 0; i < n && !feed->closing; i++) {
        take_change(feed, &changes[i]);
    }
    snprintf(feed->place, sizeof feed->place, "%s", next);
    if (feed->loaded != NULL) { /* the place is known: what is read from now on is followed */
        rc = ruc_table_load(feed->table, load_done, feed);
        if (rc < 0) {
            load_done(feed, rc);
        }
        return;
    }
    if (!more) {
        ruc__held_release(&feed->held, feed->table, false);
        if (feed->compared_ms != 0) {
            take_fresh(feed);
        }
    }
    after_step(feed, more || feed->compared_ms == 0 ? 0 : feed->config.poll_ms);
}

static void ask_changes(ruc_feed_t *feed)
{
    feed->asked_ms = now_of(feed);
    if (ruc_store_changes(feed->store, feed->place, polled, feed) < 0) {
        after_step(feed, feed->config.poll_ms);
    }
}

static void step(uv_timer_t *timer)
{
    ruc_feed_t *feed = timer->data;
    uint64_t now = now_of(feed);
    bool due = feed->compared_ms == 0 || now - feed->compared_ms >= feed->config.resync_ms;
    feed->busy = true;
    if (ruc_store_emptied(feed->store) != feed->emptied) {
        restore(feed);
    } else if (due && feed->place[0] != '\0') {
        compare(feed);
    } else {
        ask_changes(feed);
    }
}

/* ---- the face ---- */

ruc_feed_t *ruc_feed_new(uv_loop_t *loop, ruc_table_t *table, const ruc_feed_config_t *config)
{
    ruc_feed_t *feed = calloc(1, sizeof *feed);
    if (feed != NULL) {
        feed->loop = loop;
        feed->table = table;
        feed->store = ruc_table_store(table);
        feed->config = *config;
        feed->emptied = ruc_store_emptied(feed->store);
        uv_timer_init(loop, &feed->timer);
        feed->timer.data = feed;
    }
    return feed;
}

int ruc_feed_open(ruc_feed_t *feed, ruc_store_cb loaded, void *arg)
{
    RUC_MUST(!feed->busy && feed->loaded == NULL);
    feed->loaded = loaded;
    feed->loaded_arg = arg;
    feed->busy = true;
    int rc = ruc_store_changes(feed->store, "", polled, feed);
    if (rc < 0) {
        feed->loaded = NULL;
        feed->busy = false;
    }
    return rc;
}

static uint64_t patience(const ruc_feed_t *feed)
{
    uint64_t polls = 8 * feed->config.poll_ms;
    if (feed->config.stale_ms > 0) {
        return feed->config.stale_ms;
    }
    return polls > STALE_MS ? polls : STALE_MS;
}

bool ruc_feed_fresh(const ruc_feed_t *feed)
{
    return feed == NULL || (feed->fresh && now_of(feed) - feed->fresh_ms < patience(feed));
}

uint64_t ruc_feed_stale_ms(const ruc_feed_t *feed)
{
    if (ruc_feed_fresh(feed)) {
        return 0;
    }
    uint64_t age = now_of(feed) - feed->fresh_ms;
    return age == 0 ? 1 : age;
}

void ruc_feed_close(ruc_feed_t *feed)
{
    if (feed != NULL) {
        feed->closing = true;
        uv_timer_stop(&feed->timer);
        leave(feed);
    }
}
