/* proxy.h - an answer that another replica gives: what an engine has written or uses is on the host
 * where its driver runs. The handler returns a proxy as its body and ends; from then on C hands the
 * other's answer through, piece by piece, as long as that goes on (a log that is followed).
 *
 * One hop only: the question carries RUC_PROXY_HOP, and who is asked with it passes nothing on. */
#ifndef RUC_LUA_PROXY_H
#define RUC_LUA_PROXY_H

#include <lua.h>

#include "http/stream.h"
#include "lua/app.h"

#define RUC_PROXY_HOP "x-rucat-hop" /* the id of the replica that asks */

typedef struct ruc_proxy {
    char url[RUC_REPLICA_URL_SIZE]; /* scheme, host and port of the other one */
    char name[RUC_HOST_NAME_SIZE];  /* of its machine, for the sentence when it does not answer */
} ruc_proxy_t;

/* Pushes a proxy; RAISES on memory. */
void ruc_proxy_push(lua_State *L, const ruc_proxy_t *proxy);

/* True when what is at `index` is a proxy; it is copied out. */
bool ruc_proxy_test(lua_State *L, int index, ruc_proxy_t *proxy);

/* Asks the other replica what the stream asked us (GET: same path and query; request id and
 * credentials are passed on) and answers with what it says; 502 when it cannot be reached. Takes
 * the stream over in every case. */
void ruc_proxy_begin(ruc_app_t *app, ruc_http_stream_t *stream, const ruc_proxy_t *proxy);

/* Ends all: the server stops. */
void ruc_proxy_end_all(void);

/* Makes the metatable. */
void ruc_proxy_open(lua_State *L);

#endif
