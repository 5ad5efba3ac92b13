/* recover.c - see recover.h. The scan is on the thread pool; what it found is taken one by one. */
#include "engine/recover.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/id.h"
#include "core/log.h"
#include "engine/dirs.h"
#include "engine/run_dir.h"

#define FOUND_MAX 100000u /* engines of one state directory that are looked at */

typedef struct found {
    char run_dir[4096];
    json_t *doc; /* of its record.json */
    struct found *next;
} found_t;

typedef struct recovery {
    uv_work_t work;
    ruc_table_t *table;
    char dir[4096]; /* state_dir/engines */
    found_t *found;
    int rc;
    size_t recovered;
    ruc_recover_cb cb;
    void *arg;
} recovery_t;

/* ---- the scan: thread pool ---- */

/* The newest epoch of an engine, if a helper lives in it and its record can be read. */
static found_t *look_at(const char *dir, const char *id)
{
    char path[4096];
    uint64_t *epochs = NULL;
    int len = snprintf(path, sizeof path, "%s/%s", dir, id);
    int n = len > 0 && (size_t)len < sizeof path ? ruc_dirs_epochs(path, &epochs) : 0;
    found_t *found = n > 0 ? calloc(1, sizeof *found) : NULL;
    if (found != NULL) {
        len = snprintf(found->run_dir, sizeof found->run_dir, "%s/%s/%llu", dir, id,
                       (unsigned long long)epochs[n - 1]);
        if (len < 0 || (size_t)len >= sizeof found->run_dir || !ruc_run_dir_held(found->run_dir)) {
            free(found);
            found = NULL;
        } else {
            found->doc = ruc_run_dir_record(found->run_dir);
        }
    }
    free(epochs);
    return found;
}

static void scan(uv_work_t *work)
{
    recovery_t *r = work->data;
    DIR *dir = opendir(r->dir);
    struct dirent *entry;
    for (size_t n = 0; dir != NULL && n < FOUND_MAX && (entry = readdir(dir)) != NULL; n++) {
        found_t *found = ruc_id_is_ulid(entry->d_name) ? look_at(r->dir, entry->d_name) : NULL;
        if (found != NULL) {
            found->next = r->found;
            r->found = found;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* ---- one after the other ---- */

static void take_next(recovery_t *r);

static void free_found(found_t *found)
{
    json_decref(found->doc);
    free(found);
}

static void end_first(recovery_t *r)
{
    found_t *found = r->found;
    r->found = found->next;
    free_found(found);
    take_next(r);
}

static void written(void *arg, int rc, ruc_record_t *record)
{
    recovery_t *r = arg;
    const char *name = json_string_value(json_object_get(r->found->doc, "name"));
    if (rc == 0) {
        r->recovered++;
        ruc_log(RUC_LOG_ENGINE, RUC_WARN,
                "engine %s (%s) was not in the store, but its driver runs: it is written again",
                record->name, record->id);
    } else {
        ruc_log(RUC_LOG_ENGINE, RUC_ERROR,
                "the driver in %s runs, but its engine %s cannot be written again: %s",
                r->found->run_dir, name, ruc_err_text(rc));
    }
    end_first(r);
}

static int write_again(recovery_t *r)
{
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_record_make(json_deep_copy(r->found->doc), &why);
    int rc = record == NULL ? RUC_EINVALID
                            : ruc_table_restore(r->table, record,
                                                "written again: the store had no record of it, and "
                                                "its driver runs",
                                                written, r);
    if (rc < 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_ERROR, "the record of the driver in %s is of no use: %s",
                r->found->run_dir, record == NULL ? why.text : ruc_err_text(rc));
    }
    ruc_record_unref(record);
    return rc;
}

/* Is the last that was heard of it that it was deleted? */
static bool was_deleted(const ruc_store_event_t *events, size_t n)
{
    json_t *doc = n == 0 ? NULL : json_loadb(events[0].doc, events[0].doc_len, 0, NULL);
    const char *reason = json_string_value(json_object_get(doc, "reason"));
    bool deleted = reason != NULL && strcmp(reason, "Deleted") == 0;
    json_decref(doc);
    return deleted;
}

static void heard(void *arg, int rc, const ruc_store_event_t *events, size_t n, bool more)
{
    (void)more;
    recovery_t *r = arg;
    bool stopped;
    if (rc == 0 && was_deleted(events, n)) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "the driver in %s is ended: its engine was deleted",
                r->found->run_dir);
        rc = ruc_run_dir_signal_helper(r->found->run_dir, SIGTERM, &stopped);
        if (rc < 0) {
            ruc_log(RUC_LOG_ENGINE, RUC_ERROR, "the driver in %s cannot be ended: %s",
                    r->found->run_dir, ruc_err_text(rc));
        }
    } else if (rc == 0 && write_again(r) == 0) {
        return;
    }
    end_first(r);
}

static void take_next(recovery_t *r)
{
    while (r->found != NULL) {
        found_t *found = r->found;
        const char *id = json_string_value(json_object_get(found->doc, "id"));
        if (id != NULL && ruc_table_find(r->table, id) == NULL &&
            ruc_store_events(ruc_table_store(r->table), id, NULL, 1, true, heard, r) == 0) {
            return;
        }
        r->found = found->next;
        free_found(found);
    }
    r->cb(r->arg, r->rc, r->recovered);
    free(r);
}

static void scanned(uv_work_t *work, int status)
{
    recovery_t *r = work->data;
    r->rc = status < 0 ? status : 0;
    take_next(r);
}

int ruc_recover(uv_loop_t *loop, ruc_table_t *table, const char *state_dir, ruc_recover_cb cb,
                void *arg)
{
    recovery_t *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return UV_ENOMEM;
    }
    *r = (recovery_t){.table = table, .cb = cb, .arg = arg};
    r->work.data = r;
    int len = snprintf(r->dir, sizeof r->dir, "%s/engines", state_dir);
    int rc = len < 0 || (size_t)len >= sizeof r->dir ? RUC_ETOOBIG
                                                     : uv_queue_work(loop, &r->work, scan, scanned);
    if (rc < 0) {
        free(r);
    }
    return rc;
}
