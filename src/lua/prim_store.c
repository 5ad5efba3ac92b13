/* prim_store.c - rucat.store: engines and events.
 *
 *     local engine = rucat.store.engines.get("team-a")        -- a view, or nil
 *     for _, e in ipairs((rucat.store.engines.list{ state = "Running" })) do ... end
 *     local e, why, code = rucat.store.engines.create{ name = "x", ... }   -- waits
 *     rucat.store.engines.verb("x", "stop", user.name)                     -- waits
 *     local events, more = rucat.store.events.list{ engine = e.id }        -- waits
 *
 * Writes wait until they are stored. Reconcile (the system's state) may also change and remove. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "engine/logs.h"
#include "engine/verbs.h"
#include "lua/follow.h"
#include "lua/hold.h"
#include "lua/job.h"
#include "lua/options.h"
#include "lua/prims.h"
#include "lua/proxy.h"
#include "lua/request.h"
#include "lua/usage.h"
#include "lua/value.h"
#include "lua/view.h"

#define LIST_MAX 1000
#define LOG_BYTES (4u * 1024 * 1024)

/* RAISES while a file is loaded: there may be no engines yet, nor ever (`rucat check`). */
static ruc_table_t *table_of(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.store");
    ruc_prims_need_server(L, "rucat.store");
    return ruc_vm_of(L)->app->table;
}

/* ---- reading ---- */

static int engines_get(lua_State *L)
{
    ruc_record_t *record = ruc_table_find(table_of(L), luaL_checkstring(L, 1));
    if (record == NULL) {
        lua_pushnil(L);
    } else {
        ruc_view_push(L, record);
    }
    return 1;
}

typedef struct filter {
    const char *state, *type, *platform, *name, *label;
} filter_t;

static bool text_fits(const char *wanted, const char *is)
{
    return wanted == NULL || strcmp(wanted, is) == 0;
}

static bool label_fits(const char *wanted, const ruc_record_t *record)
{
    if (wanted == NULL) {
        return true;
    }
    const char *equals = strchr(wanted, '=');
    size_t len = equals == NULL ? strlen(wanted) : (size_t)(equals - wanted);
    const char *key;
    json_t *value;
    json_object_foreach(ruc_record_field(record, "labels"), key, value)
    {
        if (strlen(key) == len && strncmp(key, wanted, len) == 0) {
            return equals == NULL || strcmp(json_string_value(value), equals + 1) == 0;
        }
    }
    return false;
}

static bool fits(const filter_t *filter, const ruc_record_t *record)
{
    return text_fits(filter->state, ruc_state_name(record->state)) &&
           text_fits(filter->type, ruc_record_text(record, "type")) &&
           text_fits(filter->platform, ruc_record_text(record, "platform")) &&
           text_fits(filter->name, record->name) && label_fits(filter->label, record);
}

static int engines_list(lua_State *L)
{
    static const char *const names[] = {"limit",    "after", "state", "type",
                                        "platform", "name",  "label", NULL};
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    ruc_options_check(L, 1, names);
    ruc_table_t *table = table_of(L);
    filter_t filter = {.state = ruc_options_text(L, 1, "state", NULL),
                       .type = ruc_options_text(L, 1, "type", NULL),
                       .platform = ruc_options_text(L, 1, "platform", NULL),
                       .name = ruc_options_text(L, 1, "name", NULL),
                       .label = ruc_options_text(L, 1, "label", NULL)};
    lua_Integer limit = ruc_options_integer(L, 1, "limit", LIST_MAX, 1, LIST_MAX), n = 0;
    const char *after = ruc_options_text(L, 1, "after", NULL);
    size_t i = after == NULL ? 0 : ruc_table_after(table, after);
    lua_newtable(L);
    ruc_value_mark_array(L);
    for (; i < ruc_table_count(table); i++) {
        ruc_record_t *record = ruc_table_at(table, i);
        if (!fits(&filter, record)) {
            continue;
        }
        if (n == limit) {
            lua_pushboolean(L, 1);
            return 2;
        }
        ruc_view_push(L, record);
        lua_rawseti(L, -2, ++n);
    }
    lua_pushboolean(L, 0);
    return 2;
}

