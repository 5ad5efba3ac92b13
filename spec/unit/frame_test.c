/* frame_test.c - messages cut and put together again, whatever the pieces they come in. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <string.h>

#include "core/err.h"
#include "core/frame.h"

static void frames_go_out_and_come_back_byte_by_byte(void **state)
{
    (void)state;
    ruc_buf_t out;
    ruc_frame_reader_t reader;
    ruc_buf_init(&out, 1000);
    ruc_frame_reader_init(&reader);
    assert_int_equal(ruc_frame_write(&out, "{}", 2), 0);
    assert_int_equal(ruc_frame_write(&out, "", 0), 0);
    assert_int_equal(ruc_frame_write(&out, "[1]", 3), 0);
    assert_memory_equal(out.data, "\0\0\0\3\1{}", 7);
    static const char *const bodies[] = {"{}", "", "[1]"};
    size_t seen = 0;
    for (size_t i = 0; i < out.len; i++) {
        const char *body;
        size_t len;
        assert_int_equal(ruc_frame_feed(&reader, out.data + i, 1), 0);
        while (ruc_frame_next(&reader, &body, &len) == 1) {
            assert_int_equal(len, strlen(bodies[seen]));
            assert_memory_equal(body, bodies[seen], len);
            seen++;
        }
    }
    assert_int_equal(seen, 3);
    ruc_frame_reader_free(&reader);
    ruc_buf_free(&out);
}

static void the_largest_frame_passes_and_a_larger_one_does_not(void **state)
{
    (void)state;
    static char body[RUC_FRAME_MAX];
    ruc_buf_t out;
    ruc_frame_reader_t reader;
    const char *got = NULL;
    size_t len = 0;
    ruc_buf_init(&out, 200000);
    ruc_frame_reader_init(&reader);
    memset(body, 'x', sizeof body);
    assert_int_equal(ruc_frame_write(&out, body, RUC_FRAME_MAX), RUC_ETOOBIG);
    assert_int_equal(out.len, 0);
    assert_int_equal(ruc_frame_write(&out, body, RUC_FRAME_MAX - 1), 0);
    assert_int_equal(ruc_frame_feed(&reader, out.data, RUC_FRAME_FEED), 0);
    assert_int_equal(ruc_frame_next(&reader, &got, &len), 0);
    assert_int_equal(ruc_frame_feed(&reader, out.data + RUC_FRAME_FEED, out.len - RUC_FRAME_FEED),
                     0);
    assert_int_equal(ruc_frame_next(&reader, &got, &len), 1);
    assert_int_equal(len, RUC_FRAME_MAX - 1);
    ruc_frame_reader_free(&reader);
    ruc_buf_free(&out);
}

static void other_protocols_are_refused_early(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"GET / HTTP/1.1\r\n", 16}, {"\0\0\0\0", 4}, {"\0\1\0\1", 4}, {"\0\0\0\3\2", 5}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ruc_frame_reader_t reader;
        const char *body;
        size_t len;
        ruc_frame_reader_init(&reader);
        assert_int_equal(ruc_frame_feed(&reader, bad[i].bytes, bad[i].len), 0);
        assert_int_equal(ruc_frame_next(&reader, &body, &len), RUC_EPROTO);
        ruc_frame_reader_free(&reader);
    }
}

static void a_reader_that_is_not_drained_has_a_bound(void **state)
{
    (void)state;
    static char bytes[RUC_FRAME_FEED] = {0, 1, 0, 0, 1};
    ruc_frame_reader_t reader;
    ruc_frame_reader_init(&reader);
    assert_int_equal(ruc_frame_feed(&reader, bytes, sizeof bytes), 0);
    assert_int_equal(ruc_frame_feed(&reader, bytes, sizeof bytes), 0);
    assert_int_equal(ruc_frame_feed(&reader, bytes, sizeof bytes), RUC_ETOOBIG);
    ruc_frame_reader_free(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_out_and_come_back_byte_by_byte),
        cmocka_unit_test(the_largest_frame_passes_and_a_larger_one_does_not),
        cmocka_unit_test(other_protocols_are_refused_early),
        cmocka_unit_test(a_reader_that_is_not_drained_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
