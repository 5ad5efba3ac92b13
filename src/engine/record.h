/* record.h - the record of an engine: an immutable snapshot, counted by references.
 *
 * A record is a JSON object whose fields are the list below. A change makes a new snapshot with
 * `rev` raised by one; who holds an older one keeps seeing what it saw. What clients see is
 * rendered once for each snapshot, with secrets masked; `heartbeat_at` is a slot of fixed width in
 * that text, filled in at each answer, because beats are outside `rev`. Loop thread only. */
#ifndef RUC_ENGINE_RECORD_H
#define RUC_ENGINE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "engine/states.h"

/* name, type (s string, S string or null, i integer, n number or null, m object, M object or null,
 * l list), P if clients see it and I if it is internal. Clients see them in this order. */
#define RUC_RECORD_FIELDS(XX)                                                                      \
    XX(id, 's', 'P')                                                                               \
    XX(name, 's', 'P')                                                                             \
    XX(type, 's', 'P')                                                                             \
    XX(platform, 's', 'P')                                                                         \
    XX(version, 'S', 'P')                                                                          \
    XX(state, 's', 'P')                                                                            \
    XX(desired, 's', 'P')                                                                          \
    XX(reason, 's', 'P')                                                                           \
    XX(message, 's', 'P')                                                                          \
    XX(health, 's', 'P')                                                                           \
    XX(endpoint, 'S', 'P')                                                                         \
    XX(ui, 'S', 'P')                                                                               \
    XX(config, 'm', 'P')                                                                           \
    XX(labels, 'm', 'P')                                                                           \
    XX(epoch, 'i', 'P')                                                                            \
    XX(rev, 'i', 'P')                                                                              \
    XX(restarts, 'i', 'P')                                                                         \
    XX(next_start_at, 'S', 'P')                                                                    \
    XX(exit, 'm', 'P')                                                                             \
    XX(owner, 's', 'P')                                                                            \
    XX(keeper, 's', 'P') /* the replica that reconciles it; "": nobody, or there is one */         \
    XX(app, 'M', 'P')                                                                              \
    XX(env, 'm', 'P')                                                                              \
    XX(idle_timeout, 'n', 'P')                                                                     \
    XX(ttl, 'n', 'P')                                                                              \
    XX(created_at, 's', 'P')                                                                       \
    XX(started_at, 'S', 'P')                                                                       \
    XX(stopped_at, 'S', 'P')                                                                       \
    XX(asked_at, 'S', 'I')     /* when somebody asked for the start: what `ttl` counts from */     \
    XX(wanted_epoch, 'i', 'I') /* the epoch that is asked for; above `epoch`: a start is due */    \
    XX(instance, 's', 'I')     /* uuid of the driver of `epoch`; "" before its start */            \
    XX(driver, 's', 'I')       /* kind of that driver; "" before its start */                      \
    XX(ending, 's', 'I')       /* why rucat itself is ending it; "" when it is not */              \
    XX(address, 'S', 'I')      /* external engines: the endpoint that was given */                 \
    XX(plan, 'm', 'I')         /* what the reconciler must know of the plan: endpoint, ui, host */ \
    XX(place, 'm', 'I')        /* of a local driver: host, dir, replica, name; {}: none */         \
    XX(idempotency, 'm', 'I')  /* the key that made it: key, digest, at_ms */                      \
    XX(history, 'l', 'I')      /* ends since the last asked start, newest first, at most 32 */

typedef struct ruc_record {
    unsigned refs;
    json_t *doc;           /* all fields; never changed */
    const char *id, *name; /* point into doc */
    ruc_state_t state;
    ruc_desired_t desired;
    uint64_t rev, epoch, wanted_epoch;
    char *json; /* rendered for clients; NULL until asked for */
    size_t json_len;
    size_t beat_at;     /* where the heartbeat slot starts */
    int64_t beat_shown; /* the beat that is written there, wall milliseconds; 0: null */
} ruc_record_t;

/* Makes a record of an object with some of the fields; the others get their empty value (null, "",
 * {}, [], 0). Takes the reference to `doc` in every case. NULL and `why` (which field, and what was
 * expected) when a field is unknown or of the wrong type. One reference to the caller. */
ruc_record_t *ruc_record_make(json_t *doc, ruc_why_t *why);

/* The same from text, as the store keeps it. */
ruc_record_t *ruc_record_parse(const char *text, size_t len, ruc_why_t *why);

/* The next snapshot: the fields of `changes` replaced, `rev` raised by one. NULL and `why` when a
 * field is unknown, of the wrong type, or the state gate refuses. */
ruc_record_t *ruc_record_with(const ruc_record_t *record, json_t *changes, ruc_why_t *why);

ruc_record_t *ruc_record_ref(ruc_record_t *record);
void ruc_record_unref(ruc_record_t *record);

/* The text of the whole record for the store; the caller frees it. NULL without memory. */
char *ruc_record_dump(const ruc_record_t *record);

/* What clients see, with the heartbeat (wall ms; 0: null) filled in. Owned by the record; the next
 * call may change the heartbeat's bytes. NULL without memory. */
const char *ruc_record_render(ruc_record_t *record, int64_t beat_ms, size_t *len);

/* A field by name, borrowed; NULL when there is no such field. */
json_t *ruc_record_field(const ruc_record_t *record, const char *name);

/* The text of a string field; "" when null. */
const char *ruc_record_text(const ruc_record_t *record, const char *name);

/* A text of `place`: "host", "dir", "replica" or "name"; "" where there is none. */
const char *ruc_record_place(const ruc_record_t *record, const char *part);

/* True when clients see that field. */
bool ruc_record_public(const char *name);

/* True for a key of `config` or `env` whose value is never shown: it contains password, secret,
 * token or credential, case aside. */
bool ruc_record_secret(const char *key);

/* A new reference to a map with its secrets replaced by "***". NULL without memory. */
json_t *ruc_record_mask(const json_t *map);

/* Iterates the names of all fields; NULL after the last. */
const char *ruc_record_field_name(size_t index);

#endif
