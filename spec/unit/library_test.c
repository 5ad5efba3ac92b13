/* library_test.c - the string functions of scripts against the stock ones: by random patterns and
 * subjects, replacements and places to begin; results and error texts must be the same. The rest of
 * the library that is ours: what it refuses, and that budgets of memory are kept.
 *
 * SPEC_TORTURE=N does N times as much; SPEC_SEED=N begins elsewhere. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "lua/env.h"
#include "lua/guard.h"
#include "lua/library.h"
#include "lua/vm.h"

#define ROUNDS 60000

/* compare(name, stock, ours, ...): calls both; nil, or what differs. */
static const char compare_code[] =
    "local name, stock, ours, s, p, a, b = ...\n"
    "local function show(v)\n"
    "  return type(v) == 'string' and ('%q'):format(v) or tostring(v)\n"
    "end\n"
    "local function run(f)\n"
    "  local all\n"
    "  if name == 'gmatch' then\n"
    "    all = table.pack(pcall(function()\n"
    "      local out = {}\n"
    "      for x, y, z in f(s, p, a) do\n"
    "        out[#out + 1] = show(x) .. show(y) .. show(z)\n"
    "        if #out > 200 then break end\n"
    "      end\n"
    "      return table.concat(out, ';')\n"
    "    end))\n"
    "  else all = table.pack(pcall(f, s, p, a, b)) end\n"
    "  for i = 1, all.n do all[i] = show(all[i]) end\n"
    "  return (table.concat(all, ' '):gsub('bad argument #(%d) to %b\\'\\'', 'bad argument %1'))\n"
    "end\n"
    "local x, y = run(stock), run(ours)\n"
    "if x ~= y then return name .. '(' .. show(s) .. ', ' .. show(p) .. ', ' .. show(a) .. ', ' "
    "..\n"
    "  show(b) .. ')\\n  stock: ' .. x .. '\\n  ours:  ' .. y end\n";

static uint64_t seed = 88172645463325252ull;

static unsigned dice(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 11) % n;
}

static size_t pieces(char *out, size_t size, const char *const *list, unsigned count, unsigned most)
{
    size_t len = 0;
    for (unsigned n = dice(most + 1); n > 0; n--) {
        const char *piece = list[dice(count)];
        size_t add = strcmp(piece, "NUL") == 0 ? 1 : strlen(piece);
        if (len + add >= size) {
            break;
        }
        memcpy(out + len, strcmp(piece, "NUL") == 0 ? "" : piece, add);
        len += add;
    }
    return len;
}

#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

static size_t random_pattern(char *out, size_t size)
{
    static const char *const list[] = {
        "a",      "b",      "c",     ".",    "%a",   "%d",   "%s",    "%w",   "%x",   "%u",
        "%p",     "[ab]",   "*",     "+",    "-",    "?",    "(",     ")",    "()",   "^",
        "$",      "%",      "%b()",  "%bxy", "%1",   "%2",   "%9",    "%0",   "%f[a", "%f[%w]",
        "%f",     "[^a]",   "[a-c]", "[]]",  "[^]]", "[",    "]",     "[%w",  "[-a]", "[a-]",
        "%.",     "%%",     "NUL",   "%z",   "\xe9", "(a*)", "(.)%1", "(.-)", "%b",   "%bx",
        "[%a-z]", "[a%-z]", ".-",    ".*",   "(()",  "%l",   "%g",    "%c"};
    return pieces(out, size, list, COUNT_OF(list), 7);
}

static size_t random_subject(char *out, size_t size)
{
    static const char *const list[] = {"a", "b", "c",  "ab", "aa", "(", ")",   " ",    "1", "x",
                                       "y", "Z", "\n", "%",  ".",  "]", "NUL", "\xe9", "-", "^"};
    return pieces(out, size, list, COUNT_OF(list), 14);
}

static size_t random_replacement(char *out, size_t size)
{
    static const char *const list[] = {"a", "%0", "%1", "%2", "%9", "%%", "%", "%x", "NUL", "zz"};
    return pieces(out, size, list, COUNT_OF(list), 4);
}

static int times(int rounds)
{
    const char *torture = getenv("SPEC_TORTURE");
    return rounds * (torture == NULL ? 1 : atoi(torture));
}

/* The place to begin: none, or a number around the subject. */
static void push_init(lua_State *L)
{
    if (dice(3) == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (lua_Integer)dice(24) - 12);
    }
}

