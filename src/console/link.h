/* link.h - the client's end of the console socket. A program of one thread and poll(2): it has no
 * loop of libuv, because a TAB waits for its answer in the middle of a key. */
#ifndef RUC_CONSOLE_LINK_H
#define RUC_CONSOLE_LINK_H

#include <jansson.h>

#include "console/wire.h"
#include "core/err.h"

typedef struct ruc_link {
    int fd; /* -1 when closed */
    ruc_wire_t wire;
    json_t *queue; /* messages that were received and not given out */
    int64_t last_id;
} ruc_link_t;

/* Connects to the socket at `path`. 0 or a negative code with a sentence. */
int ruc_link_open(ruc_link_t *link, const char *path, ruc_why_t *why);
void ruc_link_close(ruc_link_t *link);

/* Sends a message (taken over in every case) with an id of its own, which is returned; or a
 * negative code. Receives meanwhile, so that the two ends never wait for each other. */
int64_t ruc_link_send(ruc_link_t *link, json_t *message);

/* Receives what is there without waiting; 0, UV_EOF or another code. */
int ruc_link_receive(ruc_link_t *link);

/* The next message, owned by the caller; NULL: none is there. */
json_t *ruc_link_next(ruc_link_t *link);

/* The first message of that type and id, out of turn; waits up to `ms`. NULL: it has not come. */
json_t *ruc_link_await(ruc_link_t *link, const char *type, int64_t id, int ms);

#endif
