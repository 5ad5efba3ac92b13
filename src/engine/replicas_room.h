/* replicas_room.h - what replicas.c (the lease) and replicas_ask.c (who is there) share. */
#ifndef RUC_ENGINE_REPLICAS_ROOM_H
#define RUC_ENGINE_REPLICAS_ROOM_H

#include "core/id.h"
#include "engine/replicas.h"

struct ruc_replicas {
    uv_loop_t *loop;
    ruc_store_t *store;
    ruc_replicas_cb cb;
    void *arg;
    bool shared, closed;
    ruc_replica_t self;
    char instance[RUC_UUID_SIZE];
    int64_t lease_ms;
    ruc_replica_t *all; /* of the last answer, by id */
    size_t count;
    uint64_t answered_ms; /* when that was; 0: there was none yet */
    int64_t database_ms;  /* and the database's clock then */
    uv_timer_t timer;     /* the next renewal */
    uv_timer_t moment;    /* the next time at which something changes by itself */
    bool renewing, leaving;
    uint64_t sent_ms; /* of the renewal under way */
    int64_t sent_wall_ms;
    /* All on ruc_clock_mono_ms; 0: never. */
    uint64_t held_until;     /* our lease holds; a margin is taken off */
    uint64_t held_from;      /* but not before this */
    uint64_t settled_at;     /* then others' engines may be taken */
    int told;                /* what `cb` was last told of: see standing() */
    uint64_t told_who;       /* and the digest of who is there */
    int trouble;             /* the last code of a renewal that was logged; 0 none */
    unsigned handles, calls; /* what has to end before it can be freed */
};

/* A digest of texts, one after the other, from RUC__REPLICAS_DIGEST on (FNV-1a). */
#define RUC__REPLICAS_DIGEST 14695981039346656037u
uint64_t ruc__replicas_digest(uint64_t hash, const char *text);

#endif