/* What gsub replaces by: a text, a number, a table, functions, and what is none of these. */
static void push_replacement(lua_State *L)
{
    static const char code[] =
        "return { function(x) return nil end, function(x) return false end,\n"
        "function(x, y) return x, y end, function(x, y) return y end, function() return {} end,\n"
        "function() return 12 end, { a = 'A', b = false, [1] = 'one' }, setmetatable({},\n"
        "{ __index = function(_, k) return '<' .. k .. '>' end }), 7, true }";
    char text[64];
    if (dice(2) == 0) {
        size_t len = random_replacement(text, sizeof text);
        lua_pushlstring(L, text, len);
        return;
    }
    if (lua_getfield(L, LUA_REGISTRYINDEX, "replacements") != LUA_TTABLE) {
        lua_pop(L, 1);
        assert_int_equal(luaL_dostring(L, code), LUA_OK);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, "replacements");
    }
    lua_rawgeti(L, -1, 1 + (lua_Integer)dice(10));
    lua_remove(L, -2);
}

/* A state with the stock library in `string` and ours in `ours`. */
static lua_State *both(void)
{
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    luaL_requiref(L, "ours", luaopen_string, 0);
    ruc__library_string(L);
    lua_setglobal(L, "ours");
    lua_getglobal(L, "string"); /* luaopen_string has set the metatable to ours */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_settop(L, 0);
    const char *start = getenv("SPEC_SEED");
    if (start != NULL) {
        seed = strtoull(start, NULL, 10) * 2654435761u + 1;
    }
    return L;
}

static void compare(lua_State *L, const char *name, const char *s, size_t s_len, const char *p,
                    size_t p_len)
{
    uint64_t from = seed;
    assert_int_equal(luaL_loadstring(L, compare_code), LUA_OK);
    lua_pushstring(L, name);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_getglobal(L, "ours");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_pushlstring(L, s, s_len);
    lua_pushlstring(L, p, p_len);
    if (strcmp(name, "gsub") == 0) {
        push_replacement(L);
    } else {
        push_init(L);
    }
    if (strcmp(name, "gsub") == 0 && dice(3) == 0) {
        lua_pushinteger(L, (lua_Integer)dice(5) - 1);
    } else if (strcmp(name, "find") == 0 && dice(8) == 0) {
        lua_pushboolean(L, 1);
    } else {
        lua_pushnil(L);
    }
    if (lua_pcall(L, 7, 1, 0) != LUA_OK) {
        fail_msg("%s", lua_tostring(L, -1));
    }
    if (!lua_isnil(L, -1)) {
        fail_msg("%s\n  state of the dice: %llu", lua_tostring(L, -1), (unsigned long long)from);
    }
    lua_pop(L, 1);
}

static void random_calls_give_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"find", "match", "gmatch", "gsub"};
    lua_State *L = both();
    char subject[128], pattern[128];
    for (int i = 0; i < times(ROUNDS); i++) {
        size_t s = random_subject(subject, sizeof subject);
        size_t p = random_pattern(pattern, sizeof pattern);
        compare(L, names[i % 4], subject, s, pattern, p);
    }
    lua_close(L);
}

/* What chance rarely makes. */
static void odd_calls_give_the_same(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"", "^"},
        {"", "$"},
        {"abc", ""},
        {"abc", "()"},
        {"abc", "^()"},
        {"abc", "a-$"},
        {"abc", "b*"},
        {"a.b", "."},
        {"a.b", "%."},
        {"THE (quick) fox", "%((%a+)%)"},
        {"THE (quick) fox", "%f[%a]%a+"},
        {"aaa", "a-"},
        {"hello world", "o w"},
        {"x = 1, y = 2", "(%w+) = (%w+)"},
        {"f(a(b)c)d", "%b()"},
        {"aXb", "%u"},
        {"äöü", "[\xc3]."},
        {"a\nb", ".\n."},
        {"abcabc", "(abc)%1"},
        {"abc", "(a)(b)(c)(d?)"},
        {"abc", "%f[%z]"},
        {"((((((((((((((((((((((((((((((((((a", "((((((((((((((((((((((((((((((((((a"},
        {"a", "(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)"
              "(a)(a)(a)(a)(a)(a)"},
    };
    static const char *const names[] = {"find", "match", "gmatch", "gsub"};
    lua_State *L = both();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int k = 0; k < 4 * 40; k++) {
            compare(L, names[k % 4], cases[i][0], strlen(cases[i][0]), cases[i][1],
                    strlen(cases[i][1]));
        }
    }
    lua_close(L);
}

