/* prim_surreal.c - rucat.surreal: questions to the database that the engines are in.
 *
 *     local results, why, code = rucat.surreal.query(
 *         "SELECT * FROM job WHERE team = $team AND at > $since",
 *         { team = "red", since = rucat.surreal.datetime(rucat.clock.now() - 3600) })    -- waits
 *     for _, row in ipairs(results and results[1].result or {}) do ... end
 *
 * There is one entry for each statement. surreal_value.h says what becomes of SurrealDB's types. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"
#include "lua/surreal_text.h"
#include "lua/surreal_value.h"
#include "lua/value.h"
#include "store/store.h"
#include "store/surreal_client.h"

#define SQL_MAX (1u << 20)
#define TIMEOUT_MS 10000
#define TIMEOUT_MAX_MS 300000

typedef struct call {
    ruc_ticket_t ticket;
    ruc_surreal_call_t *call;
} call_t;

typedef struct result {
    int rc;
    const cbor_item_t *results;
    const char *error;
} result_t;

/* ---- the answer ---- */

static const cbor_item_t *field(const cbor_item_t *map, const char *name)
{
    const char *key;
    size_t len;
    for (size_t i = 0; cbor_isa_map(map) && i < cbor_map_size(map); i++) {
        if (ruc__surreal_string(cbor_map_handle(map)[i].key, &key, &len) && len == strlen(name) &&
            memcmp(key, name, len) == 0) {
            return cbor_map_handle(map)[i].value;
        }
    }
    return NULL;
}

static int push_one(lua_State *L)
{
    ruc_surreal_push(L, lua_touserdata(L, 1), lua_touserdata(L, 2));
    return 1;
}

/* Sets result or error of the entry on top. */
static void push_outcome(lua_State *L, const cbor_item_t *value, bool well, unsigned *nodes)
{
    lua_pushcfunction(L, push_one);
    lua_pushlightuserdata(L, (void *)value);
    lua_pushlightuserdata(L, nodes);
    int rc = lua_pcall(L, 2, 1, 0);
    if (rc == LUA_ERRMEM) {
        lua_error(L);
    }
    if (rc == LUA_OK && ruc_surreal_is_none(L, -1)) {
        lua_pop(L, 1);
    } else {
        lua_setfield(L, -2, rc == LUA_OK && well ? "result" : "error");
    }
    lua_pushstring(L, rc == LUA_OK && well ? "OK" : "ERR");
    lua_setfield(L, -2, "status");
}

static int push_answer(lua_State *L, void *arg)
{
    result_t *result = arg;
    unsigned nodes = 0;
    if (result->rc < 0) {
        return ruc_push_err(L, result->rc, result->error);
    }
    size_t n = cbor_isa_array(result->results) ? cbor_array_size(result->results) : 0;
    lua_createtable(L, (int)(n < 1024 ? n : 1024), 0);
    ruc_value_mark_array(L);
    for (size_t i = 0; i < n; i++) {
        const cbor_item_t *entry = cbor_array_handle(result->results)[i];
        const cbor_item_t *status = field(entry, "status"), *value = field(entry, "result");
        const char *text;
        size_t len;
        bool well = status != NULL && ruc__surreal_string(status, &text, &len) && len == 2 &&
                    memcmp(text, "OK", 2) == 0;
        lua_createtable(L, 0, 2);
        if (value != NULL) {
            push_outcome(L, value, well, &nodes);
        } else {
            lua_pushstring(L, well ? "OK" : "ERR");
            lua_setfield(L, -2, "status");
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static void answered(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    call_t *call = arg;
    result_t result = {rc, results, error};
    ruc_job_wake(call->ticket, push_answer, &result);
    free(call);
}

static void cancelled(void *arg)
{
    call_t *call = arg;
    ruc_surreal_cancel(call->call);
    free(call);
}

/* ---- the question ---- */

/* Begins it. 0 and `call`, or a code and `why`. Does not raise. */
static int begin(lua_State *L, const char *sql, bool again, int64_t ms, call_t *call,
                 ruc_why_t *why)
{
    cbor_item_t *vars = NULL;
    if (lua_istable(L, 2)) {
        vars = ruc_surreal_read(L, 2, why);
        if (vars == NULL) {
            return RUC_EINVALID;
        }
    }
    call->call = ruc_surreal_query(ruc_store_surreal(ruc_vm_of(L)->app->store), sql, vars, again,
                                   ms, answered, call, why);
    if (vars != NULL) {
        cbor_decref(&vars);
    }
    return call->call == NULL ? RUC_EFULL : 0;
}

static int surreal_query(lua_State *L)
{
    static const char *const names[] = {"timeout", "again", NULL};
    size_t len;
    const char *sql = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, ruc_utf8_valid(sql, len) && strlen(sql) == len, 1,
                  "a query is UTF-8 without NUL bytes");
    luaL_argcheck(L, len <= SQL_MAX, 1, "a query is at most 1 MiB of text");
    luaL_argcheck(L, lua_isnoneornil(L, 2) || lua_istable(L, 2), 2,
                  "the parameters are a table of names and values");
    lua_settop(L, 3);
    int64_t ms = TIMEOUT_MS;
    bool again = false;
    if (!lua_isnil(L, 3)) {
        ruc_options_check(L, 3, names);
        ms = ruc_options_ms(L, 3, "timeout", TIMEOUT_MS);
        again = ruc_options_boolean(L, 3, "again", false);
        luaL_argcheck(L, ms > 0 && ms <= TIMEOUT_MAX_MS, 3, "'timeout' is at most 300 s");
    }
    ruc_prims_need_server(L, "rucat.surreal.query");
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.surreal.query");
    if (ruc_store_surreal(ruc_vm_of(L)->app->store) == NULL) {
        return ruc_push_err(L, RUC_EREFUSED,
                            "rucat.surreal.query needs mode \"remote\": the engines of this server "
                            "are not in SurrealDB");
    }
    ruc_why_t why = {""};
    call_t *call = malloc(sizeof *call);
    if (call == NULL) {
        return luaL_error(L, "not enough memory");
    }
    call->ticket = ticket;
    int rc = begin(L, sql, again, ms, call, &why);
    if (rc < 0) {
        free(call);
        return rc == RUC_EINVALID ? luaL_argerror(L, 2, why.text) : ruc_push_err(L, rc, why.text);
    }
    return ruc_job_wait(L, cancelled, call);
}

void ruc_prim_surreal(lua_State *L)
{
    ruc_surreal_values(L);
    lua_pushcfunction(L, surreal_query);
    lua_setfield(L, -2, "query");
}
