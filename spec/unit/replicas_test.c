/* replicas_test.c - a lease as its holder judges it, and the others as the database tells of them.
 * The store here is the test's own: what it answers, and when, is in the test's hand.
 * spec/e2e/replicas_spec.lua does the same with a real one. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "core/clock.h"
#include "core/id.h"
#include "engine/replicas.h"

#define LEASE 900 /* ms */
#define INSTANCE "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"
#define OTHER "01k00000000000000000000002"
#define THIRD "01k00000000000000000000003"

/* ---- a store ---- */

static struct store {
    bool shared;
    int rc;             /* of renewals */
    uint64_t delay_ms;  /* of answers */
    int64_t ahead_ms;   /* the database's clock, against ours */
    int64_t left_ms[2]; /* of OTHER and THIRD; 0: there is none */
    const char *host;   /* of THIRD */
    int renewals, leaves;
    char left_instance[64];
    bool left_first; /* the leave came before any renewal */
} db;

static uv_loop_t loop;
static char dir[64];
static int told, told_before;

typedef struct answer {
    uv_timer_t timer;
    ruc_store_replicas_cb cb;
    ruc_store_cb done;
    void *arg;
    ruc_store_replica_t self;
    char id[32];
} answer_t;

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void answer_now(uv_timer_t *timer)
{
    answer_t *a = timer->data;
    ruc_store_replica_t rows[3] = {a->self};
    size_t n = 1;
    if (a->done != NULL) {
        a->done(a->arg, 0);
    } else {
        static const char *const ids[] = {OTHER, THIRD};
        for (size_t i = 0; i < 2; i++) {
            if (db.left_ms[i] != 0) {
                rows[n++] = (ruc_store_replica_t){.id = ids[i],
                                                  .host = i == 1 && db.host != NULL ? db.host : "h",
                                                  .name = "elsewhere",
                                                  .url = "http://10.0.0.9:3000",
                                                  .roles = "server,monitor",
                                                  .version = "0",
                                                  .left_ms = db.left_ms[i]};
            }
        }
        a->cb(a->arg, db.rc, ruc_clock_wall_ms() + db.ahead_ms, rows, db.rc == 0 ? n : 0);
    }
    uv_close((uv_handle_t *)timer, closed);
}

static answer_t *later(void *arg)
{
    answer_t *a = calloc(1, sizeof *a);
    a->arg = arg;
    uv_timer_init(&loop, &a->timer);
    a->timer.data = a;
    uv_timer_start(&a->timer, answer_now, db.delay_ms, 0);
    return a;
}

bool ruc_store_shared(const ruc_store_t *store)
{
    (void)store;
    return db.shared;
}

int ruc_store_renew(ruc_store_t *store, const ruc_store_replica_t *self, int64_t lease_ms,
                    ruc_store_replicas_cb cb, void *arg)
{
    (void)store;
    assert_int_equal(lease_ms, LEASE);
    assert_string_equal(self->roles, "server,monitor");
    answer_t *a = later(arg);
    a->cb = cb;
    a->self = *self; /* its texts are the replica's own, which lives longer */
    a->self.roles = "server,monitor";
    a->self.left_ms = lease_ms;
    db.renewals++;
    return 0;
}

int ruc_store_leave(ruc_store_t *store, const char *id, const char *instance, ruc_store_cb cb,
                    void *arg)
{
    (void)store;
    assert_true(ruc_id_is_ulid(id));
    later(arg)->done = cb;
    snprintf(db.left_instance, sizeof db.left_instance, "%s", instance);
    db.left_first = db.renewals == 0;
    db.leaves++;
    return 0;
}

/* ---- helpers ---- */

static void on_change(void *arg)
{
    (void)arg;
    told++;
}

static void tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Lets the loop run until `fits` or that long. */
static bool until(bool (*fits)(const ruc_replicas_t *r), const ruc_replicas_t *r, uint64_t ms)
{
    uv_timer_t timer;
    uint64_t end = ruc_clock_mono_ms() + ms;
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, tick, 5, 5);
    while (!fits(r) && ruc_clock_mono_ms() < end) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    bool came = fits(r);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    return came;
}

static bool holds(const ruc_replicas_t *r)
{
    return ruc_replicas_holds(r);
}

static bool was_told(const ruc_replicas_t *r)
{
    (void)r;
    return told > told_before;
}

static bool fenced(const ruc_replicas_t *r)
{
    return !ruc_replicas_holds(r);
}

static bool settled(const ruc_replicas_t *r)
{
    return ruc_replicas_settles_in(r) == 0;
}

static bool tried_thrice(const ruc_replicas_t *r)
{
    (void)r;
    return db.renewals >= 3;
}