/* ---- a state as scripts have it ---- */

typedef struct room {
    ruc_config_t config;
    ruc_app_t app;
    uv_loop_t loop;
    ruc_vm_t *vm;
} room_t;

static int open_room(void **state)
{
    room_t *room = calloc(1, sizeof *room);
    ruc_why_t why;
    if (room == NULL || ruc_config_init(&room->config) < 0 || uv_loop_init(&room->loop) < 0) {
        return -1;
    }
    room->app = (ruc_app_t){.loop = &room->loop,
                            .config = &room->config,
                            .config_file = "",
                            .state_dir = "",
                            .lua_dir = "",
                            .instance = "",
                            .listen = ""};
    ruc_config_set_text(&room->config, "budgets.policy.time", "0", &why); /* it is not about time */
    ruc_guard_configure(&room->config);
    room->vm = ruc_vm_new(&room->app, RUC_VM_OPERATOR, 32u << 20, &why);
    *state = room;
    return room->vm == NULL || ruc_guard_open(&room->loop, NULL) < 0 ? -1 : 0;
}

static int close_room(void **state)
{
    room_t *room = *state;
    ruc_vm_close(room->vm);
    ruc_guard_close();
    uv_run(&room->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&room->loop);
    ruc_config_free(&room->config);
    free(room);
    return rc;
}

typedef struct running {
    const char *code;
    bool ok;
    char text[512];
} running_t;

/* Runs a chunk in an environment of its own; true and what it returned, or false and the error. */
static int run_chunk(lua_State *L)
{
    running_t *running = lua_touserdata(L, 1);
    ruc_why_t why;
    if (ruc_vm_compile(L, running->code, strlen(running->code), "=code", &why) < 0) {
        return luaL_error(L, "%s", why.text);
    }
    ruc_env_own(L);
    lua_call(L, 0, 1);
    snprintf(running->text, sizeof running->text, "%s", luaL_tolstring(L, -1, NULL));
    return 0;
}

static void run(room_t *room, const char *code, bool ok, const char *text)
{
    running_t running = {.code = code};
    ruc_why_t why = {""};
    int rc = ruc_guard_protect(room->vm, RUC_BUDGET_POLICY, "test", run_chunk, &running, &why);
    const char *is = rc == 0 ? running.text : why.text;
    if ((rc == 0) != ok || strstr(is, text) == NULL) {
        fail_msg("%s\n  gave: %s", code, is);
    }
}

static void shared_tables_cannot_be_changed(void **state)
{
    run(*state, "string.rep = 1", false, "code:1: string is read-only: 'rep' cannot be set");
    run(*state, "string.new = 1", false, "string is read-only");
    run(*state, "rucat.http.request = 1", false, "rucat.http is read-only: 'request'");
    run(*state, "rucat.store.engines.get = 1", false, "rucat.store.engines is read-only");
    run(*state, "rawset(math, 'pi', 3)", false, "math is read-only: 'pi'");
    run(*state, "setmetatable(table, {})", false, "protected metatable");
    run(*state, "setmetatable(_ENV, {})", false, "protected metatable");
    run(*state, "getmetatable('').__index = 1", false, "index a boolean");
    run(*state, "getmetatable(rucat.json.array()).__index = 1", false, "index a boolean");
    run(*state, "local f, t = pairs(string) t.rep = 1", false, "read-only");
    run(*state, "local mt = getmetatable(coroutine) return mt", true, "false");
    run(*state, "return rawget(string, 'rep') == string.rep and ('x').rep == string.rep", true,
        "true");
    run(*state, "local n = 0 for k, v in pairs(utf8) do n = n + 1 end return n", true, "6");
    run(*state, "x = 1 return x", true, "1"); /* its own environment is its own */
    run(*state, "return x", false, "unknown name 'x'");
    run(*state, "return rawset({}, 1, 2)[1]", true, "2");
}

