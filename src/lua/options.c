/* options.c - see options.h. */
#include "lua/options.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#define MOST_SECONDS 315360000.0

void ruc_options_check(lua_State *L, int index, const char *const *names)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(not a text)";
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, key) != 0) {
            name++;
        }
        if (*name == NULL) {
            luaL_error(L, "unknown option '%s'", key);
        }
    }
}

static int field(lua_State *L, int index, const char *name, int type, const char *expected)
{
    int got = lua_getfield(L, index, name);
    if (got != LUA_TNIL && got != type) {
        luaL_error(L, "option '%s' must be %s, got %s", name, expected, lua_typename(L, got));
    }
    return got;
}

const char *ruc_options_text(lua_State *L, int index, const char *name, const char *fallback)
{
    int got = field(L, index, name, LUA_TSTRING, "a text");
    const char *text = got == LUA_TNIL ? fallback : lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

const char *ruc_options_bytes(lua_State *L, int index, const char *name, size_t *len)
{
    *len = 0;
    int got = field(L, index, name, LUA_TSTRING, "a text");
    const char *text = got == LUA_TNIL ? NULL : lua_tolstring(L, -1, len);
    lua_pop(L, 1);
    return text;
}

int64_t ruc_options_ms(lua_State *L, int index, const char *name, int64_t fallback_ms)
{
    int got = field(L, index, name, LUA_TNUMBER, "a number of seconds");
    double seconds = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (got == LUA_TNIL) {
        return fallback_ms;
    }
    if (!(seconds >= 0 && seconds <= MOST_SECONDS)) {
        luaL_error(L, "option '%s' must be 0 to %d seconds", name, (int)MOST_SECONDS);
    }
    return llround(seconds * 1000.0);
}

lua_Integer ruc_options_integer(lua_State *L, int index, const char *name, lua_Integer fallback,
                                lua_Integer low, lua_Integer high)
{
    int got = field(L, index, name, LUA_TNUMBER, "a whole number");
    int whole = 0;
    lua_Integer value = lua_tointegerx(L, -1, &whole);
    lua_pop(L, 1);
    if (got == LUA_TNIL) {
        return fallback;
    }
    if (!whole || value < low || value > high) {
        luaL_error(L, "option '%s' must be a whole number from %I to %I", name, low, high);
    }
    return value;
}

bool ruc_options_boolean(lua_State *L, int index, const char *name, bool fallback)
{
    int got = field(L, index, name, LUA_TBOOLEAN, "true or false");
    bool value = got == LUA_TNIL ? fallback : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

int64_t ruc_options_seconds(lua_State *L, int arg, int64_t fallback_ms)
{
    if (lua_isnoneornil(L, arg)) {
        return fallback_ms;
    }
    double seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0 && seconds <= MOST_SECONDS, arg, "seconds, 0 to ten years");
    return llround(seconds * 1000.0);
}