static ruc_replicas_t *open_as(const char *instance)
{
    ruc_replicas_t *r;
    ruc_why_t why;
    ruc_replicas_config_t config = {.state_dir = dir,
                                    .instance = instance,
                                    .url = "http://127.0.0.1:3000",
                                    .server = true,
                                    .monitor = true,
                                    .lease_ms = LEASE};
    assert_int_equal(ruc_replicas_open(&loop, NULL, &config, on_change, NULL, &r, &why), 0);
    return r;
}

static void end(ruc_replicas_t *r)
{
    ruc_replicas_close(r);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
    (void)state;
    db = (struct store){.shared = true};
    told = told_before = 0;
    snprintf(dir, sizeof dir, "/tmp/rucat-replicas-XXXXXX");
    ruc_id_set_offset(0);
    return mkdtemp(dir) == NULL || uv_loop_init(&loop) != 0;
}

static int teardown(void **state)
{
    char command[200];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s' '%s-copy'", dir, dir);
    return system(command) != 0 || uv_loop_close(&loop) != 0;
}

/* ---- the lease ---- */

static void a_store_of_its_own(void **state)
{
    (void)state;
    db.shared = false;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_false(ruc_replicas_shared(r));
    assert_true(ruc_replicas_holds(r));
    assert_true(ruc_replicas_holds_until(r) == UINT64_MAX);
    assert_string_equal(ruc_replicas_self(r)->id, "");
    ruc_replicas_leave(r);
    assert_int_equal(db.renewals + db.leaves, 0);
    end(r);
}

static void a_lease_is_held_and_kept(void **state)
{
    (void)state;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_false(ruc_replicas_holds(r)); /* nothing was answered yet */
    assert_true(until(holds, r, 5000));
    assert_true(ruc_replicas_settles_in(r) > 0); /* others may come up just now */
    told_before = told;
    assert_true(until(settled, r, 5000));
    assert_true(until(was_told, r, 5000)); /* then others' engines may be taken */
    assert_true(db.renewals >= 2);
    assert_int_equal(ruc_replicas_count(r), 1);
    assert_true(ruc_replicas_at(r, 0)->alive);
    ruc_replicas_leave(r);
    assert_false(ruc_replicas_holds(r));
    assert_string_equal(db.left_instance, INSTANCE);
    end(r);
}

static void who_is_not_renewed_is_fenced(void **state)
{
    (void)state;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(settled, r, 5000));
    told_before = told;
    db.rc = RUC_ESTORE;
    assert_true(until(fenced, r, 5000));
    assert_true(ruc_replicas_holds_until(r) == 0);
    assert_true(until(was_told, r, 5000));
    db.rc = 0;
    assert_true(until(holds, r, 5000));
    assert_true(ruc_replicas_settles_in(r) > 0); /* a full lease of waiting again */
    assert_true(until(settled, r, 5000));
    end(r);
}

static void a_late_answer_is_no_lease(void **state)
{
    (void)state;
    db.delay_ms = LEASE + 100; /* the lease counts from when it was asked for */
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(tried_thrice, r, 10000));
    assert_false(ruc_replicas_holds(r));
    assert_int_equal(ruc_replicas_count(r), 1);
    end(r);
}

static void another_process_of_the_same_id(void **state)
{
    (void)state;
    db.rc = RUC_ECONFLICT;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(tried_thrice, r, 5000));
    assert_false(ruc_replicas_holds(r));
    end(r);
}

/* ---- the others ---- */

static void the_dead_win_nothing(void **state)
{
    (void)state;
    db.left_ms[0] = LEASE;
    db.left_ms[1] = -1;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(holds, r, 5000));
    assert_int_equal(ruc_replicas_count(r), 3);
    assert_true(ruc_replicas_find(r, OTHER)->alive);
    assert_false(ruc_replicas_find(r, THIRD)->alive);
    assert_null(ruc_replicas_find(r, "nobody"));
    int ours = 0;
    for (int i = 0; i < 1000; i++) {
        char engine[RUC_ULID_SIZE];
        const ruc_replica_t *winner = ruc_replicas_winner(r, ruc_id_ulid(engine), NULL);
        assert_non_null(winner);
        assert_string_not_equal(winner->id, THIRD);
        assert_ptr_equal(winner, ruc_replicas_winner(r, engine, NULL));
        ours += strcmp(winner->id, OTHER) != 0;
    }
    assert_in_range(ours, 400, 600); /* spread: 6 standard deviations */
    assert_string_equal(ruc_replicas_winner(r, OTHER, "h")->id, OTHER);
    assert_null(ruc_replicas_winner(r, OTHER, "no such host"));
    end(r);
}

static bool doubts(const ruc_replicas_t *r)
{
    return ruc_replicas_settles_in(r) > 0;
}

/* Who was alive and is not in the answer at all, or is over because the database's clock was set,
 * is given a lease to come back. */