static void what_is_dangerous_is_not_there(void **state)
{
    static const char *const names[] = {"io",     "debug",          "package",
                                        "load",   "loadstring",     "loadfile",
                                        "dofile", "collectgarbage", "_G"};
    char code[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(code, sizeof code, "return %s", names[i]);
        run(*state, code, false, "unknown name");
    }
    run(*state, "return string.dump", true, "nil");
    run(*state, "return ('').dump", true, "nil");
    run(*state, "return os.execute", true, "nil");
    run(*state, "return os.exit", true, "nil");
    run(*state, "setmetatable({}, { __gc = print })", false, "__gc is not for scripts");
}

static void coroutines_are_as_they_were(void **state)
{
    run(*state,
        "local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) error(c) "
        "end)\n"
        "local out = { coroutine.status(co), select(2, coroutine.resume(co, 1, 2)),\n"
        "  coroutine.status(co), select(2, coroutine.resume(co, 'oops')), coroutine.status(co),\n"
        "  select(2, coroutine.resume(co)), select(2, coroutine.close(co)) }\n"
        "for i = 1, 7 do out[i] = tostring(out[i]) end return table.concat(out, '|')",
        true,
        "suspended|3|suspended|code:1: oops|dead|cannot resume dead "
        "coroutine|code:1: oops");
    run(*state,
        "local f = coroutine.wrap(function() local x <close> = setmetatable({}, { __close =\n"
        "function() closed = true end }) coroutine.yield(1) error('e') end)\n"
        "f() local ok, why = pcall(f) return tostring(closed) .. why",
        true, "truecode:2: e");
    run(*state,
        "local co co = coroutine.create(function() local x <close> = setmetatable({}, { __close =\n"
        "function() closed = 'yes' end }) coroutine.yield() end)\n"
        "coroutine.resume(co) return tostring(coroutine.close(co)) .. closed",
        true, "trueyes");
    run(*state,
        "local co co = coroutine.create(function() return coroutine.resume(co) end)\n"
        "return tostring(select(3, coroutine.resume(co)))",
        true, "cannot resume non-suspended coroutine");
    run(*state,
        "for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do\n"
        "  n = (rawget(_ENV, 'n') or 0) + i end return n",
        true, "6");
    run(*state,
        "return coroutine.resume(coroutine.create(function(...) return select('#', ...) end))",
        true, "true");
    run(*state, "coroutine.create(1)", false, "function expected");
    run(*state, "coroutine.resume(1)", false, "coroutine expected");
}

static void xpcall_is_as_it_was(void **state)
{
    run(*state,
        "return table.concat({ tostring(xpcall(error, function(e) return e .. '!' end, 'a')),\n"
        "select(2, xpcall(error, function(e) return e .. '!' end, 'a')) }, ' ')",
        true, "false a!");
    run(*state, "return select(3, xpcall(function(...) return ... end, print, 1, 2))", true, "2");
    run(*state, "return select('#', xpcall(function() end, print))", true, "1");
    run(*state, "xpcall(print)", false, "bad argument #2");
}

static void lies_about_length_are_found_out(void **state)
{
    run(*state, "return string.rep('', 1 << 62)", true, "");
    run(*state, "string.rep('x', 1 << 62)", false, "budget of instructions");
    run(*state, "table.move({}, 1, 1 << 60, 2)", false, "too many elements");
    run(*state, "table.unpack({}, 1, 1 << 60)", false, "too many elements");
    run(*state, "table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)",
        false, "__len");
    run(*state, "table.concat(setmetatable({}, { __len = function() return 1 << 60 end }))", false,
        "too many elements");
    run(*state, "table.sort(setmetatable({}, { __len = function() return 1 << 60 end }))", false,
        "__len");
    run(*state, "os.date(('%c'):rep(1000))", false, "too long");
    run(*state, "table.insert(nil, 1)", false, "table expected, got nil");
    run(*state,
        "local t = { 3, 1, 2 } table.sort(t) table.insert(t, 1, 0) table.remove(t, 2)\n"
        "return table.concat(t, ',') .. table.concat({ table.unpack(t, 2) }) ..\n"
        "table.concat(table.move(t, 1, 3, 2), ',')",
        true, "0,2,3230,0,2,3");
}

/* The same calls on a table without metamethods, which the stock functions get, and on one whose
 * metamethods do what there would be without them. */
