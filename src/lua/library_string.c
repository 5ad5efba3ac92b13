/* library_string.c - find, match, gmatch, gsub on core/pattern.c, whose every step is charged to
 * the budget of whoever runs; what they give and which errors they raise is as in the stock library
 * (spec/unit/library_test.c compares the two by thousands of random calls). rep and format charge
 * first what they are about to do. dump is gone: what it makes can only be loaded as bytecode. */
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "core/pattern.h"
#include "lua/guard.h"
#include "lua/library.h"

typedef struct text {
    const char *at;
    size_t len;
} text_t;

static text_t check_text(lua_State *L, int arg)
{
    text_t text;
    text.at = luaL_checklstring(L, arg, &text.len);
    return text;
}

/* Where the optional argument `init` points, from 0; beyond the end for one that is too large. */
static size_t check_init(lua_State *L, int arg, size_t len)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);
    if (init > 0) {
        return (size_t)init - 1;
    }
    return init == 0 || init < -(lua_Integer)len ? 0 : len + (size_t)init;
}

/* One attempt, charged. True: `match` is filled in. RAISES. */
static bool attempt(lua_State *L, text_t subject, text_t pattern, size_t at, ruc_match_t *match)
{
    ruc_why_t why;
    uint64_t steps;
    ruc_guard_steps_begin(&steps);
    int rc =
        ruc_pattern_try(subject.at, subject.len, pattern.at, pattern.len, at, &steps, match, &why);
    ruc_guard_steps_end(L, &steps, rc == RUC_ESTEPS);
    if (rc < 0) {
        luaL_error(L, "%s", why.text);
    }
    return rc == 1;
}

/* Pushes capture `index` of the match. */
static void push_capture(lua_State *L, text_t subject, const ruc_match_t *match, int index)
{
    ruc_why_t why;
    ruc_capture_t capture;
    if (ruc_pattern_capture(match, index, &capture, &why) < 0) {
        luaL_error(L, "%s", why.text);
    } else if (capture.length == RUC_CAPTURE_POSITION) {
        lua_pushinteger(L, (lua_Integer)capture.start + 1);
    } else {
        lua_pushlstring(L, subject.at + capture.start, (size_t)capture.length);
    }
}

/* Pushes all captures; `whole`: the match itself where there are none. How many. */
static int push_captures(lua_State *L, text_t subject, const ruc_match_t *match, bool whole)
{
    int n = match->count == 0 && whole ? 1 : match->count;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++) {
        push_capture(L, subject, match, i);
    }
    return n;
}

