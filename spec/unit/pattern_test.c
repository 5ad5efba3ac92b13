/* pattern_test.c - our Lua patterns against the stock library's, by hand and by thousands of random
 * patterns; the budget; the bounds. */
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

#include "core/pattern.h"

/* What a match gives, as text: "3-5 [cap][@7]", "nil" or "error: ...". */
static void ours(const char *subject, const char *pattern, char *out, size_t size)
{
    ruc_match_t match;
    ruc_why_t why = {{0}};
    uint64_t steps = 50000000;
    int rc = ruc_pattern_find(subject, strlen(subject), pattern, strlen(pattern), 0, &steps, &match,
                              &why);
    if (rc < 0) {
        snprintf(out, size, "error: %s", why.text);
        return;
    }
    if (rc == 0) {
        snprintf(out, size, "nil");
        return;
    }
    size_t at = (size_t)snprintf(out, size, "%zu-%zu", match.start + 1, match.end);
    for (int i = 0; i < match.count; i++) {
        ruc_capture_t capture;
        if (ruc_pattern_capture(&match, i, &capture, &why) < 0) {
            snprintf(out, size, "error: %s", why.text);
            return;
        }
        if (capture.length == RUC_CAPTURE_POSITION) {
            at += (size_t)snprintf(out + at, size - at, " [@%zu]", capture.start + 1);
        } else {
            at += (size_t)snprintf(out + at, size - at, " [%.*s]", (int)capture.length,
                                   subject + capture.start);
        }
    }
}

/* The same from the stock library. */
static const char stock_code[] =
    "local s, p = ...\n"
    "local ok, r = pcall(function()\n"
    "  local all = table.pack(string.find(s, p))\n"
    "  if not all[1] then return 'nil' end\n"
    "  local out = { ('%d-%d'):format(all[1], all[2]) }\n"
    "  for i = 3, all.n do local c = all[i]\n"
    "    out[#out + 1] = math.type(c) and ('[@%d]'):format(c) or '[' .. c .. ']' end\n"
    "  return table.concat(out, ' ')\n"
    "end)\n"
    "return ok and r or 'error: ' .. r:gsub('^.-:%d+: ', '')\n";

static void stock(lua_State *L, const char *subject, const char *pattern, char *out, size_t size)
{
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushstring(L, subject);
    lua_pushstring(L, pattern);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        fail_msg("stock: %s", lua_tostring(L, -1));
    }
    snprintf(out, size, "%s", lua_tostring(L, -1));
}

static lua_State *open_stock(void)
{
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    assert_int_equal(luaL_loadstring(L, stock_code), LUA_OK);
    return L;
}

/* (A pattern without any of ^$*+?.([%- is plain text for the stock `find`: not to be used here.) */
static void same(lua_State *L, const char *subject, const char *pattern)
{
    char a[2048];
    char b[2048];
    ours(subject, pattern, a, sizeof a);
    stock(L, subject, pattern, b, sizeof b);
    if (strcmp(a, b) != 0) {
        fail_msg("subject '%s' pattern '%s': ours %s, stock %s", subject, pattern, a, b);
    }
}

static void it_matches_like_the_stock_library(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"hello", "^h(.-)o$"},
        {"hello", "()ll()"},
        {"key = value", "^(%w+)%s*=%s*(%w+)$"},
        {"THE (quick) fox", "%((%a+)%)"},
        {"f(a(b)c)d", "%b()"},
        {"THE (quick) fox", "%f[%a]%a+%f[%A]"},
        {"abcabc", "(abc)%1"},
        {"\"it's\"", "([\"'])(.-)%1"},
        {"x]y", "[]]"},
        {"x^y", "[x^]+"},
        {"a-b", "[a-]+"},
        {"a-b", "[%a-]+"},
        {"abc", "$"},
        {"a$c", "a$c"},
        {"abc", "^"},
        {"0:0:0:0:0:0:0:0:15002", ".*:(%d+)"},
        {"aaa", "a-"},
        {"aaa", "^a-$"},
        {"aaa", "a?a?a?a?b"},
        {"abc", "((a)(b))"},
        {"a", "[a"},
        {"a", "%"},
        {"a", "a%"},
        {"a", "(a"},
        {"a", "%1"},
        {"a", "(%1)"},
        {"a", "%b"},
        {"a", "%bx"},
        {"a", "%f"},
        {"a", "[%"},
        {"a", "[]"},
        {"a", "[^]"},
        {"a", ".)"},
        {"ab", "()%1"},
        {"-5%", "%-%d+%%"},
        {"a\tb\x7f\x01", "%c%w%c%c"},
        {"\xc3\xa9", "%a"},
    };
    lua_State *L = open_stock();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        same(L, cases[i][0], cases[i][1]);
    }
    lua_close(L);
}

