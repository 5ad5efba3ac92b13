/* config.c - see config.h. */
#include "core/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "core/log.h"
#include "core/near.h"

typedef struct key {
    const char *path;
    char type;
    const char *fallback;
    bool live;
} config_key_t;

static const config_key_t table[] = {
#define XX(path, type, fallback, live) {path, type, fallback, (live) == 'L'},
    RUC_CONFIG_KEYS(XX)
#undef XX
};
#define MOST 1e12 /* of any number: bytes, seconds or things */
#define KEY_COUNT (sizeof table / sizeof table[0])

static const config_key_t *find_key(const char *path)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(table[i].path, path) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* True when `path` is a group of keys, as "spark" is. */
static bool is_group(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strncmp(table[i].path, path, len) == 0 && table[i].path[len] == '.') {
            return true;
        }
    }
    return false;
}

static void report_add(ruc_config_report_t *report, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report_add(ruc_config_report_t *report, const char *path, const char *format, ...)
{
    if (report->count < RUC_CONFIG_PROBLEMS) {
        ruc_config_problem_t *problem = &report->problems[report->count];
        va_list args;
        va_start(args, format);
        snprintf(problem->path, sizeof problem->path, "%s", path);
        vsnprintf(problem->text, sizeof problem->text, format, args);
        va_end(args);
    }
    report->count++;
}

static void report_unknown(ruc_config_report_t *report, const char *path)
{
    ruc_near_t near;
    ruc_near_init(&near, path);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        ruc_near_offer(&near, table[i].path);
    }
    bool found = near.best[0] != '\0';
    report_add(report, path, "unknown key '%s'%s%s%s", path, found ? " (did you mean '" : "",
               near.best, found ? "'?)" : "");
}

static const char *expected(char type)
{
    switch (type) {
    case 's':
        return "a text";
    case 'n':
        return "a number, 0 or more";
    case 'b':
        return "true or false";
    case 'l':
        return "a list of texts";
    case 'm':
        return "a table of texts";
    default:
        return "a table";
    }
}

static bool all_texts(const json_t *value)
{
    size_t i;
    const char *name;
    json_t *item;
    if (json_is_array(value)) {
        json_array_foreach((json_t *)value, i, item)
        {
            if (!json_is_string(item)) {
                return false;
            }
        }
    } else {
        json_object_foreach((json_t *)value, name, item)
        {
            if (!json_is_string(item)) {
                return false;
            }
        }
    }
    return true;
}

static bool fits(char type, const json_t *value)
{
    bool empty = json_is_object(value) && json_object_size(value) == 0;
    switch (type) {
    case 's':
        return json_is_string(value);
    case 'n':
        return json_is_number(value) && json_number_value(value) >= 0 &&
               json_number_value(value) <= MOST;
    case 'b':
        return json_is_boolean(value);
    case 'l':
        return empty || (json_is_array(value) && all_texts(value));
    case 'm':
        return json_is_object(value) && all_texts(value);
    default:
        return json_is_object(value) || json_is_array(value);
    }
}

static int set_value(ruc_config_t *config, const config_key_t *key, json_t *value, ruc_why_t *why)
{
    if (key->type == 'x') {
        return ruc_why_set(why, RUC_EINVALID, "'%s' is not supported in this build", key->path);
    }
    if (!fits(key->type, value)) {
        return ruc_why_set(why, RUC_EINVALID, "'%s' must be %s", key->path, expected(key->type));
    }
    return json_object_set(config->keys, key->path, value) < 0 ? RUC_EFULL : 0;
}

static json_t *from_text(char type, const char *text)
{
    char *end = NULL;
    double number;
    json_t *list;
    switch (type) {
    case 's':
        return json_string(text);
    case 'n':
        number = isdigit((unsigned char)text[0]) ? strtod(text, &end) : -1;
        return end == NULL || *end != '\0' ? NULL : json_real(number);
    case 'b':
        return strcmp(text, "true") == 0 || strcmp(text, "1") == 0    ? json_true()
               : strcmp(text, "false") == 0 || strcmp(text, "0") == 0 ? json_false()
                                                                      : NULL;
    case 'l':
        list = json_array();
        while (list != NULL && *text != '\0') {
            size_t len = strcspn(text, ",");
            json_array_append_new(list, json_stringn(text, len));
            text += len + (text[len] == ',');
        }
        return list;
    default:
        return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    }
}

