/* scripts.c - see scripts.h. */
#include "lua/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "lua/configfile.h"
#include "lua/job.h"
#include "lua/renew.h"

#define ROOTS_MAX 33
#define KEEP 5
#define CONFIG_MAX (1024u * 1024)

typedef struct asker {
    ruc_reload_cb cb;
    void *arg;
    struct asker *next;
} asker_t;

struct ruc_scripts {
    ruc_app_t *app;
    ruc_generation_t *now;
    const char *source; /* "path" or "last good" */
    uint64_t last_number;
    char *last_error;
    int64_t last_error_ms;
    char *saved_dir;
    asker_t *askers, *later; /* of the reload under way; of the one after it */
    bool reading, again;
    /* What the thread pool works on. */
    uv_work_t work;
    const char *roots[ROOTS_MAX];
    size_t root_count;
    ruc_fileset_t files;
    char *config_text;
    size_t config_len;
    ruc_why_t why;
    int rc;
};

static size_t collect_roots(ruc_app_t *app, const char **roots)
{
    size_t i, count = 0;
    json_t *dir;
    json_array_foreach(ruc_config_value(app->config, "scripts"), i, dir)
    {
        if (count < ROOTS_MAX - 1) {
            roots[count++] = json_string_value(dir);
        }
    }
    roots[count++] = app->lua_dir;
    return count;
}

int ruc_scripts_check(ruc_app_t *app, ruc_load_report_t *report)
{
    const char *roots[ROOTS_MAX];
    ruc_fileset_t files;
    ruc_why_t why;
    size_t count = collect_roots(app, roots);
    if (ruc_fileset_read(&files, roots, count, &why) < 0) {
        ruc_buf_adds(&report->errors, why.text);
        report->error_count++;
        return RUC_ESCRIPT;
    }
    ruc_generation_t *generation = ruc_generation_new(app, &files, 0, report);
    if (generation == NULL) {
        return RUC_ESCRIPT;
    }
    ruc_generation_retire(generation);
    return 0;
}

/* ---- start ---- */

/* Scripts that have held the loop up are not served again until they change. */
static bool have_stalled(const ruc_scripts_t *scripts, const ruc_fileset_t *files,
                         ruc_load_report_t *report)
{
    const uint64_t *stalled = scripts->app->stalled;
    for (int i = 0; stalled != NULL && i < RUC_STALLED_MAX && stalled[i] != 0; i++) {
        if (stalled[i] == ruc_fileset_digest(files)) {
            ruc_buf_addf(&report->errors, "%s: these scripts are not served until they change",
                         scripts->app->stall_story);
            report->error_count++;
            return true;
        }
    }
    return false;
}

static ruc_generation_t *build(ruc_scripts_t *scripts, const char *const *roots, size_t count,
                               ruc_load_report_t *report)
{
    ruc_fileset_t files;
    ruc_why_t why;
    if (ruc_fileset_read(&files, roots, count, &why) < 0) {
        ruc_buf_addf(&report->errors, "%s", why.text);
        report->error_count++;
        return NULL;
    }
    if (have_stalled(scripts, &files, report)) {
        ruc_fileset_free(&files);
        return NULL;
    }
    return ruc_generation_new(scripts->app, &files, scripts->last_number + 1, report);
}

static void remember_error(ruc_scripts_t *scripts, const char *text)
{
    free(scripts->last_error);
    scripts->last_error = strdup(text);
    scripts->last_error_ms = ruc_clock_wall_ms();
    ruc_metric_add(ruc_metrics_series(RUC_M_SCRIPT_LOAD_ERRORS), 1);
}

static void serve_with(ruc_scripts_t *scripts, ruc_generation_t *next, const char *source)
{
    ruc_generation_t *before = scripts->now;
    next->vm->filled = ruc_renew_soon;
    scripts->now = next;
    scripts->source = source;
    scripts->last_number =
        next->number > scripts->last_number ? next->number : scripts->last_number;
    ruc_metric_set(ruc_metrics_series(RUC_M_SCRIPT_GENERATION), (double)next->number);
    if (before != NULL) {
        ruc_generation_retire(before);
    }
}

