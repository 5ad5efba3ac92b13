/* plan.c - see plan.h. One table for each object: field name and the check of its value. */
#include "engine/plan.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/pattern.h"
#include "proc/signame.h"

#define PATTERN_MAX 1024
#define SECONDS_MAX 86400
#define BASE_ENV_MAX ((size_t)64 << 10)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct field {
    const char *name;
    int (*check)(const json_t *value, const char *where, ruc_why_t *why);
} field_t;

/* Says "where: expected what". */
static int expected(ruc_why_t *why, const char *where, const char *what)
{
    return ruc_why_set(why, RUC_EINVALID, "%s: expected %s", where, what);
}

/* A map, or the empty list that stands for one. */
static bool is_map(const json_t *value)
{
    return json_is_object(value) || (json_is_array(value) && json_array_size(value) == 0);
}

/* Text without a NUL; NULL if it is not that. */
static const char *plain_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

static int check_map(const json_t *object, const char *where, const field_t *fields, size_t count,
                     ruc_why_t *why)
{
    const char *key;
    json_t *value;
    if (!is_map(object)) {
        return expected(why, where[0] == '\0' ? "plan" : where, "a table of fields");
    }
    json_object_foreach((json_t *)object, key, value)
    {
        char path[128];
        size_t i = 0;
        snprintf(path, sizeof path, "%s%s%s", where, where[0] == '\0' ? "" : ".", key);
        while (i < count && strcmp(fields[i].name, key) != 0) {
            i++;
        }
        if (i == count) {
            return ruc_why_set(why, RUC_EINVALID, "%s: unknown field", path);
        }
        int rc = json_is_null(value) ? 0 : fields[i].check(value, path, why);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_kind(const json_t *value, const char *where, ruc_why_t *why)
{
    const char *kind = plain_text(value);
    return kind != NULL && ruc_driver_kind_known(kind)
               ? 0
               : expected(why, where, "a kind of driver: \"process\" or \"external\"");
}

static int check_argv(const json_t *value, const char *where, ruc_why_t *why)
{
    size_t count = json_array_size(value);
    if (count == 0) {
        return expected(why, where, "a list of text that is not empty");
    }
    for (size_t i = 0; i < count; i++) {
        char path[128];
        const char *text = plain_text(json_array_get(value, i));
        snprintf(path, sizeof path, "%s[%zu]", where, i + 1);
        if (text == NULL) {
            return expected(why, path, "text without a NUL");
        }
        if (i == 0 && (text[0] == '\0' || (text[0] != '/' && strchr(text, '/') != NULL))) {
            return expected(why, path, "an absolute path, or a plain name to be found in PATH");
        }
    }
    return 0;
}

static int check_env(const json_t *value, const char *where, ruc_why_t *why)
{
    const char *name;
    json_t *each;
    if (!is_map(value)) {
        return expected(why, where, "a map of names to text");
    }
    json_object_foreach((json_t *)value, name, each)
    {
        char path[128];
        snprintf(path, sizeof path, "%s.%s", where, name);
        if (name[0] == '\0' || strchr(name, '=') != NULL) {
            return expected(why, path, "a name that is not empty and has no '='");
        }
        if (strcmp(name, "RUCAT_INSTANCE") == 0 || strcmp(name, "RUCAT_EPOCH") == 0) {
            return ruc_why_set(why, RUC_EINVALID, "%s: is set by rucat itself", path);
        }
        if (plain_text(each) == NULL) {
            return expected(why, path, "text without a NUL");
        }
    }
    return 0;
}

static int check_directory(const json_t *value, const char *where, ruc_why_t *why)
{
    const char *text = plain_text(value);
    return text != NULL && text[0] == '/' ? 0 : expected(why, where, "an absolute path");
}

/* A name that stays inside the run directory and is none of rucat-engine's own. */
static bool good_file_name(const char *name)
{
    static const char *const ours[] = {"plan.json",       "record.json", "status.json",
                                       "status.json.tmp", "log",         "log.1",
                                       "helper.log",      "rpc",         "lock"};
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 255) {
        return false;
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0) {
            return false;
        }
    }
    return true;
}