int ruc_config_set_text(ruc_config_t *config, const char *path, const char *text, ruc_why_t *why)
{
    const config_key_t *key = find_key(path);
    if (key == NULL) {
        return ruc_why_set(why, RUC_ENOTFOUND, "unknown key '%s'", path);
    }
    if (key->type == 'x') {
        return ruc_why_set(why, RUC_EINVALID, "'%s' is not supported in this build", path);
    }
    json_t *value = from_text(key->type, text);
    if (value == NULL) {
        return ruc_why_set(why, RUC_EINVALID, "'%s' must be %s", path, expected(key->type));
    }
    int rc = set_value(config, key, value, why);
    json_decref(value);
    return rc;
}

int ruc_config_init(ruc_config_t *config)
{
    config->keys = json_object();
    for (size_t i = 0; config->keys != NULL && i < KEY_COUNT; i++) {
        const config_key_t *key = &table[i];
        json_t *value = NULL;
        if (key->type == 'f' || key->type == 'm') {
            value = json_object();
        } else if (key->type == 'l') {
            value = json_array();
        } else if (key->fallback[0] != '\0') {
            value = from_text(key->type, key->fallback);
        } else {
            value = json_null();
        }
        if (json_object_set_new(config->keys, key->path, value) < 0) {
            ruc_config_free(config);
        }
    }
    return config->keys == NULL ? UV_ENOMEM : 0;
}

void ruc_config_free(ruc_config_t *config)
{
    json_decref(config->keys);
    config->keys = NULL;
}

static void lay(ruc_config_t *config, const char *prefix, const json_t *tree,
                ruc_config_report_t *report)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)tree, name, value)
    {
        char path[128];
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", name);
        const config_key_t *key = find_key(path);
        ruc_why_t why;
        if (key != NULL) {
            if (set_value(config, key, value, &why) < 0) {
                report_add(report, path, "%s", why.text);
            }
        } else if (!is_group(path)) {
            report_unknown(report, path);
        } else if (!json_is_object(value)) {
            report_add(report, path, "'%s' must be a table", path);
        } else {
            lay(config, path, value, report);
        }
    }
}

void ruc_config_lay(ruc_config_t *config, const json_t *tree, ruc_config_report_t *report)
{
    if (!json_is_object(tree)) {
        report_add(report, "", "the file must return a table");
        return;
    }
    lay(config, "", tree, report);
}

/* "spark.java_home" is RUCAT_SPARK_JAVA_HOME. */
static bool is_variable_of(const char *name, size_t len, const char *path)
{
    if (strlen(path) != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char want = path[i] == '.' ? '_' : (char)toupper((unsigned char)path[i]);
        if (name[i] != want) {
            return false;
        }
    }
    return true;
}

void ruc_config_environment(ruc_config_t *config, char *const *environment,
                            ruc_config_report_t *report, ruc_config_report_t *warnings)
{
    /* The client's own, and the one that a driver carries. */
    static const char *const reserved[] = {"URL", "TOKEN", "INSTANCE", "EPOCH", "CACHE"};
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL || strncmp(*environment, "RUCAT_", 6) != 0) {
            continue;
        }
        const char *name = *environment + 6;
        size_t len = (size_t)(equals - name);
        const char *path = NULL;
        bool known = false;
        for (size_t i = 0; i < KEY_COUNT && path == NULL; i++) {
            path = is_variable_of(name, len, table[i].path) ? table[i].path : NULL;
        }
        for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
            known = known || (strlen(reserved[i]) == len && strncmp(reserved[i], name, len) == 0);
        }
        ruc_why_t why;
        if (path != NULL && ruc_config_set_text(config, path, equals + 1, &why) < 0) {
            report_add(report, path, "RUCAT_%.*s: %s", (int)len, name, why.text);
        } else if (path == NULL && !known) {
            report_add(warnings, "", "RUCAT_%.*s is not the name of a key", (int)len, name);
        }
    }
}

json_t *ruc_config_value(const ruc_config_t *config, const char *path)
{
    json_t *value = json_object_get(config->keys, path);
    RUC_MUST(value != NULL);
    return value;
}

const char *ruc_config_text(const ruc_config_t *config, const char *path)
{
    return json_string_value(ruc_config_value(config, path));
}

double ruc_config_number(const ruc_config_t *config, const char *path)
{
    return json_number_value(ruc_config_value(config, path));
}

