/* status.h - what the helper knows, as JSON: status.json for whoever comes later, and the same
 * object in RPC answers and events. The file is replaced whole (written beside, renamed), so a
 * reader finds the old or the new one; its mtime is the last beat. */
#ifndef RUC_RE_STATUS_H
#define RUC_RE_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proc/cgroup.h"
#include "proc/identity.h"
#include "proc/signame.h"
#include "rucat-engine/output.h"
#include "rucat-engine/plan.h"

#define RUC_RE_PHASES(XX)                                                                          \
    XX(STARTING, "starting")                                                                       \
    XX(READY, "ready")                                                                             \
    XX(STOPPING, "stopping")                                                                       \
    XX(ENDED, "ended")

typedef enum {
#define XX(name, text) RUC_RE_##name,
    RUC_RE_PHASES(XX)
#undef XX
} ruc_re_phase_t;

typedef struct ruc_re_status {
    const ruc_re_plan_t *plan;
    ruc_re_phase_t phase;
    ruc_proc_id_t helper, driver; /* driver.pid 0: none */
    int port, ui_port;
    int64_t started_ms, ready_ms, ended_ms; /* wall, 0: not yet */
    int64_t ready_mono_ms, ended_mono_ms;   /* the same by CLOCK_BOOTTIME, which nobody sets */
    char cgroup[RUC_CGROUP_PATH_SIZE];      /* of the driver; "": none */
    bool has_exit;
    int exit_code; /* -1: ended by a signal */
    char exit_signal[RUC_SIGNAME_SIZE];
    int exit_oom; /* -1: the kernel does not say */
    bool timed_out, kill_incomplete;
    int64_t log_bytes, dropped;
    int64_t kill_took_ms; /* from the first SIGKILL until nothing was left; -1: there was none */
    char why[512];        /* valid UTF-8 is made of it when it is written */
    char tail[RUC_RE_TAIL + 1];
    bool unsaved; /* the file does not say this yet */
} ruc_re_status_t;

/* The object; the caller owns it. NULL without memory. */
json_t *ruc_re_status_json(const ruc_re_status_t *status);

/* Writes status.json; `durable`: with fsync. 0 or a negative errno (`unsaved` is then true). */
int ruc_re_status_save(ruc_re_status_t *status, bool durable);

/* The beat: touches the file, or writes it if that failed before. */
void ruc_re_status_touch(ruc_re_status_t *status);

#endif
