/* recover.h - drivers that run although the store knows nothing of their engine: the database was
 * lost, or an older copy of it was put back. Beside its plan each driver has the record that it was
 * started for (record.json); from that the engine is written again and its driver adopted, rather
 * than forgotten. A driver whose engine was deleted is ended. Loop thread only. */
#ifndef RUC_ENGINE_RECOVER_H
#define RUC_ENGINE_RECOVER_H

#include <stddef.h>
#include <uv.h>

#include "engine/table.h"

/* `recovered`: engines that were written again. rc: 0, or why it could not be looked for them. */
typedef void (*ruc_recover_cb)(void *arg, int rc, size_t recovered);

/* Looks through state_dir/engines (on the thread pool) for living drivers of engines that the
 * table, which is loaded, does not know. 0, or a code (then no callback comes). */
int ruc_recover(uv_loop_t *loop, ruc_table_t *table, const char *state_dir, ruc_recover_cb cb,
                void *arg);

#endif
