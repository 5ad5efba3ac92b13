/* verbs.h - what may be asked of an engine: start, stop, restart, delete. A verb writes what is
 * wanted and nothing else; the reconciler does the rest. Repeating is fine. */
#ifndef RUC_ENGINE_VERBS_H
#define RUC_ENGINE_VERBS_H

#include "engine/table.h"

/* verb: "start", "stop", "restart" or "delete"; "force-stop" and "force-delete" are the same but
 * for an engine that is HostLost, whose driver they give up: its epoch is raised. Loses no race: it
 * is tried again on the newest record, unless `rev` is given (not 0), then only that revision is
 * changed. By callback: RUC_ENOTFOUND, RUC_EREFUSED (start or restart of an engine that is being
 * deleted), RUC_ESTORE, RUC_ECONFLICT (another revision, or 16 races lost). `data` (borrowed, may
 * be NULL; see event.h) goes into the event of the request. Returns a negative code, without a
 * callback, for an unknown verb, no memory, or what the store says at once. */
int ruc_verb(ruc_table_t *table, const char *id, const char *verb, uint64_t rev, const char *by,
             json_t *data, ruc_table_cb cb, void *arg);

/* The changes that a verb means for a record as it is: a new object (empty when there is nothing
 * to change), or NULL with *rc RUC_EREFUSED, RUC_EINVALID or UV_ENOMEM. */
json_t *ruc_verb_changes(const ruc_record_t *record, const char *verb, int *rc);

/* True when no more will happen of itself towards `verb`'s end: it is so, or no start is due. */
bool ruc_verb_settled(const ruc_record_t *record, const char *verb);

#endif
