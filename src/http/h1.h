/* h1.h - inside the room: HTTP/1.0 and 1.1 on a connection (RFC 9112), with llhttp.
 *
 * One request at a time: a pipelined one stays in the input buffer until the answer before it is
 * complete, so answers are in order by construction and the number of requests under way is bounded
 * by one. When the buffer is full, reading stops.
 *
 *   IDLE -> HEAD -> BODY -> ANSWER -> HEAD (next request is there) | IDLE | lingering
 *
 * IDLE has no work. HEAD and BODY feed the parser, which stops after the head and after the
 * message, so that no callback of ours runs inside it. In ANSWER the request is complete and the
 * answer is due. A streamed request is answered in BODY or ANSWER. */
#ifndef RUC_HTTP_H1_H
#define RUC_HTTP_H1_H

#include <llhttp.h>

#include "core/buf.h"
#include "core/id.h"
#include "http/conn.h"

/* The protocol's table for conn.h. */
extern const ruc__http_proto_t ruc__h1_proto;

/* The stream functions of h1 (h1_write.c). */
extern const ruc__http_ops_t ruc__h1_ops;

typedef enum { RUC__H1_HEAD, RUC__H1_BODY, RUC__H1_ANSWER } ruc__h1_phase_t;

/* A header while it is parsed: offsets into the input buffer, which may still move. */
typedef struct ruc__h1_slot {
    uint32_t name, name_len, value, value_len;
} ruc__h1_slot_t;

/* All that a request needs; taken from the server's pool when bytes arrive. */
typedef struct ruc__h1_work {
    ruc_http_stream_t stream; /* first: a stream is its work */
    ruc__http_conn_t *conn;
    struct ruc__h1_work *next; /* in the pool */
    llhttp_t parser;
    ruc__h1_phase_t phase;
    char *in; /* head and what follows: [start, head_end) the head, [pos, end) not yet parsed */
    size_t cap, start, pos, end, head_end;
    size_t target, target_len, header_count;
    size_t overhead; /* bytes of chunk extensions and trailers */
    size_t body_seen, body_mark;
    uint64_t body_begun; /* loop ms */
    ruc_buf_t text;      /* paths and authority of the stream */
    ruc_buf_t body;      /* the buffered body; of a streamed one the piece to be delivered */
    ruc_buf_t out;       /* answer bytes not yet written */
    char id[65];
    bool in_value : 1;   /* the last span was of a header's value */
    bool fold : 1;       /* a folded header was seen */
    bool after_head : 1; /* what the parser reports now are trailers */
    bool too_many : 1;   /* headers */
    bool too_big : 1;    /* body or overhead */
    bool no_memory : 1;
    bool minor0 : 1;    /* HTTP/1.0 */
    bool keep : 1;      /* the connection may go on */
    bool head_only : 1; /* HEAD */
    bool streamed : 1;  /* RUC_HTTP_STREAM */
    bool paused : 1;    /* the caller holds the body back */
    bool handed : 1;    /* on_head or on_request has seen it */
    bool body_done : 1;
    bool body_told : 1; /* `last` was delivered */
    bool started : 1;   /* ruc_http_start */
    bool chunked : 1;   /* the answer is */
    bool answered : 1;  /* the answer is complete */
    bool aborted : 1;
    bool want_drain : 1;
    ruc_http_header_t *headers; /* limits.headers of them, then as many slots */
    ruc__h1_slot_t *slots;
} ruc__h1_work_t;

/* Sends the protocol's own answer to a request that is wrong and ends the connection (h1.c). */
void ruc__h1_fail(ruc__http_conn_t *conn, int status, const char *detail);

/* The answer is complete, or given up: go on with the connection (h1.c). */
void ruc__h1_answered(ruc__h1_work_t *work);

/* Gives a connection a work, from the pool or a new one; NULL: no memory (h1_work.c). */
ruc__h1_work_t *ruc__h1_take(ruc__http_conn_t *conn);

/* Gives a connection's work back, if it has one (h1_work.c). */
void ruc__h1_drop(ruc__http_conn_t *conn);

/* Makes a work ready for the next request; keeps buffers and unparsed input (h1_work.c). */
void ruc__h1_begin(ruc__h1_work_t *work);

/* Frees the spare works (h1_work.c). */
void ruc__h1_empty_pool(ruc_http_server_t *server);

/* Writes what is in `out`. 0 or RUC_ECLOSED (h1_write.c). */
int ruc__h1_flush(ruc__h1_work_t *work);

/* Checks the head that lies parsed in the buffer and fills the stream. 0, or the status to refuse
 * it with and `*detail` a sentence (h1_head.c). */
int ruc__h1_head(ruc__h1_work_t *work, const char **detail);

#endif
