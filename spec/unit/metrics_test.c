/* metrics_test.c - what is counted is what Prometheus reads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* cmocka.h wants these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/metrics.h"

static char *render(void)
{
    ruc_buf_t out;
    ruc_buf_init(&out, 16 << 20);
    assert_int_equal(ruc_metrics_render(&out), 0);
    return out.data;
}

static void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line)) {
        print_error("not there: %s\n", line);
        fail();
    }
}

/* The value on the line that starts with `name`. */
static double value_of(const char *text, const char *name)
{
    char start[128];
    snprintf(start, sizeof start, "\n%s ", name);
    const char *line = strstr(text, start);
    assert_non_null(line);
    return strtod(line + strlen(start), NULL);
}

static int forget(void **state)
{
    (void)state;
    ruc_metrics_close();
    return 0;
}

static void counters_and_gauges_are_rendered(void **state)
{
    (void)state;
    ruc_metric_t *hits = ruc_metrics_series(RUC_M_HTTP_REQUESTS, "/v1/engines", "200");
    ruc_metric_add(hits, 2);
    ruc_metric_add(hits, -5); /* a counter never falls */
    ruc_metric_add(hits, NAN);
    ruc_metric_set(hits, 9);
    ruc_metric_set(ruc_metrics_series(RUC_M_SCRIPT_GENERATION), 7);
    ruc_metric_t *running = ruc_metrics_series(RUC_M_ENGINES, "Running", "spark", "local");
    ruc_metric_add(running, 3);
    ruc_metric_add(running, -1.5);
    char *text = render();
    assert_has(text, "# TYPE rucat_http_requests_total counter\n"
                     "rucat_http_requests_total{route=\"/v1/engines\",code=\"200\"} 2\n");
    assert_has(text, "# HELP rucat_script_generation The script generation that serves.\n"
                     "# TYPE rucat_script_generation gauge\nrucat_script_generation 7\n");
    assert_has(text, "rucat_engines{state=\"Running\",type=\"spark\",platform=\"local\"} 1.5\n");
    assert_has(text, "\nrucat_store_errors_total 0\n"); /* there before anything happened */
    free(text);
    assert_ptr_equal(hits, ruc_metrics_series(RUC_M_HTTP_REQUESTS, "/v1/engines", "200"));
}

static void every_name_of_the_contract_is_there(void **state)
{
    (void)state;
    static const char *const names[] = {"rucat_engines",
                                        "rucat_engine_transitions_total",
                                        "rucat_engine_restarts_total",
                                        "rucat_engine_start_seconds",
                                        "rucat_http_requests_total",
                                        "rucat_http_request_seconds",
                                        "rucat_gateway_streams",
                                        "rucat_gateway_bytes_total",
                                        "rucat_policy_seconds",
                                        "rucat_policy_errors_total",
                                        "rucat_script_generation",
                                        "rucat_script_load_errors_total",
                                        "rucat_scripts_broken",
                                        "rucat_scripts_error",
                                        "rucat_store_seconds",
                                        "rucat_store_errors_total",
                                        "process_cpu_seconds_total",
                                        "process_resident_memory_bytes",
                                        "process_open_fds",
                                        "process_max_fds",
                                        "process_start_time_seconds"};
    char *text = render(), line[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(line, sizeof line, "# TYPE %s ", names[i]);
        assert_has(text, line);
    }
    free(text);
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    ruc_metrics_family_t *family = NULL;
    const double buckets[] = {0.1, 1, 10};
    const char *labels[] = {"q"}, *values[] = {"a"};
    assert_int_equal(ruc_metrics_define("script_time", "t", RUC_METRIC_HISTOGRAM, labels, 1,
                                        buckets, 3, &family, NULL),
                     0);
    ruc_metric_t *metric = ruc_metrics_series_of(family, values, 1);
    const double seen[] = {0.1, 0.5, 5, 100, NAN};
    for (size_t i = 0; i < 5; i++) {
        ruc_metric_observe(metric, seen[i]);
    }
    assert_true(ruc_metric_value(metric) == 4);
    char *text = render();
    assert_has(text, "# TYPE script_time histogram\n"
                     "script_time_bucket{q=\"a\",le=\"0.1\"} 1\n"
                     "script_time_bucket{q=\"a\",le=\"1\"} 2\n"
                     "script_time_bucket{q=\"a\",le=\"10\"} 3\n"
                     "script_time_bucket{q=\"a\",le=\"+Inf\"} 4\n"
                     "script_time_sum{q=\"a\"} 105.6\n"
                     "script_time_count{q=\"a\"} 4\n");
    assert_has(text, "rucat_http_request_seconds_bucket{le=\"+Inf\"} 0\n"
                     "rucat_http_request_seconds_sum 0\nrucat_http_request_seconds_count 0\n");
    free(text);
}

