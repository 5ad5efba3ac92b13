/* reload.c - from one generation to the next: reads on the thread pool, builds beside the one that
 * serves, swaps when nothing is wrong.
 *
 * Asked for (SIGHUP, REST, console) it always builds. When files were seen to change it first
 * compares what they hold: with what serves, and with what was tried last, so that a touch makes no
 * generation and a file that stays broken is told of once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/log.h"
#include "lua/configfile.h"
#include "lua/scripts_room.h"

static void read_files(ruc_scripts_t *scripts)
{
    const char *path = scripts->app->config_file;
    scripts->rc =
        ruc_fileset_read(&scripts->files, scripts->roots, scripts->root_count, &scripts->why);
    scripts->read.scripts = ruc_fileset_digest(&scripts->files, true);
    scripts->read.config = 0;
    if (path[0] == '\0') {
        return;
    }
    ruc_why_t why;
    scripts->config_text = ruc_file_read(path, RUC__CONFIG_MAX, &scripts->config_len, &why);
    if (scripts->config_text == NULL) {
        scripts->read.config = ruc_file_digest(why.text, strlen(why.text));
        scripts->why = scripts->rc < 0 ? scripts->why : why;
        scripts->rc = RUC_ESCRIPT;
    } else {
        scripts->read.config = ruc_file_digest(scripts->config_text, scripts->config_len);
    }
}

static bool same(const ruc__digests_t *a, const ruc__digests_t *b)
{
    return a->scripts == b->scripts && a->config == b->config;
}

static void read_work(uv_work_t *work)
{
    ruc_scripts_t *scripts = work->data;
    const char *config = scripts->app->config_file;
    if (scripts->watch != NULL) {
        ruc_watch_sync(scripts->watch, scripts->roots, scripts->root_count, config);
    }
    scripts->unchanged = false;
    uint64_t stamp =
        scripts->polls ? ruc_fileset_stamp(scripts->roots, scripts->root_count, config) : 0;
    if (scripts->only_if_changed && scripts->polls && stamp == scripts->stamp) {
        scripts->unchanged = true;
        return;
    }
    scripts->stamp = stamp;
    read_files(scripts);
    scripts->unchanged = scripts->only_if_changed && same(&scripts->read, &scripts->tried);
}

static void note_change(void *arg, const char *path, bool live)
{
    json_t *list = arg;
    json_array_append_new(list, json_pack("{s:s, s:s}", "key", path, "note",
                                          live ? "taken over" : "needs a restart"));
}

void ruc__scripts_lines(json_t *list, const char *text)
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
        ruc__scripts_set_watch(scripts);
        scripts->look_again = true; /* to watch as it says now */
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
    ruc__scripts_save(work->data);
}

static void begin(ruc_scripts_t *scripts, bool only_if_changed);

static void tell(ruc_scripts_t *scripts, int rc, json_t *report)
{
    ruc__asker_t *asker, *next, *askers = scripts->askers;
    scripts->askers = NULL;
    LL_FOREACH_SAFE(askers, asker, next)
    {
        if (asker->cb != NULL) {
            asker->cb(asker->arg, rc, report);
        }
        free(asker);
    }
}

static void log_warnings(const ruc_scripts_t *scripts)
{
    for (const char *at = ruc_buf_str(&scripts->warnings); *at != '\0';) {
        size_t len = strcspn(at, "\n");
        ruc_log(RUC_LOG_LUA, RUC_WARN, "%.*s", (int)len, at);
        at += len + (at[len] == '\n');
    }
    if (scripts->warning_count > RUC_WARNINGS_MAX) {
        ruc_log(RUC_LOG_LUA, RUC_WARN, "and %zu warnings more",
                scripts->warning_count - RUC_WARNINGS_MAX);
    }
}

static void over(ruc_scripts_t *scripts);

static void saved(uv_work_t *work, int status)
{
    (void)status;
    log_warnings(work->data);
    over(work->data);
}

/* The reload is over, the thread pool is done with `scripts`. */
static void over(ruc_scripts_t *scripts)
{
    scripts->reading = false;
    if (scripts->again) {
        scripts->again = false;
        LL_CONCAT(scripts->askers, scripts->later);
        scripts->later = NULL;
        if (scripts->app->closing) {
            tell(scripts, RUC_ECLOSED, NULL);
        } else {
            scripts->look_again = false;
            begin(scripts, false);
        }
    } else if (scripts->look_again) {
        scripts->look_again = false;
        ruc__scripts_look(scripts);
    }
}

void ruc_scripts_keep(ruc_scripts_t *scripts)
{
    scripts->watch = ruc_watch_new(scripts->app->loop, ruc__scripts_look, scripts);
    if (scripts->watch == NULL) {
        ruc_log(RUC_LOG_LUA, RUC_WARN, "not enough memory to watch the scripts");
    }
    ruc__scripts_set_watch(scripts);
    scripts->look_again = true; /* to begin watching, and for what changed since the start */
    scripts->work.data = scripts;
    scripts->reading = true;
    if (uv_queue_work(scripts->app->loop, &scripts->work, save_work, saved) < 0) {
        over(scripts);
    }
}

void ruc__scripts_set_watch(ruc_scripts_t *scripts)
{
    const char *mode = ruc_config_text(scripts->app->config, "watch.mode");
    if (scripts->watch != NULL) {
        ruc_watch_configure(scripts->watch,
                            strcmp(mode, "off") == 0    ? RUC_WATCH_OFF
                            : strcmp(mode, "poll") == 0 ? RUC_WATCH_POLL
                                                        : RUC_WATCH_AUTO,
                            ruc_config_number(scripts->app->config, "watch.interval"));
    }
}

