/* rpc_client.h - the server's end of a conversation with one rucat-engine: frames of core/frame.h
 * with JSON bodies, over a unix socket or a socketpair. See rucat-engine/rpc.h for what is said.
 * Loop thread only. */
#ifndef RUC_ENGINE_RPC_CLIENT_H
#define RUC_ENGINE_RPC_CLIENT_H

#include <jansson.h>
#include <uv.h>

#define RUC_RPC_PATH_MAX 107 /* bytes of a socket's path; libuv cuts longer ones without a word */

typedef struct ruc_rpc ruc_rpc_t;

/* Called from the loop; each may close the client. */
typedef struct ruc_rpc_events {
    void (*connected)(void *arg, int rc);              /* after ruc_rpc_connect; 0 or a code */
    void (*message)(void *arg, const json_t *message); /* an object; valid during the call */
    void (*lost)(void *arg, int rc);                   /* the end, or not our protocol: close it */
    void (*closed)(void *arg);                         /* the last call; comes after the close */
} ruc_rpc_events_t;

/* A client without a connection. `events` must outlive it. NULL without memory. */
ruc_rpc_t *ruc_rpc_new(uv_loop_t *loop, const ruc_rpc_events_t *events, void *arg);

/* Its pipe, to be opened on a connected socket. */
uv_pipe_t *ruc_rpc_pipe(ruc_rpc_t *client);

/* Connects to the socket at `path`, which is at most RUC_RPC_PATH_MAX bytes; ends in `connected`.
 */
void ruc_rpc_connect(ruc_rpc_t *client, const char *path);

/* Begins to listen on a connected client. 0 or a code. */
int ruc_rpc_read(ruc_rpc_t *client);

/* Sends a request; `params` is taken over (NULL is no memory). The answer comes as a message. 0,
 * RUC_EFULL when the helper does not read, or another code. */
int ruc_rpc_call(ruc_rpc_t *client, const char *method, json_t *params);

/* Closes it; no event comes any more but `closed`. NULL is fine. */
void ruc_rpc_close(ruc_rpc_t *client);

#endif
