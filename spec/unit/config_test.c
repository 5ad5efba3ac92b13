/* config_test.c - the table of keys: types, environment, texts, addresses, what differs. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>

#include "core/config.h"

static ruc_config_report_t report, warnings;

static ruc_config_t fresh(void)
{
    ruc_config_t config;
    memset(&report, 0, sizeof report);
    memset(&warnings, 0, sizeof warnings);
    assert_int_equal(ruc_config_init(&config), 0);
    return config;
}

static void lay(ruc_config_t *config, const char *text)
{
    json_t *tree = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(tree);
    ruc_config_lay(config, tree, &report);
    json_decref(tree);
}

static void the_defaults_are_fine(void **state)
{
    (void)state;
    ruc_config_t config = fresh();
    ruc_config_check(&config, &report);
    assert_int_equal(report.count, 0);
    assert_string_equal(ruc_config_text(&config, "listen"), "127.0.0.1:3000");
    assert_true(ruc_config_number(&config, "limits.jobs") == 10000);
    assert_null(ruc_config_text(&config, "state_dir"));
    ruc_config_free(&config);
}

static void a_value_of_a_wrong_type_is_named_and_left_out(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"{\"listen\":5}", "listen"},
        {"{\"listen\":{}}", "listen"},
        {"{\"listen\":[\"127.0.0.1:1\"]}", "listen"},
        {"{\"limits\":{\"body\":\"1\"}}", "limits.body"},
        {"{\"limits\":{\"body\":-1}}", "limits.body"},
        {"{\"limits\":{\"body\":1e300}}", "limits.body"},
        {"{\"limits\":{\"body\":[1]}}", "limits.body"},
        {"{\"limits\":5}", "limits"},
        {"{\"limits\":[1]}", "limits"},
        {"{\"scripts\":\"/x\"}", "scripts"},
        {"{\"scripts\":[5]}", "scripts"},
        {"{\"scripts\":{\"a\":\"b\"}}", "scripts"},
        {"{\"spark\":{\"homes\":[\"x\"]}}", "spark.homes"},
        {"{\"spark\":{\"homes\":{\"4.1\":5}}}", "spark.homes"},
        {"{\"templates\":5}", "templates"},
        {"{\"tls\":{}}", "not supported in this build"},
        {"5", "must return a table"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ruc_config_t config = fresh(), same = fresh();
        lay(&config, wrong[i][0]);
        assert_int_equal(report.count, 1);
        assert_non_null(strstr(report.problems[0].text, wrong[i][1]));
        assert_true(json_equal(config.keys, same.keys));
        ruc_config_free(&config);
        ruc_config_free(&same);
    }
}

static void an_unknown_key_is_named_with_what_was_meant(void **state)
{
    (void)state;
    ruc_config_t config = fresh();
    lay(&config, "{\"listn\":\"x\",\"spark\":{\"hme\":\"x\",\"quite.else\":1},\"elephant\":1}");
    assert_int_equal(report.count, 4);
    const char *all[4][2] = {{"'listn'", "'listen'"},
                             {"'spark.hme'", "'spark.home'"},
                             {"'spark.quite.else'", NULL},
                             {"'elephant'", NULL}};
    for (size_t k = 0; k < 4; k++) {
        bool found = false;
        for (size_t i = 0; i < 4; i++) {
            const char *text = report.problems[i].text;
            found = found || (strstr(text, all[k][0]) != NULL &&
                              (all[k][1] == NULL ? strstr(text, "did you mean") == NULL
                                                 : strstr(text, all[k][1]) != NULL));
        }
        assert_true(found);
    }
    ruc_config_free(&config);
}

static void more_problems_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    ruc_config_t config = fresh();
    json_t *tree = json_object();
    for (int i = 0; i < 200; i++) {
        char key[300];
        snprintf(key, sizeof key, "k%d%0*d", i, i, 0);
        json_object_set_new(tree, key, json_true());
    }
    ruc_config_lay(&config, tree, &report);
    assert_int_equal(report.count, 200);
    json_decref(tree);
    ruc_config_free(&config);
}

static void the_environment_is_laid_over_it(void **state)
{
    (void)state;
    char *environment[] = {"RUCAT_LISTEN=[::1]:80",
                           "RUCAT_SPARK_JAVA_HOME=/j",
                           "RUCAT_LIMITS_BODY=17",
                           "RUCAT_SCRIPTS=/a,/b",
                           "RUCAT_SPARK_HOMES={\"4.1\":\"/s\"}",
                           "RUCAT_URL=x",
                           "RUCAT_TOKEN=x",
                           "RUCAT_INSTANCE=x",
                           "RUCAT_NOSUCH=x",
                           "RUCAT_listen=x",
                           "OTHER=x",
                           "RUCAT_NOEQUALS",
                           NULL};
    ruc_config_t config = fresh();
    ruc_config_environment(&config, environment, &report, &warnings);
    assert_int_equal(report.count, 0);
    assert_int_equal(warnings.count, 2);
    assert_string_equal(ruc_config_text(&config, "listen"), "[::1]:80");
    assert_string_equal(ruc_config_text(&config, "spark.java_home"), "/j");
    assert_true(ruc_config_number(&config, "limits.body") == 17);
    assert_int_equal(json_array_size(ruc_config_value(&config, "scripts")), 2);
    assert_string_equal(
        json_string_value(json_object_get(ruc_config_value(&config, "spark.homes"), "4.1")), "/s");
    ruc_config_free(&config);
}

static void a_text_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"limits.body", "x"},   {"limits.body", ""},      {"limits.body", "-1"},
        {"limits.body", "nan"}, {"limits.body", "1e999"}, {"limits.body", "5x"},
        {"spark.homes", "x"},   {"spark.homes", "[]"},    {"spark.homes", "{\"a\":1}"},
        {"tls", "x"},           {"nosuch", "x"},          {"spark", "x"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ruc_config_t config = fresh();
        ruc_why_t why = {""};
        assert_true(ruc_config_set_text(&config, wrong[i][0], wrong[i][1], &why) < 0);
        assert_non_null(strstr(why.text, wrong[i][0]));
        ruc_config_free(&config);
    }
}

static void addresses_are_split_or_refused(void **state)
{
    (void)state;
    char host[256];
    int port = 0;
    assert_int_equal(ruc_config_address("127.0.0.1:3000", host, &port), 0);
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 3000);
    assert_int_equal(ruc_config_address("[::1]:0", host, &port), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(ruc_config_address("a.b:65535", host, &port), 0);
    static const char *const wrong[] = {"",
                                        ":",
                                        ":80",
                                        "host",
                                        "host:",
                                        "host:x",
                                        "h:-1",
                                        "h:1 ",
                                        "h: 1",
                                        "h:65536",
                                        "::1:80",
                                        "[]:80",
                                        "[::1",
                                        "[::1]",
                                        "[::1]:",
                                        "h:1e3",
                                        "h:99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        print_message("%s\n", wrong[i]);
        assert_true(ruc_config_address(wrong[i], host, &port) < 0);
    }
}

static void loopback_is_known_however_it_is_written(void **state)
{
    (void)state;
    static const char *const loopback[] = {"localhost", "LocalHost", "127.0.0.1", "127.1.2.3",
                                           "::1"};
    static const char *const others[] = {
        "0.0.0.0", "::",   "example.org", "localhost.evil", "127.evil.x", "10.127.0.1",
        "",        "127.", "127.0.0.256", "127.0.0.1.2",    "1270.0.1"};
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        print_message("%s\n", loopback[i]);
        assert_true(ruc_config_loopback(loopback[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        print_message("%s\n", others[i]);
        assert_false(ruc_config_loopback(others[i]));
    }
}

static void check(const char *tree, const char *word)
{
    ruc_config_t config = fresh();
    lay(&config, tree);
    assert_int_equal(report.count, 0);
    ruc_config_check(&config, &report);
    assert_int_equal(report.count, word == NULL ? 0 : 1);
    if (word != NULL) {
        assert_non_null(strstr(report.problems[0].text, word));
    }
    ruc_config_free(&config);
}

static void what_no_key_alone_can_tell_is_checked(void **state)
{
    (void)state;
    check("{\"listen\":\"0.0.0.0:1\"}", "auth = \"none\"");
    check("{\"listen\":\"[::]:1\"}", "auth = \"none\"");
    check("{\"listen\":\"0.0.0.0:1\",\"auth\":\"none\"}", NULL);
    check("{\"listen\":\"[::1]:1\"}", NULL);
    check("{\"listen\":\"localhost:1\"}", NULL);
    check("{\"auth\":\"basic\"}", "auth");
    check("{\"mode\":\"remote\"}", "needs 'store.url'");
    check("{\"mode\":\"remote\",\"store\":{\"url\":\"http://h:1\"}}", NULL);
    check("{\"mode\":\"remote\",\"store\":{\"url\":\"http://h:1\",\"kind\":\"sqlite\"}}",
          "needs 'surreal'");
    check("{\"store\":{\"url\":\"http://h:1\"}}", "mode 'remote'");
    check("{\"role\":[\"monitor\"]}", "a role alone");
    check("{\"role\":[\"x\"]}", "'server' or 'monitor'");
    check("{\"mode\":\"x\"}", "'embedded', 'local'");
    check("{\"store\":{\"kind\":\"surreal\"}}", "needs 'sqlite'");
    check("{\"log\":{\"level\":\"x\"}}", "log.level");
    check("{\"log\":{\"groups\":{\"x\":\"info\"}}}", "'x'");
    check("{\"log\":{\"groups\":{\"store\":\"x\"}}}", "store");
    check("{\"log\":{\"groups\":{\"store\":\"debug\"}}}", NULL);
    check("{\"limits\":{\"jobs\":0}}", "limits.jobs");
    check("{\"limits\":{\"jobs\":1e10}}", "limits.jobs");
    check("{\"monitor\":{\"interval\":0}}", "monitor.interval");
    check("{\"limits\":{\"lua_memory\":1000}}", "limits.lua_memory");
}

static void note(void *arg, const char *path, bool live)
{
    strcat(arg, path);
    strcat(arg, live ? "+ " : "- ");
}

static void what_differs_is_told(void **state)
{
    (void)state;
    char all[200] = "";
    ruc_config_t a = fresh(), b = fresh();
    lay(&b, "{\"listen\":\"[::1]:1\",\"spark\":{\"home\":\"/x\"},\"templates\":{\"k\":[1]}}");
    ruc_config_diff(&a, &b, note, all);
    assert_string_equal(all, "listen- spark.home+ templates+ ");
    json_t *spark = ruc_config_tree(&b, "spark");
    assert_string_equal(json_string_value(json_object_get(spark, "home")), "/x");
    assert_true(json_is_null(json_object_get(spark, "master")));
    json_decref(spark);
    ruc_config_free(&a);
    ruc_config_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_fine),
        cmocka_unit_test(a_value_of_a_wrong_type_is_named_and_left_out),
        cmocka_unit_test(an_unknown_key_is_named_with_what_was_meant),
        cmocka_unit_test(more_problems_than_there_is_room_for_are_counted),
        cmocka_unit_test(the_environment_is_laid_over_it),
        cmocka_unit_test(a_text_that_does_not_fit_is_refused),
        cmocka_unit_test(addresses_are_split_or_refused),
        cmocka_unit_test(loopback_is_known_however_it_is_written),
        cmocka_unit_test(what_no_key_alone_can_tell_is_checked),
        cmocka_unit_test(what_differs_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
