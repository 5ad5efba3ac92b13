/* slab.h - memory for the many small objects of one lua_State.
 *
 * Lua tells the size of a block when it gives it back, so a block needs no header and a free one
 * only a pointer: blocks of one size are cut from pages and kept in a list, which is faster than
 * malloc and keeps what a state uses close together. Pages go back only when the state is closed,
 * so a state holds what it needed at its highest, which the cap of vm.h bounds. Blocks above
 * RUC_SLAB_MAX are malloc's. In a build with AddressSanitizer all are, so that it sees each. */
#ifndef RUC_LUA_SLAB_H
#define RUC_LUA_SLAB_H

#include <stddef.h>

#define RUC_SLAB_STEP 16u
#define RUC_SLAB_MAX 512u
#define RUC_SLAB_CLASSES (RUC_SLAB_MAX / RUC_SLAB_STEP)

/* All zero at first. */
typedef struct ruc_slab {
    void *free[RUC_SLAB_CLASSES]; /* each block begins with the next */
    void *pages;                  /* each begins with the next */
    char *at, *end;               /* what is not yet cut of the last page */
    size_t bytes;                 /* of all pages */
} ruc_slab_t;

/* As realloc, with the old size (0: there was none) and a new size of at least 1. NULL when there
 * is no memory: the old block is then as it was. */
void *ruc_slab_resize(ruc_slab_t *slab, void *block, size_t old, size_t size);

/* Takes a block of that size back. */
void ruc_slab_free(ruc_slab_t *slab, void *block, size_t size);

/* Gives all pages back. */
void ruc_slab_close(ruc_slab_t *slab);

#endif
