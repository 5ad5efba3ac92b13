/* router.c - see router.h. A trie of segments; a node holds the routes that end there.
 *
 * A match cuts and decodes the path once, then walks: the literal child first, the param child if
 * that leads nowhere. Each node is visited at most once, so a match is bounded by the number of
 * nodes, and by twice the depth in practice. */
#include "http/router.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "http/uri.h"

#define NODES 4096 /* in one router */
#define METHODS 16 /* that an Allow list can name */

typedef struct route {
    struct route *next;
    void *target;
    char *pattern; /* "/a/{x}", after "METHOD " of the same text */
    char *method;
    size_t param_count;
    char *params[RUC_HTTP_PARAMS];
} route_t;

typedef struct node {
    struct node *literals; /* children, by their text */
    struct node *next;     /* sibling */
    struct node *param;    /* the child for {param} */
    route_t *routes;
    size_t len;
    char text[]; /* the literal */
} node_t;

struct ruc_http_router {
    node_t *root;
    size_t nodes;
};

static node_t *node_new(ruc_http_router_t *router, const char *text, size_t len)
{
    node_t *node = router->nodes < NODES ? calloc(1, sizeof *node + len + 1) : NULL;
    if (node != NULL) {
        memcpy(node->text, text, len);
        node->len = len;
        router->nodes++;
    }
    return node;
}

static void route_free(route_t *route)
{
    for (size_t i = 0; i < route->param_count; i++) {
        free(route->params[i]);
    }
    free(route->method);
    free(route->pattern);
    free(route);
}

/* Depth is bounded by RUC_HTTP_SEGMENTS. */
static void node_free(node_t *node)
{
    while (node != NULL) {
        node_t *next = node->next;
        node_free(node->literals);
        node_free(node->param);
        while (node->routes != NULL) {
            route_t *route = node->routes;
            node->routes = route->next;
            route_free(route);
        }
        free(node);
        node = next;
    }
}

ruc_http_router_t *ruc_http_router_new(void)
{
    ruc_http_router_t *router = calloc(1, sizeof *router);
    if (router != NULL) {
        router->root = node_new(router, "", 0);
        if (router->root == NULL) {
            free(router);
            return NULL;
        }
    }
    return router;
}

void ruc_http_router_free(ruc_http_router_t *router)
{
    if (router != NULL) {
        node_free(router->root);
        free(router);
    }
}

/* ---- building ---- */

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return len > 0;
}

static bool is_method(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((text[i] < 'A' || text[i] > 'Z') && text[i] != '-') {
            return false;
        }
    }
    return len > 0 && len <= 16;
}

/* Checks one segment and, for a param, adds its name to the route. 0 or RUC_EINVALID. */
static int take_segment(route_t *route, const char *text, size_t len, bool last, bool *param,
                        const char **wrong)
{
    *param = len > 0 && text[0] == '{';
    *wrong = NULL;
    if (len == 0 && !last) {
        *wrong = "an empty segment";
    } else if (*param) {
        if (text[len - 1] != '}' || !is_name(text + 1, len - 2)) {
            *wrong = "a param is {name}";
        } else if (route->param_count == RUC_HTTP_PARAMS) {
            *wrong = "too many params";
        }
    } else {
        for (size_t i = 0; i < len && *wrong == NULL; i++) {
            unsigned char c = (unsigned char)text[i];
            if (c <= 0x20 || c >= 0x7f || strchr("{}?#%\\", c) != NULL) {
                *wrong = "a segment is letters, digits, '-', '_', '.', ... or one {param}";
            }
        }
    }
    if (*wrong != NULL || !*param) {
        return *wrong != NULL ? RUC_EINVALID : 0;
    }
    for (size_t i = 0; i < route->param_count; i++) {
        if (strlen(route->params[i]) == len - 2 &&
            memcmp(route->params[i], text + 1, len - 2) == 0) {
            *wrong = "a param comes twice";
            return RUC_EINVALID;
        }
    }
    char *name = strndup(text + 1, len - 2);
    if (name == NULL) {
        return UV_ENOMEM;
    }
    route->params[route->param_count++] = name;
    return 0;
}

static node_t *find_literal(const node_t *node, const char *text, size_t len)
{
    for (node_t *at = node->literals; at != NULL; at = at->next) {
        if (at->len == len && memcmp(at->text, text, len) == 0) {
            return at;
        }
    }
    return NULL;
}

