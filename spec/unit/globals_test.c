/* globals_test.c - which unknown names a script uses, by its text: scopes of all kinds, odd code.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>

#include "core/near.h"
#include "lua/globals.h"

static ruc_names_t known;

static void told(void *arg, int line, const char *name, const char *meant)
{
    char *out = arg;
    size_t used = strlen(out);
    snprintf(out + used, 4096 - used, "%s%d:%s%s%s", used > 0 ? " " : "", line, name,
             meant[0] ? "?" : "", meant);
}

static const char *scan_text(const char *text, size_t len)
{
    static char out[4096];
    out[0] = '\0';
    return ruc_globals_scan(text, len, &known, told, out) ? out : "not Lua";
}

static const char *scan(const char *text)
{
    return scan_text(text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    static const char *const names[] = {"print",
                                        "pairs",
                                        "ipairs",
                                        "require",
                                        "string",
                                        "string.format",
                                        "string.gsub",
                                        "table",
                                        "table.insert",
                                        "rucat",
                                        "rucat.clock",
                                        "rucat.clock.now",
                                        "rucat.clock.text",
                                        "rucat.store",
                                        "rucat.store.engines",
                                        "rucat.store.engines.get",
                                        "pcall",
                                        "assert",
                                        "setmetatable",
                                        "math",
                                        "math.max"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(ruc_names_add(&known, names[i]), 0);
    }
    ruc_names_sort(&known);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ruc_names_free(&known);
    return 0;
}

static void names_that_are_there_are_not_told_of(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "#!/usr/bin/lua\nprint(1)",
        "print(rucat.clock.now(), string.format('%d', 1))",
        "local a <const>, b <close>, c = 1, 2 print(a, b, c)",
        "local function f(x, ...) return f(x, ...) end",
        "local t = {} function t.a.b:c(d) return self, d end",
        "for i = 1, 2, 3 do print(i) end for k, v in pairs({}) do print(k, v) end",
        "repeat local x = 1 until x == 1",
        "while true do local y = 1 if y then break elseif y then print(y) else print(y) end end",
        "goto done ::again:: do goto again end ::done::",
        "x = 1 print(x)",
        "print(later) later = 1",
        "function own() return own() end",
        "own, other.x = 1, 2 other = {} print(own, other.y.z)",
        "local t = { unknown = 1, ['unknown2'] = 2, print, 3; print } print(t.nothing, t['x'].y)",
        "print(('x'):unknown(), ('y').z, {}, -1, #'x', not nil, ~1)",
        "print'x' print[[y]] print[==[ ]] ]=] ]==] print{}",
        "-- unknown\n--[[ unknown\n]] --[==[ unknown ]] ]==] print(1) --",
        "print('un\\'known', \"un\\\"known\", 'a\\\nb', '\\z   \n  x', '\\065\\x41\\u{48}')",
        "print(1, 0x1F, 1e10, 1E-5, 0x.8p-1, 3., .5, 0xA.Bp+1, 1//2, 1..2, 3 .. 4)",
        "local _ENV = {} print(anything)",
        "local function f(_ENV) return anything end",
        "print(_ENV.anything, _ENV[1])",
        "return function(a) return function(b) return a, b end end",
        "local a = a == nil", /* told of below: the right side is another scope */
        "do local engine = 1 print(engine) end; ;",
        "return",
        "if x then return end x = 1",
        "local s = string print(s.anything)",
        "print(rucat.clock.now.anything)", /* what is below a function is not known */
        "local function rec() local rec2 rec2 = function() rec2() end end",
        "return { self_test = function() assert(true) end, ['GET /x'] = function(req) return 200 "
        "end }",
        "local x; x = function(...) local a, b = ... return a, b end",
        "string.gsub('x', 'y', function(m) return m end):rep(2)",
        "rucat = nil print(rucat.anything)", /* its own now */
        "a.b.c = 1 a = {}",
        "local a <const> = 1; (print)(a)",
        "local f = print; f{ a = function(z) return z end }.b.c:d 'e' [1] [[f]]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *is = scan(texts[i]);
        if (strcmp(texts[i], "local a = a == nil") == 0) {
            assert_string_equal(is, "1:a");
        } else if (is[0] != '\0') {
            fail_msg("'%s': %s", texts[i], is);
        }
    }
}

