/* feed_test.c - the table follows a store that others write to. The store here is one of the test's
 * own (its functions stand in for those of src/store), so that what comes when is in the test's
 * hand; spec/e2e/replicas_spec.lua does the same with real ones. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "engine/feed.h"
#include "store/store.h"

#define A "01k00000000000000000000001"
#define B "01k00000000000000000000002"

/* ---- a store ---- */

typedef struct answer { /* on the next turn of the loop */
    uv_timer_t timer;
    ruc_store_cb done;
    ruc_store_rows_cb on_rows;
    ruc_store_changes_cb on_changes;
    ruc_store_row_cb each;
    ruc_store_rev_cb on_rev;
    void *arg;
    char key[64];
    int rc;
} answer_t;

static struct store {
    ruc_store_row_t rows[8]; /* docs are malloc'ed */
    size_t count;
    ruc_store_change_t changes[16];
    size_t change_count;
    bool place_lost, away;
    uint64_t slow_ms; /* how long an answer takes */
    unsigned emptied;
    int polls, reads, updates;
    int update_rc;
} db;
static uv_loop_t loop;

static const ruc_store_row_t *row_of(const char *key)
{
    for (size_t i = 0; i < db.count; i++) {
        if (strcmp(db.rows[i].id, key) == 0 || strcmp(db.rows[i].name, key) == 0) {
            return &db.rows[i];
        }
    }
    return NULL;
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void answer_now(uv_timer_t *timer)
{
    answer_t *a = timer->data;
    int rc = db.away ? RUC_ESTORE : a->rc;
    if (a->on_changes != NULL) {
        size_t n = rc < 0 ? 0 : db.change_count;
        db.change_count = rc < 0 ? db.change_count : 0;
        rc = rc == 0 && db.place_lost && a->key[0] != '\0' ? RUC_ENOTFOUND : rc;
        db.place_lost = db.place_lost && rc == 0;
        a->on_changes(a->arg, rc, db.changes, rc < 0 ? 0 : n, "here", false);
    } else if (a->on_rows != NULL) {
        const ruc_store_row_t *row = row_of(a->key);
        rc = rc == 0 && row == NULL ? RUC_ENOTFOUND : rc;
        a->on_rows(a->arg, rc, row, rc == 0, false);
    } else {
        for (size_t i = 0; rc == 0 && i < db.count; i++) {
            if (a->each != NULL) {
                a->each(a->arg, &db.rows[i]);
            } else if (a->on_rev != NULL) {
                a->on_rev(a->arg, db.rows[i].id, db.rows[i].rev, 77);
            }
        }
        a->done(a->arg, rc);
    }
    uv_close((uv_handle_t *)timer, closed);
}

static int later(const answer_t *what)
{
    answer_t *a = malloc(sizeof *a);
    *a = *what;
    uv_timer_init(&loop, &a->timer);
    a->timer.data = a;
    return uv_timer_start(&a->timer, answer_now, db.slow_ms, 0);
}

bool ruc_store_shared(const ruc_store_t *store)
{
    (void)store;
    return true;
}

unsigned ruc_store_emptied(const ruc_store_t *store)
{
    (void)store;
    return db.emptied;
}

int ruc_store_changes(ruc_store_t *store, const char *since, ruc_store_changes_cb cb, void *arg)
{
    (void)store;
    db.polls++;
    answer_t a = {.on_changes = cb, .arg = arg};
    snprintf(a.key, sizeof a.key, "%s", since);
    return later(&a);
}

int ruc_store_load(ruc_store_t *store, ruc_store_row_cb each, ruc_store_cb done, void *arg)
{
    (void)store;
    return later(&(answer_t){.each = each, .done = done, .arg = arg});
}

int ruc_store_revs(ruc_store_t *store, ruc_store_rev_cb each, ruc_store_cb done, void *arg)
{
    (void)store;
    return later(&(answer_t){.on_rev = each, .done = done, .arg = arg});
}

int ruc_store_get(ruc_store_t *store, const char *id, ruc_store_rows_cb cb, void *arg)
{
    (void)store;
    db.reads++;
    answer_t a = {.on_rows = cb, .arg = arg};
    snprintf(a.key, sizeof a.key, "%s", id);
    return later(&a);
}

int ruc_store_by_name(ruc_store_t *store, const char *name, ruc_store_rows_cb cb, void *arg)
{
    return ruc_store_get(store, name, cb, arg);
}

static void put(const char *id, const char *name, uint64_t rev, const char *message);

int ruc_store_create(ruc_store_t *store, const ruc_store_row_t *row,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    (void)store, (void)events, (void)n;
    if (!db.away) {
        put(row->id, row->name, row->rev, "restored");
    }
    return later(&(answer_t){.done = cb, .arg = arg});
}

int ruc_store_update(ruc_store_t *store, const ruc_store_row_t *row, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    (void)store, (void)row, (void)expected, (void)events, (void)n;
    db.updates++;
    return later(&(answer_t){.done = cb, .arg = arg, .rc = db.update_rc});
}

int ruc_store_remove(ruc_store_t *store, const char *id, uint64_t expected,
                     const ruc_store_event_t *events, size_t n, ruc_store_cb cb, void *arg)
{
    (void)store, (void)id, (void)expected, (void)events, (void)n;
    return later(&(answer_t){.done = cb, .arg = arg});
}

int ruc_store_append(ruc_store_t *store, const ruc_store_event_t *events, size_t n, ruc_store_cb cb,
                     void *arg)
{
    (void)store, (void)events, (void)n;
    return later(&(answer_t){.done = cb, .arg = arg});
}

int ruc_store_beats(ruc_store_t *store, const ruc_store_beat_t *beats, size_t n, ruc_store_cb cb,
                    void *arg)
{
    (void)store, (void)beats, (void)n;
    return later(&(answer_t){.done = cb, .arg = arg});
}

/* ---- what others do ---- */

static char *doc_of(const char *id, const char *name, uint64_t rev, const char *message)
{
    static char docs[64][400]; /* long enough for a test */
    static size_t next;
    char *doc = docs[next++ % 64];
    snprintf(
        doc, 400,
        "{\"id\":\"%s\",\"name\":\"%s\",\"rev\":%llu,\"state\":\"Pending\",\"desired\":\"Running\","
        "\"health\":\"unknown\",\"message\":\"%s\",\"epoch\":1,\"wanted_epoch\":1}",
        id, name, (unsigned long long)rev, message);
    return doc;
}

static ruc_store_row_t make_row(const char *id, const char *name, uint64_t rev, const char *message)
{
    char *doc = doc_of(id, name, rev, message);
    return (ruc_store_row_t){
        .id = id, .name = name, .rev = rev, .doc = doc, .doc_len = strlen(doc)};
}

static void put(const char *id, const char *name, uint64_t rev, const char *message)
{
    size_t i = 0;
    while (i < db.count && strcmp(db.rows[i].id, id) != 0) {
        i++;
    }
    assert_true(i < 8);
    db.count += i == db.count;
    db.rows[i] =
        make_row(strcmp(id, A) == 0 ? A : B, strcmp(name, "a") == 0 ? "a" : "b", rev, message);
}

static void tell_row(const char *id, const char *name, uint64_t rev, const char *message)
{
    db.changes[db.change_count++] =
        (ruc_store_change_t){.kind = RUC_CHANGE_ROW, .row = make_row(id, name, rev, message)};
}

static void tell_gone(const char *id)
{
    db.changes[db.change_count++] =
        (ruc_store_change_t){.kind = RUC_CHANGE_GONE, .row = {.id = id}};
}

static void tell_event(const char *id)
{
    db.changes[db.change_count++] = (ruc_store_change_t){
        .kind = RUC_CHANGE_EVENT,
        .event = {.id = id, .engine = A, .kind = "state", .doc = "{}", .doc_len = 2}};
}

/* ---- the table over it ---- */

static ruc_table_t *table;
static ruc_feed_t *feed;
static int loaded_rc, new_count, change_count, gone_count, fresh_count, stale_count;
static char events[512];

static void on_loaded(void *arg, int rc)
{
    (void)arg;
    loaded_rc = rc;
}

static void on_change(ruc_watcher_t *watcher, ruc_record_t *before, ruc_record_t *after)
{
    (void)watcher;
    new_count += before == NULL;
    gone_count += after == NULL;
    change_count += before != NULL && after != NULL;
}

static void on_event(ruc_listener_t *listener, const ruc_event_t *event)
{
    (void)listener;
    size_t used = strlen(events);
    snprintf(events + used, sizeof events - used, "%s ", event->id + 23);
}

static void on_fresh(void *arg, bool fresh)
{
    (void)arg;
    fresh_count += fresh;
    stale_count += !fresh;
}

static ruc_watcher_t watcher = {.changed = on_change};
static ruc_listener_t listener = {.told = on_event};

/* Runs the loop until so many more polls were sent and answered. */
static void polls(int n)
{
    int until = db.polls + n;
    while (db.polls < until) {
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static int open_feed(void **state)
{
    (void)state;
    db = (struct store){0};
    loaded_rc = 1;
    new_count = change_count = gone_count = fresh_count = stale_count = 0;
    events[0] = '\0';
    uv_loop_init(&loop);
    table = ruc_table_new((ruc_store_t *)&db, 100);
    ruc_feed_config_t config = {
        .poll_ms = 1, .resync_ms = 3600000, .stale_ms = 200, .changed = on_fresh};
    feed = ruc_feed_new(&loop, table, &config);
    put(A, "a", 3, "first");
    assert_int_equal(ruc_feed_open(feed, on_loaded, NULL), 0);
    while (loaded_rc == 1) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(loaded_rc, 0);
    watcher.link = NULL;
    listener.link = NULL;
    ruc_table_watch(table, &watcher);
    ruc_table_listen(table, &listener);
    return 0;
}

static int close_feed(void **state)
{
    (void)state;
    ruc_feed_close(feed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ruc_table_free(table);
    return uv_loop_close(&loop);
}

/* The last second is told of once more after a start: also an engine that was removed before it. */
static void one_that_is_gone_does_not_push_its_namesake_out(void **state)
{
    (void)state;
    tell_row("01k00000000000000000000000", "a", 7, "an earlier one of that name");
    tell_gone("01k00000000000000000000000");
    polls(2);
    assert_string_equal(ruc_table_find(table, "a")->id, A);
    assert_int_equal(new_count + gone_count, 0);
    tell_row(B, "a", 1, "a later one: what was there is gone");
    polls(2);
    assert_string_equal(ruc_table_find(table, "a")->id, B);
    assert_int_equal(gone_count, 1);
}

static void changes_of_others_are_seen_and_older_ones_are_not(void **state)
{
    (void)state;
    assert_true(ruc_feed_fresh(feed));
    tell_row(A, "a", 4, "theirs");
    tell_row(B, "b", 1, "new");
    tell_row(A, "a", 3, "old");
    polls(2);
    assert_int_equal(ruc_table_find(table, "a")->rev, 4);
    assert_string_equal(ruc_record_text(ruc_table_find(table, A), "message"), "theirs");
    assert_non_null(ruc_table_find(table, "b"));
    assert_int_equal(new_count, 1);
    assert_int_equal(change_count, 1);
    tell_gone(B);
    tell_row(B, "b", 1, "new"); /* told late: it does not come back */
    polls(2);
    assert_null(ruc_table_find(table, "b"));
    assert_int_equal(gone_count, 1);
    assert_int_equal(new_count, 1);
}

static void a_row_of_nonsense_is_left_alone(void **state)
{
    (void)state;
    tell_row(A, "a", 4, "x");
    db.changes[0].row.doc = "{\"id\":1}";
    db.changes[0].row.doc_len = 8;
    tell_row(B, "b", 1, "fine");
    polls(2);
    assert_int_equal(ruc_table_find(table, A)->rev, 3);
    assert_non_null(ruc_table_find(table, "b"));
    tell_row(A, "a", 3, "edited by hand"); /* its column says something else */
    db.changes[0].row.state = "Stopped";
    polls(2);
    assert_int_equal(ruc_table_find(table, A)->state, RUC_STATE_PENDING);
    tell_row(A, "a", 5, "mended");
    polls(2);
    assert_int_equal(ruc_table_find(table, A)->rev, 5);
}

static void a_name_that_was_given_again_takes_the_old_engine_out(void **state)
{
    (void)state;
    tell_row(B, "a", 1, "its removal was not heard of");
    polls(2);
    assert_string_equal(ruc_table_find(table, "a")->id, B);
    assert_null(ruc_table_find(table, A));
    assert_int_equal(ruc_table_count(table), 1);
}

static void events_come_in_the_order_of_their_ids_and_once(void **state)
{
    (void)state;
    tell_event("01k00000000000000000000093");
    polls(1); /* sent before: the event comes with this answer */
    tell_event("01k00000000000000000000092");
    tell_event("01k00000000000000000000095");
    tell_event("01k00000000000000000000093");
    polls(4);
    assert_string_equal(events, "092 093 095 ");
    tell_event("01k00000000000000000000091"); /* very late, but not lost */
    polls(3);
    assert_string_equal(events, "092 093 095 091 ");
}

static void what_was_missed_is_found_by_comparing(void **state)
{
    (void)state;
    put(A, "a", 9, "missed");
    put(B, "b", 2, "missed too");
    db.place_lost = true;
    polls(4);
    assert_int_equal(ruc_table_find(table, A)->rev, 9);
    assert_non_null(ruc_table_find(table, "b"));
    assert_int_equal(db.reads, 2);
    assert_int_equal(ruc_table_last_beat(table, A), 77);
    db.count = 1; /* b is gone, and nobody has said so; a is older: a copy was put back */
    put(A, "a", 7, "older");
    db.place_lost = true;
    polls(4);
    assert_null(ruc_table_find(table, "b"));
    assert_int_equal(ruc_table_find(table, A)->rev, 7);
    assert_true(ruc_feed_fresh(feed));
}

static void while_the_store_is_away_nothing_is_fresh(void **state)
{
    (void)state;
    polls(1);
    db.away = true;
    polls(2);
    assert_false(ruc_feed_fresh(feed));
    assert_true(ruc_feed_stale_ms(feed) > 0);
    assert_int_equal(stale_count, 1);
    assert_int_equal(ruc_table_find(table, A)->rev, 3); /* known, all the same */
    int before = fresh_count;
    db.away = false;
    polls(2);
    assert_true(ruc_feed_fresh(feed));
    assert_int_equal(ruc_feed_stale_ms(feed), 0);
    assert_int_equal(fresh_count, before + 1);
}

static void who_waits_behind_a_slow_answer_hears_that_it_is_there(void **state)
{
    (void)state;
    polls(1);
    int before = fresh_count;
    db.slow_ms = 400; /* nothing fails: it is only not fresh for a while */
    polls(2);
    db.slow_ms = 0;
    polls(2);
    assert_true(ruc_feed_fresh(feed));
    assert_true(fresh_count > before);
}

static void a_database_that_is_empty_gets_back_what_is_known(void **state)
{
    (void)state;
    tell_row(B, "b", 5, "theirs");
    polls(2);
    db.count = 0;
    db.emptied++;
    polls(4);
    assert_int_equal(db.count, 2);
    assert_int_equal(row_of("b")->rev, 5);
    assert_int_equal(ruc_table_count(table), 2);
    assert_int_equal(gone_count, 0);
    assert_true(ruc_feed_fresh(feed));
}

static int changed_rc;
static uint64_t changed_rev;

static void on_changed(void *arg, int rc, ruc_record_t *record)
{
    (void)arg;
    changed_rc = rc;
    changed_rev = record == NULL ? 0 : record->rev;
}

static void who_loses_a_race_knows_what_the_winner_wrote(void **state)
{
    (void)state;
    json_t *changes = json_pack("{s:s}", "message", "ours");
    put(A, "a", 4, "theirs");
    db.update_rc = RUC_ECONFLICT;
    changed_rc = 1;
    assert_int_equal(ruc_table_change(table, A, 3, changes, NULL, "me", on_changed, NULL, NULL), 0);
    while (changed_rc == 1) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(changed_rc, RUC_ECONFLICT);
    assert_int_equal(changed_rev, 4);
    assert_string_equal(ruc_record_text(ruc_table_find(table, A), "message"), "theirs");
    db.count = 0; /* and now it was removed by somebody */
    changed_rc = 1;
    assert_int_equal(ruc_table_change(table, A, 4, changes, NULL, "me", on_changed, NULL, NULL), 0);
    while (changed_rc == 1) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(changed_rc, RUC_ECONFLICT);
    assert_null(ruc_table_find(table, A));
    json_decref(changes);
}

static void the_feed_says_it_before_the_store_has_answered(void **state)
{
    (void)state;
    json_t *changes = json_pack("{s:s}", "message", "ours");
    changed_rc = 1;
    assert_int_equal(ruc_table_change(table, A, 3, changes, NULL, "me", on_changed, NULL, NULL), 0);
    tell_row(A, "a", 5, "theirs, behind ours");
    ruc_store_row_t row = db.changes[0].row;
    assert_int_equal(ruc_table_take_row(table, &row, false), 0);
    while (changed_rc == 1) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(changed_rc, 0);
    assert_int_equal(ruc_table_find(table, A)->rev, 5); /* not back to ours, of revision 4 */
    json_decref(changes);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_feed, close_feed)
    const struct CMUnitTest tests[] = {
        T(one_that_is_gone_does_not_push_its_namesake_out),
        T(changes_of_others_are_seen_and_older_ones_are_not),
        T(a_row_of_nonsense_is_left_alone),
        T(a_name_that_was_given_again_takes_the_old_engine_out),
        T(events_come_in_the_order_of_their_ids_and_once),
        T(what_was_missed_is_found_by_comparing),
        T(while_the_store_is_away_nothing_is_fresh),
        T(who_waits_behind_a_slow_answer_hears_that_it_is_there),
        T(a_database_that_is_empty_gets_back_what_is_known),
        T(who_loses_a_race_knows_what_the_winner_wrote),
        T(the_feed_says_it_before_the_store_has_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