/* ---- writing ---- */

typedef struct writing {
    ruc_ticket_t ticket;
    int rc;
    ruc_record_t *record;
} writing_t;

static int push_written(lua_State *L, void *arg)
{
    writing_t *writing = arg;
    if (writing->rc < 0) {
        return ruc_push_err(L, writing->rc, NULL);
    }
    if (writing->record == NULL) {
        lua_pushboolean(L, 1);
    } else {
        ruc_view_push(L, writing->record);
    }
    return 1;
}

static void written(void *arg, int rc, ruc_record_t *record)
{
    writing_t *writing = arg;
    writing->rc = rc;
    writing->record = record;
    ruc_job_wake(writing->ticket, push_written, writing);
    free(writing);
}

static writing_t *writing_new(lua_State *L, const char *primitive)
{
    ruc_ticket_t ticket = ruc_job_ticket(L, primitive);
    writing_t *writing = calloc(1, sizeof *writing);
    if (writing == NULL) {
        luaL_error(L, "not enough memory");
        return NULL;
    }
    writing->ticket = ticket;
    return writing;
}

/* A write that was handed over, or not. */
static int wait_written(lua_State *L, writing_t *writing, int rc, const char *why)
{
    if (rc < 0) {
        free(writing);
        return ruc_push_err(L, rc, why);
    }
    return ruc_job_wait(L, NULL, NULL); /* a write that is under way is not taken back */
}

/* The JSON object at `index`; RAISES when it is not one. */
static json_t *object_at(lua_State *L, int index, const char *what)
{
    ruc_why_t why = {""};
    luaL_checktype(L, index, LUA_TTABLE);
    json_t *value = ruc_value_to_json(L, index, false, &why);
    if (!json_is_object(value)) {
        bool empty = value == NULL || json_array_size(value) == 0;
        json_decref(value);
        luaL_error(L, "%s must be an object%s%s", what, empty ? "" : ", not a list", why.text);
    }
    return value;
}

/* What an event carries for `rucat try`: optional, and left out when it is no object. Does not
 * raise. */
static json_t *data_at(lua_State *L, int index)
{
    ruc_why_t why;
    json_t *data = lua_istable(L, index) ? ruc_value_to_json(L, index, false, &why) : NULL;
    if (data != NULL && !json_is_object(data)) {
        json_decref(data);
        data = NULL;
    }
    return data;
}

static int engines_create(lua_State *L)
{
    ruc_why_t why = {""};
    ruc_job_need(L, RUC_PHASE_HANDLER | RUC_PHASE_TIMER | RUC_PHASE_CONSOLE,
                 "rucat.store.engines.create");
    const char *by = luaL_optstring(L, 2, "script");
    (void)ruc_job_ticket(L, "rucat.store.engines.create"); /* raises before there is a document */
    json_t *doc = object_at(L, 1, "an engine"), *data = data_at(L, 3);
    writing_t *writing = writing_new(L, "rucat.store.engines.create");
    const ruc_app_t *app = ruc_vm_of(L)->app;
    if (app->monitor && ruc_replicas_shared(app->replicas) && ruc_replicas_holds(app->replicas) &&
        json_object_set_new(doc, "keeper", json_string(ruc_replicas_self(app->replicas)->id)) < 0) {
        json_decref(doc);
        json_decref(data);
        return wait_written(L, writing, UV_ENOMEM, NULL);
    }
    int rc = ruc_table_create(table_of(L), doc, data, by, written, writing, &why);
    json_decref(doc);
    json_decref(data);
    return wait_written(L, writing, rc, why.text);
}

static int engines_verb(lua_State *L)
{
    const char *id = luaL_checkstring(L, 1), *verb = luaL_checkstring(L, 2);
    const char *by = luaL_optstring(L, 3, "script");
    lua_Integer rev = luaL_optinteger(L, 4, 0);
    ruc_table_t *table = table_of(L);
    writing_t *writing = writing_new(L, "rucat.store.engines.verb");
    json_t *data = data_at(L, 5);
    int rc = ruc_verb(table, id, verb, (uint64_t)rev, by, data, written, writing);
    json_decref(data);
    return wait_written(L, writing, rc, NULL);
}