static int check_files(const json_t *value, const char *where, ruc_why_t *why)
{
    const char *name;
    json_t *each;
    size_t total = 0;
    if (!is_map(value)) {
        return expected(why, where, "a map of file names to text");
    }
    json_object_foreach((json_t *)value, name, each)
    {
        char path[300];
        snprintf(path, sizeof path, "%s.%s", where, name);
        if (!good_file_name(name)) {
            return expected(why, path,
                            "a file name without '/', not starting with '.', none of rucat's own");
        }
        if (!json_is_string(each)) {
            return expected(why, path, "text");
        }
        total += strlen(name) + json_string_length(each);
        if (total > RUC_PLAN_FILES_MAX) {
            return ruc_why_set(why, RUC_ETOOBIG, "%s: more than 1 MiB in all", where);
        }
    }
    return 0;
}

static int check_pattern(const json_t *value, const char *where, ruc_why_t *why)
{
    ruc_why_t wrong = {{0}};
    const char *text = plain_text(value);
    if (text == NULL || strlen(text) > PATTERN_MAX) {
        return expected(why, where, "a Lua pattern of at most 1024 bytes");
    }
    if (ruc_pattern_check(text, strlen(text), &wrong) < 0) {
        return ruc_why_set(why, RUC_EINVALID, "%s: expected a Lua pattern: %s", where, wrong.text);
    }
    return 0;
}

static int check_boolean(const json_t *value, const char *where, ruc_why_t *why)
{
    return json_is_boolean(value) ? 0 : expected(why, where, "true or false");
}

static int check_port(const json_t *value, const char *where, ruc_why_t *why)
{
    json_int_t port = json_integer_value(value);
    return port >= 1 && port <= 65535 ? 0 : expected(why, where, "a port, 1 to 65535");
}

static int check_host(const json_t *value, const char *where, ruc_why_t *why)
{
    unsigned char address[sizeof(struct in6_addr)];
    const char *host = plain_text(value);
    bool good =
        host != NULL && (strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, address) == 1 ||
                         inet_pton(AF_INET6, host, address) == 1);
    return good ? 0 : expected(why, where, "an IP address or \"localhost\"");
}

static int check_timeout(const json_t *value, const char *where, ruc_why_t *why)
{
    double seconds = json_number_value(value);
    return seconds >= 0.001 && seconds <= SECONDS_MAX
               ? 0
               : expected(why, where, "a number of seconds, more than 0 and at most 86400");
}

static int check_grace(const json_t *value, const char *where, ruc_why_t *why)
{
    double seconds = json_number_value(value);
    return json_is_number(value) && seconds >= 0 && seconds <= SECONDS_MAX
               ? 0
               : expected(why, where, "a number of seconds, 0 to 86400");
}

static int check_signal(const json_t *value, const char *where, ruc_why_t *why)
{
    const char *name = plain_text(value);
    return name != NULL && ruc_proc_stop_signal(name) > 0 ? 0
                                                          : expected(why, where, RUC_STOP_SIGNALS);
}

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static int check_ready(const json_t *value, const char *where, ruc_why_t *why)
{
    static const field_t fields[] = {{"log", check_pattern},    {"ui_log", check_pattern},
                                     {"tcp", check_boolean},    {"port", check_port},
                                     {"ui_port", check_port},   {"host", check_host},
                                     {"timeout", check_timeout}};
    int rc = check_map(value, where, fields, COUNT(fields), why);
    if (rc == 0 && json_is_true(json_object_get(value, "tcp")) &&
        !json_is_string(json_object_get(value, "log")) &&
        !json_is_integer(json_object_get(value, "port"))) {
        return expected(why, "ready.tcp", "ready.port or ready.log beside it");
    }
    return rc;
}

static int check_stop(const json_t *value, const char *where, ruc_why_t *why)
{
    static const field_t fields[] = {{"signal", check_signal}, {"grace", check_grace}};
    return check_map(value, where, fields, COUNT(fields), why);
}

int ruc_plan_check(const json_t *plan, ruc_why_t *why)
{
    static const field_t fields[] = {{"driver", check_kind}, {"argv", check_argv},
                                     {"env", check_env},     {"cwd", check_directory},
                                     {"files", check_files}, {"ready", check_ready},
                                     {"stop", check_stop}};
    int rc = check_map(plan, "", fields, COUNT(fields), why);
    const char *kind = json_string_value(json_object_get(plan, "driver"));
    bool process = kind == NULL || strcmp(kind, "process") == 0;
    json_t *argv = json_object_get(plan, "argv");
    if (rc == 0 && process && !json_is_array(argv)) {
        rc = expected(why, "argv", "a list of text that is not empty");
    }
    if (rc == 0 && !process && argv != NULL && !json_is_null(argv)) {
        rc = ruc_why_set(why, RUC_EINVALID, "argv: nothing is run by the driver \"%s\"", kind);
    }
    return rc;
}

