/* config.h - the table of keys: every key of etc/rucat.lua with its type, its default and whether a
 * reload takes it over. The Lua file is read by lua/configfile.c; the environment and the flags are
 * laid over it here. A configuration is a JSON object in which every key that is not null was
 * checked against the table. */
#ifndef RUC_CORE_CONFIG_H
#define RUC_CORE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

/* path, type, default as text ("" none), L a reload takes it over / R needs a restart.
 * Types: s text, n number (not negative), b boolean, l list of texts, m map of texts, f free. Type
 * 'x' is a key of the contract that this build does not have yet: it is refused by name. */
#define RUC_CONFIG_KEYS(XX)                                                                        \
    XX("mode", 's', "local", 'R')                                                                  \
    XX("listen", 's', "127.0.0.1:3000", 'R')                                                       \
    XX("public_url", 'x', "", 'R')                                                                 \
    XX("state_dir", 's', "", 'R')                                                                  \
    XX("defaults.type", 's', "spark", 'L')                                                         \
    XX("defaults.platform", 's', "local", 'L')                                                     \
    XX("store.kind", 's', "", 'R')                                                                 \
    XX("store.path", 's', "", 'R')                                                                 \
    XX("store.url", 's', "", 'R')                                                                  \
    XX("store.namespace", 's', "rucat", 'R')                                                       \
    XX("store.database", 's', "rucat", 'R')                                                        \
    XX("store.user", 's', "", 'R')                                                                 \
    XX("store.password_file", 's', "", 'R')                                                        \
    XX("store.ca_file", 's', "", 'R')                                                              \
    XX("store.connect_time", 'n', "15", 'R')                                                       \
    XX("store.poll", 'n', "0.25", 'R')                                                             \
    XX("store.resync", 'n', "30", 'R')                                                             \
    XX("auth", 's', "", 'R')                                                                       \
    XX("tls", 'x', "", 'R')                                                                        \
    XX("spark.home", 's', "", 'L')                                                                 \
    XX("spark.homes", 'm', "", 'L')                                                                \
    XX("spark.java_home", 's', "", 'L')                                                            \
    XX("spark.master", 's', "", 'L')                                                               \
    XX("sail.command", 's', "sail", 'L')                                                           \
    XX("templates", 'f', "", 'L')                                                                  \
    XX("kubernetes", 'x', "", 'R')                                                                 \
    XX("limits.engines", 'n', "10000", 'R')                                                        \
    XX("limits.body", 'n', "1048576", 'R')                                                         \
    XX("limits.head", 'n', "16384", 'R')                                                           \
    XX("limits.connections", 'n', "10000", 'R')                                                    \
    XX("limits.head_time", 'n', "10", 'R')                                                         \
    XX("limits.body_time", 'n', "30", 'R')                                                         \
    XX("limits.idle_time", 'n', "60", 'R')                                                         \
    XX("limits.drain", 'n', "10", 'L')                                                             \
    XX("limits.drain_streams", 'x', "", 'R')                                                       \
    XX("limits.starts", 'n', "0", 'L')                                                             \
    XX("limits.probes", 'n', "64", 'L')                                                            \
    XX("limits.stall", 'n', "5", 'L')                                                              \
    XX("limits.handler_time", 'n', "330", 'L')                                                     \
    XX("limits.lua_memory", 'n', "67108864", 'L')                                                  \
    XX("limits.jobs", 'n', "10000", 'L')                                                           \
    XX("limits.state", 'n', "4194304", 'L')                                                        \
    XX("limits.state_keys", 'n', "10000", 'L')                                                     \
    XX("limits.log_file", 'n', "67108864", 'L')                                                    \
    XX("budgets.load.time", 'n', "0.5", 'L')                                                       \
    XX("budgets.load.instructions", 'n', "100000000", 'L')                                         \
    XX("budgets.load.memory", 'n', "33554432", 'L')                                                \
    XX("budgets.handler.time", 'n', "0.3", 'L')                                                    \
    XX("budgets.handler.instructions", 'n', "100000000", 'L')                                      \
    XX("budgets.handler.memory", 'n', "33554432", 'L')                                             \
    XX("budgets.policy.time", 'n', "0.1", 'L')                                                     \
    XX("budgets.policy.instructions", 'n', "20000000", 'L')                                        \
    XX("budgets.policy.memory", 'n', "8388608", 'L')                                               \
    XX("budgets.probe.time", 'n', "0.2", 'L')                                                      \
    XX("budgets.probe.instructions", 'n', "50000000", 'L')                                         \
    XX("budgets.probe.memory", 'n', "16777216", 'L')                                               \
    XX("budgets.template.time", 'n', "0.2", 'L')                                                   \
    XX("budgets.template.instructions", 'n', "50000000", 'L')                                      \
    XX("budgets.template.memory", 'n', "16777216", 'L')                                            \
    XX("budgets.timer.time", 'n', "0.2", 'L')                                                      \
    XX("budgets.timer.instructions", 'n', "50000000", 'L')                                         \
    XX("budgets.timer.memory", 'n', "33554432", 'L')                                               \
    XX("budgets.console.time", 'n', "0.5", 'L')                                                    \
    XX("budgets.console.instructions", 'n', "200000000", 'L')                                      \
    XX("budgets.console.memory", 'n', "33554432", 'L')                                             \
    XX("log.level", 's', "info", 'L')                                                              \
    XX("log.format", 's', "auto", 'R')                                                             \
    XX("log.groups", 'm', "", 'L')                                                                 \
    XX("scripts", 'l', "", 'R')                                                                    \
    XX("watch.mode", 's', "auto", 'L')                                                             \
    XX("watch.interval", 'n', "5", 'L')                                                            \
    XX("monitor.interval", 'n', "10", 'R')                                                         \
    XX("monitor.lease", 'n', "15", 'R')                                                            \
    XX("role", 'l', "", 'R')                                                                       \
    XX("peer_url", 's', "", 'R')                                                                   \
    XX("console", 's', "", 'R')

