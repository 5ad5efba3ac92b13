/* event.c - see event.h. */
#include "engine/event.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/id.h"

const char *ruc_event_kind(const char *kind)
{
    static const char *const kinds[] = {"state", "policy", "health", "request"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i], kind) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

static bool fits(const json_t *data)
{
    return json_dumpb(data, NULL, 0, JSON_COMPACT) <= RUC_EVENT_DATA;
}

/* Without memory, or where it is too large in every way, the event goes without. */
static void add_data(json_t *doc, const json_t *data)
{
    if (doc == NULL || data == NULL) {
        return;
    }
    json_t *copy = json_deep_copy(data);
    if (copy != NULL && !fits(copy)) {
        json_object_del(json_object_get(copy, "engine"), "config");
        json_object_del(copy, "request");
    }
    if (copy != NULL && fits(copy)) {
        json_object_set(doc, "data", copy);
    }
    json_decref(copy);
}

int ruc_event_make(ruc_event_t *event, const char *kind, const ruc_record_t *before,
                   const ruc_record_t *after, const char *reason, const char *message,
                   const char *by, const json_t *data)
{
    const ruc_record_t *is = after != NULL ? after : before;
    char at[RUC_RFC3339_SIZE];
    *event = (ruc_event_t){.kind = kind, .at_ms = ruc_clock_wall_ms()};
    ruc_id_ulid(event->id);
    memcpy(event->engine, is->id, sizeof event->engine);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s?, s:s?, s:s, s:s, s:s}", "id", event->id,
                  "engine", is->id, "name", is->name, "epoch", (json_int_t)is->epoch, "at",
                  ruc_clock_rfc3339(event->at_ms, at), "kind", kind, "from",
                  before ? ruc_state_name(before->state) : NULL, "to",
                  after ? ruc_state_name(after->state) : NULL, "reason", reason ? reason : "",
                  "message", message ? message : "", "by", by ? by : "");
    add_data(doc, data);
    event->doc = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    event->len = event->doc == NULL ? 0 : strlen(event->doc);
    return event->doc == NULL ? RUC_EFULL : 0;
}

void ruc_event_free(ruc_event_t *event)
{
    free(event->doc);
    event->doc = NULL;
}

ruc_store_event_t ruc_event_row(const ruc_event_t *event)
{
    return (ruc_store_event_t){.id = event->id,
                               .engine = event->engine,
                               .at_ms = event->at_ms,
                               .kind = event->kind,
                               .doc = event->doc,
                               .doc_len = event->len};
}
