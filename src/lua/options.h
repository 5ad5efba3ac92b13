/* options.h - reads the fields of an options table, `rucat.http.request{url = ...}`. Each RAISES on
 * a wrong type and names the field. */
#ifndef RUC_LUA_OPTIONS_H
#define RUC_LUA_OPTIONS_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* RAISES unless the value at `index` is a table whose keys are all in `names` (NULL-terminated). */
void ruc_options_check(lua_State *L, int index, const char *const *names);

/* A text (anchored by the table, which must stay on the stack), or `fallback`. */
const char *ruc_options_text(lua_State *L, int index, const char *name, const char *fallback);
const char *ruc_options_bytes(lua_State *L, int index, const char *name, size_t *len);

/* Seconds as milliseconds; `fallback_ms` when absent. At least 0, at most 10 years. */
int64_t ruc_options_ms(lua_State *L, int index, const char *name, int64_t fallback_ms);

/* A whole number from `low` to `high`, or `fallback`. */
lua_Integer ruc_options_integer(lua_State *L, int index, const char *name, lua_Integer fallback,
                                lua_Integer low, lua_Integer high);
bool ruc_options_boolean(lua_State *L, int index, const char *name, bool fallback);

/* Seconds given as an argument, as milliseconds. RAISES below 0 or above 10 years. */
int64_t ruc_options_seconds(lua_State *L, int arg, int64_t fallback_ms);

#endif