void ruc_scripts_renew(ruc_scripts_t *scripts)
{
    ruc_fileset_t files;
    ruc_load_report_t report;
    ruc_generation_t *next = NULL;
    uint64_t before = scripts->now->number;
    ruc_load_report_init(&report);
    if (ruc_fileset_copy(&scripts->now->files, &files) == 0) {
        next = ruc_generation_new(scripts->app, &files, scripts->last_number + 1, &report);
    }
    if (next == NULL) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR,
                "what scripts keep has filled the memory of generation %llu, and it could not be "
                "made anew: %s",
                (unsigned long long)before, ruc_buf_str(&report.errors));
    } else {
        serve_with(scripts, next, scripts->source);
        ruc_metric_add(ruc_metrics_series(RUC_M_SCRIPT_RENEWALS), 1);
        ruc_log(RUC_LOG_LUA, RUC_ERROR,
                "what scripts keep has filled the memory of generation %llu (limits.lua_memory): "
                "generation %llu, of the same files, serves",
                (unsigned long long)before, (unsigned long long)next->number);
    }
    ruc_load_report_free(&report);
}

/* Tries the saved generations, newest first. */
static ruc_generation_t *last_good(ruc_scripts_t *scripts)
{
    unsigned long long numbers[64];
    size_t count =
        scripts->saved_dir == NULL ? 0 : ruc_fileset_saved(scripts->saved_dir, numbers, 64);
    for (size_t i = 0; i < count; i++) {
        char dir[4096];
        ruc_load_report_t report;
        const char *root = dir;
        snprintf(dir, sizeof dir, "%s/%llu", scripts->saved_dir, numbers[i]);
        ruc_load_report_init(&report);
        scripts->last_number = numbers[i] - 1;
        ruc_generation_t *generation = build(scripts, &root, 1, &report);
        ruc_load_report_free(&report);
        if (generation != NULL) {
            return generation;
        }
    }
    return NULL;
}

/* The shipped scripts alone; also when it was they that held the loop up. */
static ruc_generation_t *shipped(ruc_scripts_t *scripts)
{
    ruc_load_report_t report;
    const char *root = scripts->app->lua_dir;
    const uint64_t *stalled = scripts->app->stalled;
    ruc_load_report_init(&report);
    ruc_generation_t *generation = build(scripts, &root, 1, &report);
    if (generation == NULL) {
        scripts->app->stalled = NULL;
        generation = build(scripts, &root, 1, &report);
        scripts->app->stalled = stalled;
    }
    ruc_load_report_free(&report);
    return generation;
}

static void save(ruc_scripts_t *scripts)
{
    ruc_why_t why;
    if (scripts->saved_dir != NULL && ruc_fileset_save(&scripts->now->files, scripts->saved_dir,
                                                       scripts->now->number, KEEP, &why) < 0) {
        ruc_log(RUC_LOG_LUA, RUC_WARN, "the scripts could not be kept: %s", why.text);
    }
}

int ruc_scripts_open(ruc_app_t *app, ruc_load_report_t *report)
{
    ruc_scripts_t *scripts = calloc(1, sizeof *scripts);
    const char *roots[ROOTS_MAX];
    unsigned long long newest = 0;
    char dir[4096];
    if (scripts == NULL) {
        return UV_ENOMEM;
    }
    scripts->app = app;
    app->scripts = scripts;
    if (app->state_dir[0] != '\0') {
        snprintf(dir, sizeof dir, "%s/scripts", app->state_dir);
        scripts->saved_dir = strdup(dir);
        unsigned long long numbers[64];
        if (ruc_fileset_saved(dir, numbers, 64) > 0) {
            newest = numbers[0];
        }
    }
    scripts->last_number = newest;
    ruc_generation_t *generation = build(scripts, roots, collect_roots(app, roots), report);
    if (generation != NULL) {
        serve_with(scripts, generation, "path");
        return 0;
    }
    remember_error(scripts, ruc_buf_str(&report->errors));
    const char *source = "last good";
    generation = last_good(scripts);
    scripts->last_number = newest; /* the next one is newer than all that are kept */
    if (generation == NULL && app->stalled != NULL) { /* better those than none */
        source = "shipped";
        generation = shipped(scripts);
    }
    if (generation == NULL) {
        ruc_scripts_close(scripts);
        app->scripts = NULL;
        return RUC_ESCRIPT;
    }
    serve_with(scripts, generation, source);
    ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s", scripts->last_error);
    ruc_log(RUC_LOG_LUA, RUC_ERROR, "the scripts cannot be served: serving generation %llu, %s",
            (unsigned long long)generation->number, source);
    return 0;
}

bool ruc_scripts_busy(const ruc_scripts_t *scripts)
{
    return scripts->reading;
}

void ruc_scripts_close(ruc_scripts_t *scripts)
{
    if (scripts == NULL) {
        return;
    }
    RUC_MUST(!scripts->reading);
    ruc_renew_close();
    scripts->app->scripts = NULL;
    scripts->now = NULL;
    ruc_generation_close_all();
    free(scripts->last_error);
    free(scripts->saved_dir);
    free(scripts);
}

