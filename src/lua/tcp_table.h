/* tcp_table.h - rucat.tcp.connections: how many connections there are to a port of this machine. */
#ifndef RUC_LUA_TCP_TABLE_H
#define RUC_LUA_TCP_TABLE_H

#include <lua.h>

/* connections(port) -> how many are established, seen from the side that accepted them; or nil,
 * message, code. YIELDS. */
int ruc_tcp_connections(lua_State *L);

#endif
