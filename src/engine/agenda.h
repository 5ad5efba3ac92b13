/* agenda.h - which engines are to be looked at, and when. An id is put down for now or for a later
 * time (the earliest wins); whoever reconciles takes the ids one by one. Loop thread only. */
#ifndef RUC_ENGINE_AGENDA_H
#define RUC_ENGINE_AGENDA_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct ruc_agenda ruc_agenda_t;

/* `ready` is called on a later turn when ruc_agenda_take has something to give. NULL: no memory. */
ruc_agenda_t *ruc_agenda_new(uv_loop_t *loop, void (*ready)(void *arg), void *arg);

/* Puts an id down for `delay_ms` from now (0: now). 0 or UV_ENOMEM. */
int ruc_agenda_put(ruc_agenda_t *agenda, const char *id, uint64_t delay_ms);

/* Takes the next id that is due into `out` (27 bytes); false when there is none, or when it is
 * enough for this turn of the loop: `ready` is called again then. */
bool ruc_agenda_take(ruc_agenda_t *agenda, char out[27]);

/* Stops the timers; frees everything once their handles are closed. */
void ruc_agenda_close(ruc_agenda_t *agenda);

#endif
