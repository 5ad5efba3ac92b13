/* renew.c - see renew.h. */
#include "lua/renew.h"

#include "lua/scripts.h"

#define RENEW_MS 2000
#define BUSY_MS 20

static struct {
    uv_timer_t timer;
    bool open;
    uint64_t next_ms; /* not before that, of the loop's time */
} renewal;

static void renew(uv_timer_t *timer)
{
    ruc_app_t *app = timer->data;
    if (app->scripts != NULL && ruc_scripts_busy(app->scripts)) {
        uv_timer_start(timer, renew, BUSY_MS, 0); /* the thread pool has the files in hand */
        return;
    }
    renewal.next_ms = uv_now(timer->loop) + RENEW_MS;
    if (app->scripts != NULL && !app->closing) {
        ruc_scripts_renew(app->scripts);
    }
}

void ruc_renew_soon(ruc_vm_t *vm)
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
    if (!uv_is_active((uv_handle_t *)&renewal.timer)) {
        uint64_t wait = now < renewal.next_ms ? renewal.next_ms - now : 0;
        uv_timer_start(&renewal.timer, renew, wait, 0);
    }
}

void ruc_renew_close(void)
{
    if (renewal.open) {
        renewal.open = false;
        uv_close((uv_handle_t *)&renewal.timer, NULL);
    }
}
