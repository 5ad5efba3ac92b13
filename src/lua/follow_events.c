/* follow_events.c - events as server-sent events (WHATWG HTML, 9.2). What is stored after the last
 * id that the client has seen comes first, then what happens: nothing twice, nothing left out. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/follow_room.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "lua/view.h"

#define PAGE 200
#define ALIVE_MS 15000

/* An event on its way to a client; where all events are followed, the auth policy is asked first.
 */
typedef struct sending {
    ruc__follower_t *follower;
    ruc_record_t *engine; /* NULL: gone */
    char *text;
    size_t len;
    bool last; /* the engine that is followed is deleted by it */
} sending_t;

static void send_now(sending_t *sending, bool allowed)
{
    ruc__follower_t *f = sending->follower;
    if (allowed && ruc__follow_write(f, sending->text, sending->len) && sending->last) {
        ruc__follow_end(f, "the engine is deleted");
    }
    ruc_record_unref(sending->engine);
    free(sending->text);
    free(sending);
    ruc__follow_settle(f);
}

static void asked(void *arg, ruc_outcome_t outcome, lua_State *co, int n)
{
    send_now(arg, outcome == RUC_JOB_OK && n > 0 && lua_isboolean(co, 1) && lua_toboolean(co, 1));
}

static int push_question(lua_State *L)
{
    sending_t *sending = lua_touserdata(L, 1);
    ruc_follow_t *what = &sending->follower->what;
    ruc_generation_t *generation = ruc_vm_of(L)->arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, generation->policies[RUC_POLICY_AUTH]);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, what->user);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, what->role);
    lua_setfield(L, -2, "role");
    lua_pushliteral(L, "read");
    ruc_view_push(L, sending->engine);
    return 4;
}

static void ask(sending_t *sending)
{
    ruc__follower_t *f = sending->follower;
    ruc_vm_t *vm = ruc_scripts_now(f->app->scripts)->vm;
    ruc_why_t why;
    if (f->what.engine[0] != '\0') { /* it was asked at the start */
        send_now(sending, true);
    } else if (sending->engine == NULL) { /* gone: there is nobody to ask about */
        send_now(sending, strcmp(f->what.role, "admin") == 0);
    } else if (ruc_vm_protect(vm, push_question, sending, &why) < 0 ||
               ruc_job_start(vm, RUC_PHASE_POLICY, 3, "auth", NULL, asked, sending, NULL) < 0) {
        send_now(sending, false);
    }
}

static void send_event(ruc__follower_t *f, const char *id, const char *engine, const char *kind,
                       const char *doc, size_t doc_len, bool live)
{
    sending_t *sending = calloc(1, sizeof *sending);
    size_t room = doc_len + 128;
    if (sending == NULL || (sending->text = malloc(room)) == NULL) {
        free(sending);
        ruc__follow_end(f, "out of memory"); /* the client resumes from the last id it has */
        return;
    }
    ruc_record_t *record = ruc_table_find(f->app->table, engine);
    sending->len = (size_t)snprintf(sending->text, room, "id: %s\nevent: %s\ndata: %.*s\n\n", id,
                                    kind, (int)doc_len, doc);
    sending->follower = f;
    sending->engine = record == NULL ? NULL : ruc_record_ref(record);
    sending->last = live && record == NULL && f->what.engine[0] != '\0';
    if (strcmp(id, f->what.after) > 0) {
        snprintf(f->what.after, sizeof f->what.after, "%s", id);
    }
    f->pending++;
    ask(sending);
}

static void replay(ruc__follower_t *f);

static void replayed(void *arg, int rc, const ruc_store_event_t *events, size_t n, bool more)
{
    ruc__follower_t *f = arg;
    f->replaying = false;
    f->pending++; /* sending may end the follower: it must outlive this */
    if (n > 0) {
        snprintf(f->replayed, sizeof f->replayed, "%s", events[n - 1].id);
    }
    for (size_t i = 0; i < n && f->stream != NULL; i++) {
        send_event(f, events[i].id, events[i].engine, events[i].kind, events[i].doc,
                   events[i].doc_len, false);
    }
    if (rc < 0) {
        ruc__follow_end(f, "the store does not answer");
    } else if (f->stream != NULL && (more || f->again)) {
        replay(f);
    } else if (f->stream != NULL && f->what.engine[0] != '\0' &&
               ruc_table_find(f->app->table, f->what.engine) == NULL) {
        ruc__follow_end(f, "the engine is deleted");
    }
    f->pending--;
    ruc__follow_settle(f);
}

static void replay(ruc__follower_t *f)
{
    f->replaying = true;
    f->again = false;
    f->pending++;
    int rc =
        ruc_store_events(ruc_table_store(f->app->table), f->what.engine[0] ? f->what.engine : NULL,
                         f->what.after[0] ? f->what.after : NULL, PAGE, false, replayed, f);
    if (rc < 0) {
        f->pending--;
        ruc__follow_end(f, "the store does not answer");
    }
}

static void told(ruc_listener_t *listener, const ruc_event_t *event)
{
    ruc__follower_t *f =
        (ruc__follower_t *)((char *)listener - offsetof(ruc__follower_t, listener));
    if (f->what.engine[0] != '\0' && strcmp(f->what.engine, event->engine) != 0) {
        return;
    }
    if (f->replaying) {
        f->again = true;
    } else if (strcmp(event->id, f->replayed) > 0) { /* another server's may come late */
        send_event(f, event->id, event->engine, event->kind, event->doc, event->len, true);
    }
}

static void alive(uv_timer_t *timer)
{
    ruc__follow_write(timer->data, ": alive\n\n", 9);
}

void ruc__follow_events_begin(ruc__follower_t *f)
{
    static const char hello[] = "retry: 1000\n\n";
    f->listener.told = told;
    memcpy(f->replayed, f->what.after, sizeof f->replayed);
    ruc_table_listen(f->app->table, &f->listener);
    uv_timer_start(&f->timer, alive, ALIVE_MS, ALIVE_MS);
    if (ruc__follow_write(f, hello, sizeof hello - 1) && f->what.replay) {
        replay(f);
    }
}
