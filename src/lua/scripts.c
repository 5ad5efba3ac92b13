/* scripts.c - see scripts.h. */
#include "lua/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "lua/renew.h"
#include "lua/scripts_room.h"
#include "lua/unknown.h"

size_t ruc__scripts_roots(ruc_app_t *app, const char **roots)
{
    size_t i, count = 0;
    json_t *dir;
    json_array_foreach(ruc_config_value(app->config, "scripts"), i, dir)
    {
        if (count < RUC__ROOTS_MAX - 1) {
            roots[count++] = json_string_value(dir);
        }
    }
    roots[count++] = app->lua_dir;
    return count;
}

void ruc__scripts_unread(const ruc_fileset_t *files, const ruc_why_t *why,
                         ruc_load_report_t *report)
{
    bool told = files->problems.len > 0;
    ruc_buf_adds(&report->errors, told ? ruc_buf_str(&files->problems) : why->text);
    report->error_count += told ? files->problem_count : 1;
}

/* Not of the shipped library, which is used where more names are known; a kept generation has a
 * copy of it. */
size_t ruc__scripts_warn(ruc_app_t *app, const ruc_fileset_t *files, const ruc_names_t *known,
                         ruc_buf_t *out)
{
    const char *kept = app->scripts == NULL ? NULL : app->scripts->saved_dir;
    const char *first = files->count == 0 ? "" : files->files[0].path;
    size_t len = kept == NULL ? 0 : strlen(kept);
    char library[4200];
    if (len > 0 && strncmp(first, kept, len) == 0 && first[len] == '/') { /* all are in KEPT/N */
        int root = (int)(len + 1 + strcspn(first + len + 1, "/"));
        snprintf(library, sizeof library, "%.*s/rucat/", root, first);
    } else {
        snprintf(library, sizeof library, "%s/rucat/", app->lua_dir);
    }
    return ruc_globals_warn(files, known, library, out);
}

int ruc_scripts_check(ruc_app_t *app, ruc_load_report_t *report)
{
    const char *roots[RUC__ROOTS_MAX];
    ruc_fileset_t files;
    ruc_why_t why;
    size_t count = ruc__scripts_roots(app, roots);
    if (ruc_fileset_read(&files, roots, count, &why) < 0) {
        ruc__scripts_unread(&files, &why, report);
        ruc_fileset_free(&files);
        return RUC_ESCRIPT;
    }
    ruc_generation_t *generation = ruc_generation_new(app, &files, 0, report);
    if (generation == NULL) {
        return RUC_ESCRIPT;
    }
    ruc_names_t known;
    if (ruc_unknown_list(generation->vm, &known) == 0) {
        report->warning_count =
            ruc__scripts_warn(app, &generation->files, &known, &report->warnings);
        ruc_names_free(&known);
    }
    ruc_generation_retire(generation);
    return 0;
}

/* ---- start ---- */

bool ruc__scripts_stalled(const ruc_scripts_t *scripts, const ruc_fileset_t *files,
                          ruc_load_report_t *report)
{
    const uint64_t *stalled = scripts->app->stalled;
    for (int i = 0; stalled != NULL && i < RUC_STALLED_MAX && stalled[i] != 0; i++) {
        if (stalled[i] == ruc_fileset_digest(files, false)) {
            ruc_buf_addf(&report->errors, "%s: these scripts are not served until they change",
                         scripts->app->stall_story);
            report->error_count++;
            return true;
        }
    }
    return false;
}

static ruc_generation_t *build(ruc_scripts_t *scripts, const char *const *roots, size_t count,
                               bool kept, ruc_load_report_t *report)
{
    ruc_fileset_t files;
    ruc_why_t why;
    if (ruc_fileset_read(&files, roots, count, &why) < 0) {
        ruc__scripts_unread(&files, &why, report);
        ruc_fileset_free(&files);
        return NULL;
    }
    scripts->tried.scripts = ruc_fileset_digest(&files, true);
    bool intact = !kept || ruc_fileset_intact(&files, roots[0]);
    if (!intact) {
        ruc_buf_addf(&report->errors, "%s: not what was kept there", roots[0]);
        report->error_count++;
    }
    if (!intact || ruc__scripts_stalled(scripts, &files, report)) {
        ruc_fileset_free(&files);
        return NULL;
    }
    return ruc_generation_new(scripts->app, &files, scripts->last_number + 1, report);
}

void ruc__scripts_error(ruc_scripts_t *scripts, const char *text)
{
    free(scripts->last_error);
    scripts->last_error = text == NULL ? NULL : strdup(text);
    if (scripts->error != NULL) {
        ruc_metrics_remove(scripts->error);
        scripts->error = NULL;
    }
    if (text != NULL) {
        char first[RUC_METRICS_VALUE_MAX];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(text, "\n"), text);
        scripts->error = ruc_metrics_series(RUC_M_SCRIPTS_ERROR, first);
        ruc_metric_set(scripts->error, 1);
        scripts->last_error_ms = ruc_clock_wall_ms();
        ruc_metric_add(ruc_metrics_series(RUC_M_SCRIPT_LOAD_ERRORS), 1);
    }
    ruc_metric_set(ruc_metrics_series(RUC_M_SCRIPTS_BROKEN), text != NULL);
}

