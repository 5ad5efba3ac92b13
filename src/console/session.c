/* session.c - see session.h. A line that never waits is ended by its budget (lua/guard.h). */
#include "console/session.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/names.h"
#include "core/check.h"
#include "core/log.h"
#include "lua/generation.h"
#include "lua/job.h"

struct ruc_session {
    ruc_conn_t *conn;
    ruc_vm_t *vm;
    ruc_fileset_t *files;
    int env, format, complete; /* refs */
    uint64_t job;              /* the line that runs; 0 none */
    int64_t eval;              /* its id */
    bool done_early;           /* it has ended before ruc_job_start returned */
    int columns;
};

/* ---- the state ---- */

/* Runs lua/rucat/console.lua and keeps what it gives: the environment, format, complete. */
static int load_library(lua_State *L)
{
    ruc_session_t *session = lua_touserdata(L, 1);
    ruc_generation_require(L, session->files);
    lua_getfield(L, LUA_REGISTRYINDEX, "rucat.base");
    lua_getfield(L, -1, "require");
    lua_pushliteral(L, "rucat.console");
    lua_call(L, 1, 1);
    ruc_names_push(L, session->conn);
    lua_call(L, 1, 3);
    session->complete = luaL_ref(L, LUA_REGISTRYINDEX);
    session->format = luaL_ref(L, LUA_REGISTRYINDEX);
    session->env = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 0);
    return 0;
}

ruc_session_t *ruc_session_new(ruc_conn_t *conn, ruc_fileset_t *files, ruc_why_t *why)
{
    ruc_session_t *session = calloc(1, sizeof *session);
    if (session == NULL) {
        ruc_why_set(why, UV_ENOMEM, "not enough memory");
        return NULL;
    }
    session->conn = conn;
    session->files = files;
    size_t cap = (size_t)ruc_config_number(conn->app->config, "limits.lua_memory");
    session->vm = ruc_vm_new(conn->app, RUC_VM_CONSOLE, cap, why);
    if (session->vm == NULL) {
        free(session);
        return NULL;
    }
    if (ruc_vm_protect(session->vm, load_library, session, why) < 0) {
        ruc_session_free(session);
        return NULL;
    }
    session->vm->stands = true;
    return session;
}

void ruc_session_free(ruc_session_t *session)
{
    if (session != NULL) {
        ruc_vm_close(session->vm);
        free(session);
    }
}

/* ---- a line ---- */

typedef struct code {
    ruc_session_t *session;
    const char *text, *name;
    size_t len;
    bool incomplete; /* out */
} code_t;

static bool ends_early(const char *message)
{
    static const char end[] = "near <eof>";
    size_t len = message == NULL ? 0 : strlen(message);
    return len >= sizeof end - 1 && strcmp(message + len - (sizeof end - 1), end) == 0;
}

typedef struct pieces {
    const char *piece[2];
    size_t len[2];
    int next;
} pieces_t;

static const char *next_piece(lua_State *L, void *ud, size_t *len)
{
    (void)L;
    pieces_t *pieces = ud;
    int at = pieces->next++;
    *len = at < 2 ? pieces->len[at] : 0;
    return at < 2 ? pieces->piece[at] : NULL;
}

/* Leaves the chunk, or one string that says what is wrong. Text only, never bytecode. */
static int compile(lua_State *L)
{
    code_t *code = lua_touserdata(L, 1);
    pieces_t expression = {{"return ", code->text}, {7, code->len}, 0};
    pieces_t statements = {{"", code->text}, {0, code->len}, 1};
    lua_settop(L, 0);
    if (lua_load(L, next_piece, &expression, code->name, "t") != LUA_OK) {
        code->incomplete = ends_early(lua_tostring(L, -1));
        lua_settop(L, 0);
        if (lua_load(L, next_piece, &statements, code->name, "t") != LUA_OK) {
            code->incomplete = code->incomplete || ends_early(lua_tostring(L, -1));
            return 1;
        }
        code->incomplete = false;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, code->session->env);
    lua_setupvalue(L, -2, 1);
    return 1;
}