/* get, but where the store is shared and the engine is not known here, the store is asked: somebody
 * else may have made it just now. */
static int engines_fetch(lua_State *L)
{
    ruc_table_t *table = table_of(L);
    const char *key = luaL_checkstring(L, 1);
    if (ruc_table_find(table, key) != NULL || ruc_vm_of(L)->app->feed == NULL) {
        return engines_get(L);
    }
    writing_t *writing = writing_new(L, "rucat.store.engines.fetch");
    return wait_written(L, writing, ruc_table_fetch(table, key, written, writing), NULL);
}

static int engines_change(lua_State *L)
{
    ruc_why_t why = {""};
    ruc_record_t *record = ruc_view_check(L, 1);
    ruc_job_need(L, RUC_PHASE_SYSTEM, "rucat.store.engines.change");
    const char *by = luaL_optstring(L, 4, "monitor");
    json_t *changes = object_at(L, 2, "changes");
    json_t *note = lua_isnoneornil(L, 3) ? NULL : object_at(L, 3, "an event");
    writing_t *writing = writing_new(L, "rucat.store.engines.change");
    int rc = ruc_table_change(table_of(L), record->id, record->rev, changes, note, by, written,
                              writing, &why);
    json_decref(changes);
    json_decref(note);
    return wait_written(L, writing, rc, why.text);
}

static int engines_remove(lua_State *L)
{
    ruc_record_t *record = ruc_view_check(L, 1);
    ruc_job_need(L, RUC_PHASE_SYSTEM, "rucat.store.engines.remove");
    writing_t *writing = writing_new(L, "rucat.store.engines.remove");
    int rc = ruc_table_remove(table_of(L), record->id, record->rev, luaL_optstring(L, 2, "monitor"),
                              written, writing);
    return wait_written(L, writing, rc, NULL);
}

static int engines_note(lua_State *L)
{
    ruc_record_t *record = ruc_view_check(L, 1);
    ruc_table_note(table_of(L), record, luaL_checkstring(L, 2), luaL_optstring(L, 3, ""),
                   luaL_optstring(L, 4, ""), luaL_optstring(L, 5, "script"));
    return 0;
}

static int engines_hold(lua_State *L)
{
    static const char *const verbs[] = {"start", "stop", "restart", "delete", NULL};
    const char *id = luaL_checkstring(L, 1);
    const char *verb = verbs[luaL_checkoption(L, 2, NULL, verbs)];
    ruc_hold_push(L, id, verb, ruc_options_seconds(L, 3, 0));
    return 1;
}

/* The record with its internal fields and its secrets, for reconcile. */
static int engines_whole(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_SYSTEM, "rucat.store.engines.whole");
    ruc_view_push_table(L, ruc_view_check(L, 1), true, true);
    return 1;
}

/* ---- logs ---- */

typedef struct tailing {
    ruc_ticket_t ticket;
    int rc;
    const char *data;
    size_t len;
} tailing_t;

static int push_tail(lua_State *L, void *arg)
{
    tailing_t *tailing = arg;
    if (tailing->rc < 0) {
        return ruc_push_err(L, tailing->rc, NULL);
    }
    lua_pushlstring(L, tailing->data == NULL ? "" : tailing->data, tailing->len);
    return 1;
}

static void tailed(void *arg, int rc, const char *data, size_t len, const ruc_logs_mark_t *mark)
{
    (void)mark;
    tailing_t *tailing = arg;
    tailing->rc = rc;
    tailing->data = data;
    tailing->len = len;
    ruc_job_wake(tailing->ticket, push_tail, tailing);
    free(tailing);
}

