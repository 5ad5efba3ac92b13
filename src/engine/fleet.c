/* fleet.c - see fleet.h. */
#include "engine/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/helper.h"
#include "engine/reaper.h"
#include "engine/strays.h"
#include "proc/cgroup.h"

#define PATH_SIZE 4096
#define CGROUP_AGE_S 60

typedef struct member {
    char id[RUC_ULID_SIZE];
    ruc_fleet_t *fleet;
    ruc_driver_t *driver;
    bool known;    /* the driver has said something */
    bool adopting; /* it was looked for, and is not found yet */
    UT_hash_handle hh;
} member_t;

struct ruc_fleet {
    uv_loop_t *loop;
    ruc_fleet_config_t config;
    ruc_fleet_cb cb;
    void *arg;
    member_t *members;
    size_t adopting, adopted; /* since nobody was looked for */
    uint64_t adopting_ms;
};

/* What rucat-engines that were killed have left of their drivers' cgroups. A fresh one that nobody
 * is in yet is left alone. */
static void clean_cgroups(uv_work_t *work)
{
    (void)work;
    ruc_cgroup_clean(CGROUP_AGE_S);
}

static void cleaned(uv_work_t *work, int status)
{
    (void)status;
    free(work);
}

static void begin_cleaning(uv_loop_t *loop)
{
    uv_work_t *work = malloc(sizeof *work);
    if (work != NULL && uv_queue_work(loop, work, clean_cgroups, cleaned) < 0) {
        free(work);
    }
}

ruc_fleet_t *ruc_fleet_new(uv_loop_t *loop, const ruc_fleet_config_t *config, ruc_fleet_cb cb,
                           void *arg)
{
    ruc_fleet_t *fleet = calloc(1, sizeof *fleet);
    if (fleet != NULL) {
        *fleet = (ruc_fleet_t){.loop = loop, .config = *config, .cb = cb, .arg = arg};
        begin_cleaning(loop);
    }
    return fleet;
}

static member_t *member_of(const ruc_fleet_t *fleet, const char *engine)
{
    member_t *member = NULL;
    HASH_FIND_STR(fleet->members, engine, member);
    return member;
}

static void begin_adoption(member_t *member)
{
    ruc_fleet_t *fleet = member->fleet;
    if (fleet->adopting == 0) {
        fleet->adopted = 0;
        fleet->adopting_ms = ruc_clock_mono_ms();
    }
    fleet->adopting++;
    member->adopting = true;
}

/* After a start of the server many are looked for at once: when the last one is found, that is
 * worth a line. */
static void end_adoption(member_t *member)
{
    ruc_fleet_t *fleet = member->fleet;
    if (member->adopting) {
        member->adopting = false;
        fleet->adopted++;
        fleet->adopting--;
        if (fleet->adopting == 0) {
            ruc_log(RUC_LOG_ENGINE, RUC_INFO, "looked for %zu drivers: %.3f s", fleet->adopted,
                    (double)(ruc_clock_mono_ms() - fleet->adopting_ms) / 1000);
        }
    }
}

static void on_news(void *arg, ruc_driver_t *driver, bool beat_only)
{
    (void)driver;
    member_t *member = arg;
    member->known = true;
    end_adoption(member);
    member->fleet->cb(member->fleet->arg, member->id, beat_only);
}

static int path(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int path(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, size, format, args);
    va_end(args);
    return len < 0 || (size_t)len >= size ? RUC_ETOOBIG : 0;
}

static const char *state_dir(const ruc_fleet_t *fleet, const char *base)
{
    return base != NULL && base[0] == '/' ? base : fleet->config.state_dir;
}

int ruc_fleet_dir(const ruc_fleet_t *fleet, const char *base, const char *engine, char *out,
                  size_t size)
{
    return path(out, size, "%s/engines/%s", state_dir(fleet, base), engine);
}

int ruc_fleet_data_dir(const ruc_fleet_t *fleet, const char *base, const char *engine, char *out,
                       size_t size)
{
    return path(out, size, "%s/engines/%s/data", state_dir(fleet, base), engine);
}

int ruc_fleet_run_dir(const ruc_fleet_t *fleet, const char *base, const char *engine,
                      uint64_t epoch, char *out, size_t size)
{
    return path(out, size, "%s/engines/%s/%llu", state_dir(fleet, base), engine,
                (unsigned long long)epoch);
}

void ruc_fleet_sweep(ruc_fleet_t *fleet, ruc_table_t *table, const char *engine)
{
    ruc_strays_config_t config = {.state_dir = fleet->config.state_dir,
                                  .helper = fleet->config.helper,
                                  .beat_ms = fleet->config.beat_ms,
                                  .log_max = fleet->config.log_max};
    ruc_strays_sweep(fleet->loop, table, &config, engine);
}

/* A fresh member with a driver of the record's kind; `text` (NULL: none) is kept beside its plan.
 * NULL without memory or for an unknown kind. */
