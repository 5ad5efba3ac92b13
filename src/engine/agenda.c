/* agenda.c - see agenda.h. One timer for each id that waits (libuv keeps them in a heap), a list of
 * those that are due. */

#include "engine/agenda.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "core/id.h"

/* So many are given out in one turn of the loop: when many engines have something to be done at
 * once, requests are answered in between. */
#define PER_TURN 8

typedef struct item {
    char id[RUC_ULID_SIZE];
    ruc_agenda_t *agenda;
    uv_timer_t timer;
    uint64_t at; /* loop time, while the timer runs */
    bool due;
    struct item *prev, *next; /* in the list of those due */
    UT_hash_handle hh;
} item_t;

struct ruc_agenda {
    uv_loop_t *loop;
    void (*ready)(void *arg);
    void *arg;
    item_t *items;
    item_t *due;
    uv_idle_t kick; /* calls `ready` on the next turn */
    int left;       /* to be given out in this turn */
    bool closing;
};

static void kicked(uv_idle_t *handle)
{
    ruc_agenda_t *agenda = handle->data;
    uv_idle_stop(handle);
    agenda->left = PER_TURN;
    if (!agenda->closing && agenda->due != NULL) {
        agenda->ready(agenda->arg);
    }
}

ruc_agenda_t *ruc_agenda_new(uv_loop_t *loop, void (*ready)(void *arg), void *arg)
{
    ruc_agenda_t *agenda = calloc(1, sizeof *agenda);
    if (agenda == NULL) {
        return NULL;
    }
    agenda->loop = loop;
    agenda->left = PER_TURN;
    agenda->ready = ready;
    agenda->arg = arg;
    uv_idle_init(loop, &agenda->kick);
    agenda->kick.data = agenda;
    return agenda;
}

static void item_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void make_due(item_t *item)
{
    ruc_agenda_t *agenda = item->agenda;
    uv_timer_stop(&item->timer);
    if (!item->due) {
        item->due = true;
        DL_APPEND(agenda->due, item);
    }
    if (!agenda->closing) {
        uv_idle_start(&agenda->kick, kicked);
    }
}

static void rang(uv_timer_t *timer)
{
    make_due(timer->data);
}

int ruc_agenda_put(ruc_agenda_t *agenda, const char *id, uint64_t delay_ms)
{
    item_t *item = NULL;
    if (agenda->closing) {
        return 0;
    }
    HASH_FIND_STR(agenda->items, id, item);
    if (item == NULL) {
        item = calloc(1, sizeof *item);
        if (item == NULL) {
            return UV_ENOMEM;
        }
        snprintf(item->id, sizeof item->id, "%s", id);
        item->agenda = agenda;
        uv_timer_init(agenda->loop, &item->timer);
        item->timer.data = item;
        HASH_ADD_STR(agenda->items, id, item);
    }
    if (item->due) {
        return 0;
    }
    if (delay_ms == 0) {
        make_due(item);
        return 0;
    }
    uint64_t at = uv_now(agenda->loop) + delay_ms;
    if (uv_is_active((uv_handle_t *)&item->timer) && item->at <= at) {
        return 0;
    }
    item->at = at;
    return uv_timer_start(&item->timer, rang, delay_ms, 0);
}

bool ruc_agenda_take(ruc_agenda_t *agenda, char out[27])
{
    item_t *item = agenda->due;
    if (item == NULL) {
        return false;
    }
    if (agenda->left == 0) {
        uv_idle_start(&agenda->kick, kicked);
        return false;
    }
    agenda->left--;
    DL_DELETE(agenda->due, item);
    HASH_DEL(agenda->items, item);
    memcpy(out, item->id, RUC_ULID_SIZE);
    uv_close((uv_handle_t *)&item->timer, item_closed);
    return true;
}

static void agenda_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ruc_agenda_close(ruc_agenda_t *agenda)
{
    if (agenda == NULL || agenda->closing) {
        return;
    }
    agenda->closing = true;
    item_t *item, *next;
    HASH_ITER(hh, agenda->items, item, next)
    {
        HASH_DEL(agenda->items, item);
        uv_close((uv_handle_t *)&item->timer, item_closed);
    }
    agenda->due = NULL;
    uv_close((uv_handle_t *)&agenda->kick, agenda_closed);
}