static void names_that_are_not_there_are_told_of(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"return function(engine)\n return engnie.name\nend", "2:engnie?engine"},
        {"pritn(1)", "1:pritn?print"},
        {"print(rucat.clok.now())", "1:rucat.clok?rucat.clock"},
        {"print(rucat.clock.nwo())", "1:rucat.clock.nwo?rucat.clock.now"},
        {"rucat.store.engines.gte('x')", "1:rucat.store.engines.gte?rucat.store.engines.get"},
        {"string.fromat('x')", "1:string.fromat?string.format"},
        {"os.execute('x')", "1:os"},
        {"do local x = 1 end\nprint(xyzzy, x)", "2:xyzzy 2:x"},
        {"for i = i, 1 do end", "1:i"},
        {"for k in k do end", "1:k"},
        {"local function f() end local x = { y = whatever }", "1:whatever"},
        {"repeat local inside until inside\nprint(inside)", "2:inside"},
        {"local a = 'one\\\ntwo' .. [[\nthree]] print(four)", "3:four"},
        {"local a = '\\z\n\n' print(four)", "3:four"},
        {"--[[\n\n]] four()", "3:four"},
        {"a\r\n=\rfour\n\r", "3:four"},
        {"undefined.field = 1", "1:undefined"},
        {"undefined:method()", "1:undefined"},
        {"undefined[1], own = 1", "1:undefined"},
        {"function undefined.f() end", "1:undefined"},
        {"helper = 1 print(helpr)", "1:helpr?helper"},
        {"print(function(aa, bb) end, aaa)", "1:aaa"},
        {"if unknown1 then elseif unknown2 then else unknown3() end",
         "1:unknown1 1:unknown2 1:unknown3"},
        {"return unknown1, { unknown2 }, (unknown3)", "1:unknown1 1:unknown2 1:unknown3"},
        {"goto print2 ::print2:: print2()", "1:print2?print"},
        {"local x <const> = x0 + -x1 ^ not x2", "1:x0 1:x1 1:x2"},
        {"f{ g }\nh 'i'", "1:f 1:g 2:h"},
        {"do local _ENV = {} x() end y()", "1:y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *is = scan(cases[i][0]);
        if (strcmp(is, cases[i][1]) != 0) {
            fail_msg("'%s': %s, not %s", cases[i][0], is, cases[i][1]);
        }
    }
}

static void what_is_no_lua_is_not_judged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "print(",   "x = = 1", "'open", "[[open",    "--[[open",    "return return", "end",
        "function", "local 1", "a b c", "for",       "}",           "\x1bLua",       "\xff",
        "x.",       "::x",     "x:y",   "local x <", "\"a\nb\"",    "repeat",        "if x then",
        "{",        "x = {",   "f(",    "$",         "function f(", "goto",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_string_equal(scan(texts[i]), "not Lua");
    }
}

static void what_is_deep_or_much_ends(void **state)
{
    (void)state;
    size_t size = 400000;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, '(', size);
    assert_string_equal(scan_text(text, size), "not Lua");
    memset(text, '{', size);
    assert_string_equal(scan_text(text, size), "not Lua");
    for (size_t i = 0; i + 2 <= size; i += 2) {
        memcpy(text + i, "x ", 2);
    }
    assert_string_equal(scan_text(text, size), "not Lua");
    for (size_t i = 0; i + 4 <= size; i += 4) {
        memcpy(text + i, "x()\n", 4); /* each a use: told of up to a bound */
    }
    assert_int_equal(strlen(scan_text(text, size)), 4095);
    free(text);
}

/* Random tokens, also cut anywhere: no crash, no endless loop; the sanitizers look on. */
static void random_texts_end(void **state)
{
    (void)state;
    static const char *const words[] = {
        "local ", "function ", "end ",    "if ",  "then ", "else ", "x",        " = ",
        "(",      ")",         "{",       "}",    "[[",    "]]",    "'",        "\"",
        "--",     "\n",        "return ", "for ", "in ",   "do ",   "repeat ",  "until ",
        ".",      ":",         ",",       ";",    "::",    "goto ", "<const>",  "1",
        "0x",     "e+",        "...",     "..",   "==",    "~",     "\\",       "print",
        "[",      "]",         "and ",    "not ", "[=",    "=]",    "\xc3\xa4", "\r"};
    const char *torture = getenv("SPEC_TORTURE");
    long rounds = 20000 * (torture == NULL ? 1 : strtol(torture, NULL, 10));
    unsigned long seed = 12345;
    for (long i = 0; i < rounds; i++) {
        char text[512] = "";
        size_t len = 0;
        for (int k = 0; k < 40; k++) {
            seed = seed * 6364136223846793005ul + 1442695040888963407ul;
            const char *word = words[(seed >> 33) % (sizeof words / sizeof words[0])];
            memcpy(text + len, word, strlen(word) + 1);
            len += strlen(word);
        }
        char *exact = malloc(len); /* nothing is read beyond the end */
        assert_non_null(exact);
        memcpy(exact, text, len);
        scan_text(exact, (seed >> 40) % (len + 1));
        free(exact);
    }
}

static void near_words(void **state)
{
    (void)state;
    assert_int_equal(ruc_near_distance("", ""), 0);
    assert_int_equal(ruc_near_distance("abc", ""), 3);
    assert_int_equal(ruc_near_distance("kitten", "sitting"), 3);
    assert_int_equal(ruc_near_distance("engnie", "engine"), 1);
    assert_int_equal(ruc_near_distance("ab", "ba"), 1);
    assert_int_equal(ruc_near_distance("ca", "abc"), 3);
    char word[80];
    memset(word, 'a', 79);
    word[79] = '\0';
    assert_true(ruc_near_distance(word, word) > 10); /* too long to say */
    word[RUC_NEAR_MAX] = '\0';
    assert_int_equal(ruc_near_distance(word, word), 0);
    ruc_near_t near;
    ruc_near_init(&near, "os");
    ruc_near_offer(&near, "is");
    assert_string_equal(near.best, ""); /* two letters are like anything */
    ruc_near_init(&near, "lisetn");
    ruc_near_offer(&near, "limits.engines");
    ruc_near_offer(&near, "listen");
    ruc_near_offer(&near, "lissen");
    assert_string_equal(near.best, "listen");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_there_are_not_told_of),
        cmocka_unit_test(names_that_are_not_there_are_told_of),
        cmocka_unit_test(what_is_no_lua_is_not_judged),
        cmocka_unit_test(what_is_deep_or_much_ends),
        cmocka_unit_test(random_texts_end),
        cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
