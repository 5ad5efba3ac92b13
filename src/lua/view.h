/* view.h - what Lua sees of an engine: a read-only view of one snapshot of its record. Fields are
 * those of CONTRACT section 3; `pairs` goes over them; secrets are masked. */
#ifndef RUC_LUA_VIEW_H
#define RUC_LUA_VIEW_H

#include <lua.h>

#include "engine/record.h"

#define RUC_VIEW "rucat.engine" /* the metatable's name */

/* Pushes a view (takes a reference of its own). RAISES on memory. */
void ruc_view_push(lua_State *L, ruc_record_t *record);

/* The record behind what is at `index`; NULL when it is no view. */
ruc_record_t *ruc_view_test(lua_State *L, int index);

/* The same, RAISING when it is no view. */
ruc_record_t *ruc_view_check(lua_State *L, int index);

/* Pushes a table with the fields, for policies (secrets masked) and templates (`secrets`: as they
 * are; internal fields too with `internal`). */
void ruc_view_push_table(lua_State *L, const ruc_record_t *record, bool secrets, bool internal);

/* Makes the metatable. */
void ruc_view_open(lua_State *L);

#endif