static member_t *enlist(ruc_fleet_t *fleet, const ruc_record_t *record, const char *text,
                        uint64_t until_ms)
{
    char run_dir[PATH_SIZE], data_dir[PATH_SIZE];
    const char *base = ruc_record_place(record, "dir");
    if (ruc_fleet_run_dir(fleet, base, record->id, record->epoch, run_dir, sizeof run_dir) < 0 ||
        ruc_fleet_data_dir(fleet, base, record->id, data_dir, sizeof data_dir) < 0) {
        return NULL;
    }
    ruc_fleet_forget(fleet, record->id);
    member_t *member = calloc(1, sizeof *member);
    if (member == NULL) {
        return NULL;
    }
    ruc_driver_spec_t spec = {.engine = record->id,
                              .name = record->name,
                              .instance = ruc_record_text(record, "instance"),
                              .epoch = record->epoch,
                              .run_dir = run_dir,
                              .data_dir = data_dir,
                              .embedded = fleet->config.embedded,
                              .helper = fleet->config.helper,
                              .beat_ms = fleet->config.beat_ms,
                              .until_ms = until_ms,
                              .log_max = fleet->config.log_max,
                              .record = text};
    member->fleet = fleet;
    member->driver =
        ruc_driver_new(fleet->loop, ruc_record_text(record, "driver"), &spec, on_news, member);
    if (member->driver == NULL) {
        free(member);
        return NULL;
    }
    snprintf(member->id, sizeof member->id, "%s", record->id);
    HASH_ADD_STR(fleet->members, id, member);
    return member;
}

int ruc_fleet_start(ruc_fleet_t *fleet, const ruc_record_t *record, const json_t *plan,
                    uint64_t until_ms, ruc_why_t *why)
{
    const char *kind = ruc_record_text(record, "driver");
    if (!ruc_driver_kind_known(kind)) {
        return ruc_why_set(why, RUC_EINVALID, "driver '%s' is not supported in this build", kind);
    }
    char *text = ruc_record_dump(record);
    member_t *member = text == NULL ? NULL : enlist(fleet, record, text, until_ms);
    free(text);
    if (member == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory for a driver");
    }
    int rc = ruc_driver_start(member->driver, plan, why);
    if (rc < 0) {
        ruc_fleet_forget(fleet, record->id);
    }
    return rc;
}

int ruc_fleet_adopt(ruc_fleet_t *fleet, const ruc_record_t *record)
{
    member_t *member = enlist(fleet, record, NULL, UINT64_MAX);
    if (member == NULL) {
        return UV_ENOMEM;
    }
    begin_adoption(member);
    int rc = ruc_driver_adopt(member->driver);
    if (rc < 0) {
        ruc_fleet_forget(fleet, record->id);
    }
    return rc;
}

int ruc_fleet_stop(ruc_fleet_t *fleet, const char *engine, const char *signal, int64_t grace_ms)
{
    member_t *member = member_of(fleet, engine);
    return member == NULL ? RUC_ENOTFOUND : ruc_driver_stop(member->driver, signal, grace_ms);
}

const ruc_seen_t *ruc_fleet_seen(const ruc_fleet_t *fleet, const char *engine)
{
    member_t *member = member_of(fleet, engine);
    return member == NULL || !member->known ? NULL : ruc_driver_seen(member->driver);
}

bool ruc_fleet_has(const ruc_fleet_t *fleet, const char *engine)
{
    return member_of(fleet, engine) != NULL;
}

void ruc_fleet_forget(ruc_fleet_t *fleet, const char *engine)
{
    member_t *member = member_of(fleet, engine);
    if (member != NULL) {
        end_adoption(member);
        HASH_DEL(fleet->members, member);
        ruc_driver_close(member->driver);
        free(member);
    }
}

static bool is_alive(const member_t *member)
{
    ruc_seen_phase_t phase = ruc_driver_seen(member->driver)->phase;
    return !member->known || (phase != RUC_SEEN_NONE && phase != RUC_SEEN_ENDED);
}

size_t ruc_fleet_alive(const ruc_fleet_t *fleet)
{
    size_t alive = 0;
    for (member_t *member = fleet->members; member != NULL; member = member->hh.next) {
        alive += is_alive(member);
    }
    return alive;
}

void ruc_fleet_stop_all(ruc_fleet_t *fleet, int64_t grace_ms)
{
    for (member_t *member = fleet->members; member != NULL; member = member->hh.next) {
        if (is_alive(member)) {
            ruc_driver_stop(member->driver, NULL, grace_ms);
        }
    }
}

void ruc_fleet_set_log_max(ruc_fleet_t *fleet, int64_t log_max)
{
    if (log_max == fleet->config.log_max) {
        return;
    }
    fleet->config.log_max = log_max;
    for (member_t *member = fleet->members; member != NULL; member = member->hh.next) {
        ruc_driver_set_log_max(member->driver, log_max);
    }
}

void ruc_fleet_close(ruc_fleet_t *fleet)
{
    member_t *member, *next;
    if (fleet == NULL) {
        return;
    }
    HASH_ITER(hh, fleet->members, member, next)
    {
        ruc_fleet_forget(fleet, member->id);
    }
    ruc_strays_close();
    ruc_helper_leave_all(fleet->loop);
    ruc_reaper_close(fleet->loop);
    free(fleet);
}
