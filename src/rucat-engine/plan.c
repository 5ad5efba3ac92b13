/* plan.c - see plan.h. */
#include "rucat-engine/plan.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc/signame.h"

#define DEFAULT_LOG_MAX (64 << 20)

static const char *text_of(json_t *object, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? missing : text;
}

/* An integer within [low, high], else `missing`. */
static int64_t number_of(json_t *object, const char *key, int64_t low, int64_t high,
                         int64_t missing)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high) {
        return missing;
    }
    return json_integer_value(value);
}

static int read_argv(ruc_re_plan_t *plan, char *why, size_t size)
{
    json_t *list = json_object_get(plan->root, "argv");
    size_t count = json_array_size(list);
    plan->argv = calloc(count + 1, sizeof *plan->argv);
    if (count == 0 || plan->argv == NULL) {
        snprintf(why, size, "the plan has no argv");
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        plan->argv[i] = (char *)json_string_value(json_array_get(list, i));
        if (plan->argv[i] == NULL) {
            snprintf(why, size, "the plan's argv holds something other than text");
            return -1;
        }
    }
    return 0;
}

/* Appends "name=value" to envp. */
static int add_env(ruc_re_plan_t *plan, size_t *count, const char *name, const char *value)
{
    if (asprintf(&plan->envp[*count], "%s=%s", name, value) < 0) {
        plan->envp[*count] = NULL;
        return -1;
    }
    (*count)++;
    return 0;
}

static int read_env(ruc_re_plan_t *plan, char *why, size_t size)
{
    json_t *env = json_object_get(plan->root, "env");
    const char *name;
    json_t *value;
    size_t count = 0;
    char epoch[24];
    plan->envp = calloc(json_object_size(env) + 3, sizeof *plan->envp);
    int rc = plan->envp == NULL ? -1 : 0;
    json_object_foreach(env, name, value)
    {
        bool ours = strcmp(name, "RUCAT_INSTANCE") == 0 || strcmp(name, "RUCAT_EPOCH") == 0;
        if (rc == 0 && !ours && json_is_string(value)) {
            rc = add_env(plan, &count, name, json_string_value(value));
        }
    }
    snprintf(epoch, sizeof epoch, "%" PRId64, plan->epoch);
    if (rc == 0) {
        rc = add_env(plan, &count, "RUCAT_INSTANCE", plan->instance);
    }
    if (rc == 0) {
        rc = add_env(plan, &count, "RUCAT_EPOCH", epoch);
    }
    if (rc < 0) {
        snprintf(why, size, "no memory for the environment");
    }
    return rc;
}

static void read_rest(ruc_re_plan_t *plan)
{
    json_t *ready = json_object_get(plan->root, "ready");
    json_t *stop = json_object_get(plan->root, "stop");
    plan->ready_log = text_of(ready, "log", NULL);
    plan->ready_ui_log = text_of(ready, "ui_log", NULL);
    plan->host = text_of(ready, "host", "127.0.0.1");
    plan->tcp = json_is_true(json_object_get(ready, "tcp"));
    plan->port = (int)number_of(ready, "port", 1, 65535, 0);
    plan->ui_port = (int)number_of(ready, "ui_port", 1, 65535, 0);
    plan->timeout_ms = number_of(ready, "timeout_ms", 1, RUC_RE_DAY_MS, 120000);
    plan->stop_signal = ruc_proc_stop_signal(text_of(stop, "signal", "TERM"));
    if (plan->stop_signal < 0) {
        plan->stop_signal = SIGTERM;
    }
    plan->grace_ms = number_of(stop, "grace_ms", 0, RUC_RE_DAY_MS, 30000);
    plan->beat_ms = number_of(plan->root, "beat_ms", RUC_RE_BEAT_LEAST_MS, RUC_RE_DAY_MS, 10000);
    plan->log_max = number_of(plan->root, "log_max", RUC_RE_LOG_LEAST, INT64_MAX, DEFAULT_LOG_MAX);
}

int ruc_re_plan_load(ruc_re_plan_t *plan, const char *path, char *why, size_t size)
{
    json_error_t error;
    *plan = (ruc_re_plan_t){.engine = "", .name = "", .instance = "", .cwd = "/"};
    plan->root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(plan->root)) {
        snprintf(why, size, "cannot read the plan: %s",
                 plan->root == NULL ? error.text : "not an object");
        read_rest(plan);
        return -1;
    }
    plan->engine = text_of(plan->root, "engine", "");
    plan->name = text_of(plan->root, "name", "");
    plan->instance = text_of(plan->root, "instance", "");
    plan->cwd = text_of(plan->root, "cwd", "/");
    plan->epoch = number_of(plan->root, "epoch", 0, INT64_MAX, 0);
    plan->embedded = json_is_true(json_object_get(plan->root, "embedded"));
    read_rest(plan);
    if (number_of(plan->root, "v", 1, 1, 0) != 1) {
        snprintf(why, size, "the plan is not of version 1");
        return -1;
    }
    if (plan->instance[0] == '\0') {
        snprintf(why, size, "the plan names no instance");
        return -1;
    }
    return read_argv(plan, why, size) < 0 || read_env(plan, why, size) < 0 ? -1 : 0;
}

void ruc_re_plan_free(ruc_re_plan_t *plan)
{
    for (char **each = plan->envp; each != NULL && *each != NULL; each++) {
        free(*each);
    }
    free(plan->envp);
    free(plan->argv);
    json_decref(plan->root);
    *plan = (ruc_re_plan_t){0};
}
