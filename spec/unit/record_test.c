/* record_test.c - what an engine is: states, the gate, records and their JSON, and what each verb
 * means for a record as it is. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>

#include "engine/record.h"
#include "engine/verbs.h"

#define BASE                                                                                       \
    "{\"id\":\"01k00000000000000000000000\",\"name\":\"a\",\"type\":\"t\",\"rev\":5,"              \
    "\"platform\":\"local\",\"state\":\"%s\",\"desired\":\"%s\",\"health\":\"unknown\","           \
    "\"epoch\":3,\"wanted_epoch\":%d,\"ending\":\"%s\",\"reason\":\"%s\",\"restarts\":2,"          \
    "\"next_start_at\":%s,\"history\":[{}]}"

static ruc_record_t *record(const char *state, const char *desired, int wanted, const char *ending,
                            const char *reason, const char *next)
{
    char text[1024];
    ruc_why_t why = {""};
    int len = snprintf(text, sizeof text, BASE, state, desired, wanted, ending, reason, next);
    ruc_record_t *made = ruc_record_parse(text, (size_t)len, &why);
    assert_string_equal(why.text, "");
    assert_non_null(made);
    return made;
}

static void the_gate_knows_each_pair(void **state)
{
    (void)state;
    static const bool can[RUC_STATE_COUNT][RUC_STATE_COUNT] = {
        [RUC_STATE_PENDING] =
            {[RUC_STATE_PENDING] = 1, [RUC_STATE_RUNNING] = 1, [RUC_STATE_STOPPED] = 1},
        [RUC_STATE_RUNNING] = {[RUC_STATE_RUNNING] = 1, [RUC_STATE_STOPPED] = 1},
        [RUC_STATE_STOPPED] = {[RUC_STATE_STOPPED] = 1, [RUC_STATE_PENDING] = 1},
    };
    for (int from = 0; from < RUC_STATE_COUNT; from++) {
        for (int to = 0; to < RUC_STATE_COUNT; to++) {
            assert_int_equal(ruc_state_can((ruc_state_t)from, (ruc_state_t)to), can[from][to]);
            ruc_why_t why = {""};
            ruc_record_t *before =
                record(ruc_state_name((ruc_state_t)from), "Running", 3, "", "Ready", "null");
            json_t *changes = json_pack("{s:s}", "state", ruc_state_name((ruc_state_t)to));
            ruc_record_t *after = ruc_record_with(before, changes, &why);
            assert_int_equal(after != NULL, can[from][to]);
            if (after != NULL) {
                assert_int_equal(after->rev, before->rev + 1);
                assert_int_equal(after->state, to);
            } else {
                assert_non_null(strstr(why.text, "does not go from"));
            }
            json_decref(changes);
            ruc_record_unref(after);
            ruc_record_unref(before);
        }
    }
}

static void names_are_known_or_not(void **state)
{
    (void)state;
    assert_int_equal(ruc_state_of("Running"), RUC_STATE_RUNNING);
    assert_int_equal(ruc_state_of("running"), -1);
    assert_int_equal(ruc_state_of(""), -1);
    assert_int_equal(ruc_desired_of("Deleted"), RUC_WANT_DELETED);
    assert_int_equal(ruc_desired_of("Pending"), -1);
    assert_true(ruc_health_known("unhealthy"));
    assert_false(ruc_health_known("ill"));
}

static void a_record_names_the_field_that_is_wrong(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"[]", "object"},
        {"{", "JSON"},
        {"{\"state\":\"Pending\",\"state\":\"Running\"}", "duplicate"},
        {"{\"colour\":\"red\"}", "colour"},
        {"{\"name\":5}", "name"},
        {"{\"name\":null}", "name"},
        {"{\"epoch\":-1}", "epoch"},
        {"{\"epoch\":1.5}", "epoch"},
        {"{\"config\":[]}", "config"},
        {"{\"history\":{}}", "history"},
        {"{\"exit\":null}", "exit"},
        {"{\"state\":\"Lost\",\"desired\":\"Running\",\"health\":\"unknown\"}", "state"},
        {"{\"state\":\"Pending\",\"desired\":\"x\",\"health\":\"unknown\"}", "desired"},
        {"{\"state\":\"Pending\",\"desired\":\"Running\",\"health\":\"x\"}", "health"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ruc_why_t why = {""};
        assert_null(ruc_record_parse(wrong[i][0], strlen(wrong[i][0]), &why));
        assert_non_null(strstr(why.text, wrong[i][1]));
    }
}

static void a_record_is_read_as_it_was_written(void **state)
{
    (void)state;
    ruc_why_t why = {""};
    ruc_record_t *first = record("Running", "Running", 3, "", "Ready", "null");
    char *text = ruc_record_dump(first);
    ruc_record_t *second = ruc_record_parse(text, strlen(text), &why);
    assert_non_null(second);
    assert_true(json_equal(first->doc, second->doc));
    free(text);
    ruc_record_unref(first);
    ruc_record_unref(second);
}

static void changes_leave_the_record_before_as_it_was(void **state)
{
    (void)state;
    ruc_why_t why = {""};
    ruc_record_t *first = record("Running", "Running", 3, "", "Ready", "null");
    char *before = ruc_record_dump(first);
    json_t *changes = json_pack("{s:s, s:{s:i}}", "state", "Stopped", "exit", "code", 7);
    ruc_record_t *second = ruc_record_with(first, changes, &why);
    assert_non_null(second);
    char *after = ruc_record_dump(first);
    assert_string_equal(before, after);
    assert_int_equal(json_integer_value(json_object_get(ruc_record_field(second, "exit"), "code")),
                     7);
    assert_true(json_is_null(json_object_get(ruc_record_field(second, "exit"), "oom")));
    free(before);
    free(after);
    json_decref(changes);
    changes = json_pack("{s:s}", "nosuch", "x");
    assert_null(ruc_record_with(first, changes, &why));
    assert_non_null(strstr(why.text, "nosuch"));
    json_decref(changes);
    ruc_record_unref(first);
    ruc_record_unref(second);
}

static void clients_see_no_secret_and_nothing_internal(void **state)
{
    (void)state;
    static const char text[] =
        "{\"id\":\"01k00000000000000000000000\",\"name\":\"a\",\"state\":\"Pending\","
        "\"desired\":\"Running\",\"health\":\"unknown\",\"instance\":\"hidden-uuid\","
        "\"config\":{\"spark.Password\":\"p1\",\"x.SECRET.y\":\"p2\",\"plain\":\"shown\"},"
        "\"env\":{\"MY_TOKEN\":\"p3\",\"credentials\":\"p4\"}}";
    ruc_why_t why = {""};
    size_t len = 0;
    ruc_record_t *made = ruc_record_parse(text, sizeof text - 1, &why);
    assert_non_null(made);
    for (int round = 0; round < 3; round++) { /* with and without a heartbeat, in the same bytes */
        const char *json = ruc_record_render(made, round == 1 ? 1700000000123 : 0, &len);
        json_t *seen = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(seen);
        assert_null(json_object_get(seen, "instance"));
        json_t *config = json_object_get(seen, "config"), *env = json_object_get(seen, "env");
        assert_string_equal(json_string_value(json_object_get(config, "spark.Password")), "***");
        assert_string_equal(json_string_value(json_object_get(config, "x.SECRET.y")), "***");
        assert_string_equal(json_string_value(json_object_get(config, "plain")), "shown");
        assert_string_equal(json_string_value(json_object_get(env, "MY_TOKEN")), "***");
        assert_string_equal(json_string_value(json_object_get(env, "credentials")), "***");
        assert_int_equal(json_is_string(json_object_get(seen, "heartbeat_at")), round == 1);
        json_decref(seen);
    }
    ruc_record_unref(made);
}

