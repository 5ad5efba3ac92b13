/* slab.c - see slab.h. */
#include "lua/slab.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 16384u
#define PAGE_HEAD 16u

#if defined(__SANITIZE_ADDRESS__)
#define SMALL(size) ((void)(size), 0)
#else
#define SMALL(size) ((size) <= RUC_SLAB_MAX)
#endif

static size_t class_of(size_t size)
{
    return (size - 1) / RUC_SLAB_STEP;
}

/* Cuts a block from the last page. What is left of a page that is too short goes to the lists. */
static void *cut(ruc_slab_t *slab, size_t class)
{
    size_t size = (class + 1) * RUC_SLAB_STEP;
    if ((size_t)(slab->end - slab->at) < size) {
        char *page = malloc(PAGE);
        if (page == NULL) {
            return NULL;
        }
        if (slab->end - slab->at >= (ptrdiff_t)RUC_SLAB_STEP) {
            ruc_slab_free(slab, slab->at, (size_t)(slab->end - slab->at));
        }
        *(void **)page = slab->pages;
        slab->pages = page;
        slab->bytes += PAGE;
        slab->at = page + PAGE_HEAD;
        slab->end = page + PAGE;
    }
    void *block = slab->at;
    slab->at += size;
    return block;
}

static void *take(ruc_slab_t *slab, size_t size)
{
    if (!SMALL(size)) {
        return malloc(size);
    }
    size_t class = class_of(size);
    void **block = slab->free[class];
    if (block == NULL) {
        return cut(slab, class);
    }
    slab->free[class] = *block;
    return block;
}

void ruc_slab_free(ruc_slab_t *slab, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    if (size == 0 || !SMALL(size)) {
        free(block);
        return;
    }
    size_t class = class_of(size);
    *(void **)block = slab->free[class];
    slab->free[class] = block;
}

void *ruc_slab_resize(ruc_slab_t *slab, void *block, size_t old, size_t size)
{
    if (old > 0 && SMALL(old) && SMALL(size) && class_of(old) == class_of(size)) {
        return block;
    }
    if (old > 0 && !SMALL(old) && !SMALL(size)) {
        return realloc(block, size);
    }
    void *fresh = take(slab, size);
    if (fresh != NULL && old > 0) {
        memcpy(fresh, block, old < size ? old : size);
        ruc_slab_free(slab, block, old);
    }
    return fresh;
}

void ruc_slab_close(ruc_slab_t *slab)
{
    while (slab->pages != NULL) {
        void *page = slab->pages;
        slab->pages = *(void **)page;
        free(page);
    }
    memset(slab, 0, sizeof *slab);
}
