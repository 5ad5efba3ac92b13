/* follow.h - answers that go on: the log of an engine (`follow=true`), events as server-sent
 * events. The handler returns a follower as its body and ends; from then on C alone keeps the
 * stream, so that no script generation is held and a reload does not disturb it. */
#ifndef RUC_LUA_FOLLOW_H
#define RUC_LUA_FOLLOW_H

#include <lua.h>

#include "http/stream.h"
#include "lua/app.h"

/* What is followed. */
typedef struct ruc_follow {
    bool events;             /* events, else a log */
    char engine[27];         /* "": the events of all */
    char after[27];          /* events: the last id that was seen, "": from now on */
    bool replay;             /* events: what is stored after `after` comes first */
    int lines;               /* log: so many last lines first */
    char user[64], role[32]; /* on whose behalf: the auth policy is asked for each event */
} ruc_follow_t;

/* Pushes a follower; RAISES on memory. */
void ruc_follow_push(lua_State *L, const ruc_follow_t *follow);

/* True when what is at `index` is a follower; it is copied out. */
bool ruc_follow_test(lua_State *L, int index, ruc_follow_t *follow);

/* Keeps the stream until the engine is deleted, the peer is gone, it reads too slowly, or the
 * server stops. Takes the stream over in every case. */
void ruc_follow_begin(ruc_app_t *app, ruc_http_stream_t *stream, const ruc_follow_t *follow);

/* Ends all with a last marker: the server stops. */
void ruc_follow_end_all(void);

/* Makes the metatable. */
void ruc_follow_open(lua_State *L);

#endif
