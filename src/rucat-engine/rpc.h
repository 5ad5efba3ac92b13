/* rpc.h - the conversation with servers: the connection the helper was born with, and those that
 * come to RUN_DIR/rpc later. Requests and answers as in core/frame.h with JSON bodies:
 *
 *   {"id":N,"method":M,"params":{}} -> {"id":N,"result":..} | {"id":N,"error":{"code","message"}}
 *   pushed to all: {"event":"status","status":{..}}, {"event":"beat","at_ms":N}
 *
 * Versions. A rucat-engine lives as long as its driver, so a server that was upgraded meets older
 * ones. Each side says in `hello` up to which version it speaks; the lower one counts. What one
 * side does not know it leaves alone: fields of requests, answers, status.json and plan.json are
 * ignored, a method is answered by `unknown_method`. So a version only ever adds:
 *
 *   1  hello {v} -> {v, status}; status, stop {signal, grace_ms}, ping
 *   2  hello {v, min} -> {v, methods, status} or the error `version`; set {log_max, beat_ms};
 *      status with cgroup, kill_took_ms
 *
 * Bounds: 16 connections, 256 KiB of unsent output each; who does not read, or does not speak the
 * protocol, is closed. */
#ifndef RUC_RE_RPC_H
#define RUC_RE_RPC_H

#include <jansson.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/frame.h"
#include "rucat-engine/loop.h"

/* The tests build a second rucat-engine that speaks an older one. */
#ifndef RUC_RE_PROTOCOL
#define RUC_RE_PROTOCOL 2
#endif

#define RUC_RE_RPC_CONNECTIONS 16
#define RUC_RE_RPC_UNSENT ((size_t)256 << 10)

struct ruc_re_rpc;

typedef struct ruc_re_connection {
    struct ruc_re_rpc *rpc;
    ruc_re_source_t source; /* fd -1: a free place */
    ruc_frame_reader_t reader;
    ruc_buf_t unsent;
    bool writing; /* watched for EPOLLOUT */
} ruc_re_connection_t;

/* An answer's error; code NULL: none. */
typedef struct ruc_re_rpc_error {
    const char *code;
    const char *message;
} ruc_re_rpc_error_t;

typedef struct ruc_re_rpc {
    ruc_re_loop_t *loop;
    ruc_re_source_t listener;
    ruc_re_connection_t connections[RUC_RE_RPC_CONNECTIONS];
    /* Answers a request; returns the result (taken over) or NULL with `error` filled in. */
    json_t *(*request)(void *arg, const char *method, json_t *params, ruc_re_rpc_error_t *error);
    void *arg;
} ruc_re_rpc_t;

/* Listens on "rpc" in the working directory. 0 or a negative errno; without a listener the rest
 * works all the same. loop, request and arg are set by the caller. */
int ruc_re_rpc_open(ruc_re_rpc_t *rpc);

/* Takes over a connected stream socket. 0, or a negative errno and it is closed. */
int ruc_re_rpc_adopt(ruc_re_rpc_t *rpc, int fd);

/* Sends an event to all; `event` is taken over (NULL is no memory: nothing is sent). */
void ruc_re_rpc_push(ruc_re_rpc_t *rpc, json_t *event);

/* True when nothing is left to be sent. */
bool ruc_re_rpc_flushed(const ruc_re_rpc_t *rpc);

/* Closes all and removes the socket. */
void ruc_re_rpc_close(ruc_re_rpc_t *rpc);

#endif