typedef struct expectation {
    const char *state, *desired;
    int wanted;
    const char *ending, *verb;
    int rc;           /* or what comes out: */
    const char *goal; /* desired; NULL: nothing is changed */
    int epoch;        /* wanted_epoch */
} expectation_t;

static void each_verb_means_what_it_should(void **state)
{
    (void)state;
    static const expectation_t table[] = {
        /* a stopped engine */
        {"Stopped", "Stopped", 3, "", "start", 0, "Running", 4},
        {"Stopped", "Stopped", 3, "", "restart", 0, "Running", 4},
        {"Stopped", "Stopped", 3, "", "stop", 0, NULL, 3},
        {"Stopped", "Stopped", 3, "", "delete", 0, "Deleted", 3},
        /* one that waits for its next try */
        {"Stopped", "Running", 3, "", "start", 0, "Running", 4},
        {"Stopped", "Running", 3, "", "restart", 0, "Running", 4},
        {"Stopped", "Running", 3, "", "stop", 0, "Stopped", 3},
        {"Stopped", "Running", 3, "", "delete", 0, "Deleted", 3},
        /* one whose start is due */
        {"Stopped", "Running", 4, "", "start", 0, NULL, 4},
        {"Stopped", "Running", 4, "", "restart", 0, NULL, 4},
        {"Stopped", "Running", 4, "", "stop", 0, "Stopped", 3},
        /* one that runs, or is on its way */
        {"Running", "Running", 3, "", "start", 0, NULL, 3},
        {"Pending", "Running", 3, "", "start", 0, NULL, 3},
        {"Running", "Running", 3, "", "restart", 0, "Running", 4},
        {"Pending", "Running", 3, "", "restart", 0, "Running", 4},
        {"Running", "Running", 3, "", "stop", 0, "Stopped", 3},
        {"Running", "Running", 3, "", "delete", 0, "Deleted", 3},
        /* one that is being restarted */
        {"Running", "Running", 4, "", "restart", 0, NULL, 4},
        {"Running", "Running", 4, "", "start", 0, NULL, 4},
        {"Running", "Running", 4, "", "stop", 0, "Stopped", 3},
        /* one that is being ended because it is not well */
        {"Running", "Running", 3, "Unhealthy", "start", 0, "Running", 4},
        {"Running", "Running", 3, "Unhealthy", "stop", 0, "Stopped", 3},
        /* one that stops */
        {"Running", "Stopped", 3, "StoppedByUser", "stop", 0, NULL, 3},
        {"Running", "Stopped", 3, "StoppedByUser", "start", 0, "Running", 4},
        {"Running", "Stopped", 3, "StoppedByUser", "restart", 0, "Running", 4},
        /* one that is being deleted */
        {"Running", "Deleted", 3, "", "start", RUC_EREFUSED, NULL, 0},
        {"Running", "Deleted", 3, "", "restart", RUC_EREFUSED, NULL, 0},
        {"Running", "Deleted", 3, "", "stop", 0, NULL, 3},
        {"Running", "Deleted", 3, "", "delete", 0, NULL, 3},
        {"Running", "Running", 3, "", "explode", RUC_EINVALID, NULL, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const expectation_t *is = &table[i];
        bool backoff = strcmp(is->state, "Stopped") == 0 && strcmp(is->desired, "Running") == 0 &&
                       is->wanted == 3;
        int rc = 0;
        ruc_why_t why = {""};
        ruc_record_t *before =
            record(is->state, is->desired, is->wanted, is->ending, backoff ? "BackOff" : "Ready",
                   backoff ? "\"2030-01-01T00:00:00.000Z\"" : "null");
        json_t *changes = ruc_verb_changes(before, is->verb, &rc);
        print_message("%s wanted %s (%d, '%s'): %s\n", is->state, is->desired, is->wanted,
                      is->ending, is->verb);
        if (is->rc < 0) {
            assert_null(changes);
            assert_int_equal(rc, is->rc);
        } else {
            assert_non_null(changes);
            assert_int_equal(json_object_size(changes) > 0, is->goal != NULL);
            ruc_record_t *after = ruc_record_with(before, changes, &why);
            assert_non_null(after);
            assert_string_equal(ruc_record_text(after, "desired"),
                                is->goal != NULL ? is->goal : is->desired);
            assert_int_equal(after->wanted_epoch, is->epoch);
            if (is->goal != NULL && strcmp(is->goal, "Deleted") != 0) {
                assert_true(json_is_null(ruc_record_field(after, "next_start_at")));
                assert_string_not_equal(ruc_record_text(after, "reason"), "BackOff");
            }
            if (is->goal != NULL && strcmp(is->goal, "Running") == 0) { /* a fresh budget */
                assert_int_equal(json_integer_value(ruc_record_field(after, "restarts")), 0);
                assert_int_equal(json_array_size(ruc_record_field(after, "history")), 0);
                assert_false(ruc_verb_settled(after, is->verb));
            }
            ruc_record_unref(after);
        }
        json_decref(changes);
        ruc_record_unref(before);
    }
}

static void a_verb_is_settled_when_nothing_more_will_come(void **state)
{
    (void)state;
    static const struct {
        const char *state, *desired;
        int wanted;
        const char *verb;
        bool settled;
    } table[] = {
        {"Running", "Running", 3, "start", true},    {"Running", "Running", 3, "restart", true},
        {"Running", "Running", 4, "restart", false}, {"Running", "Running", 4, "start", false},
        {"Pending", "Running", 3, "start", false},   {"Stopped", "Running", 3, "start", false},
        {"Stopped", "Running", 4, "restart", false}, {"Stopped", "Stopped", 3, "start", true},
        {"Stopped", "Stopped", 3, "stop", true},     {"Running", "Stopped", 3, "stop", false},
        {"Running", "Stopped", 3, "start", false},   {"Running", "Running", 3, "stop", false},
        {"Stopped", "Running", 3, "stop", false},    {"Stopped", "Stopped", 3, "delete", false},
        {"Stopped", "Deleted", 3, "delete", false},  {"Running", "Deleted", 3, "stop", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        ruc_record_t *is =
            record(table[i].state, table[i].desired, table[i].wanted, "", "", "null");
        print_message("%zu\n", i);
        assert_int_equal(ruc_verb_settled(is, table[i].verb), table[i].settled);
        ruc_record_unref(is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gate_knows_each_pair),
        cmocka_unit_test(names_are_known_or_not),
        cmocka_unit_test(a_record_names_the_field_that_is_wrong),
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(changes_leave_the_record_before_as_it_was),
        cmocka_unit_test(clients_see_no_secret_and_nothing_internal),
        cmocka_unit_test(each_verb_means_what_it_should),
        cmocka_unit_test(a_verb_is_settled_when_nothing_more_will_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
