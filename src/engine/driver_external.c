/* driver_external.c - an engine that rucat did not create: there is nothing to start or to stop, it
 * is only watched (by the health policy). */
#include <stdio.h>

#include "core/clock.h"
#include "engine/driver_ops.h"

static void become(ruc_driver_t *d, ruc_seen_phase_t phase)
{
    int64_t now = ruc_clock_wall_ms();
    d->seen.phase = phase;
    if (phase == RUC_SEEN_READY) {
        d->seen.started_ms = d->seen.ready_ms = now;
    } else {
        d->seen.ended_ms = now;
    }
    d->seen.beat_wall_ms = now;
    d->seen.beat_mono_ms = 0; /* no rucat-engine, so no heartbeat that could be missed */
    ruc_driver_tell(d, false);
}

static int external_start(ruc_driver_t *d, const json_t *plan, ruc_why_t *why)
{
    (void)plan;
    (void)why;
    become(d, RUC_SEEN_READY);
    return 0;
}

static int external_adopt(ruc_driver_t *d)
{
    become(d, RUC_SEEN_READY);
    return 0;
}

static int external_stop(ruc_driver_t *d, const char *signal, int64_t grace_ms)
{
    (void)signal;
    (void)grace_ms;
    if (d->seen.phase != RUC_SEEN_ENDED) {
        become(d, RUC_SEEN_ENDED);
    }
    return 0;
}

const ruc_driver_ops_t ruc_driver_external = {
    .kind = "external",
    .size = sizeof(ruc_driver_t),
    .start = external_start,
    .adopt = external_adopt,
    .stop = external_stop,
};
