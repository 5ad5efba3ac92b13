/* prim_test.c - rucat.test: what only tests may do. Built with RUCAT_TESTING alone.
 *
 *     rucat.test.stall(30)   -- C code that does not come back for 30 s, and that no budget reaches
 */
#include <lauxlib.h>
#include <time.h>

#include "core/clock.h"
#include "lua/prims.h"

#if defined(RUC_TESTING)

static int test_stall(lua_State *L)
{
    uint64_t until = ruc_clock_mono_ms() + (uint64_t)(luaL_checknumber(L, 1) * 1000);
    while (ruc_clock_mono_ms() < until) {
        struct timespec tick = {.tv_nsec = 1000000};
        nanosleep(&tick, NULL); /* signals only interrupt it */
    }
    return 0;
}

void ruc_prim_test(lua_State *L)
{
    static const luaL_Reg functions[] = {{"stall", test_stall}, {NULL, NULL}};
    luaL_newlib(L, functions);
}

#else

typedef int ruc__prim_test_is_empty;

#endif
