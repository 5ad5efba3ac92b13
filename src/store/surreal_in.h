/* surreal_in.h - inside the room: the client of SurrealDB as its own files and the backend see it.
 *
 * The client is in one of three states:
 *
 *   UP       questions are asked at once
 *   CHECKED  something is wrong (a connection that broke, a session that the server forgot: it was
 *            started again): one check is under way, questions wait
 *   DOWN     the checks fail: questions fail at once, one check after the other goes on
 *
 * A check is: GET /version, session, sign-in (surreal_session.c), then whatever the owner of the
 * client wants to see before it trusts the database again (surreal_schema.c). Where there is a
 * session, the first try is a light one: only the owner's part, asked on it; a server that was
 * started again does not know the session, and then all of it follows. */
#ifndef RUC_STORE_SURREAL_IN_H
#define RUC_STORE_SURREAL_IN_H

#include <stdbool.h>
#include <sys/queue.h>

#include "core/buf.h"
#include "http/client.h"
#include "store/surreal_cbor.h"
#include "store/surreal_client.h"

#define RUC__SURREAL_BODY (4u << 20)    /* SurrealDB's own bound on a request */
#define RUC__SURREAL_ANSWER (32u << 20) /* ours on an answer */
#define RUC__SURREAL_CALLS 512u         /* at a time */

typedef enum { RUC__SURREAL_UP, RUC__SURREAL_CHECKED, RUC__SURREAL_DOWN } ruc__surreal_state_t;

typedef struct ruc__surreal_config {
    const char *url, *name_space, *database, *user, *password, *ca_file; /* as in store.h; copied */
    /* The session is signed in: what else must be so? Ends by ruc__surreal_checked. NULL: nothing.
     */
    void (*check)(void *arg);
    /* A check has ended; `rc` as in ruc__surreal_checked. */
    void (*on_checked)(void *arg, int rc, const char *why);
    void *arg;
} ruc__surreal_config_t;

struct ruc_surreal_call {
    ruc_surreal_t *surreal;
    TAILQ_ENTRY(ruc_surreal_call) all;
    ruc_http_call_t *http; /* NULL: it waits */
    ruc_buf_t body;
    size_t session_at; /* in the body */
    bool again, probe;
    bool leaves;          /* it ends the session that it names, whichever is ours by then */
    bool sent;            /* it may have been carried out */
    int tries, refused;   /* sent so far; refused as not signed in */
    uint64_t retry_ms;    /* not before that, on the monotonic clock */
    uint64_t deadline_ms; /* over then */
    int rc;               /* other than 0: it is to end so */
    ruc_surreal_cb cb;
    void *arg;
    char trouble[320];
};

TAILQ_HEAD(ruc__surreal_calls, ruc_surreal_call);

struct ruc_surreal {
    uv_timer_t timer; /* for what waits, and for the next check */
    ruc_http_client_t *http;
    ruc__surreal_config_t config;
    char *url, *name_space, *database, *user, *password, *ca_file;
    char rpc_url[1100], version_url[1100];
    uint8_t session[16];         /* of questions */
    uint8_t fresh[16];           /* of the check that is under way */
    bool has_session, has_fresh; /* attached, as far as we know */
    ruc__surreal_state_t state;
    bool checking, closing;
    bool light;        /* the check that is under way asks on the session there is */
    bool session_lost; /* the server has said that it does not know it */
    bool light_failed; /* the next one begins from the start */
    unsigned failed;   /* checks in a row */
    uint64_t since_ms; /* when it was last up */
    uint64_t check_ms; /* when the next is due */
    char trouble[400]; /* why it is not up */
    int level;         /* of the user: root, namespace, database; -1: not known yet */
    int level_tried;
    ruc_http_call_t *asks_version;
    char version[64];
    struct ruc__surreal_calls calls;
    size_t count;
    void (*closed)(void *arg);
};

/* Makes a client and begins its first check, on the next turn of the loop. 0, RUC_EINVALID (the
 * url), UV_ENOMEM. */
int ruc__surreal_new(uv_loop_t *loop, const ruc__surreal_config_t *config, ruc_surreal_t **out,
                     ruc_why_t *why);

/* Drops all calls (no callbacks), leaves the session and frees the client; `closed` is called then.
 */
void ruc__surreal_close(ruc_surreal_t *surreal, void (*closed)(void *arg));

/* As ruc_surreal_query, with `vars` as CBOR bytes (a map; NULL: none). A probe is asked in any
 * state and only once. */
ruc_surreal_call_t *ruc__surreal_ask(ruc_surreal_t *surreal, const char *sql,
                                     const ruc__cbor_t *vars, bool again, bool probe,
                                     int64_t timeout_ms, ruc_surreal_cb cb, void *arg,
                                     ruc_why_t *why);

/* The same for a method that is not a query: `params` is its array as CBOR. The answer is the bare
 * result. */
ruc_surreal_call_t *ruc__surreal_method(ruc_surreal_t *surreal, const char *method,
                                        const ruc__cbor_t *params, int64_t timeout_ms,
                                        ruc_surreal_cb cb, void *arg, ruc_why_t *why);

/* Makes a new name for the session of a check. */
void ruc__surreal_fresh(ruc_surreal_t *surreal);

/* Something is not as it was (a table is gone, ...): look before anything else is asked. */
void ruc__surreal_suspect(ruc_surreal_t *surreal, const char *why);

/* The end of a check. 0: all is well. RUC_ESTORE: not now. RUC_EREFUSED: not as it is configured
 * (wrong password, not a SurrealDB, a newer schema). */
void ruc__surreal_checked(ruc_surreal_t *surreal, int rc, const char *why);

/* Begins version, session and sign-in; goes on to config.check or ruc__surreal_checked. */
void ruc__surreal_connect(ruc_surreal_t *surreal);

/* The text of an answer that failed, as a sentence. */
const char *ruc__surreal_text(const cbor_item_t *message, char *out, size_t size);

/* Of one statement's entry: NULL when it went well, else the error's text in `out`. */
const char *ruc__surreal_error(const cbor_item_t *entry, char *out, size_t size);

#endif
