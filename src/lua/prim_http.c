/* prim_http.c - rucat.http: requests to others.
 *
 *     local answer, why, code = rucat.http.request{ url = "http://127.0.0.1:4040/api/v1/version",
 *                                                   timeout = 3 }                     -- waits
 *     if answer and answer.status == 200 then print(answer.body, answer.headers["content-type"])
 * end
 *
 * an answer that goes on (http_stream.c), a piece at a time:
 *
 *     local stream <close> = assert(rucat.http.stream{ url = url ..
 * "/v1/engines/a/logs?follow=true" }) for piece in function() return stream:read() end do
 * io.write(piece) end
 *
 * and the way a handler tells of a problem (RFC 9457):
 *
 *     return rucat.http.problem(404, "no engine 'x'")
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "http/client.h"
#include "http/status.h"
#include "lua/http_room.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"
#include "lua/value.h"

typedef struct call {
    ruc_ticket_t ticket;
    ruc_http_call_t *call;
} call_t;

typedef struct result {
    int rc;
    const ruc_http_answer_t *answer;
    const char *error;
} result_t;

void ruc__http_push_headers(lua_State *L, const ruc_http_header_t *headers, size_t n)
{
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        if (lua_getfield(L, -1, headers[i].name) == LUA_TSTRING) {
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), headers[i].value);
            lua_remove(L, -2);
        } else {
            lua_pop(L, 1);
            lua_pushstring(L, headers[i].value);
        }
        lua_setfield(L, -2, headers[i].name);
    }
}

static int push_answer(lua_State *L, void *arg)
{
    result_t *result = arg;
    if (result->rc < 0) {
        return ruc_push_err(L, result->rc, result->error);
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, result->answer->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, result->answer->body, result->answer->len);
    lua_setfield(L, -2, "body");
    ruc__http_push_headers(L, result->answer->headers, result->answer->header_count);
    lua_setfield(L, -2, "headers");
    return 1;
}

static void answered(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    call_t *call = arg;
    result_t result = {rc, answer, error};
    ruc_job_wake(call->ticket, push_answer, &result);
    free(call);
}

static void cancelled(void *arg)
{
    call_t *call = arg;
    ruc_http_call_cancel(call->call);
    free(call);
}

/* Collects the headers option; the texts stay anchored by the table. */
static size_t read_headers(lua_State *L, ruc_http_header_t *headers)
{
    size_t n = 0;
    if (lua_getfield(L, 1, "headers") == LUA_TNIL) {
        lua_pop(L, 1);
        return 0;
    }
    luaL_argcheck(L, lua_istable(L, -1), 1, "option 'headers' must be a table");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING ||
            n == RUC__HTTP_HEADERS_MAX) {
            luaL_error(L, "option 'headers' must be a table of at most %d texts",
                       RUC__HTTP_HEADERS_MAX);
        }
        headers[n++] = (ruc_http_header_t){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 1);
    }
    return n; /* the table stays on the stack */
}

void ruc__http_read_spec(lua_State *L, ruc_http_call_spec_t *spec, ruc_http_header_t *headers)
{
    static const char *const names[] = {
        "url",  "method", "headers",  "body",  "timeout", "max_body", "follow_redirects",
        "unix", "ca",     "insecure", "http2", "fresh",   NULL};
    ruc_options_check(L, 1, names);
    lua_settop(L, 1);
    *spec = (ruc_http_call_spec_t){.url = ruc_options_text(L, 1, "url", NULL)};
    luaL_argcheck(L, spec->url != NULL, 1, "option 'url' is missing");
    spec->method = ruc_options_text(L, 1, "method", "GET");
    spec->body = ruc_options_bytes(L, 1, "body", &spec->body_len);
    spec->timeout_ms = ruc_options_ms(L, 1, "timeout", 30000);
    spec->max_body =
        (size_t)ruc_options_integer(L, 1, "max_body", 8 * 1024 * 1024, 1, 64 * 1024 * 1024);
    spec->follow_redirects = ruc_options_boolean(L, 1, "follow_redirects", false);
    spec->unix_socket = ruc_options_text(L, 1, "unix", NULL);
    spec->ca_file = ruc_options_text(L, 1, "ca", NULL);
    spec->insecure = ruc_options_boolean(L, 1, "insecure", false);
    spec->fresh = ruc_options_boolean(L, 1, "fresh", false);
    spec->http2 = ruc_options_boolean(L, 1, "http2", false);
    spec->header_count = read_headers(L, headers);
    spec->headers = headers;
}

static int http_request(lua_State *L)
{
    ruc_http_header_t headers[RUC__HTTP_HEADERS_MAX];
    ruc_http_call_spec_t spec;
    ruc__http_read_spec(L, &spec, headers);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.http.request");
    call_t *call = malloc(sizeof *call);
    if (call == NULL) {
        return luaL_error(L, "not enough memory");
    }
    ruc_why_t why = {""};
    call->ticket = ticket;
    call->call = ruc_http_client_send(ruc_vm_of(L)->app->client, &spec, answered, call, &why);
    if (call->call == NULL) {
        free(call);
        return ruc_push_err(L, RUC_EINVALID, why.text);
    }
    return ruc_job_wait(L, cancelled, call);
}

static int http_problem(lua_State *L)
{
    lua_Integer status = luaL_checkinteger(L, 1);
    luaL_argcheck(L, status >= 400 && status < 600, 1, "a problem is 400 to 599");
    const char *detail = luaL_optstring(L, 2, NULL);
    lua_settop(L, 4);
    lua_pushinteger(L, status);
    lua_createtable(L, 0, 5);
    lua_pushliteral(L, "about:blank");
    lua_setfield(L, -2, "type");
    if (lua_isstring(L, 4)) {
        lua_pushvalue(L, 4);
    } else {
        lua_pushstring(L, ruc_http_reason((int)status));
    }
    lua_setfield(L, -2, "title");
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
    if (detail != NULL) {
        lua_pushstring(L, detail);
        lua_setfield(L, -2, "detail");
    }
    if (lua_istable(L, 3)) {
        lua_pushvalue(L, 3);
        ruc_value_mark_array(L);
        lua_setfield(L, -2, "errors");
    }
    lua_createtable(L, 0, 2);
    lua_pushliteral(L, "application/problem+json");
    lua_setfield(L, -2, "content-type");
    if (status == 503 || status == 429) {
        lua_pushliteral(L, "5");
        lua_setfield(L, -2, "retry-after");
    }
    return 3;
}

void ruc_prim_http(lua_State *L)
{
    static const luaL_Reg functions[] = {{"request", http_request},
                                         {"stream", ruc__http_stream},
                                         {"problem", http_problem},
                                         {NULL, NULL}};
    ruc__http_stream_open(L);
    luaL_newlib(L, functions);
}
