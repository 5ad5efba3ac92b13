/* strays.c - see strays.h. The directories are read on the thread pool; the table decides; each
 * stray is a driver of its own, adopted and stopped. */
#include "engine/strays.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/id.h"
#include "core/log.h"
#include "engine/dirs.h"
#include "engine/driver.h"
#include "engine/run_dir.h"

#define FOUND_MAX 10000
#define EVENTS_LOOKED_AT 16

/* What is there: a driver of an epoch, or (epoch 0) a directory in which none lives. */
typedef struct found {
    char engine[RUC_ULID_SIZE];
    char instance[RUC_UUID_SIZE];
    uint64_t epoch;
} found_t;

typedef struct sweep {
    uv_work_t work;
    uv_loop_t *loop;
    ruc_table_t *table;
    ruc_strays_config_t config;
    char engine[RUC_ULID_SIZE]; /* "": all */
    found_t *found;
    size_t count;
} sweep_t;

typedef struct stray {
    char engine[RUC_ULID_SIZE];
    uint64_t epoch;
    char dir[PATH_MAX]; /* of the engine */
    bool remove;        /* the directory, at the end */
    uv_loop_t *loop;
    ruc_driver_t *driver;
    struct stray *prev, *next;
} stray_t;

/* A question about an engine that the table does not have. */
typedef struct question {
    uv_loop_t *loop;
    ruc_strays_config_t config;
    found_t found;
} question_t;

static stray_t *strays;

/* ---- looking: thread pool ---- */

static void add(sweep_t *sweep, const char *engine, uint64_t epoch, const char *instance)
{
    if (sweep->count == FOUND_MAX) {
        return;
    }
    if (sweep->count % 64 == 0) {
        found_t *more = realloc(sweep->found, (sweep->count + 64) * sizeof *more);
        if (more == NULL) {
            return; /* the next sweep finds it */
        }
        sweep->found = more;
    }
    found_t *found = &sweep->found[sweep->count++];
    *found = (found_t){.epoch = epoch};
    snprintf(found->engine, sizeof found->engine, "%s", engine);
    snprintf(found->instance, sizeof found->instance, "%s", instance);
}

static void look_at(sweep_t *sweep, const char *engine)
{
    char dir[PATH_MAX], run_dir[PATH_MAX];
    uint64_t *epochs;
    bool lives = false;
    if (snprintf(dir, sizeof dir, "%s/engines/%s", sweep->config.state_dir, engine) >=
        (int)sizeof dir - 24) {
        return;
    }
    int n = ruc_dirs_epochs(dir, &epochs);
    for (int i = 0; i < n; i++) {
        char instance[RUC_UUID_SIZE];
        snprintf(run_dir, sizeof run_dir, "%.*s/%llu", PATH_MAX - 24, dir,
                 (unsigned long long)epochs[i]);
        if (ruc_run_dir_held(run_dir)) {
            ruc_run_dir_instance(run_dir, instance);
            add(sweep, engine, epochs[i], instance);
            lives = true;
        }
    }
    if (n >= 0 && !lives) {
        add(sweep, engine, 0, "");
    }
    free(epochs);
}