typedef struct ruc_config {
    json_t *keys; /* path -> value; every path of the table is there, json null where not set */
} ruc_config_t;

/* One line for each thing that is wrong or worth a word. */
typedef struct ruc_config_problem {
    char path[128]; /* the key; "" for the file itself */
    char text[512];
} ruc_config_problem_t;

#define RUC_CONFIG_PROBLEMS 32

typedef struct ruc_config_report {
    ruc_config_problem_t problems[RUC_CONFIG_PROBLEMS]; /* those beyond are counted only */
    size_t count;
} ruc_config_report_t;

/* Sets all defaults. 0 or UV_ENOMEM. */
int ruc_config_init(ruc_config_t *config);
void ruc_config_free(ruc_config_t *config);

/* Lays a tree (what the file returned) over it; wrong and unknown keys go into `report` (with the
 * name that was probably meant) and are left out. */
void ruc_config_lay(ruc_config_t *config, const json_t *tree, ruc_config_report_t *report);

/* Lays one value given as text (environment, flag) over it. 0, RUC_ENOTFOUND (no such key),
 * RUC_EINVALID and `why`. */
int ruc_config_set_text(ruc_config_t *config, const char *path, const char *text, ruc_why_t *why);

/* Lays RUCAT_* over it. A value that does not fit goes into `report`; a name that is no key goes
 * into `warnings`. */
void ruc_config_environment(ruc_config_t *config, char *const *environment,
                            ruc_config_report_t *report, ruc_config_report_t *warnings);

/* What no single key can tell: modes, addresses, auth. After all was laid. */
void ruc_config_check(const ruc_config_t *config, ruc_config_report_t *report);

/* Values. The path must be in the table. A text that is not set is NULL. */
const char *ruc_config_text(const ruc_config_t *config, const char *path);
double ruc_config_number(const ruc_config_t *config, const char *path);
json_t *ruc_config_value(const ruc_config_t *config, const char *path);

/* The sub-tree below "spark", "sail", ... as an object of its own; NULL without memory. */
json_t *ruc_config_tree(const ruc_config_t *config, const char *prefix);

/* Calls `each` for every key that differs between the two; `live` when a reload takes it over. */
void ruc_config_diff(const ruc_config_t *a, const ruc_config_t *b,
                     void (*each)(void *arg, const char *path, bool live), void *arg);

/* Splits "HOST:PORT" or "[HOST]:PORT". 0 or RUC_EINVALID. host holds 256 bytes. */
int ruc_config_address(const char *text, char host[256], int *port);

/* True for localhost, 127.0.0.0/8 and ::1. */
bool ruc_config_loopback(const char *host);

#endif
