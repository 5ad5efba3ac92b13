/* idempotency_test.c - a create that is repeated makes one engine. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
/* clang-format on */

#include "engine/idempotency.h"

static ruc_table_t *table;

static int open_keys(void **state)
{
    table = ruc_table_new(NULL, 10);
    state[0] = ruc_idempotency_new(table);
    return state[0] == NULL ? -1 : 0;
}

static int close_keys(void **state)
{
    ruc_idempotency_free(state[0]);
    ruc_table_free(table);
    return 0;
}

static void a_key_is_claimed_once(void **state)
{
    ruc_idempotency_t *keys = *state;
    char id[27] = "", a[40], b[40];
    ruc_idempotency_digest("{}", 2, a);
    ruc_idempotency_digest("{ }", 3, b);
    assert_string_not_equal(a, b);
    assert_int_equal(ruc_idempotency_claim(keys, "u/k", a, id), RUC_CLAIM_NEW);
    assert_int_equal(ruc_idempotency_claim(keys, "u/k", a, id), RUC_CLAIM_BUSY);
    assert_int_equal(ruc_idempotency_claim(keys, "u/k", b, id), RUC_CLAIM_OTHER);
    assert_int_equal(ruc_idempotency_claim(keys, "v/k", b, id), RUC_CLAIM_NEW);
    ruc_idempotency_settle(keys, "u/k", "01k00000000000000000000001");
    assert_int_equal(ruc_idempotency_claim(keys, "u/k", a, id), RUC_CLAIM_SAME);
    assert_string_equal(id, "01k00000000000000000000001");
    ruc_idempotency_release(keys, "u/k"); /* settled: stays */
    assert_int_equal(ruc_idempotency_claim(keys, "u/k", a, id), RUC_CLAIM_SAME);
    ruc_idempotency_release(keys, "v/k");
    assert_int_equal(ruc_idempotency_claim(keys, "v/k", a, id), RUC_CLAIM_NEW);
}

static void the_oldest_goes_at_the_bound_but_none_that_is_under_way(void **state)
{
    ruc_idempotency_t *keys = *state;
    char key[32], id[27];
    assert_int_equal(ruc_idempotency_claim(keys, "under way", "d", id), RUC_CLAIM_NEW);
    for (unsigned i = 0; i < RUC_IDEMPOTENCY_MAX + 10; i++) {
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(ruc_idempotency_claim(keys, key, "d", id), RUC_CLAIM_NEW);
        ruc_idempotency_settle(keys, key, "01k00000000000000000000001");
    }
    assert_int_equal(ruc_idempotency_claim(keys, "under way", "d", id), RUC_CLAIM_BUSY);
    assert_int_equal(ruc_idempotency_claim(keys, key, "d", id), RUC_CLAIM_SAME);
    assert_int_equal(ruc_idempotency_claim(keys, "k0", "d", id), RUC_CLAIM_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_is_claimed_once, open_keys, close_keys),
        cmocka_unit_test_setup_teardown(the_oldest_goes_at_the_bound_but_none_that_is_under_way,
                                        open_keys, close_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
