/* client.h - HTTP requests to others: libcurl's multi interface driven by the loop.
 *
 * Nothing blocks: names are resolved by libcurl's resolver threads, sockets are watched by the
 * loop. Connections are kept and used again. Only http and https; no proxy from the environment, no
 * signals, no cookies, no netrc. Loop thread only. */
#ifndef RUC_HTTP_CLIENT_H
#define RUC_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "http/stream.h"

typedef struct ruc_http_client ruc_http_client_t;
typedef struct ruc_http_call ruc_http_call_t;

/* The answer; owned by the client, valid during the callback. */
typedef struct ruc_http_answer {
    int status;
    const ruc_http_header_t *headers; /* names in lower case; of the last answer after redirects */
    size_t header_count;
    const char *body; /* NUL after it; "" when there is none or on_data took it */
    size_t len;
} ruc_http_answer_t;

/* The end of a call, exactly once, never from inside ruc_http_client_send. `rc` 0: `answer` is
 * there, whatever its status. Else a code (UV_ECONNREFUSED, UV_ETIMEDOUT, RUC_ETOOBIG, RUC_EPROTO,
 * UV_ECANCELED by on_data, ...), `error` is one sentence, and `answer` is NULL. The call is gone
 * when this returns. */
typedef void (*ruc_http_call_cb)(void *arg, int rc, const ruc_http_answer_t *answer,
                                 const char *error);

#define RUC_HTTP_PAUSE 1 /* of on_data */

/* What to ask. Zero-initialise it; everything is copied by ruc_http_client_send. */
typedef struct ruc_http_call_spec {
    const char *method; /* NULL: "GET" */
    const char *url;    /* http:// or https:// */
    const ruc_http_header_t *headers;
    size_t header_count; /* at most 100 */
    const void *body;
    size_t body_len;
    int64_t timeout_ms;         /* the whole call; 0: 30 s; negative: none (followers) */
    int64_t connect_timeout_ms; /* 0: 10 s */
    size_t max_body;            /* 0: 8 MiB; beyond it RUC_ETOOBIG */
    const char *unix_socket;    /* connect to this socket instead; at most 107 bytes */
    bool fresh;                 /* a connection of its own, closed afterwards */
    bool http2;                 /* HTTP/2 from the first byte, also without TLS (gRPC) */
    bool follow_redirects;      /* at most 5; credentials stay with the first host */
    const char *ca_file;        /* PEM; NULL: the system's */
    const char *cert_file;      /* client certificate and key, PEM; NULL: none */
    const char *key_file;
    bool insecure;     /* do not check the certificate */
    const char *proxy; /* NULL: none */
    /* Optional: takes the body piece by piece as it comes (a watch, SSE); max_body then does not
     * count. A result other than 0 ends the call with that code. `status` is the answer's. Must not
     * cancel its own call: return UV_ECANCELED. RUC_HTTP_PAUSE takes nothing: the piece comes again
     * after ruc_http_call_resume, and the peer is held back until then. */
    int (*on_data)(void *arg, int status, const char *data, size_t len);
    /* Optional: the answer's head is complete (of the last answer, where redirects are followed);
     * `body` is "". Comes before on_data, at most once; valid during the call. */
    void (*on_head)(void *arg, const ruc_http_answer_t *answer);
} ruc_http_call_spec_t;

/* A new client; NULL when memory is out. */
ruc_http_client_t *ruc_http_client_new(uv_loop_t *loop);

/* Starts a call. NULL with a sentence when the spec is wrong (another scheme, a header with a line
 * break, a socket path that is too long), the client is closing, or 1,024 calls are under way. */
ruc_http_call_t *ruc_http_client_send(ruc_http_client_t *client, const ruc_http_call_spec_t *spec,
                                      ruc_http_call_cb cb, void *arg, ruc_why_t *why);

/* Ends a call; its callback does not come. The call is gone. */
void ruc_http_call_cancel(ruc_http_call_t *call);

/* Lets a call go on that on_data has paused; on_data may be called from inside. */
void ruc_http_call_resume(ruc_http_call_t *call);

/* Has any byte of the request been handed to a connection? For the end of a call (valid inside its
 * callback): false means that the peer cannot have seen it. */
bool ruc_http_call_sent(const ruc_http_call_t *call);

/* How many calls are under way. */
size_t ruc_http_client_active(const ruc_http_client_t *client);

/* Cancels all calls (no callbacks), closes the handles and then frees the client by itself; run the
 * loop until its handles are closed. Not from inside a callback of on_data. */
void ruc_http_client_close(ruc_http_client_t *client);

#endif