/* Is it one of the names the driver's environment takes over from the server's? */
static bool in_base(const char *name, size_t len)
{
    static const char *const names[] = {"PATH", "HOME", "LANG", "TZ", "JAVA_HOME"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            return true;
        }
    }
    return len > 6 && memcmp(name, "SPARK_", 6) == 0;
}

/* The base environment, then the template's over it. NULL without memory. */
static json_t *make_env(const json_t *over)
{
    json_t *env = json_pack("{s:s}", "PATH", DEFAULT_PATH);
    size_t total = 0;
    const char *name;
    json_t *value;
    for (char **each = environ; env != NULL && each != NULL && *each != NULL; each++) {
        size_t len = strcspn(*each, "=");
        if ((*each)[len] == '\0' || !in_base(*each, len)) {
            continue;
        }
        char key[256];
        total += strlen(*each);
        snprintf(key, sizeof key, "%.*s", (int)len, *each);
        if (total > BASE_ENV_MAX || len >= sizeof key ||
            json_object_set_new(env, key, json_string(*each + len + 1)) != 0) {
            ruc_log(RUC_LOG_ENGINE, RUC_WARN,
                    "%s is not handed to drivers: too large, or not UTF-8", key);
        }
    }
    json_object_foreach((json_t *)over, name, value)
    {
        if (env != NULL && json_is_string(value) && json_object_set(env, name, value) != 0) {
            json_decref(env);
            env = NULL;
        }
    }
    return env;
}

/* Seconds of the plan as milliseconds. */
static json_t *milliseconds(const json_t *object, const char *key, double missing)
{
    const json_t *value = json_object_get(object, key);
    double seconds = json_is_number(value) ? json_number_value(value) : missing;
    return json_integer((json_int_t)(seconds * 1000 + 0.5));
}

/* Sets a field that is given (not null); `value` is not taken over. */
static void set_given(json_t *object, const char *key, json_t *value)
{
    if (value != NULL && !json_is_null(value)) {
        json_object_set(object, key, value);
    }
}

static json_t *make_ready(const json_t *ready)
{
    static const char *const same[] = {"log", "ui_log", "tcp", "port", "ui_port", "host"};
    json_t *out = json_object();
    for (size_t i = 0; i < COUNT(same); i++) {
        set_given(out, same[i], json_object_get(ready, same[i]));
    }
    json_object_set_new(out, "timeout_ms", milliseconds(ready, "timeout", 120));
    return out;
}

static json_t *make_stop(const json_t *stop)
{
    json_t *out = json_object();
    set_given(out, "signal", json_object_get(stop, "signal"));
    json_object_set_new(out, "grace_ms", milliseconds(stop, "grace", 30));
    return out;
}

char *ruc_plan_make(const json_t *plan, const ruc_driver_spec_t *spec, ruc_why_t *why)
{
    json_t *cwd = json_object_get(plan, "cwd");
    json_t *out =
        json_pack("{s:i, s:s, s:s, s:I, s:s, s:b, s:O, s:o, s:s, s:o, s:o, s:I}", "v", 1, "engine",
                  spec->engine, "name", spec->name, "epoch", (json_int_t)spec->epoch, "instance",
                  spec->instance, "embedded", spec->embedded, "argv", json_object_get(plan, "argv"),
                  "env", make_env(json_object_get(plan, "env")), "cwd",
                  json_is_string(cwd) ? json_string_value(cwd) : spec->data_dir, "ready",
                  make_ready(json_object_get(plan, "ready")), "stop",
                  make_stop(json_object_get(plan, "stop")), "beat_ms", (json_int_t)spec->beat_ms);
    if (out != NULL && spec->log_max > 0) {
        json_object_set_new(out, "log_max", json_integer((json_int_t)spec->log_max));
    }
    char *text = out == NULL ? NULL : json_dumps(out, JSON_COMPACT);
    json_decref(out);
    if (text == NULL) {
        ruc_why_set(why, UV_ENOMEM, "no memory for the plan, or a path that is not UTF-8");
    } else if (strlen(text) > RUC_PLAN_MAX) {
        ruc_why_set(why, RUC_ETOOBIG, "argv and env: more than 1 MiB in all");
        free(text);
        text = NULL;
    }
    return text;
}
