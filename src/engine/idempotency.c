/* idempotency.c - see idempotency.h. The hash keeps its entries in the order they were added, which
 * is the order in which they grow too old. */
#include "engine/idempotency.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/clock.h"

typedef struct entry {
    char digest[40];
    char engine[27]; /* "": under way */
    int64_t at_ms;   /* by now_ms: what is set at the wall clock makes no key older */
    UT_hash_handle hh;
    char key[];
} entry_t;

struct ruc_idempotency {
    ruc_watcher_t watcher; /* first: what other servers make has its keys too */
    entry_t *entries;
    ruc_table_t *table;
};

void ruc_idempotency_digest(const char *body, size_t len, char out[40])
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)body[i]) * 1099511628211u;
    }
    snprintf(out, 40, "%016" PRIx64 "-%zu", hash, len);
}

static int64_t now_ms(void)
{
    return (int64_t)ruc_clock_mono_ms();
}

static entry_t *find(ruc_idempotency_t *keys, const char *key)
{
    entry_t *entry = NULL;
    HASH_FIND_STR(keys->entries, key, entry);
    return entry;
}

static void drop(ruc_idempotency_t *keys, entry_t *entry)
{
    HASH_DEL(keys->entries, entry);
    free(entry);
}

/* Drops what is too old, and, at the bound, the oldest that is settled. False: there is no room. */
static bool make_room(ruc_idempotency_t *keys, int64_t now)
{
    entry_t *entry, *next;
    HASH_ITER(hh, keys->entries, entry, next)
    {
        bool over = HASH_COUNT(keys->entries) >= RUC_IDEMPOTENCY_MAX;
        if (!over && entry->at_ms > now - RUC_IDEMPOTENCY_MS) {
            break;
        }
        if (entry->engine[0] != '\0') {
            drop(keys, entry);
        }
    }
    return HASH_COUNT(keys->entries) < RUC_IDEMPOTENCY_MAX;
}

static entry_t *add(ruc_idempotency_t *keys, const char *key, const char *digest, int64_t at_ms)
{
    entry_t *entry = calloc(1, sizeof *entry + strlen(key) + 1);
    if (entry != NULL) {
        memcpy(entry->key, key, strlen(key) + 1);
        snprintf(entry->digest, sizeof entry->digest, "%s", digest);
        entry->at_ms = at_ms;
        HASH_ADD_STR(keys->entries, key, entry);
    }
    return entry;
}

/* Takes over the key that a record was made with, unless it is known. */
static void learn(ruc_idempotency_t *keys, const ruc_record_t *record)
{
    json_t *kept = ruc_record_field(record, "idempotency");
    const char *key = json_string_value(json_object_get(kept, "key"));
    const char *digest = json_string_value(json_object_get(kept, "digest"));
    int64_t now = now_ms();
    int64_t age_ms = ruc_clock_wall_ms() - json_integer_value(json_object_get(kept, "at_ms"));
    if (key == NULL || digest == NULL || age_ms > RUC_IDEMPOTENCY_MS || find(keys, key) != NULL ||
        !make_room(keys, now)) {
        return;
    }
    entry_t *entry = add(keys, key, digest, age_ms > 0 ? now - age_ms : now);
    if (entry != NULL) {
        snprintf(entry->engine, sizeof entry->engine, "%s", record->id);
    }
}

static void changed(ruc_watcher_t *watcher, ruc_record_t *before, ruc_record_t *after)
{
    if (before == NULL && after != NULL) {
        learn((ruc_idempotency_t *)watcher, after);
    }
}

ruc_idempotency_t *ruc_idempotency_new(ruc_table_t *table)
{
    ruc_idempotency_t *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        return NULL;
    }
    keys->table = table;
    keys->watcher.changed = changed;
    for (size_t i = 0; i < ruc_table_count(table); i++) {
        learn(keys, ruc_table_at(table, i));
    }
    ruc_table_watch(table, &keys->watcher);
    return keys;
}

void ruc_idempotency_free(ruc_idempotency_t *keys)
{
    if (keys == NULL) {
        return;
    }
    ruc_table_unwatch(keys->table, &keys->watcher);
    while (keys->entries != NULL) {
        drop(keys, keys->entries);
    }
    free(keys);
}

ruc_claim_t ruc_idempotency_claim(ruc_idempotency_t *keys, const char *key, const char *digest,
                                  char engine[27])
{
    int64_t now = now_ms();
    entry_t *entry = find(keys, key);
    if (entry != NULL && entry->engine[0] != '\0' && entry->at_ms < now - RUC_IDEMPOTENCY_MS) {
        drop(keys, entry);
        entry = NULL;
    }
    if (entry == NULL) {
        return make_room(keys, now) && add(keys, key, digest, now) != NULL ? RUC_CLAIM_NEW
                                                                           : RUC_CLAIM_FULL;
    }
    if (strcmp(entry->digest, digest) != 0) {
        return RUC_CLAIM_OTHER;
    }
    if (entry->engine[0] == '\0') {
        return RUC_CLAIM_BUSY;
    }
    memcpy(engine, entry->engine, 27);
    return RUC_CLAIM_SAME;
}

void ruc_idempotency_settle(ruc_idempotency_t *keys, const char *key, const char *engine)
{
    entry_t *entry = find(keys, key);
    if (entry != NULL) {
        snprintf(entry->engine, sizeof entry->engine, "%s", engine);
    }
}

void ruc_idempotency_release(ruc_idempotency_t *keys, const char *key)
{
    entry_t *entry = find(keys, key);
    if (entry == NULL || entry->engine[0] != '\0') {
        return;
    }
    drop(keys, entry);
    for (size_t i = 0; i < ruc_table_count(keys->table); i++) {
        ruc_record_t *record = ruc_table_at(keys->table, i);
        const char *kept =
            json_string_value(json_object_get(ruc_record_field(record, "idempotency"), "key"));
        if (kept != NULL && strcmp(kept, key) == 0) {
            learn(keys, record); /* another server was faster with the same request */
        }
    }
}