void ruc__scripts_serve(ruc_scripts_t *scripts, ruc_generation_t *next, const char *source)
{
    ruc_generation_t *before = scripts->now;
    next->vm->filled = ruc_renew_soon;
    next->vm->stopped = ruc_renew_shrink;
    scripts->now = next;
    scripts->source = source;
    scripts->last_number =
        next->number > scripts->last_number ? next->number : scripts->last_number;
    ruc_metric_set(ruc_metrics_series(RUC_M_SCRIPT_GENERATION), (double)next->number);
    if (scripts->known.count == 0) {
        ruc_unknown_list(next->vm, &scripts->known);
    }
    if (before != NULL) {
        ruc_generation_retire(before);
    }
}

void ruc_scripts_renew(ruc_scripts_t *scripts, const char *story)
{
    ruc_fileset_t files;
    ruc_load_report_t report;
    ruc_generation_t *next = NULL;
    uint64_t before = scripts->now->number;
    RUC_MUST(!scripts->reading);
    ruc_load_report_init(&report);
    if (ruc_fileset_copy(&scripts->now->files, &files) == 0) {
        next = ruc_generation_new(scripts->app, &files, scripts->last_number + 1, &report);
    }
    if (next == NULL) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "%s, and generation %llu could not be made anew: %s", story,
                (unsigned long long)before, ruc_buf_str(&report.errors));
    } else {
        ruc__scripts_serve(scripts, next, scripts->source);
        ruc_metric_add(ruc_metrics_series(RUC_M_SCRIPT_RENEWALS), 1);
        ruc_log(RUC_LOG_LUA, RUC_ERROR,
                "%s: after generation %llu now %llu serves, of the same files", story,
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
        ruc_generation_t *generation = build(scripts, &root, 1, true, &report);
        if (generation == NULL) {
            ruc_log(RUC_LOG_LUA, RUC_WARN, "kept generation %llu is not to be used: %.*s",
                    numbers[i], (int)strcspn(ruc_buf_str(&report.errors), "\n"),
                    ruc_buf_str(&report.errors));
        }
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
    ruc_generation_t *generation = build(scripts, &root, 1, false, &report);
    if (generation == NULL) {
        scripts->app->stalled = NULL;
        generation = build(scripts, &root, 1, false, &report);
        scripts->app->stalled = stalled;
    }
    ruc_load_report_free(&report);
    return generation;
}

void ruc__scripts_save(ruc_scripts_t *scripts)
{
    ruc_why_t why;
    ruc_buf_clear(&scripts->warnings);
    scripts->warning_count =
        ruc__scripts_warn(scripts->app, &scripts->now->files, &scripts->known, &scripts->warnings);
    if (scripts->saved_dir != NULL && ruc_fileset_save(&scripts->now->files, scripts->saved_dir,
                                                       scripts->now->number, RUC__KEPT, &why) < 0) {
        ruc_log(RUC_LOG_LUA, RUC_WARN, "the scripts could not be kept: %s", why.text);
    }
}

/* Of the configuration file as it is now; 0 when there is none or it cannot be read. */
static uint64_t config_digest(ruc_app_t *app)
{
    ruc_why_t why;
    size_t len;
    char *text = app->config_file[0] == '\0'
                     ? NULL
                     : ruc_file_read(app->config_file, RUC__CONFIG_MAX, &len, &why);
    uint64_t digest = text == NULL ? 0 : ruc_file_digest(text, len);
    free(text);
    return digest;
}

int ruc_scripts_open(ruc_app_t *app, ruc_load_report_t *report)
{
    ruc_scripts_t *scripts = calloc(1, sizeof *scripts);
    const char *roots[RUC__ROOTS_MAX];
    unsigned long long newest = 0;
    char dir[4096];
    if (scripts == NULL) {
        return UV_ENOMEM;
    }
    scripts->app = app;
    app->scripts = scripts;
    ruc_buf_init(&scripts->warnings, 64u * 1024);
    if (app->state_dir[0] != '\0') {
        snprintf(dir, sizeof dir, "%s/scripts", app->state_dir);
        scripts->saved_dir = strdup(dir);
        unsigned long long numbers[64];
        if (ruc_fileset_saved(dir, numbers, 64) > 0) {
            newest = numbers[0];
        }
    }
    scripts->last_number = newest;
    scripts->tried.config = scripts->serving.config = config_digest(app);
    ruc_generation_t *generation =
        build(scripts, roots, ruc__scripts_roots(app, roots), false, report);
    if (generation != NULL) {
        ruc__scripts_serve(scripts, generation, "path");
        scripts->serving.scripts = scripts->tried.scripts;
        ruc__scripts_error(scripts, NULL);
        return 0;
    }
    ruc__scripts_error(scripts, ruc_buf_str(&report->errors));
    ruc__digests_t tried = scripts->tried;
    const char *source = "last good";
    generation = last_good(scripts);
    scripts->tried = tried;
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
    ruc__scripts_serve(scripts, generation, source);
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
    ruc_watch_close(scripts->watch);
    ruc_names_free(&scripts->known);
    ruc_buf_free(&scripts->warnings);
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
    json_t *warnings = json_array();
    if (!scripts->reading) { /* else the thread pool is writing them */
        ruc__scripts_lines(warnings, ruc_buf_str(&scripts->warnings));
    }
    return json_pack(
        "{s:I, s:s, s:s, s:o, s:o, s:s?, s:s?}", "generation", (json_int_t)scripts->now->number,
        "source", scripts->source, "watch",
        scripts->watch == NULL ? "off" : ruc_watch_state(scripts->watch), "files", files,
        "warnings", warnings, "last_error", scripts->last_error, "last_error_at",
        scripts->last_error == NULL ? NULL : ruc_clock_rfc3339(scripts->last_error_ms, at));
}