/* The child for a segment, made where there is none; NULL: no memory, or too many nodes. */
static node_t *child(ruc_http_router_t *router, node_t *node, const char *text, size_t len,
                     bool param)
{
    node_t *found = param ? node->param : find_literal(node, text, len);
    if (found != NULL) {
        return found;
    }
    found = node_new(router, param ? "" : text, param ? 0 : len);
    if (found == NULL) {
        return NULL;
    }
    if (param) {
        node->param = found;
    } else {
        found->next = node->literals;
        node->literals = found;
    }
    return found;
}

static const route_t *route_of(const node_t *node, const char *method)
{
    for (const route_t *at = node->routes; at != NULL; at = at->next) {
        if (strcmp(at->method, method) == 0) {
            return at;
        }
    }
    return NULL;
}

/* Walks the pattern, making nodes; `*end` is where it ends. */
static int walk(ruc_http_router_t *router, route_t *route, node_t **end, const char **wrong)
{
    node_t *node = router->root;
    const char *at = route->pattern;
    for (size_t depth = 0; *at == '/'; depth++) {
        const char *text = at + 1;
        size_t len = strcspn(text, "/");
        bool param = false;
        at = text + len;
        if (depth == RUC_HTTP_SEGMENTS) {
            *wrong = "too many segments";
            return RUC_EINVALID;
        }
        int rc = take_segment(route, text, len, *at == '\0', &param, wrong);
        if (rc < 0) {
            return rc;
        }
        node = child(router, node, text, len, param);
        if (node == NULL) {
            return UV_ENOMEM;
        }
    }
    *end = node;
    return 0;
}

int ruc_http_router_add(ruc_http_router_t *router, const char *text, void *target, ruc_why_t *why)
{
    const char *space = strchr(text, ' ');
    if (space == NULL || space[1] != '/' || !is_method(text, (size_t)(space - text)) ||
        strlen(space + 1) > RUC_HTTP_PATH_MAX || target == NULL) {
        return ruc_why_set(why, RUC_EINVALID, "\"%.200s\" is not a route: \"METHOD /path/{param}\"",
                           text);
    }
    route_t *route = calloc(1, sizeof *route);
    if (route == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "no memory");
    }
    const char *wrong = NULL;
    node_t *node = NULL;
    route->target = target;
    route->method = strndup(text, (size_t)(space - text));
    route->pattern = strdup(space + 1);
    int rc = route->method == NULL || route->pattern == NULL ? UV_ENOMEM
                                                             : walk(router, route, &node, &wrong);
    if (rc == RUC_EINVALID) {
        rc = ruc_why_set(why, rc, "\"%.200s\" is not a route: %s", text, wrong);
    } else if (rc < 0) {
        rc = ruc_why_set(why, rc, "\"%.200s\": no memory", text);
    } else {
        const route_t *other = route_of(node, route->method);
        if (other != NULL) {
            rc = ruc_why_set(why, RUC_EEXISTS, "\"%.200s\" is there already as \"%s %s\"", text,
                             other->method, other->pattern);
        }
    }
    if (rc < 0) {
        route_free(route);
        return rc;
    }
    route->next = node->routes;
    node->routes = route;
    return 0;
}

void *ruc_http_router_get(const ruc_http_router_t *router, const char *text)
{
    const char *space = strchr(text, ' ');
    const node_t *node = router->root;
    if (space == NULL || space - text > 16) {
        return NULL;
    }
    char method[17] = "";
    memcpy(method, text, (size_t)(space - text));
    for (const char *at = space + 1; *at == '/' && node != NULL;) {
        size_t len = strcspn(at + 1, "/");
        node = at[1] == '{' ? node->param : find_literal(node, at + 1, len);
        at += 1 + len;
    }
    const route_t *route = node == NULL ? NULL : route_of(node, method);
    return route != NULL && strcmp(route->pattern, space + 1) == 0 ? route->target : NULL;
}

/* ---- matching ---- */

typedef struct segment {
    const char *text;
    size_t len;
} segment_t;

typedef struct search {
    const char *method;
    segment_t segments[RUC_HTTP_SEGMENTS];
    size_t count;
    size_t taken[RUC_HTTP_PARAMS]; /* which segments the params of this way stand for */
    size_t taken_count;
    const char *allow[METHODS];
    size_t allow_count;
} search_t;

