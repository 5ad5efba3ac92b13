/* replicas_ask.c - who is there, who is to take an engine, who has what it has written: answered
 * from what the database said last. */
#include <string.h>

#include "core/clock.h"
#include "engine/replicas_room.h"

size_t ruc_replicas_count(const ruc_replicas_t *r)
{
    return r->count;
}

const ruc_replica_t *ruc_replicas_at(const ruc_replicas_t *r, size_t index)
{
    return index < r->count ? &r->all[index] : NULL;
}

const ruc_replica_t *ruc_replicas_find(const ruc_replicas_t *r, const char *id)
{
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->all[i].id, id) == 0) {
            return &r->all[i];
        }
    }
    return NULL;
}

int64_t ruc_replicas_left_ms(const ruc_replicas_t *r, const ruc_replica_t *replica)
{
    return replica->left_ms - (int64_t)(ruc_clock_mono_ms() - r->answered_ms);
}

uint64_t ruc__replicas_digest(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u; /* FNV-1a */
    } while (*text++ != '\0');
    return hash;
}

/* FNV leaves the last bytes' differences in the low bits: what is compared by size is mixed. */
static uint64_t weight(const char *engine, const char *replica)
{
    uint64_t hash =
        ruc__replicas_digest(ruc__replicas_digest(RUC__REPLICAS_DIGEST, engine), replica);
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 33;
}

const ruc_replica_t *ruc_replicas_winner(const ruc_replicas_t *r, const char *engine,
                                         const char *host)
{
    const ruc_replica_t *best = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < r->count; i++) {
        const ruc_replica_t *one = &r->all[i];
        uint64_t weighs = weight(engine, one->id);
        if (one->alive && one->monitor && (host == NULL || strcmp(host, one->host) == 0) &&
            (best == NULL || weighs > most)) {
            best = one;
            most = weighs;
        }
    }
    return best;
}

bool ruc_replicas_has_files(const ruc_replicas_t *r, const ruc_record_t *record)
{
    const char *host = ruc_record_place(record, "host");
    return !r->shared || host[0] == '\0' || strcmp(host, r->self.host) == 0 ||
           strcmp(ruc_record_place(record, "replica"), r->self.id) == 0 ||
           strcmp(ruc_record_text(record, "keeper"), r->self.id) == 0;
}

const ruc_replica_t *ruc_replicas_with_files(const ruc_replicas_t *r, const ruc_record_t *record,
                                             ruc_why_t *why)
{
    const char *host = ruc_record_place(record, "host"), *name = ruc_record_place(record, "name");
    const ruc_replica_t *keeper = ruc_replicas_find(r, ruc_record_text(record, "keeper"));
    if (keeper != NULL && keeper->alive && strcmp(keeper->host, host) == 0) {
        return keeper;
    }
    for (size_t i = 0; i < r->count; i++) {
        const ruc_replica_t *one = &r->all[i];
        if (one->alive && (strcmp(one->host, host) == 0 ||
                           strcmp(one->id, ruc_record_place(record, "replica")) == 0)) {
            return one;
        }
    }
    ruc_why_set(why, RUC_ENOTFOUND,
                "what engine %s has written is on host %s, and no replica there is alive",
                record->name, name[0] != '\0' ? name : host);
    return NULL;
}