json_t *ruc_config_tree(const ruc_config_t *config, const char *prefix)
{
    json_t *whole = json_object_get(config->keys, prefix);
    if (whole != NULL) {
        return json_incref(whole);
    }
    json_t *tree = json_object();
    size_t len = strlen(prefix);
    for (size_t i = 0; tree != NULL && i < KEY_COUNT; i++) {
        const char *path = table[i].path;
        if (strncmp(path, prefix, len) == 0 && path[len] == '.') {
            json_object_set(tree, path + len + 1, json_object_get(config->keys, path));
        }
    }
    return tree;
}

void ruc_config_diff(const ruc_config_t *a, const ruc_config_t *b,
                     void (*each)(void *arg, const char *path, bool live), void *arg)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *path = table[i].path;
        if (!json_equal(json_object_get(a->keys, path), json_object_get(b->keys, path))) {
            each(arg, path, table[i].live);
        }
    }
}

int ruc_config_address(const char *text, char host[256], int *port)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (colon == NULL || len == 0 || len >= 256 || !isdigit((unsigned char)colon[1])) {
        return RUC_EINVALID;
    }
    long number = strtol(colon + 1, &end, 10);
    if (*end != '\0' || number < 0 || number > 65535) {
        return RUC_EINVALID;
    }
    bool bracket = text[0] == '[' && text[len - 1] == ']';
    size_t from = bracket ? 1 : 0, size = bracket ? len - 2 : len;
    if (size == 0 || (!bracket && memchr(text, ':', len) != NULL)) {
        return RUC_EINVALID;
    }
    memcpy(host, text + from, size);
    host[size] = '\0';
    *port = (int)number;
    return 0;
}

bool ruc_config_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    return strcasecmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET, host, &four) == 1 && (ntohl(four.s_addr) >> 24) == 127) ||
           (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six));
}

/* Numbers that something could not work with, or that a cast could not hold. */
static void check_numbers(const ruc_config_t *config, ruc_config_report_t *report)
{
    static const struct {
        const char *path;
        double low, high;
    } bounds[] = {
        {"monitor.interval", 0.1, 3600},   {"limits.lua_memory", 4 * 1024 * 1024, MOST},
        {"limits.engines", 1, 1e9},        {"limits.jobs", 1, 1e9},
        {"limits.connections", 1, 1e9},    {"limits.head", 1024, 1e9},
        {"limits.body", 0, 1e9},           {"limits.head_time", 0.1, 86400},
        {"limits.body_time", 0.1, 86400},  {"limits.idle_time", 0.1, 86400},
        {"limits.log_file", 4096, MOST},   {"limits.drain", 0, 86400},
        {"watch.interval", 0.1, 86400},    {"limits.state", 0, 1e9},
        {"limits.state_keys", 0, 1e6},     {"limits.stall", 0, 3600},
        {"limits.handler_time", 1, 86400}, {"monitor.lease", 1, 3600},
        {"store.connect_time", 0, 3600},   {"store.poll", 0.05, 10},
        {"store.resync", 1, 86400},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        double value = ruc_config_number(config, bounds[i].path);
        if (value < bounds[i].low || value > bounds[i].high) {
            report_add(report, bounds[i].path, "'%s' must be %.12g to %.12g", bounds[i].path,
                       bounds[i].low, bounds[i].high);
        }
    }
}

/* Less than these, and the shipped scripts would be stopped too. 0 is "no bound". */
static void check_budgets(const ruc_config_t *config, ruc_config_report_t *report)
{
    static const struct {
        const char *end;
        double low, high;
    } bounds[] = {{".time", 0.01, 60}, {".instructions", 10000, 1e12}, {".memory", 65536, MOST}};
    double stall = ruc_config_number(config, "limits.stall");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *path = table[i].path, *end = strrchr(path, '.');
        for (size_t k = 0; strncmp(path, "budgets.", 8) == 0 && k < 3; k++) {
            double value = ruc_config_number(config, path);
            if (strcmp(end, bounds[k].end) == 0 && value != 0 &&
                (value < bounds[k].low || value > bounds[k].high)) {
                report_add(report, path, "'%s' must be 0 (no bound) or %.12g to %.12g", path,
                           bounds[k].low, bounds[k].high);
            } else if (k == 0 && strcmp(end, ".time") == 0 && value != 0 && stall != 0 &&
                       value >= stall) {
                report_add(report, path, "'%s' must be less than limits.stall, which is %g", path,
                           stall);
            }
        }
    }
}

