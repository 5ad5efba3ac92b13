/* fleet.h - the drivers that this server has a hand on: at most one for each engine, that of its
 * newest epoch. Knows directories and kinds; decides nothing. Loop thread only. */
#ifndef RUC_ENGINE_FLEET_H
#define RUC_ENGINE_FLEET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "engine/driver.h"
#include "engine/record.h"
#include "engine/table.h"

typedef struct ruc_fleet ruc_fleet_t;

typedef struct ruc_fleet_config {
    const char *state_dir; /* borrowed, must live longer */
    const char *helper;    /* path of rucat-engine, likewise */
    bool embedded;         /* drivers end with this server */
    int64_t beat_ms;
    int64_t log_max; /* bytes of a driver's log before it is rotated */
} ruc_fleet_config_t;

/* What is told of a driver: something new is in ruc_fleet_seen; `beat_only`: just a heartbeat. */
typedef void (*ruc_fleet_cb)(void *arg, const char *engine, bool beat_only);

/* NULL: no memory. */
ruc_fleet_t *ruc_fleet_new(uv_loop_t *loop, const ruc_fleet_config_t *config, ruc_fleet_cb cb,
                           void *arg);

/* Starts the driver of the record's epoch by `plan`; one that was there before is let go. The
 * record's `driver` names the kind, its `place` the directory. `until_ms` (ruc_clock_mono_ms):
 * later than that it is not started any more, and seen as "none". 0, RUC_EINVALID (unknown kind,
 * wrong plan) or another code, with `why`. Whatever goes wrong later is seen as an end. */
int ruc_fleet_start(ruc_fleet_t *fleet, const ruc_record_t *record, const json_t *plan,
                    uint64_t until_ms, ruc_why_t *why);

/* Looks for the driver of the record's epoch, where `place` says that it is; what it finds is seen
 * by and by. */
int ruc_fleet_adopt(ruc_fleet_t *fleet, const ruc_record_t *record);

/* Asks a driver to end, by its plan (signal NULL, grace_ms -1) or otherwise. RUC_ENOTFOUND. */
int ruc_fleet_stop(ruc_fleet_t *fleet, const char *engine, const char *signal, int64_t grace_ms);

/* What is seen of an engine's driver; NULL when there is none, or adoption has not answered. */
const ruc_seen_t *ruc_fleet_seen(const ruc_fleet_t *fleet, const char *engine);

/* True from ruc_fleet_start or adopt until ruc_fleet_forget. */
bool ruc_fleet_has(const ruc_fleet_t *fleet, const char *engine);

/* Lets a driver go; it lives on if it lives. */
void ruc_fleet_forget(ruc_fleet_t *fleet, const char *engine);

/* Drivers that have not ended; and asks all of those to end. */
size_t ruc_fleet_alive(const ruc_fleet_t *fleet);
void ruc_fleet_stop_all(ruc_fleet_t *fleet, int64_t grace_ms);

/* BASE/engines/ID, /ID/data or /ID/EPOCH into `out`; RUC_ETOOBIG. `base` is a state directory: our
 * own for NULL and for what is no absolute path, or the one that `place` names. */
int ruc_fleet_dir(const ruc_fleet_t *fleet, const char *base, const char *engine, char *out,
                  size_t size);
int ruc_fleet_data_dir(const ruc_fleet_t *fleet, const char *base, const char *engine, char *out,
                       size_t size);
int ruc_fleet_run_dir(const ruc_fleet_t *fleet, const char *base, const char *engine,
                      uint64_t epoch, char *out, size_t size);

/* Ends the drivers of an engine (NULL: of all) below our own state directory whose epoch is over:
 * the record has gone on to a later one, by another replica, or was deleted there; what is left of
 * a deleted engine is removed. What the store knows nothing of at all is left alone, and said. */
void ruc_fleet_sweep(ruc_fleet_t *fleet, ruc_table_t *table, const char *engine);

/* Sets the bound on logs, for drivers that run too. */
void ruc_fleet_set_log_max(ruc_fleet_t *fleet, int64_t log_max);

/* Lets all drivers go and frees it. */
void ruc_fleet_close(ruc_fleet_t *fleet);

#endif