static bool is_line(const char *at, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(at, text, len) == 0;
}

/* True for a frame that is about us: the C around the line, and console.lua, whose errors are about
 * what it was asked. */
static bool is_ours(const char *at, size_t len)
{
    static const char library[] = "/rucat/console.lua:";
    return is_line(at, len, "\t[C]: in ?") || is_line(at, len, "\t(...tail calls...)") ||
           memmem(at, len, library, sizeof library - 1) != NULL;
}

/* Pushes the frames below the handler that are the line's own, each after a newline. One alone, in
 * the first line, says no more than the message: then "". */
static void push_frames(lua_State *L)
{
    static const char first[] = ":1: in main chunk";
    luaL_Buffer out;
    int frames = 0;
    bool raised = false; /* "in function 'error'" was seen: it belongs to the frame that follows */
    luaL_traceback(L, L, NULL, 1);
    const char *at = strchr(lua_tostring(L, -1), '\n'), *last = "";
    luaL_buffinit(L, &out);
    while (at != NULL) {
        const char *line = at + 1;
        at = strchr(line, '\n');
        size_t len = at == NULL ? strlen(line) : (size_t)(at - line);
        if (is_line(line, len, "\t[C]: in function 'error'")) {
            raised = true;
        } else if (is_ours(line, len)) {
            raised = false;
        } else {
            if (raised) {
                luaL_addstring(&out, "\n\t[C]: in function 'error'");
            }
            luaL_addchar(&out, '\n');
            luaL_addlstring(&out, line, len);
            frames += 1 + raised;
            raised = false;
            last = len >= sizeof first - 1 ? line + len - (sizeof first - 1) : "";
        }
    }
    luaL_pushresult(&out);
    if (frames == 1 && strncmp(last, first, sizeof first - 1) == 0) {
        lua_pushliteral(L, "");
    }
}

/* The message handler: the error as a text with where it came from. */
static int with_traceback(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING || luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
        luaL_tolstring(L, 1, NULL);
    } else {
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    lua_replace(L, 1);
    lua_settop(L, 1);
    push_frames(L);
    bool bare = lua_rawlen(L, -1) == 0;
    lua_pushvalue(L, 1);
    lua_pushstring(L, bare ? "" : "\nstack traceback:");
    lua_pushvalue(L, -3);
    lua_concat(L, 3);
    return 1;
}

/* What came out of the line, from index 3 on, as true and a text, or false and the error. */
static int line_over(lua_State *L, int status, lua_KContext ctx)
{
    ruc_session_t *session = (ruc_session_t *)ctx;
    bool ok = status == LUA_OK || status == LUA_YIELD;
    if (!ok) {
        ruc_guard_check(L); /* "not enough memory" says less than what is raised here */
    } else {
        int n = lua_gettop(L) - 2;
        lua_rawgeti(L, LUA_REGISTRYINDEX, session->format);
        lua_insert(L, 3);
        lua_pushinteger(L, session->columns);
        lua_insert(L, 4);
        ok = lua_pcall(L, n + 1, 1, 0) == LUA_OK;
    }
    lua_pushboolean(L, ok);
    lua_insert(L, -2);
    return 2;
}

/* line(chunk): a job's body. Never fails but for memory: errors are its results. */
static int line(lua_State *L)
{
    ruc_session_t *session = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, 1);
    lua_pushnil(L); /* results begin at 3, whatever the chunk leaves */
    lua_insert(L, 2);
    return line_over(L, lua_pcallk(L, 0, LUA_MULTRET, 1, (lua_KContext)session, line_over),
                     (lua_KContext)session);
}