static void label_values_are_escaped_and_cut(void **state)
{
    (void)state;
    char big[1000];
    memset(big, 'x', sizeof big);
    memcpy(big + 254, "\xe2\x82\xac", 3); /* does not fit whole */
    big[sizeof big - 1] = '\0';
    ruc_metric_add(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, "a\"b\\c\nd\xff\xc3\xa9"), 1);
    ruc_metric_add(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, big), 1);
    ruc_metric_add(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, NULL), 1);
    char *text = render();
    assert_has(text, "rucat_gateway_streams{engine=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xc3\xa9\"} 1\n");
    assert_has(text, "rucat_gateway_streams{engine=\"\"} 1\n");
    char line[512];
    big[254] = '\0';
    snprintf(line, sizeof line, "rucat_gateway_streams{engine=\"%.254s\"} 1\n", big);
    assert_has(text, line);
    free(text);
}

static void values_with_separators_are_not_mixed_up(void **state)
{
    (void)state;
    assert_ptr_not_equal(ruc_metrics_series(RUC_M_HTTP_REQUESTS, "a\",code=\"b", ""),
                         ruc_metrics_series(RUC_M_HTTP_REQUESTS, "a", "b\",code=\""));
}

static void series_are_bounded(void **state)
{
    (void)state;
    char value[32];
    for (unsigned i = 0; i < RUC_METRICS_SERIES_MAX + 500; i++) {
        snprintf(value, sizeof value, "e%u", i);
        ruc_metric_add(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, value), 1);
    }
    char *text = render();
    assert_has(text, "rucat_gateway_streams{engine=\"e9999\"} 1\n");
    assert_has(text, "rucat_gateway_streams{engine=\"other\"} 500\n");
    assert_null(strstr(text, "\"e10000\""));
    free(text);
    ruc_metrics_remove(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, "e7"));
    ruc_metrics_remove(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, "e10001")); /* "other" stays */
    ruc_metric_add(ruc_metrics_series(RUC_M_GATEWAY_STREAMS, "new"), 5);
    text = render();
    assert_null(strstr(text, "\"e7\""));
    assert_has(text, "rucat_gateway_streams{engine=\"new\"} 5\n");
    assert_has(text, "rucat_gateway_streams{engine=\"other\"} 500\n");
    free(text);
}

static void scripts_define_their_own(void **state)
{
    (void)state;
    ruc_metrics_family_t *one = NULL, *again = NULL;
    ruc_why_t why;
    const char *labels[] = {"who", "what"}, *other[] = {"who"}, *le[] = {"le"},
               *twice[] = {"a", "a"};
    const double falling[] = {2, 1};
    assert_int_equal(ruc_metrics_define("my_total", "a\\b\n\"c\"", RUC_METRIC_COUNTER, labels, 2,
                                        NULL, 0, &one, &why),
                     0);
    assert_int_equal(
        ruc_metrics_define("my_total", "x", RUC_METRIC_COUNTER, labels, 2, NULL, 0, &again, &why),
        0);
    assert_ptr_equal(one, again);
    assert_ptr_equal(one, ruc_metrics_find("my_total"));
    assert_null(ruc_metrics_find("nobody"));
    assert_int_equal(ruc_metrics_labels(one), 2);
    assert_string_equal(ruc_metrics_label(one, 1), "what");
    const struct {
        const char *name;
        ruc_metric_type_t type;
        const char *const *labels;
        size_t n, nbuckets;
        int rc;
    } bad[] = {{"my_total", RUC_METRIC_GAUGE, labels, 2, 0, RUC_EINVALID},
               {"my_total", RUC_METRIC_COUNTER, other, 1, 0, RUC_EINVALID},
               {"rucat_engines", RUC_METRIC_GAUGE, other, 1, 0, RUC_EEXISTS},
               {"rucat_store_seconds_count", RUC_METRIC_GAUGE, other, 1, 0, RUC_EEXISTS},
               {"1x", RUC_METRIC_GAUGE, other, 1, 0, RUC_EINVALID},
               {"", RUC_METRIC_GAUGE, other, 1, 0, RUC_EINVALID},
               {"a b", RUC_METRIC_GAUGE, other, 1, 0, RUC_EINVALID},
               {"h", RUC_METRIC_HISTOGRAM, le, 1, 0, RUC_EINVALID},
               {"h", RUC_METRIC_HISTOGRAM, twice, 2, 0, RUC_EINVALID},
               {"h", RUC_METRIC_HISTOGRAM, other, 1, 2, RUC_EINVALID}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ruc_metrics_define(bad[i].name, "", bad[i].type, bad[i].labels, bad[i].n,
                                            falling, bad[i].nbuckets, &again, &why),
                         bad[i].rc);
    }
    char *text = render();
    assert_has(text, "# HELP my_total a\\\\b\\n\"c\"\n# TYPE my_total counter\n");
    free(text);
}

