/* dispatch.h - from an HTTP request to a handler's job and back. */
#ifndef RUC_LUA_DISPATCH_H
#define RUC_LUA_DISPATCH_H

#include "http/server.h"
#include "lua/app.h"

/* The server's on_request and on_done; `arg` is the app. */
void ruc_dispatch_request(ruc_http_stream_t *stream, void *arg);
void ruc_dispatch_done(ruc_http_stream_t *stream, void *arg);

/* At the end, when no handler is under way any more. */
void ruc_dispatch_close(void);

/* How many handlers' jobs are under way. */
size_t ruc_dispatch_active(void);

#endif