ruc_generation_t *ruc_scripts_now(ruc_scripts_t *scripts)
{
    return scripts->now;
}

json_t *ruc_scripts_status(ruc_scripts_t *scripts)
{
    char at[RUC_RFC3339_SIZE];
    json_t *files = json_array();
    for (size_t i = 0; i < scripts->now->files.count; i++) {
        const ruc_file_t *file = &scripts->now->files.files[i];
        json_array_append_new(files,
                              json_pack("{s:s, s:s}", "name", file->name, "path", file->path));
    }
    return json_pack(
        "{s:I, s:s, s:o, s:s?, s:s?}", "generation", (json_int_t)scripts->now->number, "source",
        scripts->source, "files", files, "last_error", scripts->last_error, "last_error_at",
        scripts->last_error == NULL ? NULL : ruc_clock_rfc3339(scripts->last_error_ms, at));
}

/* ---- reload ---- */

static void read_work(uv_work_t *work)
{
    ruc_scripts_t *scripts = work->data;
    scripts->rc =
        ruc_fileset_read(&scripts->files, scripts->roots, scripts->root_count, &scripts->why);
    const char *path = scripts->app->config_file;
    if (scripts->rc == 0 && path[0] != '\0') {
        scripts->config_text = ruc_file_read(path, CONFIG_MAX, &scripts->config_len, &scripts->why);
        scripts->rc = scripts->config_text == NULL ? RUC_ESCRIPT : 0;
    }
}

static void note_change(void *arg, const char *path, bool live)
{
    json_t *list = arg;
    json_array_append_new(list, json_pack("{s:s, s:s}", "key", path, "note",
                                          live ? "taken over" : "needs a restart"));
}

static void split_lines(json_t *list, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        json_array_append_new(list, json_stringn(text, len));
        text += len + (text[len] == '\n');
    }
}

/* Lays file and environment over the defaults again; live keys that changed are taken over. */
static int reload_config(ruc_scripts_t *scripts, json_t *changes, ruc_load_report_t *report)
{
    extern char **environ;
    ruc_app_t *app = scripts->app;
    ruc_config_t next;
    ruc_config_report_t *problems = calloc(2, sizeof *problems);
    int rc = problems == NULL ? UV_ENOMEM : ruc_config_init(&next);
    if (rc < 0) {
        free(problems);
        return rc;
    }
    if (scripts->config_text != NULL) {
        ruc_configfile_lay(&next, app->config_file, scripts->config_text, scripts->config_len,
                           &problems[0]);
    }
    ruc_config_environment(&next, environ, &problems[0], &problems[1]);
    app->lay_flags(&next);
    ruc_config_check(&next, &problems[0]);
    for (size_t i = 0; i < problems[0].count && i < RUC_CONFIG_PROBLEMS; i++) {
        ruc_buf_addf(&report->errors, "%s%s", report->errors.len > 0 ? "\n" : "",
                     problems[0].problems[i].text);
        report->error_count++;
    }
    free(problems);
    if (report->error_count > 0) {
        ruc_config_free(&next);
        return RUC_EINVALID;
    }
    ruc_config_diff(app->config, &next, note_change, changes);
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        const char *key = json_string_value(json_object_get(change, "key"));
        if (strcmp(json_string_value(json_object_get(change, "note")), "taken over") == 0) {
            json_object_set(app->config->keys, key, json_object_get(next.keys, key));
        }
    }
    ruc_config_free(&next);
    if (json_array_size(changes) > 0) {
        app->config_changed(app);
    }
    return 0;
}

/* The names of files that differ between two sets. */
static void list_changes(const ruc_fileset_t *a, const ruc_fileset_t *b, json_t *list)
{
    size_t i = 0, k = 0;
    while (i < a->count || k < b->count) {
        int order = i == a->count   ? 1
                    : k == b->count ? -1
                                    : strcmp(a->files[i].name, b->files[k].name);
        const char *name = order <= 0 ? a->files[i].name : b->files[k].name;
        bool same = order == 0 && a->files[i].len == b->files[k].len &&
                    memcmp(a->files[i].text, b->files[k].text, a->files[i].len) == 0 &&
                    strcmp(a->files[i].path, b->files[k].path) == 0;
        if (!same) {
            json_array_append_new(list, json_string(name));
        }
        i += order <= 0;
        k += order >= 0;
    }
}

static void save_work(uv_work_t *work)
{
    save(work->data);
}

