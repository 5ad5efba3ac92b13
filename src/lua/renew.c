/* renew.c - see renew.h. */
#include "lua/renew.h"

#include <lua.h>
#include <malloc.h>

#include "lua/scripts.h"

#define RENEW_MS 2000
#define BUSY_MS 20
#define SHRINK_MS 1000                /* after a stop: more may come */
#define SPARE_BYTES ((size_t)8 << 20) /* of pages beyond what is in use */

static struct {
    uv_timer_t timer;
    bool open;
    bool full;        /* the state is; else there is only memory to be given back */
    uint64_t next_ms; /* not before that, of the loop's time */
} renewal;

/* Collects what the stopped script has left behind. Small objects' pages go with their state only:
 * true when so many are empty that it should be made anew. */
static bool has_spare_pages(ruc_vm_t *vm)
{
    vm->hoarded = false;
    lua_gc(vm->L, LUA_GCCOLLECT);
    if (vm->slab.bytes > vm->used + SPARE_BYTES) {
        return true;
    }
    malloc_trim(0);
    return false;
}

static void renew(uv_timer_t *timer)
{
    ruc_app_t *app = timer->data;
    if (app->scripts == NULL || app->closing) {
        return;
    }
    if (ruc_scripts_busy(app->scripts)) {
        uv_timer_start(timer, renew, BUSY_MS, 0); /* the thread pool has the files in hand */
        return;
    }
    bool full = renewal.full;
    renewal.full = false;
    renewal.next_ms = uv_now(timer->loop) + RENEW_MS;
    if (full) {
        ruc_scripts_renew(app->scripts,
                          "what scripts keep has filled their memory (limits.lua_memory)");
    } else if (has_spare_pages(ruc_scripts_now(app->scripts)->vm)) {
        ruc_scripts_renew(app->scripts,
                          "memory is given back that a script took which was stopped");
    }
}

static void ask(ruc_vm_t *vm, bool full, uint64_t wait)
{
    ruc_app_t *app = vm->app;
    uint64_t now = uv_now(app->loop);
    if (app->scripts == NULL || app->closing || ruc_scripts_now(app->scripts)->vm != vm) {
        return;
    }
    if (!renewal.open) {
        uv_timer_init(app->loop, &renewal.timer);
        uv_unref((uv_handle_t *)&renewal.timer);
        renewal.timer.data = app;
        renewal.open = true;
    }
    bool sooner = full && !renewal.full;
    renewal.full = renewal.full || full;
    if (sooner || !uv_is_active((uv_handle_t *)&renewal.timer)) {
        uint64_t least = now < renewal.next_ms ? renewal.next_ms - now : 0;
        uv_timer_start(&renewal.timer, renew, least > wait ? least : wait, 0);
    }
}

void ruc_renew_soon(ruc_vm_t *vm)
{
    ask(vm, true, 0);
}

void ruc_renew_shrink(ruc_vm_t *vm)
{
    ask(vm, false, SHRINK_MS);
}

void ruc_renew_close(void)
{
    if (renewal.open) {
        renewal.open = false;
        renewal.full = false;
        uv_close((uv_handle_t *)&renewal.timer, NULL);
    }
}
