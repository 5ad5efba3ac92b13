/* rescue.c - see rescue.h. */
#include "engine/rescue.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/log.h"
#include "engine/run_dir.h"

#define PATIENCE_MS 2000    /* for an answer */
#define AFTER_KILL_MS 1000  /* the same again, in case it failed */
#define GRACE_DEFAULT 30000 /* a plan that cannot be read */
#define GRACE_MAX 86400000

typedef enum { CONTINUE, STOP_DRIVER, KILL } step_t;

struct ruc_rescue {
    uv_timer_t timer;
    uv_work_t work;
    char name[64], signal[16];
    char *run_dir;
    int64_t grace_ms, planned_ms;
    step_t step; /* the next one, or the one that is under way */
    bool working, ended, killed;
    bool stopped; /* rucat-engine was found stopped */
    int rc;
};

static void on_closed(uv_handle_t *handle)
{
    ruc_rescue_t *r = handle->data;
    free(r->run_dir);
    free(r);
}

static void close_if_over(ruc_rescue_t *r)
{
    if (r->ended && !r->working) {
        uv_close((uv_handle_t *)&r->timer, on_closed);
    }
}

static void on_due(uv_timer_t *timer);

static void wait_for(ruc_rescue_t *r, uint64_t ms)
{
    int rc = uv_timer_start(&r->timer, on_due, ms, 0);
    RUC_MUST(rc == 0);
}

static void work(uv_work_t *request)
{
    ruc_rescue_t *r = request->data;
    if (r->step == STOP_DRIVER) {
        r->rc = ruc_run_dir_stop_driver(r->run_dir, r->signal[0] == '\0' ? NULL : r->signal,
                                        &r->planned_ms);
    } else {
        r->rc =
            ruc_run_dir_signal_helper(r->run_dir, r->step == KILL ? SIGKILL : SIGCONT, &r->stopped);
    }
}

static uint64_t grace_of(const ruc_rescue_t *r)
{
    int64_t ms = r->grace_ms >= 0 ? r->grace_ms : r->planned_ms > 0 ? r->planned_ms : GRACE_DEFAULT;
    return (uint64_t)(ms < GRACE_MAX ? ms : GRACE_MAX);
}

static void say(const ruc_rescue_t *r)
{
    static const char *const did[] = {"it is continued", "its driver is signalled by the server",
                                      "it is killed, and its driver with it"};
    ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: rucat-engine does not answer%s: %s%s%s", r->name,
            r->step == CONTINUE && r->stopped ? " (it is stopped)" : "", did[r->step],
            r->rc < 0 ? ": " : "", r->rc < 0 ? strerror(-r->rc) : "");
}

static void on_worked(uv_work_t *request, int status)
{
    ruc_rescue_t *r = request->data;
    (void)status; /* never cancelled */
    r->working = false;
    say(r); /* also when it helped at once, and it is over */
    if (!r->ended) {
        r->killed = r->killed || (r->step == KILL && r->rc == 0);
        wait_for(r, r->step == STOP_DRIVER && r->rc == 0 ? grace_of(r)
                    : r->step == KILL                    ? AFTER_KILL_MS
                                                         : PATIENCE_MS);
        r->step = r->step == CONTINUE ? STOP_DRIVER : KILL;
    }
    close_if_over(r);
}

static void on_due(uv_timer_t *timer)
{
    ruc_rescue_t *r = timer->data;
    r->working = uv_queue_work(timer->loop, &r->work, work, on_worked) == 0;
    if (!r->working) {
        wait_for(r, PATIENCE_MS);
    }
}

ruc_rescue_t *ruc_rescue_begin(uv_loop_t *loop, const ruc_rescue_spec_t *spec)
{
    ruc_rescue_t *r = calloc(1, sizeof *r);
    char *run_dir = strdup(spec->run_dir);
    if (r == NULL || run_dir == NULL) {
        free(run_dir);
        free(r);
        return NULL;
    }
    r->run_dir = run_dir;
    r->grace_ms = spec->grace_ms;
    snprintf(r->name, sizeof r->name, "%s", spec->name);
    snprintf(r->signal, sizeof r->signal, "%s", spec->signal);
    r->work.data = r;
    uv_timer_init(loop, &r->timer); /* cannot fail */
    r->timer.data = r;
    wait_for(r, PATIENCE_MS);
    return r;
}

bool ruc_rescue_killed(const ruc_rescue_t *r)
{
    return r != NULL && (r->killed || (r->working && r->step == KILL));
}

void ruc_rescue_end(ruc_rescue_t *r)
{
    if (r != NULL && !r->ended) {
        r->ended = true;
        uv_timer_stop(&r->timer);
        close_if_over(r);
    }
}
