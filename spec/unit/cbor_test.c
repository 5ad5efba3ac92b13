/* cbor_test.c - what SurrealDB answers is read with bounds: whatever bytes come, the reader says no
 * or gives an item that can be walked through and freed. */
#include <stdlib.h>
#include <string.h>
#include <uv.h>
/* cmocka.h wants these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/err.h"
#include "store/surreal_backend.h"

static bool loads(const void *bytes, size_t len)
{
    cbor_item_t *item = ruc__cbor_load(bytes, len);
    bool there = item != NULL;
    if (item) {
        cbor_decref(&item);
    }
    assert_true(!there || ruc__cbor_sound(bytes, len));
    return there;
}

#define LOADS(bytes) loads(bytes, sizeof bytes - 1)

static void well_formed_items_are_read(void **state)
{
    (void)state;
    static const char *const good[] = {"\x00",  "\x20",     "\x60",          "\x80",
                                       "\xa0",  "\xf6",     "\xf5",          "\x18\xff",
                                       "\x61z", "\x81\x01", "\xa1\x61z\x01", NULL};
    assert_true(loads("\x00", 1) && loads("\x40", 1));
    for (int i = 1; good[i]; i++) {
        assert_true(loads(good[i], strlen(good[i])));
    }
    assert_true(LOADS("\xc6\xf6")); /* NONE: a tag that libcbor refuses */
    assert_true(LOADS("\xc8\x82\x66"
                      "engine\x61"
                      "a")); /* a record id */
    assert_true(LOADS("\xd8\x25\x50"
                      "0123456789abcdef")); /* a uuid */
    assert_true(LOADS("\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"));
    assert_true(LOADS("\x9f\x01\x02\xff") && LOADS("\xbf\x61"
                                                   "a\x01\xff"));
    assert_true(LOADS("\x7f\x61"
                      "a\x61"
                      "b\xff"));
}

static void what_is_not_well_formed_is_refused(void **state)
{
    (void)state;
    assert_false(loads("", 0));
    assert_false(LOADS("\x18"));
    assert_false(LOADS("\x1c") || LOADS("\x1e") || LOADS("\xfc"));
    assert_false(LOADS("\x62"
                       "a"));
    assert_false(LOADS("\x01\x01")); /* something behind it */
    assert_false(LOADS("\x82\x01"));
    assert_false(LOADS("\xa1\x01"));
    assert_false(LOADS("\xff") || LOADS("\x81\xff") || LOADS("\xc6\xff") || LOADS("\xc6"));
    assert_false(LOADS("\xbf\x61"
                       "a\xff")); /* a key without a value */
    assert_false(LOADS("\x7f\x01\xff") || LOADS("\x7f\x7f\xff\xff") ||
                 LOADS("\x5f\x61"
                       "a\xff"));
    assert_false(LOADS("HTTP/1.1 200 OK") || LOADS("{\"result\": []}"));
}

static void what_claims_too_much_is_refused_without_memory(void **state)
{
    (void)state;
    assert_false(LOADS("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(LOADS("\x9b\x00\x00\x00\x7f\xff\xff\xff\xff\x01"));
    assert_false(LOADS("\xbb\x7f\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(LOADS("\x7b\x7f\xff\xff\xff\xff\xff\xff\xff"
                       "a"));
    assert_false(LOADS("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"
                       "a"));
    assert_false(LOADS("\x9a\x10\x00\x00\x00\x01"));
    char deep[200000];
    memset(deep, '\x81', sizeof deep);
    assert_false(loads(deep, sizeof deep));
    memset(deep, '\xc6', sizeof deep);
    assert_false(loads(deep, sizeof deep));
    memset(deep, '\x9f', sizeof deep);
    assert_false(loads(deep, sizeof deep));
    for (int depth = 1; depth <= RUC_CBOR_DEPTH + 1; depth++) {
        memset(deep, '\x81', (size_t)depth);
        deep[depth] = '\x00';
        assert_int_equal(loads(deep, (size_t)depth + 1), depth <= RUC_CBOR_DEPTH);
    }
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0,          1,         23, 24,  255, 256,  65536,
                                      4294967296, INT64_MAX, -1, -24, -25, -257, INT64_MIN};
    enum { N = sizeof numbers / sizeof numbers[0] };
    ruc__cbor_t out;
    char key[64];
    ruc__cbor_init(&out, 4096);
    ruc__cbor_map(&out, 3);
    ruc__cbor_str(&out, "numbers");
    ruc__cbor_array(&out, N);
    for (size_t i = 0; i < N; i++) {
        ruc__cbor_int(&out, numbers[i]);
    }
    ruc__cbor_str(&out, "rid");
    ruc__cbor_rid(&out, "engine", "2026-11-23T08:00:00Z");
    ruc__cbor_str(&out, "range");
    ruc__cbor_behind(&out, "engine", NULL);
    assert_int_equal(out.rc, 0);
    cbor_item_t *item = ruc__cbor_load(out.buf.data, out.buf.len);
    assert_non_null(item);
    for (size_t i = 0; i < N; i++) {
        int64_t value = 7;
        assert_true(ruc__cbor_is_int(ruc__cbor_at(ruc__cbor_get(item, "numbers"), i), &value));
        assert_true(value == numbers[i]);
    }
    assert_true(ruc__cbor_is_rid(ruc__cbor_get(item, "rid"), "engine", key, sizeof key));
    assert_string_equal(key, "2026-11-23T08:00:00Z");
    assert_false(ruc__cbor_is_rid(ruc__cbor_get(item, "rid"), "event", key, sizeof key));
    assert_false(ruc__cbor_is_rid(ruc__cbor_get(item, "rid"), "engine", key, 5));
    assert_null(ruc__cbor_get(item, "other"));
    cbor_decref(&item);
    ruc__cbor_free(&out);
    ruc__cbor_init(&out, 10); /* at its bound it says so, once and for all */
    ruc__cbor_str(&out, "longer than ten bytes");
    ruc__cbor_int(&out, 1);
    assert_int_equal(out.rc, RUC_ETOOBIG);
    ruc__cbor_free(&out);
}

/* ---- whatever comes ---- */

static uint32_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % sides;
}