static void random_patterns_match_like_the_stock_library(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a", "b",  "c",  ".",   "%a",  "%d",    "%s",   "%A",    "%w",   "[ab]",  "[^a]",
        "*", "+",  "-",  "?",   "(",   ")",     "()",   "%1",    "%2",   "%bab",  "%f[a]",
        "$", "^",  "[",  "]",   "%",   "[a-c]", "[%d]", "[^%s]", "[a-",  "%p",    "%x",
        "1", "%.", "%f", "%b(", "[]]", "[^]]",  "%u",   "%l",    "%g+%", "[x-%%]"};
    static const char alphabet[] = "aabbcc1 .AB()-";
    lua_State *L = open_stock();
    srand(20261123);
    for (int n = 0; n < 60000; n++) {
        char pattern[64] = "";
        char subject[16] = "";
        int items = rand() % 6;
        for (int i = 0; i < items; i++) {
            strcat(pattern, pieces[(size_t)rand() % (sizeof pieces / sizeof pieces[0])]);
        }
        size_t len = (size_t)rand() % 12;
        for (size_t i = 0; i < len; i++) {
            subject[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        }
        if (strpbrk(pattern, "^$*+?.([%-") != NULL) {
            same(L, subject, pattern);
        }
    }
    lua_close(L);
}

static void a_budget_ends_what_would_run_for_ever(void **state)
{
    (void)state;
    char spaces[3001];
    memset(spaces, ' ', 3000);
    spaces[3000] = '\0';
    ruc_match_t match;
    ruc_why_t why;
    uint64_t steps = 100000;
    const char *pattern = "^%s*(.-)%s*x$";
    assert_int_equal(
        ruc_pattern_find(spaces, 3000, pattern, strlen(pattern), 0, &steps, &match, &why),
        RUC_ESTEPS);
    assert_int_equal(steps, 0);
    const char *quick = "^%s+$";
    steps = 100000;
    assert_int_equal(ruc_pattern_find(spaces, 3000, quick, strlen(quick), 0, &steps, &match, &why),
                     1);
    assert_in_range(steps, 90000, 99999);
}

static void no_pattern_is_too_deep_for_the_stack(void **state)
{
    (void)state;
    static char pattern[200001];
    static char subject[100001];
    ruc_match_t match;
    ruc_why_t why;
    uint64_t steps = 10000000;
    for (size_t i = 0; i < 100000; i++) {
        pattern[2 * i] = 'a';
        pattern[2 * i + 1] = '*';
        subject[i] = 'a';
    }
    assert_int_equal(ruc_pattern_find(subject, 100000, pattern, 200000, 0, &steps, &match, &why),
                     RUC_EINVALID);
    assert_string_equal(why.text, "pattern too complex");
    assert_int_equal(ruc_pattern_check(pattern, 200000, &why), RUC_EINVALID);
    /* A long subject is no depth at all. */
    assert_int_equal(ruc_pattern_find(subject, 100000, "^a-$", 4, 0, &steps, &match, &why), 1);
    assert_int_equal(match.end, 100000);
}

static void a_line_gives_its_first_capture(void **state)
{
    (void)state;
    char text[16];
    ruc_why_t why;
    uint64_t steps = 100000;
    const char *line = "Spark Connect server started at: 0:0:0:0:0:0:0:0:15002";
    assert_int_equal(ruc_pattern_line(line, strlen(line), "started at: .*:(%d+)", &steps, text,
                                      sizeof text, &why),
                     1);
    assert_string_equal(text, "15002");
    assert_int_equal(
        ruc_pattern_line(line, strlen(line), "(Spark Connect server)", &steps, text, 6, &why), 1);
    assert_string_equal(text, "Spark");
    assert_int_equal(ruc_pattern_line(line, strlen(line), "^started", &steps, text, 6, &why), 0);
    assert_int_equal(ruc_pattern_line(line, strlen(line), "()started", &steps, text, 6, &why), 1);
    assert_string_equal(text, "");
}

static void a_check_finds_what_is_malformed(void **state)
{
    (void)state;
    static const char *const good[] = {"",    "^a$",  "%b()",   "%f[%a]x",  "(a)%1",
                                       "[]]", "()",   "%%%-",   "a*b+c-d?", "^",
                                       "$",   "[^]]", "(()a)%1"};
    static const struct {
        const char *pattern;
        const char *why;
    } bad[] = {{"[a", "malformed pattern (missing ']')"},
               {"x[%", "malformed pattern (missing ']')"},
               {"%", "malformed pattern (ends with '%')"},
               {"%b(", "malformed pattern (missing arguments to '%b')"},
               {"%fa", "missing '[' after '%f' in pattern"},
               {"(a", "unfinished capture"},
               {"a)", "invalid pattern capture"},
               {"%1", "invalid capture index %1"},
               {"(%1)", "invalid capture index %1"}};
    ruc_why_t why;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (ruc_pattern_check(good[i], strlen(good[i]), &why) != 0) {
            fail_msg("%s: %s", good[i], why.text);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ruc_pattern_check(bad[i].pattern, strlen(bad[i].pattern), &why),
                         RUC_EINVALID);
        assert_string_equal(why.text, bad[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_matches_like_the_stock_library),
        cmocka_unit_test(random_patterns_match_like_the_stock_library),
        cmocka_unit_test(a_budget_ends_what_would_run_for_ever),
        cmocka_unit_test(no_pattern_is_too_deep_for_the_stack),
        cmocka_unit_test(a_line_gives_its_first_capture),
        cmocka_unit_test(a_check_finds_what_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
