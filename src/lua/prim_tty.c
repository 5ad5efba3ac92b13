/* prim_tty.c - rucat.tty: what a tool's output goes to.
 *
 *     if rucat.tty.isatty(1) then ... rucat.tty.width() ... end
 */
#include <lauxlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lua/prims.h"

static int tty_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, 1)));
    return 1;
}

static int tty_width(lua_State *L)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, size.ws_col);
    }
    return 1;
}

void ruc_prim_tty(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"isatty", tty_isatty}, {"width", tty_width}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
