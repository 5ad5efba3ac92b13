/* names.h - what C gives to lua/rucat/console.lua: the things of this console and this server that
 * are no primitives. */
#ifndef RUC_CONSOLE_NAMES_H
#define RUC_CONSOLE_NAMES_H

#include <lua.h>

#include "console/conn.h"

/* Pushes the table `host`. May raise. */
void ruc_names_push(lua_State *L, ruc_conn_t *conn);

#endif