static bool has_specials(text_t pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.at[i] != '\0' && strchr("^$*+?.([%-", pattern.at[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static int find_plain(lua_State *L, text_t subject, text_t pattern, size_t init)
{
    ruc_guard_spend(L, (subject.len - init) / 16 + 1);
    const char *from = subject.at + init;
    const char *at =
        pattern.len == 0 ? from : memmem(from, subject.len - init, pattern.at, pattern.len);
    if (at == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - subject.at + 1);
    lua_pushinteger(L, at - subject.at + (lua_Integer)pattern.len);
    return 2;
}

/* '^' in front: one attempt only. */
static bool strip_anchor(text_t *pattern)
{
    bool anchor = pattern->len > 0 && pattern->at[0] == '^';
    pattern->at += anchor;
    pattern->len -= anchor;
    return anchor;
}

static int find_or_match(lua_State *L, bool find)
{
    text_t subject = check_text(L, 1), pattern = check_text(L, 2);
    size_t at = check_init(L, 3, subject.len);
    ruc_match_t match;
    if (at > subject.len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(pattern))) {
        return find_plain(L, subject, pattern, at);
    }
    bool anchor = strip_anchor(&pattern);
    do {
        if (attempt(L, subject, pattern, at, &match)) {
            if (!find) {
                return push_captures(L, subject, &match, true);
            }
            lua_pushinteger(L, (lua_Integer)match.start + 1);
            lua_pushinteger(L, (lua_Integer)match.end);
            return 2 + push_captures(L, subject, &match, false);
        }
    } while (at++ < subject.len && !anchor);
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* ---- gmatch ---- */

typedef struct walk {
    text_t subject, pattern;
    size_t at, last; /* where to go on; the end of the last match, SIZE_MAX none */
} walk_t;

/* Upvalues: subject, pattern (which keep the texts), the walk. */
static int gmatch_next(lua_State *L)
{
    walk_t *walk = lua_touserdata(L, lua_upvalueindex(3));
    ruc_match_t match;
    for (size_t at = walk->at; at <= walk->subject.len; at++) {
        if (attempt(L, walk->subject, walk->pattern, at, &match) && match.end != walk->last) {
            walk->at = walk->last = match.end;
            return push_captures(L, walk->subject, &match, true);
        }
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    text_t subject = check_text(L, 1), pattern = check_text(L, 2);
    size_t init = check_init(L, 3, subject.len);
    lua_settop(L, 2);
    walk_t *walk = lua_newuserdatauv(L, sizeof *walk, 0);
    *walk = (walk_t){subject, pattern, init > subject.len ? subject.len + 1 : init, SIZE_MAX};
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* ---- gsub ---- */

typedef struct gsub {
    text_t subject, with; /* `with`: a text that replaces */
    ruc_match_t match;
    int kind; /* of the third argument */
} gsub_t;

/* Adds the text that replaces, its %0 to %9 and %% put in. */
static void add_text(lua_State *L, luaL_Buffer *out, const gsub_t *g)
{
    const char *at = g->with.at, *end = at + g->with.len, *percent;
    while ((percent = memchr(at, '%', (size_t)(end - at))) != NULL) {
        char digit = percent + 1 < end ? percent[1] : '\0';
        luaL_addlstring(out, at, (size_t)(percent - at));
        if (digit == '%') {
            luaL_addchar(out, '%');
        } else if (digit == '0') {
            luaL_addlstring(out, g->subject.at + g->match.start, g->match.end - g->match.start);
        } else if (digit >= '1' && digit <= '9') {
            ruc_capture_t capture;
            ruc_why_t why;
            int rc = ruc_pattern_capture(&g->match, digit - '1', &capture, &why);
            if (rc == 0 && capture.length >= 0) { /* the usual, without a string of its own */
                luaL_addlstring(out, g->subject.at + capture.start, (size_t)capture.length);
            } else {
                push_capture(L, g->subject, &g->match, digit - '1');
                luaL_addvalue(out);
            }
        } else {
            luaL_error(L, "invalid use of '%c' in replacement string", '%');
        }
        at = percent + 2;
    }
    luaL_addlstring(out, at, (size_t)(end - at));
}

/* Adds what stands for the match; false when that is the match itself. */
static bool add_replacement(lua_State *L, luaL_Buffer *out, const gsub_t *g)
{
    if (g->kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, g->subject, &g->match, true), 1);
    } else if (g->kind == LUA_TTABLE) {
        push_capture(L, g->subject, &g->match, 0);
        lua_gettable(L, 3);
    } else {
        add_text(L, out, g);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, g->subject.at + g->match.start, g->match.end - g->match.start);
        return false;
    }
    if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(out);
    return true;
}

static int string_gsub(lua_State *L)
{
    gsub_t g = {.subject = check_text(L, 1)};
    text_t pattern = check_text(L, 2);
    g.kind = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)g.subject.len + 1), n = 0;
    luaL_argexpected(L,
                     g.kind == LUA_TNUMBER || g.kind == LUA_TSTRING || g.kind == LUA_TFUNCTION ||
                         g.kind == LUA_TTABLE,
                     3, "string/function/table");
    if (g.kind == LUA_TNUMBER || g.kind == LUA_TSTRING) {
        g.with.at = lua_tolstring(L, 3, &g.with.len);
    }
    bool anchor = strip_anchor(&pattern), changed = false;
    size_t at = 0, last = SIZE_MAX;
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    while (n < most) {
        if (attempt(L, g.subject, pattern, at, &g.match) && g.match.end != last) {
            n++;
            changed = add_replacement(L, &out, &g) || changed;
            at = last = g.match.end;
        } else if (at < g.subject.len) {
            luaL_addchar(&out, g.subject.at[at++]);
        } else {
            break;
        }
        if (anchor) {
            break;
        }
    }
    if (changed) {
        luaL_addlstring(&out, g.subject.at + at, g.subject.len - at);
        luaL_pushresult(&out);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

/* ---- rep ---- */

/* The stock function, our upvalue, after the bill. Nothing, many times, is nothing. */
static int string_rep(lua_State *L)
{
    size_t len, separator;
    luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &separator);
    if (n <= 0 || len + separator == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (len + separator <= SIZE_MAX / 2 / (size_t)n) { /* else the stock function says so */
        ruc_guard_spend(L, (uint64_t)n / 4 + (len + separator) * (uint64_t)n / 64);
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* ---- format ---- */

/* The stock function, our upvalue, after the bill: it reads each text to its end, and makes a new
 * one of a __name, also where "%.0s" shows nothing of it. */
static int string_format(lua_State *L)
{
    int top = lua_gettop(L);
    uint64_t bytes = 0;
    for (int i = 2; i <= top; i++) {
        int type = lua_type(L, i);
        if (type == LUA_TSTRING) {
            bytes += lua_rawlen(L, i);
        } else if (type == LUA_TTABLE && luaL_getmetafield(L, i, "__name") != LUA_TNIL) {
            bytes += 8 * (uint64_t)(lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) : 0);
            lua_pop(L, 1);
        }
    }
    ruc_guard_spend(L, bytes / 64 + (uint64_t)top);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Puts the function around the stock one in the table on top. */
static void wrap(lua_State *L, const char *name, lua_CFunction function)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

void ruc__library_string(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", string_find},
                                         {"match", string_match},
                                         {"gmatch", string_gmatch},
                                         {"gsub", string_gsub},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    wrap(L, "rep", string_rep);
    wrap(L, "format", string_format);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
}
