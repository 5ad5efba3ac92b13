/* value.h - values across borders: between two states, between Lua and JSON.
 *
 * JSON null is `rucat.json.null` (a light userdata) in tables made from JSON text, and absent in
 * tables made from records. An empty list is told from an empty object by a metatable
 * (`rucat.json.array`). Depth is bounded at 64. */
#ifndef RUC_LUA_VALUE_H
#define RUC_LUA_VALUE_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

#define RUC_VALUE_DEPTH 64
#define RUC_VALUE_NODES                                                                            \
    1000000 /* values in a value, those in tables counted as often as they are met */

#define RUC_VALUE_PARSED 200000 /* values in a text of JSON that is read */

/* Copies the value at `index` of `from` onto `to`'s stack: nil, booleans, numbers, strings, tables
 * of such (without metatables but the array mark), views of engines. Functions and other things
 * RAISE on `to` with what they are. Call it where `to` is protected. */
void ruc_value_copy(lua_State *from, int index, lua_State *to);

/* Pushes a JSON value. `nulls`: objects keep null as rucat.json.null; else such fields are absent.
 * RAISES on memory. */
void ruc_value_push_json(lua_State *L, const json_t *value, bool nulls);

/* The same with nulls kept, taking the reference to `value`: it is given back however the pushing
 * ends. NULL RAISES "not enough memory". Returns 1. */
int ruc_value_push_owned(lua_State *L, json_t *value);

/* The JSON value of what is at `index`; NULL and `why` (what cannot be JSON, and where). Does not
 * raise. The caller owns it. `nuls`: texts may hold NUL bytes (never keys). */
json_t *ruc_value_to_json(lua_State *L, int index, bool nuls, ruc_why_t *why);

/* Appends the JSON text of what is at `index`; views of engines as clients see them. 0,
 * RUC_EINVALID and `why`, RUC_ETOOBIG, UV_ENOMEM; RUC_ESCRIPT when the budget is used up meanwhile:
 * ruc_guard_check says so once what the caller holds is given back. Does not raise. */
int ruc_value_write(lua_State *L, int index, ruc_buf_t *out, ruc_why_t *why);

/* As json_loadb, for texts of somebody else's: one of more than RUC_VALUE_PARSED values is refused,
 * as what it is made of is many times as large. `error` is filled in. */
json_t *ruc_value_parse(const char *text, size_t len, size_t flags, json_error_t *error);

/* The length of a list: n when the keys of the table are exactly 1..n (and n > 0 or it is marked),
 * else -1. Raw access; needs 3 slots; does not raise. */
lua_Integer ruc_value_list_length(lua_State *L, int index);

/* Marks the table on top of the stack as a list. */
void ruc_value_mark_array(lua_State *L);

#endif