static void metamethods_change_nothing(void **state)
{
    run(*state,
        "local function prepared(list)\n"
        "  return setmetatable(list, { __index = function() end, __newindex = rawset }) end\n"
        "local function same(call, ...)\n"
        "  local args = { ... }\n"
        "  local plain, other = { 5, 3, 4, 1, 2 }, prepared({ 5, 3, 4, 1, 2 })\n"
        "  local a = table.pack(pcall(call, plain, table.unpack(args)))\n"
        "  local b = table.pack(pcall(call, other, table.unpack(args)))\n"
        "  assert(a.n == b.n and #plain == #other)\n"
        "  for i = 1, a.n do\n"
        "    local is, was = b[i] == other and 'it' or b[i], a[i] == plain and 'it' or a[i]\n"
        "    assert(is == was, tostring(is) .. ' for ' .. tostring(was)) end\n"
        "  for i = -9, 19 do assert(rawget(plain, i) == rawget(other, i)) end\n"
        "end\n"
        "for i = -2, 8 do same(table.remove, i) same(table.insert, i, 9) end\n"
        "for i = -2, 6 do for j = -2, 6 do\n"
        "  same(table.concat, ',', i, j) same(table.unpack, i, j)\n"
        "  for k = -2, 8 do same(table.move, i, j, k) same(table.move, i, j, k, prepared({})) end\n"
        "end end\n"
        "same(table.move, 1, 5, math.maxinteger) same(table.move, 1, 5, 1, 'x')\n"
        "same(table.concat) same(table.unpack) same(table.sort) same(table.sort, math.ult)\n"
        "same(table.sort, function(a, b) return a > b end) same(table.insert, 1) "
        "same(table.remove)\n"
        "local t = prepared({ 'b', ('x'):rep(1000), 'a' }) table.sort(t)\n"
        "return table.concat(t, ' '):gsub('x+', 'x')",
        true, "a b x");
    run(*state, "table.sort({ 1, 'x', {} })", false, "attempt to compare");
    run(*state, "return ('%s %5.1f %q %%'):format('a', 2, 'b')", true, "a   2.0 \"b\" %");
}

/* What goes on in C between two elements sees the clock. */
static void long_work_in_c_is_charged(void **state)
{
    run(*state,
        "local s, t = ('x'):rep(1e6), {} for i = 1, 1e5 do t[i] = s end\n"
        "string.format(('%.0s'):rep(1e5), table.unpack(t))",
        false, "budget of instructions");
    run(*state, "local t = {} for i = 1, 60 do t = { t, t } end return rucat.state.set('x', t)",
        false, "at most 200000 values");
    run(*state, "return select(2, rucat.json.decode('[' .. ('[],'):rep(1e6) .. '[]]'))", true,
        "more than 200000 values");
    run(*state, "return #rucat.json.decode('[\"' .. ('[,\\\\\"'):rep(3e5) .. '\"]')[1]", true,
        "900000");
}

static void memory_has_a_bound(void **state)
{
    room_t *room = *state;
    run(room, "local t = {} while true do t[#t + 1] = ('x'):rep(100) .. #t end", false,
        "budget of memory");
    run(room, "while true do pcall(string.rep, 'x', 1 << 25) end", false, "stopped: its budget");
    run(room, "local s = 'x' while true do s = s .. s end", false, "memory");
    run(room, "string.gsub(('x'):rep(1 << 20), 'x', ('y'):rep(4096))", false, "memory");
    /* Garbage is not charged. */
    run(room, "for i = 1, 300 do local s = ('x'):rep(100000) .. i end return 'fine'", true, "fine");
    lua_gc(room->vm->L, LUA_GCCOLLECT);
    assert_true(room->vm->used < 1u << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_give_the_same),
        cmocka_unit_test(odd_calls_give_the_same),
        cmocka_unit_test_setup_teardown(shared_tables_cannot_be_changed, open_room, close_room),
        cmocka_unit_test_setup_teardown(what_is_dangerous_is_not_there, open_room, close_room),
        cmocka_unit_test_setup_teardown(coroutines_are_as_they_were, open_room, close_room),
        cmocka_unit_test_setup_teardown(xpcall_is_as_it_was, open_room, close_room),
        cmocka_unit_test_setup_teardown(lies_about_length_are_found_out, open_room, close_room),
        cmocka_unit_test_setup_teardown(metamethods_change_nothing, open_room, close_room),
        cmocka_unit_test_setup_teardown(long_work_in_c_is_charged, open_room, close_room),
        cmocka_unit_test_setup_teardown(memory_has_a_bound, open_room, close_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
