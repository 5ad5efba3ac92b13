/* feed_held.c - see feed_held.h. */
#include "engine/feed_held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/table_room.h"

/* The place of an id: the first that is not before it. */
static size_t place_of(const ruc__held_t *held, const char *id)
{
    size_t low = 0, high = held->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(held->events[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int grow(ruc__held_t *held)
{
    size_t room = held->room == 0 ? 64 : held->room * 2;
    ruc_event_t *events = realloc(held->events, room * sizeof *events);
    if (events == NULL) {
        return UV_ENOMEM;
    }
    held->events = events;
    held->room = room;
    return 0;
}

int ruc__held_add(ruc__held_t *held, const ruc_store_event_t *event)
{
    const char *kind = ruc_event_kind(event->kind);
    size_t place = place_of(held, event->id);
    if (kind == NULL || (place < held->count && strcmp(held->events[place].id, event->id) == 0)) {
        return 0;
    }
    char *doc = malloc(event->doc_len + 1);
    if (doc == NULL || (held->count == held->room && grow(held) < 0)) {
        free(doc);
        return UV_ENOMEM;
    }
    memcpy(doc, event->doc, event->doc_len);
    doc[event->doc_len] = '\0';
    memmove(held->events + place + 1, held->events + place,
            (held->count - place) * sizeof *held->events);
    ruc_event_t *kept = &held->events[place];
    *kept = (ruc_event_t){.kind = kind, .at_ms = event->at_ms, .doc = doc, .len = event->doc_len};
    snprintf(kept->id, sizeof kept->id, "%s", event->id);
    snprintf(kept->engine, sizeof kept->engine, "%s", event->engine);
    held->count++;
    return 0;
}

void ruc__held_release(ruc__held_t *held, ruc_table_t *table, bool all)
{
    size_t n = 0;
    while (n < held->count && (all || held->count - n > RUC__HELD_MAX ||
                               strcmp(held->events[n].id, held->until) <= 0)) {
        ruc__table_tell_event(table, &held->events[n]);
        ruc_event_free(&held->events[n]);
        n++;
    }
    if (n > 0) {
        held->count -= n;
        memmove(held->events, held->events + n, held->count * sizeof *held->events);
    }
    if (held->count > 0) {
        memcpy(held->until, held->events[held->count - 1].id, sizeof held->until);
    }
}

void ruc__held_free(ruc__held_t *held)
{
    for (size_t i = 0; i < held->count; i++) {
        ruc_event_free(&held->events[i]);
    }
    free(held->events);
    *held = (ruc__held_t){0};
}
