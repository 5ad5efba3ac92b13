/* pace.c - see pace.h. */
#include "lua/pace.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ENTRIES_MAX 256      /* of a state; beyond that nobody waits */
#define WAIT_MAX 1000000000u /* ns */

typedef struct ruc_pace {
    char what[96];
    uint64_t until_ns;
    UT_hash_handle hh;
} pace_t;

static void drop_old(ruc_vm_t *vm, uint64_t now)
{
    pace_t *pace, *next;
    HASH_ITER(hh, vm->paces, pace, next)
    {
        if (pace->until_ns <= now) {
            HASH_DEL(vm->paces, pace);
            free(pace);
        }
    }
}

void ruc__pace_note(ruc_vm_t *vm, const char *what, uint64_t ns)
{
    pace_t *pace = NULL;
    uint64_t now = uv_hrtime();
    HASH_FIND_STR(vm->paces, what, pace);
    if (pace == NULL) {
        drop_old(vm, now);
        size_t len = strnlen(what, sizeof pace->what - 1);
        if (HASH_COUNT(vm->paces) >= ENTRIES_MAX || (pace = calloc(1, sizeof *pace)) == NULL) {
            return;
        }
        memcpy(pace->what, what, len);
        HASH_ADD_STR(vm->paces, what, pace);
    }
    pace->until_ns = now + (ns < WAIT_MAX ? ns : WAIT_MAX);
}

uint64_t ruc__pace_wait(ruc_vm_t *vm, const char *what)
{
    pace_t *pace = NULL;
    if (vm->paces == NULL) {
        return 0;
    }
    HASH_FIND_STR(vm->paces, what, pace);
    if (pace == NULL) {
        return 0;
    }
    uint64_t now = uv_hrtime();
    if (pace->until_ns > now) {
        return (pace->until_ns - now) / 1000000 + 1;
    }
    HASH_DEL(vm->paces, pace);
    free(pace);
    return 0;
}

void ruc__pace_drop(ruc_vm_t *vm)
{
    drop_old(vm, UINT64_MAX);
}