/* An answer as SurrealDB gives it, of which parts are then broken. */
static void write_answer(ruc__cbor_t *out)
{
    static const char *const fields[] = {
        "id",      "name",   "rev",    "state",    "desired", "type", "platform", "owner",
        "keeper",  "due",    "doc",    "beat_at",  "engine",  "at",   "kind",     "versionstamp",
        "changes", "update", "delete", "instance", "until",   "now",  "all",      "taken"};
    enum { NFIELDS = sizeof fields / sizeof fields[0] };
    ruc__cbor_array(out, 2);
    for (int i = 0; i < 2; i++) {
        ruc__cbor_map(out, 2);
        ruc__cbor_str(out, "status");
        ruc__cbor_str(out, "OK");
        ruc__cbor_str(out, "result");
        ruc__cbor_array(out, 3);
        for (int row = 0; row < 3; row++) {
            ruc__cbor_map(out, NFIELDS);
            for (int f = 0; f < NFIELDS; f++) {
                ruc__cbor_str(out, fields[f]);
                switch (dice(7)) {
                case 0:
                    ruc__cbor_rid(out, dice(2) ? "engine" : "event", "01k0000000000000000000000z");
                    break;
                case 1:
                    ruc__cbor_int(out, (int64_t)dice(5) - 2);
                    break;
                case 2:
                    ruc__cbor_tag(out, RUC_CBOR_NONE);
                    ruc__cbor_null(out);
                    break;
                case 3:
                    ruc__cbor_array(out, 1);
                    ruc__cbor_map(out, 1);
                    ruc__cbor_str(out, fields[dice(NFIELDS)]);
                    ruc__cbor_map(out, 0);
                    break;
                case 4:
                    ruc__cbor_bytes(out, "\0\1", 2);
                    break;
                default:
                    ruc__cbor_str(out, dice(2) ? "Running" : "01k0000000000000000000000z");
                }
            }
        }
    }
}

static void take_everything(const cbor_item_t *results)
{
    static const ruc__store_kind_t kinds[] = {
        RUC_OP_CREATE, RUC_OP_UPDATE, RUC_OP_REMOVE, RUC_OP_LOAD,  RUC_OP_GET,
        RUC_OP_EVENTS, RUC_OP_DUE,    RUC_OP_REVS,   RUC_OP_RENEW, RUC_OP_CHANGES};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        ruc__store_op_t op = {.kind = kinds[i], .limit = 2, .after = "01234567.99999999999.0.1"};
        ruc__surreal_feeds_t feeds = {0};
        if (op.kind == RUC_OP_CHANGES) {
            ruc__surreal_take_changes(&op, results, "01234567-0", &feeds);
        } else {
            (void)ruc__surreal_take(&op, results);
        }
        (void)ruc__surreal_became(&op, "attempt", true,
                                  ruc__cbor_get(ruc__cbor_at(results, 0), "result"));
        ruc__store_op_clear(&op);
        ruc__surreal_feeds_free(&feeds);
    }
}

static void no_bytes_break_the_reader(void **state)
{
    (void)state;
    const char *times = getenv("SPEC_TORTURE");
    int rounds = 3000 * (times ? atoi(times) : 1), read = 0;
    for (int round = 0; round < rounds; round++) {
        ruc__cbor_t out;
        seed = (uint32_t)round * 2654435761u + 1;
        ruc__cbor_init(&out, 1 << 20);
        write_answer(&out);
        assert_int_equal(out.rc, 0);
        for (uint32_t i = dice(4); i > 0; i--) { /* of some nothing is broken but the types */
            out.buf.data[dice((uint32_t)out.buf.len)] = (char)dice(256);
        }
        size_t len = dice(10) == 0 ? dice((uint32_t)out.buf.len) : out.buf.len;
        cbor_item_t *item = ruc__cbor_load(out.buf.data, len);
        if (item) {
            read++;
            take_everything(item);
            cbor_decref(&item);
        }
        ruc__cbor_free(&out);
    }
    assert_true(read > rounds / 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_items_are_read),
        cmocka_unit_test(what_is_not_well_formed_is_refused),
        cmocka_unit_test(what_claims_too_much_is_refused_without_memory),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(no_bytes_break_the_reader),
    };
    return cmocka_run_group_tests_name("cbor", tests, NULL, NULL);
}