/* Builds and swaps. With `scripts_too` false only the configuration has changed. */
static int take_over(ruc_scripts_t *scripts, bool scripts_too, json_t *changed, json_t *config,
                     ruc_load_report_t *report)
{
    ruc_generation_t *next = NULL;
    if (scripts->rc < 0) {
        ruc__scripts_unread(&scripts->files, &scripts->why, report);
        return RUC_ESCRIPT;
    }
    if (scripts_too) {
        if (ruc__scripts_stalled(scripts, &scripts->files, report)) {
            return RUC_ESCRIPT;
        }
        list_changes(&scripts->now->files, &scripts->files, changed);
        next = ruc_generation_new(scripts->app, &scripts->files, scripts->last_number + 1, report);
        if (next == NULL) {
            return RUC_ESCRIPT;
        }
    }
    if (reload_config(scripts, config, report) < 0) {
        if (next != NULL) {
            ruc_generation_retire(next);
        }
        return RUC_ESCRIPT;
    }
    if (next != NULL) {
        ruc__scripts_serve(scripts, next, "path");
    }
    scripts->serving = scripts->read;
    return 0;
}

static void log_outcome(ruc_scripts_t *scripts, int rc, bool scripts_too, const json_t *changed,
                        const json_t *config)
{
    unsigned long long number = scripts->now->number;
    if (rc < 0) {
        ruc_log(RUC_LOG_LUA, RUC_ERROR, "reload refused, generation %llu serves on:\n%s", number,
                scripts->last_error);
    } else if (scripts_too) {
        ruc_log(RUC_LOG_LUA, RUC_INFO, "script generation %llu serves, %zu files changed", number,
                json_array_size(changed));
    } else {
        ruc_log(RUC_LOG_LUA, RUC_INFO,
                "the scripts are those of generation %llu, which serves; %zu keys of the "
                "configuration changed",
                number, json_array_size(config));
    }
}

/* All was read, and differs or was asked for. True when there is something to be kept. */
static bool act(ruc_scripts_t *scripts)
{
    ruc_load_report_t report;
    ruc_load_report_init(&report);
    json_t *changed = json_array(), *config = json_array(), *errors = json_array();
    bool scripts_too =
        !scripts->only_if_changed || scripts->read.scripts != scripts->serving.scripts;
    scripts->tried = scripts->read;
    int rc = take_over(scripts, scripts_too, changed, config, &report);
    ruc__scripts_error(scripts, rc < 0 ? ruc_buf_str(&report.errors) : NULL);
    if (rc < 0) {
        ruc__scripts_lines(errors, ruc_buf_str(&report.errors));
    }
    log_outcome(scripts, rc, scripts_too, changed, config);
    json_t *told = json_pack("{s:I, s:o, s:o, s:o}", "generation", (json_int_t)scripts->now->number,
                             "changed", changed, "config", config, "errors", errors);
    tell(scripts, rc, told);
    json_decref(told);
    ruc_load_report_free(&report);
    return rc == 0 && scripts_too;
}

static void read_done(uv_work_t *work, int status)
{
    (void)status;
    ruc_scripts_t *scripts = work->data;
    if (scripts->watch != NULL) {
        ruc_watch_synced(scripts->watch);
    }
    if (scripts->unchanged) {
        ruc_log(RUC_LOG_LUA, RUC_DEBUG, "the script files were looked at: nothing has changed");
    }
    bool keep = !scripts->unchanged && act(scripts);
    ruc_fileset_free(&scripts->files);
    free(scripts->config_text);
    scripts->config_text = NULL;
    if (!keep || uv_queue_work(scripts->app->loop, &scripts->work, save_work, saved) < 0) {
        over(scripts);
    }
}

static void begin(ruc_scripts_t *scripts, bool only_if_changed)
{
    scripts->root_count = ruc__scripts_roots(scripts->app, scripts->roots);
    scripts->only_if_changed = only_if_changed;
    scripts->polls = scripts->watch != NULL && ruc_watch_polls(scripts->watch);
    scripts->work.data = scripts;
    scripts->reading = true;
    int rc = uv_queue_work(scripts->app->loop, &scripts->work, read_work, read_done);
    if (rc < 0) {
        scripts->reading = false;
        tell(scripts, rc, NULL);
    }
}

void ruc__scripts_look(void *arg)
{
    ruc_scripts_t *scripts = arg;
    if (scripts->app->closing) {
        return;
    }
    if (scripts->reading) {
        scripts->look_again = true;
    } else {
        begin(scripts, true);
    }
}

int ruc_scripts_reload(ruc_scripts_t *scripts, ruc_reload_cb cb, void *arg)
{
    ruc__asker_t *asker = malloc(sizeof *asker);
    if (asker == NULL || scripts->app->closing) {
        free(asker);
        return scripts->app->closing ? RUC_ECLOSED : UV_ENOMEM;
    }
    *asker = (ruc__asker_t){cb, arg, NULL};
    if (scripts->reading) {
        /* What is being read may be older than what the asker means. */
        LL_APPEND(scripts->later, asker);
        scripts->again = true;
    } else {
        LL_APPEND(scripts->askers, asker);
        begin(scripts, false);
    }
    return 0;
}
