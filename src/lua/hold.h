/* hold.h - an answer that waits for an engine (`?wait=30s`). The handler returns a hold as its body
 * and ends; from then on C alone keeps the stream, so that no script generation is held. */
#ifndef RUC_LUA_HOLD_H
#define RUC_LUA_HOLD_H

#include <lua.h>

#include "http/stream.h"
#include "lua/app.h"

/* Pushes a hold on the engine `id`, until what `verb` asks for is so, no further start is due, or
 * `ms` is over. RAISES on memory. */
void ruc_hold_push(lua_State *L, const char *id, const char *verb, int64_t ms);

/* True when what is at `index` is a hold; its parts are copied out (id 27, verb 8 bytes). */
bool ruc_hold_test(lua_State *L, int index, char *id, char *verb, int64_t *ms);

/* Keeps the stream until then and answers with `status` and the engine as it is (as it was last,
 * when it is gone). Takes the stream over in every case. */
void ruc_hold_begin(ruc_app_t *app, ruc_http_stream_t *stream, int status, const char *id,
                    const char *verb, int64_t ms);

/* Answers all that are held at once: the server stops. */
void ruc_hold_end_all(void);

/* Makes the metatable. */
void ruc_hold_open(lua_State *L);

#endif
