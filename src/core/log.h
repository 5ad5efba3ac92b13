/* log.h - the log: lines with a time, a level, a group and, where there is one, a request id.
 *
 * A line goes into a bounded queue and a thread of its own writes it to standard error, so that a
 * terminal that is stopped or a full pipe never stalls the loop. What does not fit is dropped and
 * counted, and the count is said as soon as there is room. Text on a terminal, JSON lines
 * elsewhere (or as the config says). Before ruc_log_open and after ruc_log_close lines are written
 * directly. Any thread may log. */
#ifndef RUC_CORE_LOG_H
#define RUC_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#define RUC_LOG_GROUPS(XX)                                                                         \
    XX(MAIN, "main")                                                                               \
    XX(CONFIG, "config")                                                                           \
    XX(HTTP, "http")                                                                               \
    XX(LUA, "lua")                                                                                 \
    XX(SCRIPT, "script")                                                                           \
    XX(STORE, "store")                                                                             \
    XX(ENGINE, "engine")                                                                           \
    XX(MONITOR, "monitor")                                                                         \
    XX(PROC, "proc")                                                                               \
    XX(CLIENT, "client")                                                                           \
    XX(CONSOLE, "console")

#define RUC_LOG_LEVELS(XX)                                                                         \
    XX(DEBUG, "debug")                                                                             \
    XX(INFO, "info")                                                                               \
    XX(WARN, "warn")                                                                               \
    XX(ERROR, "error")

typedef enum {
#define XX(name, text) RUC_LOG_##name,
    RUC_LOG_GROUPS(XX)
#undef XX
        RUC_LOG_GROUP_COUNT
} ruc_log_group_t;

typedef enum {
#define XX(name, text) RUC_##name,
    RUC_LOG_LEVELS(XX)
#undef XX
        RUC_LEVEL_COUNT
} ruc_log_level_t;

typedef enum { RUC_LOG_AUTO, RUC_LOG_TEXT, RUC_LOG_JSON } ruc_log_format_t;

/* Starts the writer thread. 0 or a negative code (lines then go on being written directly). */
int ruc_log_open(ruc_log_format_t format);

/* Writes what is queued (waiting at most 1 s for a slow reader) and ends the thread. */
void ruc_log_close(void);

/* The lowest level that is written: for all groups, or for one by its name. The level is a name of
 * RUC_LOG_LEVELS. 0 or RUC_ENOTFOUND. */
int ruc_log_set_level(const char *group, const char *level);

/* No line at all is written from now on: for a command that tells itself of what fails. */
void ruc_log_mute(void);

/* True for the name of a group. */
bool ruc_log_group_known(const char *group);

/* True when a line of that level would be written; asks nothing else. */
bool ruc_log_wants(ruc_log_group_t group, ruc_log_level_t level);

/* The request id that the loop thread's lines carry from now on; NULL for none. The text must live
 * until the next call; returns the one before, so that it can be put back. Loop thread only. */
const char *ruc_log_context(const char *request_id);

/* Writes one line. The text is cut at 4 KiB; control characters are made visible. */
void ruc_log(ruc_log_group_t group, ruc_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for text from a script, with the group's name; an unknown group is "script". */
void ruc_log_line(const char *group, ruc_log_level_t level, const char *text, size_t len);

/* Writes a line whatever the levels say: who did what to this server. */
void ruc_log_audit(ruc_log_group_t group, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Somebody who also gets every line that is written, as text without its last newline; one at a
 * time, NULL for none. Called by whichever thread logs, under the log's lock: it must not log, must
 * not wait, and copies what it wants. */
typedef void (*ruc_log_tap_cb)(void *arg, ruc_log_level_t level, const char *line, size_t len);
void ruc_log_tap(ruc_log_tap_cb tap, void *arg);

/* The level of that name, or -1. */
int ruc_log_level_of(const char *name);

/* How many lines were dropped since the start. */
unsigned long ruc_log_dropped(void);

#endif
