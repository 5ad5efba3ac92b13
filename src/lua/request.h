/* request.h - what a handler sees of a request: `req`.
 *
 * Fields: method, path, params, query (a table), headers (a table, lower-case names), body (text),
 * id, peer, user ({name=, role=}). req:json() reads a JSON body strictly: the value, or nil and the
 * status, problem and headers to be returned. */
#ifndef RUC_LUA_REQUEST_H
#define RUC_LUA_REQUEST_H

#include <lua.h>

#include "http/router.h"
#include "http/stream.h"

/* The part that C shares with the Lua object; counted, as either may outlive the other. */
typedef struct ruc_request {
    unsigned refs;
    ruc_http_stream_t *stream; /* NULL once it is answered or the peer is gone */
    char method[24];           /* these two stay */
    char path[];
} ruc_request_t;

ruc_request_t *ruc_request_new(ruc_http_stream_t *stream);
void ruc_request_unref(ruc_request_t *request);

/* Pushes the Lua object. RAISES on memory. */
void ruc_request_push(lua_State *L, ruc_request_t *request, const ruc_http_match_t *match);

/* Makes the metatable. */
void ruc_request_open(lua_State *L);

#endif
