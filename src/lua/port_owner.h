/* port_owner.h - rucat.driver.listeners and rucat.driver.owner: whose is a port now? */
#ifndef RUC_LUA_PORT_OWNER_H
#define RUC_LUA_PORT_OWNER_H

#include <lua.h>

/* listeners(port) -> the sockets that listen there as one text, "" when none does; the same text
 * means the same sockets. Or nil, message, code. */
int ruc_port_listeners(lua_State *L);

/* owner(port, driver's pid, instance) -> true: one who listens there belongs to the driver; false
 * and who it is: none does; nil: it cannot be told. YIELDS. */
int ruc_port_owner(lua_State *L);

#endif