static void who_vanishes_is_waited_for(void **state)
{
    (void)state;
    db.left_ms[0] = LEASE;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(settled, r, 5000));
    db.left_ms[0] = 0; /* emptied */
    assert_true(until(doubts, r, 5000));
    assert_true(until(settled, r, 5000));
    db.left_ms[0] = LEASE;
    assert_true(until(settled, r, 100));
    db.ahead_ms += 3600 * 1000;
    db.left_ms[0] = -3600 * 1000 + LEASE;
    assert_true(until(doubts, r, 5000));
    assert_true(until(settled, r, 5000));
    assert_false(ruc_replicas_find(r, OTHER)->alive);
    end(r);
}

static ruc_record_t *record_at(const char *host, const char *replica, const char *keeper)
{
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_record_make(
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "id", THIRD, "name",
                  "x", "state", "Running", "desired", "Running", "health", "unknown", "keeper",
                  keeper, "place", "host", host, "replica", replica, "dir", "/d", "name", "mill"),
        &why);
    assert_non_null(record);
    return record;
}

static void who_has_the_files(void **state)
{
    (void)state;
    ruc_why_t why = {""};
    db.left_ms[0] = LEASE;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(holds, r, 5000));
    const ruc_replica_t *self = ruc_replicas_self(r);
    ruc_record_t *here = record_at(self->host, OTHER, OTHER), *there = record_at("h", THIRD, THIRD),
                 *nowhere = record_at("x", THIRD, THIRD), *before = record_at("x", self->id, THIRD);
    assert_true(ruc_replicas_has_files(r, here));
    assert_true(ruc_replicas_has_files(r, before));
    assert_false(ruc_replicas_has_files(r, there));
    assert_string_equal(ruc_replicas_with_files(r, there, &why)->id, OTHER);
    assert_null(ruc_replicas_with_files(r, nowhere, &why));
    assert_non_null(strstr(why.text, "mill"));
    ruc_record_unref(here);
    ruc_record_unref(there);
    ruc_record_unref(nowhere);
    ruc_record_unref(before);
    end(r);
}

static void ids_go_by_the_databases_clock(void **state)
{
    (void)state;
    char id[RUC_ULID_SIZE];
    db.ahead_ms = 3600 * 1000;
    ruc_replicas_t *r = open_as(INSTANCE);
    assert_true(until(holds, r, 5000));
    int64_t ahead = ruc_id_time_ms(ruc_id_ulid(id)) - ruc_clock_wall_ms();
    assert_in_range(ahead, 3590 * 1000, 3610 * 1000);
    end(r);
}

/* ---- the id ---- */

static void a_directory_is_a_replica(void **state)
{
    (void)state;
    char id[RUC_ULID_SIZE], command[200], original[64];
    ruc_replicas_t *r = open_as(INSTANCE);
    snprintf(id, sizeof id, "%s", ruc_replicas_self(r)->id);
    assert_true(ruc_id_is_ulid(id));
    assert_int_equal(db.leaves, 0);
    end(r);
    /* Started again, without having left: what the dead process holds is ended first. */
    db.renewals = 0;
    r = open_as(SECOND);
    assert_string_equal(ruc_replicas_self(r)->id, id);
    assert_string_equal(db.left_instance, INSTANCE);
    assert_true(db.left_first);
    end(r);
    /* A copy is another one. */
    memcpy(original, dir, sizeof original);
    snprintf(command, sizeof command, "cp -a '%s' '%s-copy'", dir, dir);
    assert_int_equal(system(command), 0);
    strcat(dir, "-copy");
    db.leaves = 0;
    r = open_as(INSTANCE);
    assert_string_not_equal(ruc_replicas_self(r)->id, id);
    assert_int_equal(db.leaves, 0);
    end(r);
    memcpy(dir, original, sizeof original);
}

static void hosts(void **state)
{
    (void)state;
    char host[RUC_HOST_SIZE], boot[RUC_HOST_SIZE], space[RUC_HOST_SIZE], other[RUC_HOST_SIZE];
    ruc_host_identify(host);
    assert_int_equal(strlen(host), RUC_HOST_SIZE - 1);
    memcpy(boot, host, sizeof host);
    memcpy(space, host, sizeof host);
    memcpy(other, host, sizeof host);
    boot[20] = boot[20] == 'a' ? 'b' : 'a';
    space[40] = space[40] == 'a' ? 'b' : 'a';
    other[3] = other[3] == 'a' ? 'b' : 'a';
    assert_true(ruc_host_same_machine(host, boot) && ruc_host_same_machine(host, space));
    assert_false(ruc_host_same_machine(host, other) || ruc_host_same_machine(host, ""));
    assert_true(ruc_host_rebooted(host, boot));
    assert_false(ruc_host_rebooted(host, space) || ruc_host_rebooted(host, host));
    assert_false(ruc_host_rebooted(host, other) || ruc_host_rebooted("", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_is_held_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_not_renewed_is_fenced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_answer_is_no_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(another_process_of_the_same_id, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_win_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(who_vanishes_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_the_files, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_go_by_the_databases_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_is_a_replica, setup, teardown),
        cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