static void allow(search_t *search, const char *method)
{
    size_t at = 0;
    while (at < search->allow_count && strcmp(search->allow[at], method) < 0) {
        at++;
    }
    if (search->allow_count == METHODS ||
        (at < search->allow_count && strcmp(search->allow[at], method) == 0)) {
        return;
    }
    memmove(search->allow + at + 1, search->allow + at,
            (search->allow_count - at) * sizeof search->allow[0]);
    search->allow[at] = method;
    search->allow_count++;
}

/* The route of a node for the method; what it has instead is noted. */
static const route_t *ask(search_t *search, const node_t *node)
{
    const route_t *route = route_of(node, search->method);
    if (route == NULL && strcmp(search->method, "HEAD") == 0) {
        route = route_of(node, "GET");
    }
    if (route != NULL) {
        return route;
    }
    for (const route_t *at = node->routes; at != NULL; at = at->next) {
        allow(search, at->method);
        if (strcmp(at->method, "GET") == 0) {
            allow(search, "HEAD");
        }
    }
    return NULL;
}

static const route_t *descend(search_t *search, const node_t *node, size_t depth)
{
    if (depth == search->count) {
        return ask(search, node);
    }
    const segment_t *segment = &search->segments[depth];
    const node_t *literal = find_literal(node, segment->text, segment->len);
    if (literal != NULL) {
        const route_t *route = descend(search, literal, depth + 1);
        if (route != NULL) {
            return route;
        }
    }
    if (node->param == NULL || segment->len == 0 || search->taken_count == RUC_HTTP_PARAMS) {
        return NULL;
    }
    search->taken[search->taken_count++] = depth;
    const route_t *route = descend(search, node->param, depth + 1);
    if (route == NULL) {
        search->taken_count--;
    }
    return route;
}

/* Cuts the path at '/' and decodes the pieces into the match. False: no such path can be. */
static bool cut(search_t *search, const char *path, ruc_http_match_t *match)
{
    char *out = match->text;
    if (strnlen(path, RUC_HTTP_PATH_MAX + 1) > RUC_HTTP_PATH_MAX) {
        return false;
    }
    while (*path == '/') {
        size_t raw = strcspn(++path, "/");
        if (search->count == RUC_HTTP_SEGMENTS) {
            return false;
        }
        long len = ruc_http_decode(path, raw, false, out);
        if (len < 0) {
            return false;
        }
        search->segments[search->count++] = (segment_t){out, (size_t)len};
        out += len + 1;
        path += raw;
    }
    return *path == '\0' && search->count > 0;
}

static void write_allow(search_t *search, char out[RUC_HTTP_ALLOW_SIZE])
{
    size_t at = 0;
    allow(search, "OPTIONS");
    for (size_t i = 0; i < search->allow_count; i++) {
        int len = snprintf(out + at, RUC_HTTP_ALLOW_SIZE - at, "%s%s", i > 0 ? ", " : "",
                           search->allow[i]);
        if (len < 0 || (size_t)len >= RUC_HTTP_ALLOW_SIZE - at) {
            out[at] = '\0'; /* a list that is too long ends early */
            return;
        }
        at += (size_t)len;
    }
}

int ruc_http_router_match(const ruc_http_router_t *router, const char *method, const char *raw_path,
                          ruc_http_match_t *match)
{
    search_t search;
    search.method = method;
    search.count = search.taken_count = search.allow_count = 0;
    match->target = NULL;
    match->pattern = NULL;
    match->param_count = 0;
    match->allow[0] = '\0';
    if (!cut(&search, raw_path, match)) {
        return RUC_ENOTFOUND;
    }
    const route_t *route = descend(&search, router->root, 0);
    if (route == NULL) {
        if (search.allow_count == 0) {
            return RUC_ENOTFOUND;
        }
        write_allow(&search, match->allow);
        return RUC_EMETHOD;
    }
    match->target = route->target;
    match->pattern = route->pattern;
    match->param_count = route->param_count;
    for (size_t i = 0; i < route->param_count; i++) {
        const segment_t *segment = &search.segments[search.taken[i]];
        match->params[i] = (ruc_http_param_t){route->params[i], segment->text, segment->len};
    }
    return 0;
}
