/* feed_held.h - the events that a feed holds back for a moment, in the order of their ids. Only for
 * feed.c. */
#ifndef RUC_ENGINE_FEED_HELD_H
#define RUC_ENGINE_FEED_HELD_H

#include <stddef.h>

#include "engine/table.h"

#define RUC__HELD_MAX 65536u /* events; beyond it the oldest are handed on at once */

typedef struct ruc__held {
    ruc_event_t *events; /* sorted by id */
    size_t count, room;
    char until[27]; /* ids up to here may go with the next release; "": none */
} ruc__held_t;

/* Keeps a copy; one whose id is held already is passed over. 0 or UV_ENOMEM. */
int ruc__held_add(ruc__held_t *held, const ruc_store_event_t *event);

/* A poll is over: hands on, to the table's listeners, what the poll before this one had brought and
 * all that sorts before it. `all`: everything. */
void ruc__held_release(ruc__held_t *held, ruc_table_t *table, bool all);

void ruc__held_free(ruc__held_t *held);

#endif