static void begin(ruc_scripts_t *scripts);

static void tell(ruc_scripts_t *scripts, int rc, json_t *report)
{
    asker_t *asker, *next, *askers = scripts->askers;
    scripts->askers = NULL;
    LL_FOREACH_SAFE(askers, asker, next)
    {
        if (asker->cb != NULL) {
            asker->cb(asker->arg, rc, report);
        }
        free(asker);
    }
}

/* The reload is over, the thread pool is done with `scripts`. */
static void saved(uv_work_t *work, int status)
{
    (void)status;
    ruc_scripts_t *scripts = work->data;
    scripts->reading = false;
    if (scripts->again) {
        scripts->again = false;
        LL_CONCAT(scripts->askers, scripts->later);
        scripts->later = NULL;
        if (scripts->app->closing) {
            tell(scripts, RUC_ECLOSED, NULL);
        } else {
            begin(scripts);
        }
    }
}

void ruc_scripts_keep(ruc_scripts_t *scripts)
{
    scripts->work.data = scripts;
    scripts->reading = true;
    if (uv_queue_work(scripts->app->loop, &scripts->work, save_work, saved) < 0) {
        scripts->reading = false;
    }
}

static int take_over(ruc_scripts_t *scripts, json_t *changed, json_t *config,
                     ruc_load_report_t *report)
{
    if (scripts->rc < 0) {
        ruc_buf_adds(&report->errors, scripts->why.text);
        report->error_count++;
        return RUC_ESCRIPT;
    }
    if (have_stalled(scripts, &scripts->files, report)) {
        return RUC_ESCRIPT;
    }
    list_changes(&scripts->now->files, &scripts->files, changed);
    ruc_generation_t *next =
        ruc_generation_new(scripts->app, &scripts->files, scripts->last_number + 1, report);
    if (next == NULL || reload_config(scripts, config, report) < 0) {
        if (next != NULL) {
            ruc_generation_retire(next);
        }
        return RUC_ESCRIPT;
    }
    serve_with(scripts, next, "path");
    free(scripts->last_error);
    scripts->last_error = NULL;
    return 0;
}

static void read_done(uv_work_t *work, int status)
{
    (void)status;
    ruc_scripts_t *scripts = work->data;
    ruc_load_report_t report;
    ruc_load_report_init(&report);
    json_t *changed = json_array(), *config = json_array(), *errors = json_array();
    int rc = take_over(scripts, changed, config, &report);
    ruc_fileset_free(&scripts->files);
    free(scripts->config_text);
    scripts->config_text = NULL;
    if (rc < 0) {
        remember_error(scripts, ruc_buf_str(&report.errors));
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "reload refused, generation %llu serves on:\n%s",
                (unsigned long long)scripts->now->number, scripts->last_error);
        split_lines(errors, ruc_buf_str(&report.errors));
    } else {
        ruc_log(RUC_LOG_LUA, RUC_INFO, "script generation %llu serves, %zu files changed",
                (unsigned long long)scripts->now->number, json_array_size(changed));
    }
    json_t *told = json_pack("{s:I, s:o, s:o, s:o}", "generation", (json_int_t)scripts->now->number,
                             "changed", changed, "config", config, "errors", errors);
    tell(scripts, rc, told);
    json_decref(told);
    ruc_load_report_free(&report);
    if (rc < 0 || uv_queue_work(scripts->app->loop, &scripts->work, save_work, saved) < 0) {
        saved(&scripts->work, 0);
    }
}

static void begin(ruc_scripts_t *scripts)
{
    scripts->root_count = collect_roots(scripts->app, scripts->roots);
    scripts->work.data = scripts;
    scripts->reading = true;
    int rc = uv_queue_work(scripts->app->loop, &scripts->work, read_work, read_done);
    if (rc < 0) {
        scripts->reading = false;
        tell(scripts, rc, NULL);
    }
}

int ruc_scripts_reload(ruc_scripts_t *scripts, ruc_reload_cb cb, void *arg)
{
    asker_t *asker = malloc(sizeof *asker);
    if (asker == NULL || scripts->app->closing) {
        free(asker);
        return scripts->app->closing ? RUC_ECLOSED : UV_ENOMEM;
    }
    *asker = (asker_t){cb, arg, NULL};
    if (scripts->reading) {
        /* What is being read may be older than what the asker means. */
        LL_APPEND(scripts->later, asker);
        scripts->again = true;
    } else {
        LL_APPEND(scripts->askers, asker);
        begin(scripts);
    }
    return 0;
}