static void families_are_bounded(void **state)
{
    (void)state;
    ruc_metrics_family_t *family;
    char name[32];
    for (unsigned i = 0; i <= RUC_METRICS_FAMILIES_MAX; i++) {
        snprintf(name, sizeof name, "f%u", i);
        assert_int_equal(
            ruc_metrics_define(name, "", RUC_METRIC_GAUGE, NULL, 0, NULL, 0, &family, NULL),
            i < RUC_METRICS_FAMILIES_MAX ? 0 : RUC_EFULL);
    }
}

static void numbers_read_back(void **state)
{
    (void)state;
    ruc_metric_t *metric = ruc_metrics_series(RUC_M_SCRIPT_GENERATION);
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {1e21, "1e+21"},
                 {-2.5, "-2.5"},
                 {INFINITY, "+Inf"},
                 {-INFINITY, "-Inf"},
                 {NAN, "NaN"},
                 {1.0 / 3, "0.333333333333333"},
                 {9007199254740991.0, "9007199254740991"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ruc_metric_set(metric, cases[i].value);
        char *text = render(), line[128];
        snprintf(line, sizeof line, "\nrucat_script_generation %s", cases[i].text);
        assert_has(text, line);
        double back = value_of(text, "rucat_script_generation");
        assert_true(isnan(cases[i].value) ? isnan(back) : back == cases[i].value);
        free(text);
    }
}

static void the_process_is_described(void **state)
{
    (void)state;
    char *text = render();
    double start = value_of(text, "process_start_time_seconds");
    double now = (double)time(NULL);
    assert_true(start > now - 600 && start <= now + 1);
    assert_true(value_of(text, "process_resident_memory_bytes") > 500000);
    double before = value_of(text, "process_open_fds");
    assert_true(value_of(text, "process_max_fds") >= before);
    assert_true(value_of(text, "process_cpu_seconds_total") >= 0);
    free(text);
    FILE *more = fopen("/dev/null", "re");
    text = render();
    assert_true(value_of(text, "process_open_fds") == before + 1);
    free(text);
    fclose(more);
}

static void a_full_buffer_is_said(void **state)
{
    (void)state;
    ruc_buf_t out;
    ruc_buf_init(&out, 100);
    assert_int_equal(ruc_metrics_render(&out), RUC_ETOOBIG);
    ruc_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(counters_and_gauges_are_rendered, forget),
        cmocka_unit_test_teardown(every_name_of_the_contract_is_there, forget),
        cmocka_unit_test_teardown(histograms_are_cumulative, forget),
        cmocka_unit_test_teardown(label_values_are_escaped_and_cut, forget),
        cmocka_unit_test_teardown(values_with_separators_are_not_mixed_up, forget),
        cmocka_unit_test_teardown(series_are_bounded, forget),
        cmocka_unit_test_teardown(scripts_define_their_own, forget),
        cmocka_unit_test_teardown(families_are_bounded, forget),
        cmocka_unit_test_teardown(numbers_read_back, forget),
        cmocka_unit_test_teardown(the_process_is_described, forget),
        cmocka_unit_test_teardown(a_full_buffer_is_said, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
