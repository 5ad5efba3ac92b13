/* idempotency.h - which Idempotency-Key made which engine, so that a create can be repeated safely
 * (draft-ietf-httpapi-idempotency-key-header). Kept for 24 hours, at most 10,000; the oldest goes
 * first. A key is also kept in its engine's record, so that it outlives the server. Loop thread. */
#ifndef RUC_ENGINE_IDEMPOTENCY_H
#define RUC_ENGINE_IDEMPOTENCY_H

#include <stddef.h>
#include <stdint.h>

#include "engine/table.h"

#define RUC_IDEMPOTENCY_MAX 10000u
#define RUC_IDEMPOTENCY_MS (24 * 3600 * 1000LL)
#define RUC_IDEMPOTENCY_KEY_MAX 255u

typedef struct ruc_idempotency ruc_idempotency_t;

typedef enum {
    RUC_CLAIM_NEW,   /* the caller creates, then settles or releases */
    RUC_CLAIM_SAME,  /* it was created: `engine` is its id */
    RUC_CLAIM_OTHER, /* the key was used with another body */
    RUC_CLAIM_BUSY,  /* somebody is creating with it right now */
    RUC_CLAIM_FULL,  /* all places are taken by creates under way */
} ruc_claim_t;

/* `table` (borrowed): whose records are read for keys that are still young, those also that other
 * servers make later. NULL without memory. Freed before the table. */
ruc_idempotency_t *ruc_idempotency_new(ruc_table_t *table);
void ruc_idempotency_free(ruc_idempotency_t *keys);

/* A digest of a body: 16 hex digits and its length. */
void ruc_idempotency_digest(const char *body, size_t len, char out[40]);

/* Claims `key` (the user's name is part of it) for a body of that digest. */
ruc_claim_t ruc_idempotency_claim(ruc_idempotency_t *keys, const char *key, const char *digest,
                                  char engine[27]);

/* It made that engine; or it made none, and the key is free again (unless an engine was made with
 * it by another server meanwhile). */
void ruc_idempotency_settle(ruc_idempotency_t *keys, const char *key, const char *engine);
void ruc_idempotency_release(ruc_idempotency_t *keys, const char *key);

#endif
