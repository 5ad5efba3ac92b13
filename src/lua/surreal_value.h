/* surreal_value.h - SurrealDB's values as Lua's, and back. What Lua has no type for (record ids,
 * datetimes, decimals, ...) is a userdata that holds the CBOR it came as: it goes back as it was.
 *
 * SurrealDB         Lua                          SurrealDB         Lua
 * none              absent; in a list or alone   record, datetime, duration, decimal, uuid,
 *                   rucat.surreal.none           bytes, set, range, table: a userdata
 * null              rucat.json.null              object            table with text keys
 * bool, int, float  the same, apart              array             list, marked as by json.array
 * string            string                       geometry, file, regex: refused */
#ifndef RUC_LUA_SURREAL_VALUE_H
#define RUC_LUA_SURREAL_VALUE_H

#include <cbor.h>
#include <lua.h>

#include "core/buf.h"
#include "core/err.h"

/* Pushes a value that came from SurrealDB (borrowed). `nodes` counts its parts, which are bounded
 * by RUC_VALUE_PARSED. RAISES on what has no form in Lua, on too much, on memory. */
void ruc_surreal_push(lua_State *L, const cbor_item_t *item, unsigned *nodes);

/* The value at `index` as CBOR, the caller's to cbor_decref; NULL and `why` (what cannot be, and
 * where). A table at the top that is empty is an object. Does not raise. */
cbor_item_t *ruc_surreal_read(lua_State *L, int index, ruc_why_t *why);

/* Appends the text of a userdata of ours at `index` (as SurrealDB writes it: engine:abc, 1h30m);
 * false when it is none, or is bytes, which have no text, or memory is out. Does not raise. */
bool ruc_surreal_text(lua_State *L, int index, ruc_buf_t *out);

/* True for rucat.surreal.none. Does not raise. */
bool ruc_surreal_is_none(lua_State *L, int index);

/* Makes the metatable, and leaves a table with the functions that make such values, and `none`. */
void ruc_surreal_values(lua_State *L);

#endif