static void look(uv_work_t *work)
{
    sweep_t *sweep = work->data;
    char path[PATH_MAX];
    if (sweep->engine[0] != '\0') {
        look_at(sweep, sweep->engine);
        return;
    }
    int len = snprintf(path, sizeof path, "%s/engines", sweep->config.state_dir);
    DIR *list = len < 0 || (size_t)len >= sizeof path ? NULL : opendir(path);
    for (struct dirent *item; list != NULL && (item = readdir(list)) != NULL;) {
        if (ruc_id_is_ulid(item->d_name)) {
            look_at(sweep, item->d_name);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
}

/* ---- ending one ---- */

static void stray_free(stray_t *stray)
{
    DL_DELETE(strays, stray);
    ruc_driver_close(stray->driver);
    free(stray);
}

static bool is_last(const stray_t *stray)
{
    for (const stray_t *other = strays; other != NULL; other = other->next) {
        if (other != stray && strcmp(other->engine, stray->engine) == 0) {
            return false;
        }
    }
    return true;
}

static void on_news(void *arg, ruc_driver_t *driver, bool beat_only)
{
    stray_t *stray = arg;
    ruc_seen_phase_t phase = ruc_driver_seen(driver)->phase;
    if (beat_only) {
        return;
    }
    if (phase != RUC_SEEN_NONE && phase != RUC_SEEN_ENDED) {
        ruc_driver_stop(driver, NULL, -1); /* also once more: it does no harm */
        return;
    }
    ruc_log(RUC_LOG_ENGINE, RUC_INFO, "the driver of epoch %llu of engine %s is gone",
            (unsigned long long)stray->epoch, stray->engine);
    if (stray->remove && is_last(stray)) {
        ruc_dirs_remove(stray->loop, stray->dir, NULL, NULL); /* else the next sweep does */
    }
    stray_free(stray);
}

static void end_one(uv_loop_t *loop, const ruc_strays_config_t *config, const found_t *found,
                    const char *name, bool remove)
{
    char run_dir[PATH_MAX + 24], data_dir[PATH_MAX + 24];
    for (const stray_t *other = strays; other != NULL; other = other->next) {
        if (other->epoch == found->epoch && strcmp(other->engine, found->engine) == 0) {
            return;
        }
    }
    stray_t *stray = calloc(1, sizeof *stray);
    if (stray == NULL) {
        return; /* the next sweep finds it */
    }
    *stray = (stray_t){.epoch = found->epoch, .remove = remove, .loop = loop};
    snprintf(stray->engine, sizeof stray->engine, "%s", found->engine);
    snprintf(stray->dir, sizeof stray->dir, "%s/engines/%s", config->state_dir, found->engine);
    snprintf(run_dir, sizeof run_dir, "%s/%llu", stray->dir, (unsigned long long)found->epoch);
    snprintf(data_dir, sizeof data_dir, "%s/data", stray->dir);
    ruc_driver_spec_t spec = {.engine = found->engine,
                              .name = name,
                              .instance = found->instance,
                              .epoch = found->epoch,
                              .run_dir = run_dir,
                              .data_dir = data_dir,
                              .helper = config->helper,
                              .beat_ms = config->beat_ms,
                              .log_max = config->log_max};
    stray->driver = ruc_driver_new(loop, "process", &spec, on_news, stray);
    if (stray->driver == NULL) {
        free(stray);
        return;
    }
    DL_APPEND(strays, stray);
    if (ruc_driver_adopt(stray->driver) < 0) {
        stray_free(stray);
        return;
    }
    ruc_log(RUC_LOG_ENGINE, RUC_WARN,
            "epoch %llu of engine %s is over (others have gone on without this replica): its "
            "driver is ended",
            (unsigned long long)found->epoch, name);
}

/* ---- deciding ---- */

static bool was_deleted(const ruc_store_event_t *events, size_t n)
{
    bool deleted = false;
    for (size_t i = 0; i < n && !deleted; i++) {
        json_t *doc = json_loadb(events[i].doc, events[i].doc_len, 0, NULL);
        const char *reason = json_string_value(json_object_get(doc, "reason"));
        deleted = strcmp(events[i].kind, "state") == 0 && reason != NULL &&
                  strcmp(reason, "Deleted") == 0;
        json_decref(doc);
    }
    return deleted;
}

static void answered(void *arg, int rc, const ruc_store_event_t *events, size_t n, bool more)
{
    question_t *question = arg;
    const found_t *found = &question->found;
    char dir[PATH_MAX];
    (void)more;
    if (rc == 0 && was_deleted(events, n)) {
        if (found->epoch != 0) {
            end_one(question->loop, &question->config, found, found->engine, true);
        } else if (snprintf(dir, sizeof dir, "%s/engines/%s", question->config.state_dir,
                            found->engine) < (int)sizeof dir) {
            ruc_dirs_remove(question->loop, dir, NULL, NULL);
        }
    } else if (rc == 0 && found->epoch != 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN,
                "a driver of engine %s, epoch %llu, runs here and the store knows nothing of that "
                "engine: it is left alone",
                found->engine, (unsigned long long)found->epoch);
    }
    free(question);
}

static void ask(sweep_t *sweep, const found_t *found)
{
    question_t *question = malloc(sizeof *question);
    if (question == NULL) {
        return;
    }
    *question = (question_t){sweep->loop, sweep->config, *found};
    if (ruc_store_events(ruc_table_store(sweep->table), found->engine, NULL, EVENTS_LOOKED_AT, true,
                         answered, question) < 0) {
        free(question); /* the store is closing, or too much waits: the next sweep asks */
    }
}

static void looked(uv_work_t *work, int status)
{
    sweep_t *sweep = work->data;
    (void)status; /* never cancelled */
    for (size_t i = 0; i < sweep->count; i++) {
        const found_t *found = &sweep->found[i];
        const ruc_record_t *record = ruc_table_find(sweep->table, found->engine);
        if (record == NULL) {
            ask(sweep, found);
        } else if (found->epoch != 0 && record->epoch > found->epoch) {
            end_one(sweep->loop, &sweep->config, found, record->name, false);
        }
    }
    free(sweep->found);
    free(sweep);
}

void ruc_strays_sweep(uv_loop_t *loop, ruc_table_t *table, const ruc_strays_config_t *config,
                      const char *engine)
{
    sweep_t *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL) {
        return;
    }
    sweep->loop = loop;
    sweep->table = table;
    sweep->config = *config;
    sweep->work.data = sweep;
    snprintf(sweep->engine, sizeof sweep->engine, "%s", engine == NULL ? "" : engine);
    if (uv_queue_work(loop, &sweep->work, look, looked) < 0) {
        free(sweep);
    }
}

void ruc_strays_close(void)
{
    while (strays != NULL) {
        stray_free(strays);
    }
}
