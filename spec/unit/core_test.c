/* core_test.c - buffers, identifiers, clocks, UTF-8: the small things that all else stands on. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/id.h"
#include "core/utf8.h"

static void buf_grows_to_its_bound_and_no_further(void **state)
{
    (void)state;
    ruc_buf_t buf;
    ruc_buf_init(&buf, 10);
    assert_int_equal(ruc_buf_adds(&buf, "0123456789"), 0);
    assert_int_equal(ruc_buf_adds(&buf, "x"), RUC_ETOOBIG);
    assert_string_equal(ruc_buf_str(&buf), "0123456789");
    ruc_buf_drop(&buf, 4);
    assert_string_equal(ruc_buf_str(&buf), "456789");
    ruc_buf_free(&buf);
}

static void json_strings_are_escaped_and_made_valid(void **state)
{
    (void)state;
    ruc_buf_t buf;
    ruc_buf_init(&buf, 1000);
    const char text[] = "a\"\\\n\x01\x7f\xc3\xa9\xff";
    assert_int_equal(ruc_buf_add_json(&buf, text, sizeof text - 1), 0);
    assert_string_equal(ruc_buf_str(&buf), "\"a\\\"\\\\\\n\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\"");
    ruc_buf_free(&buf);
}

static void utf8_knows_its_edges(void **state)
{
    (void)state;
    assert_true(ruc_utf8_valid("\xf4\x8f\xbf\xbf", 4));
    assert_false(ruc_utf8_valid("\xf4\x90\x80\x80", 4)); /* above U+10FFFF */
    assert_false(ruc_utf8_valid("\xed\xa0\x80", 3));     /* a surrogate */
    assert_false(ruc_utf8_valid("\xc0\xaf", 2));         /* overlong */
    assert_false(ruc_utf8_valid("\xe2\x82", 2));         /* cut */
}

static void ulids_sort_in_the_order_they_are_made(void **state)
{
    (void)state;
    char last[RUC_ULID_SIZE] = "", next[RUC_ULID_SIZE];
    for (int i = 0; i < 10000; i++) {
        ruc_id_ulid(next);
        assert_true(ruc_id_is_ulid(next));
        assert_true(strcmp(last, next) < 0);
        memcpy(last, next, sizeof last);
    }
    ruc_id_after("01a00000000000000000000000"); /* of long ago: nothing changes */
    ruc_id_ulid(next);
    assert_true(strcmp(last, next) < 0);
    ruc_id_after("7zzz0000000000000000000000"); /* by a clock that was far ahead */
    ruc_id_ulid(next);
    assert_true(strcmp("7zzz0000000000000000000000", next) < 0);
    assert_int_equal(ruc_id_newest_ms(), ruc_id_time_ms(next));
    assert_false(ruc_id_is_ulid("01k00000000000000000000000x"));
    assert_false(ruc_id_is_ulid("01K0000000000000000000000U"));
}

static void times_go_out_and_come_back(void **state)
{
    (void)state;
    char text[RUC_RFC3339_SIZE];
    int64_t back = 0;
    assert_string_equal(ruc_clock_rfc3339(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(ruc_clock_rfc3339(1763856123456, text), "2025-11-23T00:02:03.456Z");
    assert_int_equal(ruc_clock_parse(text, &back), 0);
    assert_int_equal(back, 1763856123456);
    assert_int_equal(ruc_clock_parse("2025-11-23", &back), RUC_EINVALID);
}

static void durations_have_one_number_and_one_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"10ms", 10},     {"30s", 30000}, {"5m", 300000}, {"2h", 7200000},
                {"1d", 86400000}, {"1.5", 1500},  {"0", 0}},
      bad[] = {{"", 0},    {"s", 0},   {"-1", 0},    {"1e3", 0},    {"0x10", 0},
               {"inf", 0}, {"5 m", 0}, {"1.2.3", 0}, {"99999d", 0}, {"5mm", 0}};
    int64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(ruc_clock_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ruc_clock_duration(bad[i].text, &ms), RUC_EINVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_to_its_bound_and_no_further),
        cmocka_unit_test(json_strings_are_escaped_and_made_valid),
        cmocka_unit_test(utf8_knows_its_edges),
        cmocka_unit_test(ulids_sort_in_the_order_they_are_made),
        cmocka_unit_test(times_go_out_and_come_back),
        cmocka_unit_test(durations_have_one_number_and_one_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
