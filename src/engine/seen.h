/* seen.h - what is seen of a driver: the one shape in which every kind of driver reports. */
#ifndef RUC_ENGINE_SEEN_H
#define RUC_ENGINE_SEEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RUC_SEEN_PHASES(XX)                                                                        \
    XX(NONE, "none")         /* no driver of that epoch and no trace of one */                     \
    XX(STARTING, "starting") /* it is there, or will be */                                         \
    XX(READY, "ready")                                                                             \
    XX(STOPPING, "stopping")                                                                       \
    XX(ENDED, "ended") /* and nothing of it is left */

typedef enum {
#define XX(name, text) RUC_SEEN_##name,
    RUC_SEEN_PHASES(XX)
#undef XX
} ruc_seen_phase_t;

typedef struct ruc_exit {
    int code;        /* -1: none */
    char signal[12]; /* "SIGKILL"; "": none */
    int oom;         /* -1: not known, 0, 1 */
} ruc_exit_t;

typedef struct ruc_seen {
    ruc_seen_phase_t phase;
    uint64_t epoch;
    int pid;                                /* of the driver; 0: none */
    int port, ui_port;                      /* 0: none */
    int64_t started_ms, ready_ms, ended_ms; /* wall; 0: not (yet) */
    int64_t ready_mono_ms, ended_mono_ms;   /* ruc_clock_mono_ms; 0: not (yet), or not known */
    ruc_exit_t exit;
    bool timed_out;        /* it was not ready in time */
    bool kill_incomplete;  /* ten seconds of SIGKILL did not empty its tree; it goes on */
    int64_t dropped;       /* bytes of output that could not be written to the log */
    int64_t beat_wall_ms;  /* the last sign of life, by the wall clock */
    uint64_t beat_mono_ms; /* the same on this server's ruc_clock_mono_ms */
    char why[512];         /* a sentence, where there is something to say */
    char tail[2560];       /* the last lines of output, valid UTF-8 */
} ruc_seen_t;

/* "none", "starting", ... Static memory. */
const char *ruc_seen_name(ruc_seen_phase_t phase);

/* Makes `seen` that of an epoch of which nothing is known. */
void ruc_seen_init(ruc_seen_t *seen, uint64_t epoch);

/* Takes over what a status object of rucat-engine says (its status.json, or its RPC); epoch and
 * beats stay. Fields that are missing or wrong count as not there. 0, or RUC_EPROTO when it is no
 * status of version 1 (seen is then as it was). */
int ruc_seen_from_status(ruc_seen_t *seen, const json_t *status);

#endif
