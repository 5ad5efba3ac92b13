/* replica_id.h - which replica a state directory is: DIR/replica keeps an id, the uuid of the
 * process that had it last, the host it was on and the directory's inode. All of it waits for the
 * disk: before the loop runs. */
#ifndef RUC_ENGINE_REPLICA_ID_H
#define RUC_ENGINE_REPLICA_ID_H

#include <stdbool.h>

#include "core/err.h"
#include "core/id.h"
#include "proc/host.h"

typedef struct ruc_replica_id {
    char id[RUC_ULID_SIZE];
    char before[RUC_UUID_SIZE]; /* the process that had it before us; "" when there was none */
    bool ended; /* that one has certainly ended: it was on this boot, and we have its lock */
} ruc_replica_id_t;

/* Reads the id of the state directory (which this server has locked), or makes one: also when the
 * directory is a copy of another one. Writes down that `instance` has it now, on `host`. 0, or a
 * negative code and a sentence when that cannot be done. */
int ruc_replica_id_take(const char *state_dir, const char *instance, const char *host,
                        ruc_replica_id_t *out, ruc_why_t *why);

#endif
