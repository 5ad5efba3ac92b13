/* client_in.h - inside the room: the structs of the client. client.c drives libcurl by the loop,
 * client_call.c makes a transfer of a spec and an answer of a transfer. */
#ifndef RUC_HTTP_CLIENT_IN_H
#define RUC_HTTP_CLIENT_IN_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "http/client.h"

#define RUC__CALLS 1024       /* under way at a time */
#define RUC__IDLE_EASIES 16   /* easy handles kept for the next call */
#define RUC__CALL_HEADERS 200 /* of an answer; further ones are left out */

struct ruc_http_call {
    ruc_http_client_t *client;
    CURL *easy;
    struct curl_slist *list; /* request headers */
    ruc_http_call_cb cb;
    void *arg;
    int (*on_data)(void *arg, int status, const char *data, size_t len);
    void (*on_head)(void *arg, const ruc_http_answer_t *answer); /* NULL once it was called */
    bool follows;                                                /* redirects */
    TAILQ_ENTRY(ruc_http_call) all;
    ruc_buf_t text; /* answer headers: name NUL value NUL ... */
    size_t header_count;
    ruc_buf_t body;
    int stop;       /* why on_data or a bound ended it */
    bool added;     /* to the multi handle */
    bool cancelled; /* removed as soon as libcurl is not running */
    char error[CURL_ERROR_SIZE];
};

TAILQ_HEAD(ruc__call_list, ruc_http_call);

struct ruc_http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct ruc__call_list calls;
    size_t active;
    size_t handles; /* uv handles not yet closed */
    bool inside;    /* libcurl is running: it must not be called */
    bool untidy;    /* calls wait to be added or removed */
    bool closing;
    CURL *idle[RUC__IDLE_EASIES];
    size_t idle_count;
};

/* Sets up `call->easy` from the spec. 0 or a negative code with a sentence. */
int ruc__call_prepare(ruc_http_call_t *call, const ruc_http_call_spec_t *spec, ruc_why_t *why);

/* Calls back with the outcome; the call stays the caller's to free. */
void ruc__call_report(ruc_http_call_t *call, CURLcode result);

#endif
