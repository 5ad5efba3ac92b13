/* plan.h - what the helper is to do, read once from plan.json. The server wrote and checked it;
 * what is missing gets its default, what is wrong is refused. Unknown fields are ignored, so that
 * a newer server can speak to an older helper. */
#ifndef RUC_RE_PLAN_H
#define RUC_RE_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUC_RE_LOG_LEAST 4096
#define RUC_RE_BEAT_LEAST_MS 10
#define RUC_RE_DAY_MS 86400000

typedef struct ruc_re_plan {
    json_t *root; /* owns all text below */
    const char *engine, *name, *instance, *cwd;
    int64_t epoch;
    bool embedded;
    char **argv; /* NULL-terminated; the strings belong to root */
    char **envp; /* NULL-terminated; the strings are owned */
    const char *ready_log, *ready_ui_log, *host;
    bool tcp;
    int port, ui_port;
    int64_t timeout_ms; /* until ready */
    int stop_signal;
    int64_t grace_ms, beat_ms, log_max;
} ruc_re_plan_t;

/* Reads the plan from `path`. 0, or -1 with a sentence in `why`; the plan then has what could be
 * read (at least engine and instance as "") and is freed in the same way. */
int ruc_re_plan_load(ruc_re_plan_t *plan, const char *path, char *why, size_t size);
void ruc_re_plan_free(ruc_re_plan_t *plan);

#endif
