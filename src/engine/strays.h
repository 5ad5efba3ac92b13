/* strays.h - drivers below our state directory whose epoch is over, and nobody's any more.
 *
 * They come about when a replica was cut off (its machine stood still, its network was away) and
 * others decided meanwhile: the engine went on to a later epoch elsewhere, or was deleted. The
 * record says so; here the driver is ended, by the stop that its plan has. Only what the store has
 * a word about is touched: an engine that it knows nothing of (it was emptied) is left alone. */
#ifndef RUC_ENGINE_STRAYS_H
#define RUC_ENGINE_STRAYS_H

#include <stdint.h>
#include <uv.h>

#include "engine/table.h"

typedef struct ruc_strays_config { /* borrowed; must live until ruc_strays_close */
    const char *state_dir;
    const char *helper;
    int64_t beat_ms;
    int64_t log_max;
} ruc_strays_config_t;

/* Looks below state_dir for drivers of `engine` (NULL: of all engines) and ends those whose epoch
 * is over; the directory of a deleted engine is removed when nothing of it runs any more. Comes to
 * its end by itself; whatever goes wrong is logged and tried again by the next sweep. At most
 * 10,000 run directories are looked at. Loop thread. */
void ruc_strays_sweep(uv_loop_t *loop, ruc_table_t *table, const ruc_strays_config_t *config,
                      const char *engine);

/* Lets go of all; they live on until somebody sweeps again. */
void ruc_strays_close(void);

#endif