static int engines_logs(lua_State *L)
{
    char dir[4096];
    ruc_app_t *app = ruc_vm_of(L)->app;
    ruc_record_t *record = ruc_table_find(table_of(L), luaL_checkstring(L, 1));
    lua_Integer lines = luaL_optinteger(L, 2, -1);
    luaL_argcheck(L, lines == -1 || (lines >= 0 && lines <= 100000), 2, "0 to 100000 lines");
    if (record == NULL) {
        return ruc_push_err(L, RUC_ENOTFOUND, NULL);
    }
    ruc_why_t why = {""};
    if (!ruc_replicas_has_files(app->replicas, record)) {
        const ruc_replica_t *other = ruc_replicas_with_files(app->replicas, record, &why);
        if (other != NULL) {
            ruc_why_set(&why, RUC_ENOTFOUND, "it is on host %s: ask %s", other->name, other->url);
        }
        return ruc_push_err(L, RUC_ENOTFOUND, why.text);
    }
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.store.engines.logs");
    tailing_t *tailing = calloc(1, sizeof *tailing);
    if (tailing == NULL) {
        return luaL_error(L, "not enough memory");
    }
    tailing->ticket = ticket;
    int rc =
        ruc_fleet_dir(app->fleet, ruc_record_place(record, "dir"), record->id, dir, sizeof dir);
    if (rc == 0) {
        rc = ruc_logs_tail(app->loop, dir, (int)lines, LOG_BYTES, tailed, tailing);
    }
    if (rc < 0) {
        free(tailing);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

/* ---- idempotency ---- */

/* claim(key, body) -> "new", token table for create | "same", engine id | "other" | "busy" | "full"
 */
static int keys_claim(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.store.keys.claim");
    ruc_prims_need_server(L, "rucat.store.keys.claim");
    size_t len;
    char engine[27], digest[40];
    const char *key = luaL_checkstring(L, 1), *body = luaL_checklstring(L, 2, &len);
    ruc_idempotency_digest(body, len, digest);
    switch (ruc_idempotency_claim(ruc_vm_of(L)->app->keys, key, digest, engine)) {
    case RUC_CLAIM_NEW:
        lua_pushliteral(L, "new");
        lua_createtable(L, 0, 3);
        lua_pushvalue(L, 1);
        lua_setfield(L, -2, "key");
        lua_pushstring(L, digest);
        lua_setfield(L, -2, "digest");
        lua_pushinteger(L, ruc_clock_wall_ms());
        lua_setfield(L, -2, "at_ms");
        return 2;
    case RUC_CLAIM_SAME:
        lua_pushliteral(L, "same");
        lua_pushstring(L, engine);
        return 2;
    case RUC_CLAIM_OTHER:
        lua_pushliteral(L, "other");
        return 1;
    case RUC_CLAIM_BUSY:
        lua_pushliteral(L, "busy");
        return 1;
    default:
        lua_pushliteral(L, "full");
        return 1;
    }
}

static int keys_settle(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.store.keys.settle");
    ruc_prims_need_server(L, "rucat.store.keys.settle");
    ruc_idempotency_settle(ruc_vm_of(L)->app->keys, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    return 0;
}

static int keys_release(lua_State *L)
{
    ruc_job_need(L, RUC_PHASE_RUNS, "rucat.store.keys.release");
    ruc_prims_need_server(L, "rucat.store.keys.release");
    ruc_idempotency_release(ruc_vm_of(L)->app->keys, luaL_checkstring(L, 1));
    return 0;
}

/* ---- followers ---- */

static void follow_text(lua_State *L, const char *name, char *out, size_t size)
{
    const char *text = ruc_options_text(L, 1, name, "");
    if (strlen(text) >= size) {
        luaL_error(L, "option '%s' is too long", name);
    }
    memcpy(out, text, strlen(text) + 1);
}

/* A body that goes on: rucat.store.follow{ logs = id, lines = 10 } or
 * rucat.store.follow{ events = id or "", after = event id or "", replay = true, user = req.user }.
 */
static int store_follow(lua_State *L)
{
    static const char *const names[] = {"logs", "lines", "events", "after", "replay", "user", NULL};
    ruc_options_check(L, 1, names);
    ruc_follow_t follow = {.events = ruc_options_text(L, 1, "events", NULL) != NULL};
    follow.lines = (int)ruc_options_integer(L, 1, "lines", -1, -1, 100000);
    follow.replay = ruc_options_boolean(L, 1, "replay", false);
    follow_text(L, follow.events ? "events" : "logs", follow.engine, sizeof follow.engine);
    follow_text(L, "after", follow.after, sizeof follow.after);
    if (lua_getfield(L, 1, "user") == LUA_TTABLE) {
        lua_getfield(L, -1, "name");
        lua_getfield(L, -2, "role");
        snprintf(follow.user, sizeof follow.user, "%s", luaL_optstring(L, -2, ""));
        snprintf(follow.role, sizeof follow.role, "%s", luaL_optstring(L, -1, ""));
    }
    ruc_follow_push(L, &follow);
    return 1;
}

/* ---- events ---- */

typedef struct listing {
    ruc_ticket_t ticket;
    int rc;
    const ruc_store_event_t *events;
    size_t n;
    bool more;
} listing_t;

static int push_events(lua_State *L, void *arg)
{
    listing_t *listing = arg;
    if (listing->rc < 0) {
        return ruc_push_err(L, listing->rc, NULL);
    }
    lua_newtable(L);
    ruc_value_mark_array(L);
    for (size_t i = 0; i < listing->n; i++) {
        json_t *doc = json_loadb(listing->events[i].doc, listing->events[i].doc_len, 0, NULL);
        if (doc != NULL) {
            ruc_value_push_owned(L, doc);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
    }
    lua_pushboolean(L, listing->more);
    return 2;
}

static void listed(void *arg, int rc, const ruc_store_event_t *events, size_t n, bool more)
{
    listing_t *listing = arg;
    *listing = (listing_t){listing->ticket, rc, events, n, more};
    ruc_job_wake(listing->ticket, push_events, listing);
    free(listing);
}

static int events_list(lua_State *L)
{
    static const char *const names[] = {"engine", "after", "limit", "newest_first", NULL};
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    ruc_options_check(L, 1, names);
    const char *engine = ruc_options_text(L, 1, "engine", NULL);
    const char *after = ruc_options_text(L, 1, "after", NULL);
    lua_Integer limit = ruc_options_integer(L, 1, "limit", 100, 1, LIST_MAX);
    bool newest = ruc_options_boolean(L, 1, "newest_first", false);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.store.events.list");
    listing_t *listing = calloc(1, sizeof *listing);
    if (listing == NULL) {
        return luaL_error(L, "not enough memory");
    }
    listing->ticket = ticket;
    int rc = ruc_store_events(ruc_table_store(table_of(L)), engine, after, (size_t)limit, newest,
                              listed, listing);
    if (rc < 0) {
        free(listing);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

void ruc_prim_store(lua_State *L)
{
    static const luaL_Reg engines[] = {{"get", engines_get},         {"fetch", engines_fetch},
                                       {"list", engines_list},       {"create", engines_create},
                                       {"verb", engines_verb},       {"note", engines_note},
                                       {"hold", engines_hold},       {"logs", engines_logs},
                                       {"usage", ruc_engines_usage}, {NULL, NULL}};
    static const luaL_Reg system[] = {{"change", engines_change},
                                      {"remove", engines_remove},
                                      {"whole", engines_whole},
                                      {NULL, NULL}};
    static const luaL_Reg events[] = {{"list", events_list}, {NULL, NULL}};
    static const luaL_Reg keys[] = {
        {"claim", keys_claim}, {"settle", keys_settle}, {"release", keys_release}, {NULL, NULL}};
    ruc_hold_open(L);
    ruc_follow_open(L);
    ruc_proxy_open(L);
    ruc_request_open(L);
    lua_createtable(L, 0, 2);
    luaL_newlib(L, engines);
    if (ruc_vm_of(L)->kind == RUC_VM_SYSTEM) {
        luaL_setfuncs(L, system, 0);
    }
    lua_setfield(L, -2, "engines");
    luaL_newlib(L, events);
    lua_setfield(L, -2, "events");
    luaL_newlib(L, keys);
    lua_setfield(L, -2, "keys");
    lua_pushcfunction(L, store_follow);
    lua_setfield(L, -2, "follow");
}
