/* request.c - see request.h. Fields are made when they are asked for and kept in a table beside the
 * object; what a handler never looks at costs nothing. */
#include "lua/request.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/uri.h"
#include "lua/job.h"
#include "lua/value.h"
#include "lua/vm.h"

#define REQUEST "rucat.request"

/* What is made once and kept, as user values of the object. */
enum { PARAMS = 1, HEADERS, QUERY, USER, BODY, KEPT = BODY };

static const char meta_key; /* of the metatable in the registry */

ruc_request_t *ruc_request_new(ruc_http_stream_t *stream)
{
    size_t len = strlen(stream->path);
    ruc_request_t *request = malloc(sizeof *request + len + 1);
    if (request != NULL) {
        request->refs = 1;
        request->stream = stream;
        memcpy(request->path, stream->path, len + 1);
        len = strnlen(stream->method, sizeof request->method - 1);
        memcpy(request->method, stream->method, len);
        request->method[len] = '\0';
    }
    return request;
}

void ruc_request_unref(ruc_request_t *request)
{
    if (request != NULL && --request->refs == 0) {
        free(request);
    }
}

static void push_params(lua_State *L, const ruc_http_match_t *match)
{
    lua_createtable(L, 0, (int)match->param_count);
    for (size_t i = 0; i < match->param_count; i++) {
        lua_pushlstring(L, match->params[i].value, match->params[i].len);
        lua_setfield(L, -2, match->params[i].name);
    }
}

void ruc_request_push(lua_State *L, ruc_request_t *request, const ruc_http_match_t *match)
{
    ruc_request_t **box = lua_newuserdatauv(L, sizeof *box, KEPT);
    *box = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
    lua_setmetatable(L, -2);
    *box = request;
    request->refs++;
    push_params(L, match);
    lua_setiuservalue(L, -2, PARAMS);
}

static ruc_request_t *check(lua_State *L)
{
    ruc_request_t **box = ruc_vm_box(L, 1, &meta_key);
    if (box == NULL) {
        luaL_checkudata(L, 1, REQUEST); /* raises */
    }
    return *box;
}

static int push_query(lua_State *L, const ruc_http_stream_t *stream)
{
    lua_newtable(L);
    if (stream == NULL || stream->query == NULL) {
        return 1;
    }
    const char *at = stream->query;
    size_t size = strlen(at) + 2;
    char *text = lua_newuserdatauv(L, size, 0);
    ruc_http_pair_t pair;
    const char *from;
    int rc;
    while (from = at, (rc = ruc_http_query_next(&at, text, size, &pair)) != 0) {
        if (rc > 0) {
            lua_pushlstring(L, pair.name, pair.name_len);
            lua_pushlstring(L, pair.value, pair.value_len);
            lua_rawset(L, -4);
        } else if (rc == RUC_ETOOBIG) {
            break;
        } else { /* a broken escape: kept as it is, so that it is refused as an unknown name */
            from += strspn(from, "&");
            lua_pushlstring(L, from, (size_t)(at - from));
            lua_pushliteral(L, "");
            lua_rawset(L, -4);
        }
    }
    lua_pop(L, 1);
    return 1;
}

static int push_headers(lua_State *L, const ruc_http_stream_t *stream)
{
    size_t n = stream == NULL ? 0 : stream->header_count;
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, stream->headers[i].name);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TSTRING) { /* there was one: both, as RFC 9110 5.2 has it */
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), stream->headers[i].value);
        } else {
            lua_pushstring(L, stream->headers[i].value);
        }
        lua_remove(L, -2);
        lua_rawset(L, -3);
    }
    return 1;
}

static void push_user(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "anonymous");
    lua_setfield(L, -2, "name");
    lua_pushliteral(L, "admin");
    lua_setfield(L, -2, "role");
}

/* ---- json ---- */

/* Pushes nil, status, problem, headers. */
static int no_json(lua_State *L, int status, const char *detail)
{
    lua_pushnil(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_getfield(L, -1, "rucat");
    lua_getfield(L, -1, "http");
    lua_getfield(L, -1, "problem");
    lua_pushinteger(L, status);
    lua_pushstring(L, detail);
    lua_call(L, 2, 3);
    lua_remove(L, -4);
    lua_remove(L, -4);
    lua_remove(L, -4);
    return 4;
}

/* "application/json", also with parameters or a +json suffix. */
static bool is_json(const char *type)
{
    size_t len = strcspn(type, "; \t");
    return (len == 16 && strncasecmp(type, "application/json", 16) == 0) ||
           (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

static int request_json(lua_State *L)
{
    ruc_http_stream_t *stream = check(L)->stream;
    if (stream == NULL) {
        return no_json(L, 400, "the client is gone");
    }
    const char *type = ruc_http_header(stream, "content-type");
    if (type != NULL && !is_json(type)) {
        return no_json(L, 415, "the body must be application/json");
    }
    json_error_t error;
    json_t *value =
        ruc_value_parse(stream->body, stream->body_len,
                        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (value == NULL) {
        lua_pushfstring(L, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                        error.text);
        return no_json(L, 400, lua_tostring(L, -1));
    }
    return ruc_value_push_owned(L, value);
}

/* Which of the kept fields that is; -1: none. */
static int kept(const char *name)
{
    if (strcmp(name, "params") == 0) {
        return PARAMS; /* is made with the object */
    } else if (strcmp(name, "user") == 0) {
        return USER;
    } else if (strcmp(name, "query") == 0) {
        return QUERY;
    } else if (strcmp(name, "headers") == 0) {
        return HEADERS;
    }
    return strcmp(name, "body") == 0 ? BODY : -1;
}

static void make_kept(lua_State *L, const ruc_http_stream_t *stream, int which)
{
    switch (which) {
    case USER:
        push_user(L);
        break;
    case QUERY:
        push_query(L, stream);
        break;
    case HEADERS:
        push_headers(L, stream);
        break;
    default:
        lua_pushlstring(L, stream == NULL ? "" : stream->body,
                        stream == NULL ? 0 : stream->body_len);
    }
}

static int request_index(lua_State *L)
{
    const ruc_request_t *request = check(L);
    const ruc_http_stream_t *stream = request->stream;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    int which = kept(name);
    if (which > 0) {
        if (lua_getiuservalue(L, 1, which) == LUA_TNIL) {
            lua_pop(L, 1);
            make_kept(L, stream, which);
            lua_pushvalue(L, -1);
            lua_setiuservalue(L, 1, which);
        }
    } else if (strcmp(name, "json") == 0) {
        lua_pushcfunction(L, request_json);
    } else if (strcmp(name, "method") == 0) {
        lua_pushstring(L, request->method);
    } else if (strcmp(name, "path") == 0) {
        lua_pushstring(L, request->path);
    } else if (strcmp(name, "id") == 0) {
        lua_pushstring(L, stream == NULL ? "" : stream->request_id);
    } else if (strcmp(name, "peer") == 0) {
        lua_pushstring(L, stream == NULL ? "" : ruc_http_peer(request->stream));
    } else {
        return luaL_error(L, "a request has no field '%s'", luaL_tolstring(L, 2, NULL));
    }
    return 1;
}

static int request_gc(lua_State *L)
{
    ruc_request_t **box = luaL_checkudata(L, 1, REQUEST);
    ruc_request_unref(*box);
    *box = NULL;
    return 0;
}

void ruc_request_open(lua_State *L)
{
    if (luaL_newmetatable(L, REQUEST)) {
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
        lua_pushcfunction(L, request_index);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, request_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}
