/* monitor.c - see monitor.h. */
#include "lua/monitor.h"

#include <lauxlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "lua/fileset.h"
#include "lua/generation.h"

static struct {
    ruc_ticket_t waiting;
    bool waits;
    ruc_watcher_t watcher;
    ruc_app_t *app;
    ruc_fileset_t files; /* the shipped library */
    uv_timer_t flush;    /* stores heartbeats in batches */
    bool flushing;
} monitor;

static int push_id(lua_State *L, void *arg)
{
    lua_pushstring(L, arg);
    return 1;
}

/* The agenda has something: hand it to the job that waits. */
static void agenda_ready(void *arg)
{
    ruc_app_t *app = arg;
    char id[27];
    while (monitor.waits && !app->closing && ruc_feed_fresh(app->feed) &&
           ruc_agenda_take(app->agenda, id)) {
        monitor.waits = false;
        ruc_job_wake(monitor.waiting, push_id, id);
    }
}

void ruc_monitor_fresh(void *arg, bool fresh)
{
    ruc_app_t *app = arg;
    if (app->agenda == NULL) {
        return;
    }
    if (fresh) {
        ruc_log(RUC_LOG_MONITOR, RUC_INFO,
                "the engines are known as the store has them: reconciling");
        agenda_ready(app);
    } else {
        ruc_log(RUC_LOG_MONITOR, RUC_WARN,
                "the store does not say how the engines are: they are left as they are");
    }
}

void ruc_monitor_wait(ruc_ticket_t ticket)
{
    monitor.waiting = ticket;
    monitor.waits = true;
}

static void driver_news(void *arg, const char *engine, bool beat_only)
{
    ruc_app_t *app = arg;
    const ruc_seen_t *seen = ruc_fleet_seen(app->fleet, engine);
    if (seen != NULL && seen->beat_wall_ms > 0) {
        ruc_table_beat(app->table, engine, seen->beat_wall_ms);
    }
    if (!beat_only) {
        ruc_agenda_put(app->agenda, engine, 0);
    }
}

static void count_move(ruc_record_t *before, ruc_record_t *after)
{
    if (before == NULL || after == NULL || before->state != after->state) {
        ruc_metric_add(
            ruc_metrics_series(RUC_M_ENGINE_TRANSITIONS,
                               before == NULL ? "" : ruc_state_name(before->state),
                               after == NULL ? "" : ruc_state_name(after->state),
                               after == NULL ? "Deleted" : ruc_record_text(after, "reason")),
            1);
    }
}

/* True when there is something worth a line: not each write is. */
static bool worth_a_line(const ruc_record_t *before, const ruc_record_t *after)
{
    return before == NULL || before->state != after->state || before->desired != after->desired ||
           strcmp(ruc_record_text(before, "reason"), ruc_record_text(after, "reason")) != 0 ||
           strcmp(ruc_record_text(before, "health"), ruc_record_text(after, "health")) != 0;
}

/* Each replica sees each change: the one that keeps the engine tells of it. */
static bool is_ours(const ruc_record_t *before, const ruc_record_t *after)
{
    const ruc_replicas_t *replicas = monitor.app->replicas;
    return !ruc_replicas_shared(replicas) ||
           strcmp(ruc_record_text(after != NULL ? after : before, "keeper"),
                  ruc_replicas_self(replicas)->id) == 0;
}

static void record_changed(ruc_watcher_t *watcher, ruc_record_t *before, ruc_record_t *after)
{
    (void)watcher;
    bool ours = is_ours(before, after);
    if (ours) {
        count_move(before, after);
    }
    if (after == NULL) {
        ruc_log(RUC_LOG_ENGINE, ours ? RUC_INFO : RUC_DEBUG, "engine %s (%s) is deleted",
                before->name, before->id);
        ruc_agenda_put(monitor.app->agenda, before->id, 0); /* what is kept for it goes */
        return;
    }
    if (worth_a_line(before, after)) {
        const char *message = ruc_record_text(after, "message");
        ruc_log(RUC_LOG_ENGINE, ours ? RUC_INFO : RUC_DEBUG,
                "engine %s (%s) epoch %llu: %s, wanted %s, %s, %s%s%s", after->name, after->id,
                (unsigned long long)after->epoch, ruc_state_name(after->state),
                ruc_record_text(after, "desired"), ruc_record_text(after, "reason"),
                ruc_record_text(after, "health"), message[0] != '\0' ? ": " : "", message);
    }
    ruc_agenda_put(monitor.app->agenda, after->id, 0);
}