static void check_groups(const ruc_config_t *config, ruc_config_report_t *report)
{
    const char *group;
    json_t *level;
    json_object_foreach(ruc_config_value(config, "log.groups"), group, level)
    {
        if (!ruc_log_group_known(group)) {
            report_add(report, "log.groups", "'log.groups': there is no group '%s'", group);
        } else if (ruc_log_level_of(json_string_value(level)) < 0) {
            report_add(report, "log.groups",
                       "'log.groups.%s' is '%s', expected one of 'debug', 'info', 'warn', 'error'",
                       group, json_string_value(level));
        }
    }
}

static void check_choice(const ruc_config_t *config, const char *path, const char *const *choices,
                         ruc_config_report_t *report)
{
    const char *value = ruc_config_text(config, path);
    char all[128] = "";
    for (size_t i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], value) == 0) {
            return;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s'%s'", i == 0 ? "" : ", ", choices[i]);
    }
    report_add(report, path, "'%s' is '%s', expected one of %s", path, value, all);
}

/* Each mode has its store, and only a shared store lets roles be apart. */
static void check_mode(const ruc_config_t *config, ruc_config_report_t *report)
{
    static const char *const modes[] = {"embedded", "local", "remote", NULL};
    const char *mode = ruc_config_text(config, "mode"),
               *kind = ruc_config_text(config, "store.kind");
    check_choice(config, "mode", modes, report);
    bool remote = strcmp(mode, "remote") == 0;
    const char *needed = remote ? "surreal" : "sqlite";
    if (kind != NULL && strcmp(kind, needed) != 0) {
        report_add(report, "store.kind", "'store.kind' is '%s', but mode '%s' needs '%s'", kind,
                   mode, needed);
    }
    if (remote && ruc_config_text(config, "store.url") == NULL) {
        report_add(report, "store.url",
                   "mode 'remote' needs 'store.url', the address of SurrealDB as "
                   "\"http://127.0.0.1:8000\"");
    } else if (!remote && ruc_config_text(config, "store.url") != NULL) {
        report_add(report, "store.url", "'store.url' is for mode 'remote'; this is mode '%s'",
                   mode);
    }
    const char *peer = ruc_config_text(config, "peer_url");
    size_t scheme = peer == NULL                        ? 0
                    : strncmp(peer, "http://", 7) == 0  ? 7
                    : strncmp(peer, "https://", 8) == 0 ? 8
                                                        : 0;
    if (peer != NULL &&
        (scheme == 0 || strlen(peer) >= 500 ||
         strcspn(peer + scheme, "/?# ") != strlen(peer + scheme) || peer[scheme] == '\0')) {
        report_add(report, "peer_url",
                   "'peer_url' is '%.100s', expected scheme, host and port as "
                   "\"http://10.0.0.5:3000\"",
                   peer);
    }
    size_t i;
    json_t *role;
    bool known = true;
    json_array_foreach(ruc_config_value(config, "role"), i, role)
    {
        const char *name = json_string_value(role);
        if (strcmp(name, "server") != 0 && strcmp(name, "monitor") != 0) {
            report_add(report, "role", "'role' has '%s', expected 'server' or 'monitor'", name);
            known = false;
        }
    }
    if (!remote && known && json_array_size(ruc_config_value(config, "role")) == 1) {
        report_add(report, "role",
                   "a role alone needs mode 'remote': in mode '%s' one process has both", mode);
    }
}

void ruc_config_check(const ruc_config_t *config, ruc_config_report_t *report)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static const char *const formats[] = {"auto", "text", "json", NULL};
    static const char *const watches[] = {"auto", "poll", "off", NULL};
    check_mode(config, report);
    check_choice(config, "log.level", levels, report);
    check_choice(config, "log.format", formats, report);
    check_choice(config, "watch.mode", watches, report);
    const char *auth = ruc_config_text(config, "auth");
    char host[256];
    int port;
    if (auth != NULL && strcmp(auth, "none") != 0) {
        report_add(report, "auth", "'auth' can only be \"none\" in this build");
    }
    if (ruc_config_address(ruc_config_text(config, "listen"), host, &port) < 0) {
        report_add(report, "listen", "'listen' must be HOST:PORT or [IPV6]:PORT");
    } else if (auth == NULL && !ruc_config_loopback(host)) {
        report_add(report, "listen",
                   "listening on %s, which is not a loopback address, without authentication needs "
                   "auth = \"none\" written out",
                   host);
    }
    check_numbers(config, report);
    check_budgets(config, report);
    check_groups(config, report);
}
