/* seen.c - see seen.h. */
#include "engine/seen.h"

#include <stdio.h>
#include <string.h>

#include "core/err.h"

static const char *const names[] = {
#define XX(name, text) text,
    RUC_SEEN_PHASES(XX)
#undef XX
};

const char *ruc_seen_name(ruc_seen_phase_t phase)
{
    return (size_t)phase < sizeof names / sizeof names[0] ? names[phase] : "none";
}

void ruc_seen_init(ruc_seen_t *seen, uint64_t epoch)
{
    *seen = (ruc_seen_t){.epoch = epoch, .exit = {.code = -1, .oom = -1}};
}

static int64_t number(const json_t *object, const char *key, int64_t missing)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : missing;
}

static int small(const json_t *object, const char *key, int max, int missing)
{
    int64_t value = number(object, key, missing);
    return value >= 0 && value <= max ? (int)value : missing;
}

static void text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", value == NULL ? "" : value);
}

static ruc_exit_t exit_of(const json_t *object)
{
    ruc_exit_t out = {.code = small(object, "code", 255, -1), .oom = -1};
    const json_t *oom = json_object_get(object, "oom");
    text(object, "signal", out.signal, sizeof out.signal);
    if (json_is_boolean(oom)) {
        out.oom = json_is_true(oom);
    }
    return out;
}

/* The phase of that name, or -1. */
static int phase_of(const json_t *status)
{
    const char *name = json_string_value(json_object_get(status, "phase"));
    for (int i = RUC_SEEN_STARTING; name != NULL && i <= RUC_SEEN_ENDED; i++) {
        if (strcmp(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int ruc_seen_from_status(ruc_seen_t *seen, const json_t *status)
{
    int phase = phase_of(status);
    if (phase < 0 || number(status, "v", 0) != 1) {
        return RUC_EPROTO;
    }
    seen->phase = (ruc_seen_phase_t)phase;
    seen->pid = small(json_object_get(status, "driver"), "pid", INT32_MAX, 0);
    seen->port = small(status, "port", 65535, 0);
    seen->ui_port = small(status, "ui_port", 65535, 0);
    seen->started_ms = number(status, "started_ms", 0);
    seen->ready_ms = number(status, "ready_ms", 0);
    seen->ended_ms = number(status, "ended_ms", 0);
    seen->ready_mono_ms = number(status, "ready_mono_ms", 0);
    seen->ended_mono_ms = number(status, "ended_mono_ms", 0);
    seen->exit = exit_of(json_object_get(status, "exit"));
    seen->timed_out = json_is_true(json_object_get(status, "timed_out"));
    seen->kill_incomplete = json_is_true(json_object_get(status, "kill_incomplete"));
    seen->dropped = number(status, "dropped", 0);
    text(status, "why", seen->why, sizeof seen->why);
    text(status, "tail", seen->tail, sizeof seen->tail);
    return 0;
}
