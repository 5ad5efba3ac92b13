/* verbs.c - see verbs.h. */
#include "engine/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/id.h"

#define TRIES 16

/* A start asked for by somebody: a new epoch and a fresh restart budget. */
static json_t *fresh_start(const ruc_record_t *record)
{
    uint64_t wanted =
        record->wanted_epoch > record->epoch ? record->wanted_epoch : record->epoch + 1;
    char now[RUC_RFC3339_SIZE];
    json_t *changes =
        json_pack("{s:s, s:I, s:i, s:[], s:n, s:s}", "desired", "Running", "wanted_epoch",
                  (json_int_t)wanted, "restarts", 0, "history", "next_start_at", "asked_at",
                  ruc_clock_rfc3339(ruc_clock_wall_ms(), now));
    /* Not BackOff any more, and no longer the reason of the end before: it is about to start. */
    if (changes != NULL && record->state == RUC_STATE_STOPPED &&
        (json_object_set_new(changes, "reason", json_string("Starting")) < 0 ||
         json_object_set_new(changes, "message", json_string("")) < 0)) {
        json_decref(changes);
        return NULL;
    }
    return changes;
}

/* Who asks sees at once that a driver has to end first: nobody takes the old one for the new. */
static json_t *with_stopping(const ruc_record_t *record, json_t *changes)
{
    if (changes != NULL && record->state != RUC_STATE_STOPPED &&
        json_object_set_new(changes, "reason", json_string("Stopping")) < 0) {
        json_decref(changes);
        return NULL;
    }
    return changes;
}

/* A driver is to end; where there is none, nothing is due any more from this write on. */
static json_t *stop(const ruc_record_t *record)
{
    if (record->state == RUC_STATE_STOPPED) {
        return json_pack("{s:s, s:I, s:s, s:n}", "desired", "Stopped", "wanted_epoch",
                         (json_int_t)record->epoch, "reason", "StoppedByUser", "next_start_at");
    }
    return with_stopping(record, json_pack("{s:s, s:I, s:s}", "desired", "Stopped", "wanted_epoch",
                                           (json_int_t)record->epoch, "ending", "StoppedByUser"));
}

static bool is_lost(const ruc_record_t *record)
{
    return record->state != RUC_STATE_STOPPED &&
           strcmp(ruc_record_text(record, "reason"), "HostLost") == 0;
}

/* Gives the driver on a host that is lost up: it counts as ended from this write on, and the epoch
 * is one that it does not have, so that it is ended when its host is back (strays.h). */
static json_t *give_up(const ruc_record_t *record, const char *desired)
{
    char now[RUC_RFC3339_SIZE], message[256];
    json_int_t epoch = (json_int_t)record->epoch + 1;
    snprintf(message, sizeof message, "by force: epoch %llu on host %s was given up",
             (unsigned long long)record->epoch, ruc_record_place(record, "name"));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:n, s:n, s:n, s:s, s:s, s:s, s:s, s:{}}",
                     "state", "Stopped", "desired", desired, "reason", "StoppedByUser", "message",
                     message, "health", "unknown", "epoch", epoch, "wanted_epoch", epoch,
                     "endpoint", "ui", "next_start_at", "stopped_at",
                     ruc_clock_rfc3339(ruc_clock_wall_ms(), now), "ending", "", "instance", "",
                     "keeper", "", "place");
}

static bool starting_or_up(const ruc_record_t *record)
{
    return record->state != RUC_STATE_STOPPED && ruc_record_text(record, "ending")[0] == '\0';
}

