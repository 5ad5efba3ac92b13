/* http_room.h - inside rucat.http: what prim_http.c (requests) and http_stream.c (answers that are
 * read piece by piece) share. */
#ifndef RUC_LUA_HTTP_ROOM_H
#define RUC_LUA_HTTP_ROOM_H

#include <lua.h>

#include "http/client.h"

#define RUC__HTTP_HEADERS_MAX 64

/* Reads the options table at index 1 (the only argument) into `spec`; `headers` has room for
 * RUC__HTTP_HEADERS_MAX. What it points to is anchored by the table, and by what it leaves on the
 * stack. RAISES on what is wrong, naming the option. */
void ruc__http_read_spec(lua_State *L, ruc_http_call_spec_t *spec, ruc_http_header_t *headers);

/* Pushes headers as a table; several of one name are joined by ", ". RAISES on memory. */
void ruc__http_push_headers(lua_State *L, const ruc_http_header_t *headers, size_t n);

/* rucat.http.stream, and its metatable. */
int ruc__http_stream(lua_State *L);
void ruc__http_stream_open(lua_State *L);

#endif
