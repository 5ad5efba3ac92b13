/* slab_test.c - memory for Lua's small objects: blocks do not meet, keep what is in them when they
 * are resized, and are used again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */

#include "lua/slab.h"

#define BLOCKS 4000

typedef struct block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
} block_t;

static void check(const block_t *block)
{
    for (size_t i = 0; i < block->size; i++) {
        assert_int_equal(block->at[i], block->mark);
    }
}

static void resize(ruc_slab_t *slab, block_t *block, size_t size)
{
    unsigned char *fresh = ruc_slab_resize(slab, block->at, block->size, size);
    assert_non_null(fresh);
    assert_int_equal((uintptr_t)fresh % sizeof(void *), 0);
    size_t same = block->size < size ? block->size : size;
    for (size_t i = 0; i < same; i++) {
        assert_int_equal(fresh[i], block->mark);
    }
    block->mark++;
    memset(fresh, block->mark, size);
    block->at = fresh;
    block->size = size;
}

/* Sizes around the steps and the bound, in an order that is always the same. */
static size_t some_size(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return 1 + (*state >> 8) % (RUC_SLAB_MAX + 200);
}

static void blocks_do_not_meet(void **test)
{
    (void)test;
    static block_t blocks[BLOCKS];
    ruc_slab_t slab = {0};
    unsigned state = 1;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            if (blocks[i].at != NULL && (i + round) % 3 == 0) {
                check(&blocks[i]);
                ruc_slab_free(&slab, blocks[i].at, blocks[i].size);
                blocks[i] = (block_t){.mark = (unsigned char)(i + round)};
            } else {
                resize(&slab, &blocks[i], some_size(&state));
            }
        }
        for (int i = 0; i < BLOCKS; i++) {
            check(&blocks[i]);
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[i].at != NULL) {
            ruc_slab_free(&slab, blocks[i].at, blocks[i].size);
        }
    }
    ruc_slab_close(&slab);
}

static void a_freed_block_is_used_again(void **test)
{
    (void)test;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* all blocks are malloc's then */
#endif
    ruc_slab_t slab = {0};
    void *first = ruc_slab_resize(&slab, NULL, 0, 40);
    ruc_slab_free(&slab, first, 40);
    void *other = ruc_slab_resize(&slab, NULL, 0, 100);
    assert_ptr_not_equal(first, other);
    assert_ptr_equal(first, ruc_slab_resize(&slab, NULL, 0, 48)); /* of the same step */
    ruc_slab_close(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_do_not_meet),
        cmocka_unit_test(a_freed_block_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
