/* surreal_client.h - SurrealDB over POST /rpc in CBOR: sign-in, token, requests, retries. Knows no
 * tables. (protocols.md says why CBOR: in JSON texts that look like ids or dates change their
 * type.)
 *
 * One request carries one query. A token is renewed before it ends and on 401; what the server
 * calls retryable ("can be retried") is tried again with jitter. A request that was sent and whose
 * answer was lost may have been carried out or not: that is RUC_EUNSURE, and is told from one that
 * never reached the server (RUC_ESTORE). Loop thread only. */
#ifndef RUC_STORE_SURREAL_CLIENT_H
#define RUC_STORE_SURREAL_CLIENT_H

#include <cbor.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"

typedef struct ruc_surreal ruc_surreal_t;
typedef struct ruc_surreal_call ruc_surreal_call_t;

/* The end of a query, exactly once, never from inside ruc_surreal_query. rc 0: `results` is an
 * array with one entry per statement, each a map {status, time, result} (result is absent for
 * NONE); borrowed, it lives until this returns. A statement that failed has status "ERR", which is
 * not an error here. Else a code and one sentence: RUC_ESTORE (not reached, or refused as a whole),
 * RUC_EUNSURE, RUC_ETOOBIG (the answer), UV_ETIMEDOUT. */
typedef void (*ruc_surreal_cb)(void *arg, int rc, const cbor_item_t *results, const char *error);

/* Asks `sql` with the map `vars` (borrowed, may be NULL; encoded before the call returns). `again`:
 * the query may be carried out twice without harm (a read), so that a lost answer is asked for
 * again. `timeout_ms` counts over all tries. NULL and `why` when it is too big, or too many are
 * under way. */
ruc_surreal_call_t *ruc_surreal_query(ruc_surreal_t *surreal, const char *sql,
                                      const cbor_item_t *vars, bool again, int64_t timeout_ms,
                                      ruc_surreal_cb cb, void *arg, ruc_why_t *why);

/* Ends a call; its callback does not come. What was sent may still be carried out. */
void ruc_surreal_cancel(ruc_surreal_call_t *call);

#endif
