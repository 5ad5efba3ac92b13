/* event.h - what is told of an engine: who changed what, when, and why (CONTRACT section 3). */
#ifndef RUC_ENGINE_EVENT_H
#define RUC_ENGINE_EVENT_H

#include "engine/record.h"
#include "store/store.h"

#define RUC_EVENT_DATA 8192 /* bytes */

typedef struct ruc_event {
    char id[27];
    char engine[27];
    const char *kind; /* static */
    int64_t at_ms;
    char *doc;
    size_t len;
} ruc_event_t;

/* Makes an event; `before` may be NULL (a new engine), `after` may be NULL (a removed one), not
 * both. `kind` must be static. `data` (NULL: none; borrowed) is an object with what `rucat try`
 * needs to ask a policy again; without its "engine.config" and "request" where it is larger than
 * RUC_EVENT_DATA. 0 or RUC_EFULL. Free with ruc_event_free. */
int ruc_event_make(ruc_event_t *event, const char *kind, const ruc_record_t *before,
                   const ruc_record_t *after, const char *reason, const char *message,
                   const char *by, const json_t *data);
void ruc_event_free(ruc_event_t *event);

/* The static text of one of the four kinds; NULL for another. */
const char *ruc_event_kind(const char *kind);

/* The row for the store; points into `event`. */
ruc_store_event_t ruc_event_row(const ruc_event_t *event);

#endif
