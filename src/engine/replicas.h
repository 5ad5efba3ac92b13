/* replicas.h - this server as one of several on a shared store: a replica.
 *
 * A replica has an id (of its state directory, so that a server that is started again is the same
 * one), a host (proc/host.h) and a lease: a row in the store that says until when, on the
 * database's clock, it counts as alive. It renews that every third of a lease. Two rules keep two
 * replicas from deciding about the same engine:
 *
 *   - A lease is judged by its holder on CLOCK_BOOTTIME, from the moment the last renewal that
 *     succeeded was *sent*, and ends a margin early. When it may be over the replica is fenced: it
 *     starts nothing, stops nothing, takes nothing over, writes no decision, until it is renewed.
 *   - A lease is judged by others in an answer of the database alone: never by a clock of theirs.
 *
 * Who comes back after an outage does not take what belongs to others before a full lease is over:
 * they may be just as late. With a store that is not shared there is one replica, which holds its
 * lease for ever, and everything is its own.
 *
 * Loop thread only; callbacks never come from inside a call. */
#ifndef RUC_ENGINE_REPLICAS_H
#define RUC_ENGINE_REPLICAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "engine/record.h"
#include "proc/host.h"
#include "store/store.h"

#define RUC_REPLICAS_MAX 1000 /* of an answer; those beyond are passed over, and said */
#define RUC_REPLICA_URL_SIZE 512

typedef struct ruc_replicas ruc_replicas_t;

typedef struct ruc_replica {
    char id[27];
    char host[RUC_HOST_SIZE];
    char name[RUC_HOST_NAME_SIZE]; /* of the machine */
    char url[RUC_REPLICA_URL_SIZE];
    char version[32];
    bool server, monitor; /* its roles */
    bool alive;           /* by the last answer of the database */
    int64_t left_ms;      /* of its lease, as it was then; negative: over since */
} ruc_replica_t;

typedef struct ruc_replicas_config {
    const char *state_dir; /* DIR/replica keeps the id; borrowed until ruc_replicas_open returns */
    const char *instance;  /* uuid of this process; all other texts are copied */
    const char *url;       /* where the others reach us */
    bool server, monitor;
    int64_t lease_ms;
} ruc_replicas_config_t;

/* Who is there, or what we may do, has changed. */
typedef void (*ruc_replicas_cb)(void *arg);

/* Joins: reads or makes the id (waits for the disk: before the loop runs) and sends the first
 * renewal. `store` is borrowed and must be there until ruc_replicas_close. Negative code and `why`
 * when the id cannot be kept. */
int ruc_replicas_open(uv_loop_t *loop, ruc_store_t *store, const ruc_replicas_config_t *config,
                      ruc_replicas_cb cb, void *arg, ruc_replicas_t **out, ruc_why_t *why);

/* False: nobody else is on this store. */
bool ruc_replicas_shared(const ruc_replicas_t *replicas);

/* Ourselves. Where the store is not shared the id is "". */
const ruc_replica_t *ruc_replicas_self(const ruc_replicas_t *replicas);

/* True while our lease holds: we may decide. */
bool ruc_replicas_holds(const ruc_replicas_t *replicas);

/* Until when (ruc_clock_mono_ms) that is so if it is not renewed; 0: it is not so. UINT64_MAX: for
 * ever. Whoever acts on another thread compares before the act. */
uint64_t ruc_replicas_holds_until(const ruc_replicas_t *replicas);

/* Milliseconds until engines of other replicas may be taken over: 0 now, -1 our lease does not
 * hold. */
int64_t ruc_replicas_settles_in(const ruc_replicas_t *replicas);

/* All replicas of the last answer, ourselves among them, in the order of their ids. */
size_t ruc_replicas_count(const ruc_replicas_t *replicas);
const ruc_replica_t *ruc_replicas_at(const ruc_replicas_t *replicas, size_t index);

/* One of them; NULL. */
const ruc_replica_t *ruc_replicas_find(const ruc_replicas_t *replicas, const char *id);

/* Milliseconds that are left of a lease as far as can be told now: its end is carried on by our
 * monotonic clock since the last answer. For people; decisions go by `alive`. */
int64_t ruc_replicas_left_ms(const ruc_replicas_t *replicas, const ruc_replica_t *replica);

/* The replica that is to take an engine nobody keeps: the one with the highest hash of both ids
 * among those that are alive and have the monitor role, so that all replicas name the same one and
 * the engines of a dead one are spread. `host` not NULL: of that host only. NULL: there is none. */
const ruc_replica_t *ruc_replicas_winner(const ruc_replicas_t *replicas, const char *engine,
                                         const char *host);

/* True when the files of the record's driver (log, status) are where this server can read them. */
bool ruc_replicas_has_files(const ruc_replicas_t *replicas, const ruc_record_t *record);

/* Who can read them, where it is not us: its keeper, else somebody on that host. NULL and a
 * sentence when nobody that is alive can. */
const ruc_replica_t *ruc_replicas_with_files(const ruc_replicas_t *replicas,
                                             const ruc_record_t *record, ruc_why_t *why);

/* Ends our lease at once: the server is going. The store is still open. */
void ruc_replicas_leave(ruc_replicas_t *replicas);

/* Frees it; callbacks that the store still has to make are fine. NULL is fine. */
void ruc_replicas_close(ruc_replicas_t *replicas);

#endif