static void put_all(ruc_app_t *app)
{
    for (size_t i = 0; i < ruc_table_count(app->table); i++) {
        ruc_agenda_put(app->agenda, ruc_table_at(app->table, i)->id, 0);
    }
}

void ruc_monitor_replicas_changed(ruc_app_t *app)
{
    static bool held;
    if (app->system == NULL || app->closing) {
        return;
    }
    bool holds = ruc_replicas_holds(app->replicas);
    if (holds && !held) {
        ruc_fleet_sweep(app->fleet, app->table, NULL); /* what has gone on without us? */
    }
    held = holds;
    put_all(app);
}

int ruc_monitor_prepare(ruc_app_t *app, ruc_why_t *why)
{
    ruc_fleet_config_t config = {
        .state_dir = app->state_dir,
        .helper = app->engine_binary,
        .embedded = app->embedded,
        .beat_ms = (int64_t)(ruc_config_number(app->config, "monitor.interval") * 1000),
        .log_max = (int64_t)ruc_config_number(app->config, "limits.log_file")};
    app->fleet = ruc_fleet_new(app->loop, &config, driver_news, app);
    app->agenda = ruc_agenda_new(app->loop, agenda_ready, app);
    if (app->fleet == NULL || app->agenda == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory for the monitor");
    }
    return 0;
}

static int load_monitor(lua_State *L)
{
    ruc_generation_require(L, &monitor.files);
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_getfield(L, -1, "require");
    lua_pushliteral(L, "rucat.monitor");
    lua_call(L, 1, 1);
    return 1;
}

static void monitor_over(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    (void)arg;
    (void)n;
    if (outcome == RUC_JOB_FAILED) {
        ruc_log(RUC_LOG_MONITOR, RUC_ERROR, "reconciling has ended: %s", lua_tostring(co, -1));
    }
}

static void flush_beats(uv_timer_t *timer)
{
    (void)timer;
    ruc_table_flush(monitor.app->table);
}

int ruc_monitor_open(ruc_app_t *app, ruc_why_t *why)
{
    const char *root = app->lua_dir;
    monitor.app = app;
    if (!app->monitor) {
        return 0; /* others reconcile */
    }
    int rc = ruc_fileset_read(&monitor.files, &root, 1, why);
    if (rc < 0) {
        return rc;
    }
    app->system = ruc_vm_new(app, RUC_VM_SYSTEM, 256u << 20, why);
    if (app->system == NULL) {
        return UV_ENOMEM;
    }
    rc = ruc_vm_protect(app->system, load_monitor, app, why);
    if (rc < 0) {
        return rc;
    }
    monitor.watcher.changed = record_changed;
    ruc_table_watch(app->table, &monitor.watcher);
    put_all(app);
    uv_timer_init(app->loop, &monitor.flush);
    uv_timer_start(&monitor.flush, flush_beats, 30000, 30000);
    monitor.flushing = true;
    return ruc_job_start(app->system, RUC_PHASE_SYSTEM, 0, "monitor", NULL, monitor_over, NULL,
                         NULL);
}

void ruc_monitor_close(ruc_app_t *app)
{
    if (monitor.watcher.link != NULL) {
        ruc_table_unwatch(app->table, &monitor.watcher);
    }
    if (monitor.flushing) {
        ruc_table_flush(app->table);
        uv_close((uv_handle_t *)&monitor.flush, NULL);
        monitor.flushing = false;
    }
    ruc_agenda_close(app->agenda);
    app->agenda = NULL;
    ruc_vm_close(app->system);
    app->system = NULL;
    ruc_fleet_close(app->fleet);
    app->fleet = NULL;
    ruc_fileset_free(&monitor.files);
}