static void line_done(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    ruc_session_t *session = arg;
    size_t len = 0;
    const char *text = NULL;
    bool ok = false;
    if (outcome == RUC_JOB_OK && n == 2) {
        ok = lua_toboolean(co, 1);
        text = lua_tolstring(co, 2, &len);
    } else if (outcome == RUC_JOB_FAILED) {
        text = lua_tolstring(co, -1, &len);
    } else {
        text = "interrupted";
        len = strlen(text);
    }
    session->job = 0;
    session->done_early = true;
    ruc_conn_result(session->conn, session->eval, ok, false, text == NULL ? "" : text, len);
}

static int push_line(lua_State *L)
{
    lua_pushcclosure(L, line, 1);
    return 1;
}

void ruc_session_eval(ruc_session_t *session, int64_t id, const char *text, size_t len,
                      const char *name, int columns)
{
    ruc_why_t why = {""};
    ruc_vm_t *vm = session->vm;
    code_t code = {session, text, name, len, false};
    char what[96];
    if (session->job != 0) {
        static const char busy[] = "a line is still running: end it first (cancel)";
        ruc_conn_result(session->conn, id, false, false, busy, sizeof busy - 1);
        return;
    }
    int top = lua_gettop(vm->L);
    int rc = ruc_vm_protect(vm, push_line, session, &why);
    rc = rc < 0 ? rc : ruc_vm_protect(vm, compile, &code, &why);
    if (rc == 0 && lua_isfunction(vm->L, -1)) {
        session->eval = id;
        session->columns = columns;
        session->done_early = false;
        snprintf(what, sizeof what, "console %u of %s", session->conn->number, session->conn->user);
        rc = ruc_job_start(vm, RUC_PHASE_CONSOLE, 1, what, NULL, line_done, session, &session->job);
        if (rc == 0) {
            session->job = session->done_early ? 0 : session->job;
            return;
        }
        ruc_why_set(&why, rc, "%s", ruc_err_text(rc));
        session->job = 0;
    } else if (rc == 0) {
        size_t size;
        const char *message = lua_tolstring(vm->L, -1, &size);
        ruc_conn_result(session->conn, id, false, code.incomplete, message, size);
        lua_settop(vm->L, top);
        return;
    }
    lua_settop(vm->L, top);
    ruc_conn_result(session->conn, id, false, false, why.text, strlen(why.text));
}

bool ruc_session_cancel(ruc_session_t *session)
{
    ruc_job_t *job = session == NULL || session->job == 0 ? NULL : ruc_job_find(session->job);
    if (job == NULL) {
        return false;
    }
    ruc_job_cancel(job);
    return true;
}

/* ---- completion ---- */

typedef struct completing {
    ruc_session_t *session;
    const char *text;
    size_t len;
} completing_t;

/* complete(text) -> from (0-based), a JSON list of words */
static int call_complete(lua_State *L)
{
    completing_t *completing = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, completing->session->complete);
    lua_pushlstring(L, completing->text, completing->len);
    lua_call(L, 1, 2);
    luaL_checkinteger(L, -2);
    luaL_checkstring(L, -1);
    return 2;
}

int ruc_session_complete(ruc_session_t *session, const char *text, size_t len, ruc_buf_t *out,
                         size_t *from)
{
    ruc_why_t why;
    lua_State *L = session->vm->L;
    completing_t completing = {session, text, len};
    int top = lua_gettop(L);
    /* Fields that a script's metamethods make are looked up. */
    int rc = ruc_guard_protect(session->vm, RUC_BUDGET_CONSOLE, "completion", call_complete,
                               &completing, &why);
    if (rc == 0) {
        size_t size;
        const char *words = lua_tolstring(L, -1, &size);
        *from = (size_t)lua_tointeger(L, -2);
        rc = ruc_buf_add(out, words, size);
    } else {
        ruc_log(RUC_LOG_CONSOLE, RUC_WARN, "completion: %s", why.text);
    }
    lua_settop(L, top);
    return rc;
}
