/* router.h - from "METHOD /path" to what serves it.
 *
 * Patterns are "GET /v1/engines/{id}/logs": a method in upper case, a space, segments that are
 * literal or one {param}. Literal segments win over params at the same place, with a way back: with
 * "/a/{x}/c" and "/a/b/d", "/a/b/c" finds the first. A trailing slash is another path. "{a}" and
 * "{b}" at the same place are the same pattern.
 *
 * Matching works on the raw path: it is cut at '/' first and decoded then, so an encoded slash
 * stays inside its segment. No memory is allocated in a match. A router is built once and then only
 * read; any number of threads may match. */
#ifndef RUC_HTTP_ROUTER_H
#define RUC_HTTP_ROUTER_H

#include <stddef.h>

#include "core/err.h"

#define RUC_HTTP_PARAMS 8       /* params in one pattern at most */
#define RUC_HTTP_PATH_MAX 2048  /* bytes; a longer path is not found */
#define RUC_HTTP_SEGMENTS 32    /* segments in a pattern at most; a longer path is not found */
#define RUC_HTTP_ALLOW_SIZE 128 /* bytes of an Allow list */

typedef struct ruc_http_router ruc_http_router_t;

typedef struct ruc_http_param {
    const char *name;  /* the router's */
    const char *value; /* decoded, in the match's own memory */
    size_t len;
} ruc_http_param_t;

/* What a match found; owned by the caller, valid while it and the router are. */
typedef struct ruc_http_match {
    void *target;        /* as given to ruc_http_router_add */
    const char *pattern; /* "/v1/engines/{id}": for metrics; the router's. NULL: not found */
    size_t param_count;
    ruc_http_param_t params[RUC_HTTP_PARAMS];
    char allow[RUC_HTTP_ALLOW_SIZE]; /* "GET, HEAD, OPTIONS" where RUC_EMETHOD was returned */
    char text[RUC_HTTP_PATH_MAX + RUC_HTTP_SEGMENTS]; /* the values live here */
} ruc_http_match_t;

/* A new empty router; NULL when memory is out. The caller frees it. */
ruc_http_router_t *ruc_http_router_new(void);
void ruc_http_router_free(ruc_http_router_t *router);

/* Adds "METHOD /path" for `target` (must not be NULL). 0; RUC_EINVALID (wrong pattern, why says
 * what); RUC_EEXISTS (the same method and place is there already, why names both); UV_ENOMEM. */
int ruc_http_router_add(ruc_http_router_t *router, const char *route, void *target, ruc_why_t *why);

/* Finds who serves `method` on `raw_path` (from its '/', without the query). 0: target, pattern and
 * params are set. RUC_ENOTFOUND. RUC_EMETHOD: the path exists with other methods; `allow` lists
 * them, sorted, with HEAD wherever GET is and always OPTIONS (which the caller answers, 204 with
 * Allow, unless a route serves it). HEAD finds GET's target. */
int ruc_http_router_match(const ruc_http_router_t *router, const char *method, const char *raw_path,
                          ruc_http_match_t *match);

/* The target of exactly this route ("METHOD /path"), or NULL. */
void *ruc_http_router_get(const ruc_http_router_t *router, const char *route);

#endif