json_t *ruc_verb_changes(const ruc_record_t *record, const char *verb, int *rc)
{
    bool deleted = record->desired == RUC_WANT_DELETED;
    json_t *changes = NULL;
    *rc = UV_ENOMEM;
    if (strcmp(verb, "start") == 0 || strcmp(verb, "restart") == 0) {
        bool restart = verb[0] == 'r';
        if (deleted) {
            *rc = RUC_EREFUSED;
            return NULL;
        }
        bool due = record->desired == RUC_WANT_RUNNING && record->wanted_epoch > record->epoch;
        bool fine = record->desired == RUC_WANT_RUNNING && starting_or_up(record);
        changes =
            due || (fine && !restart) ? json_object() : with_stopping(record, fresh_start(record));
    } else if (strcmp(verb, "stop") == 0) {
        bool already = deleted || record->desired == RUC_WANT_STOPPED;
        changes = already ? json_object() : stop(record);
    } else if (strcmp(verb, "force-stop") == 0 && is_lost(record)) {
        changes = give_up(record, deleted ? "Deleted" : "Stopped");
    } else if (strcmp(verb, "force-delete") == 0 && is_lost(record)) {
        changes = give_up(record, "Deleted");
    } else if (strcmp(verb, "force-stop") == 0 || strcmp(verb, "force-delete") == 0) {
        return ruc_verb_changes(record, verb + 6, rc); /* nothing is lost: no force is needed */
    } else if (strcmp(verb, "delete") == 0) {
        changes = deleted ? json_object()
                          : with_stopping(record, json_pack("{s:s}", "desired", "Deleted"));
    } else {
        *rc = RUC_EINVALID;
    }
    return changes;
}

bool ruc_verb_settled(const ruc_record_t *record, const char *verb)
{
    if (strcmp(verb, "delete") == 0) {
        return false; /* it is when the engine is gone */
    }
    if (record->state == RUC_STATE_STOPPED && record->desired != RUC_WANT_RUNNING) {
        return true;
    }
    bool up = record->state == RUC_STATE_RUNNING && record->wanted_epoch <= record->epoch &&
              record->desired == RUC_WANT_RUNNING;
    return strcmp(verb, "stop") != 0 && up;
}

typedef struct asked {
    ruc_table_t *table;
    char id[RUC_ULID_SIZE];
    char verb[16];
    uint64_t rev; /* only this one; 0: any */
    char *by;
    json_t *data;
    int tries;
    ruc_table_cb cb;
    void *arg;
} asked_t;

static int try_verb(asked_t *asked);

static void asked_end(asked_t *asked, int rc, ruc_record_t *record)
{
    asked->cb(asked->arg, rc, record);
    json_decref(asked->data);
    free(asked->by);
    free(asked);
}

static void changed(void *arg, int rc, ruc_record_t *record)
{
    asked_t *asked = arg;
    if (rc == RUC_ECONFLICT && ++asked->tries < TRIES) {
        rc = try_verb(asked);
        if (rc == 0) {
            return;
        }
    }
    asked_end(asked, rc, record);
}

static int try_verb(asked_t *asked)
{
    ruc_record_t *record = ruc_table_find(asked->table, asked->id);
    if (record == NULL) {
        return RUC_ENOTFOUND;
    }
    if (asked->rev != 0 && asked->rev != record->rev) {
        return RUC_ECONFLICT;
    }
    int rc = 0;
    json_t *changes = ruc_verb_changes(record, asked->verb, &rc);
    if (changes == NULL) {
        return rc;
    }
    /* Also written when nothing changes: the request itself is an event, and the callback comes
     * the same way in every case. */
    json_t *note = json_pack("{s:s, s:s, s:s}", "kind", "request", "reason", asked->verb, "message",
                             json_object_size(changes) == 0 ? "nothing to change" : "");
    if (note != NULL && asked->data != NULL) {
        json_object_set(note, "data", asked->data);
    }
    rc = note == NULL ? UV_ENOMEM
                      : ruc_table_change(asked->table, asked->id, record->rev, changes, note,
                                         asked->by, changed, asked, NULL);
    json_decref(note);
    json_decref(changes);
    return rc;
}

int ruc_verb(ruc_table_t *table, const char *id, const char *verb, uint64_t rev, const char *by,
             json_t *data, ruc_table_cb cb, void *arg)
{
    asked_t *asked = calloc(1, sizeof *asked);
    char *name = strdup(by);
    if (asked == NULL || name == NULL || strlen(verb) >= sizeof asked->verb) {
        free(asked);
        free(name);
        return strlen(verb) >= sizeof asked->verb ? RUC_EINVALID : UV_ENOMEM;
    }
    ruc_record_t *record = ruc_table_find(table, id);
    *asked = (asked_t){.table = table, .rev = rev, .by = name, .cb = cb, .arg = arg};
    asked->data = json_incref(data);
    snprintf(asked->id, sizeof asked->id, "%s", record == NULL ? "" : record->id);
    memcpy(asked->verb, verb, strlen(verb));
    int rc = try_verb(asked);
    if (rc < 0) {
        json_decref(asked->data);
        free(asked->by);
        free(asked);
    }
    return rc;
}
