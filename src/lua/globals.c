/* globals.c - see globals.h. A recursive descent over the manual's chapter 9 that keeps nothing but
 * the scopes. */
#include "lua/globals.h"

#include <stdlib.h>
#include <string.h>

#include "lua/globals_room.h"

#define DEPTH_MAX 250 /* Lua itself takes 200 */

/* ---- tokens ---- */

static void advance(ruc__scan_t *scan)
{
    scan->now = scan->next;
    scan->next = ruc_lexer_next(&scan->lexer);
    scan->wrong = scan->wrong || scan->now.kind == RUC_TOKEN_WRONG;
}

static bool is(const ruc__scan_t *scan, const char *text)
{
    return ruc_token_is(&scan->now, text);
}

static bool take(ruc__scan_t *scan, const char *text)
{
    if (is(scan, text)) {
        advance(scan);
        return true;
    }
    return false;
}

static void expect(ruc__scan_t *scan, const char *text)
{
    scan->wrong = scan->wrong || !take(scan, text);
}

static ruc_token_t expect_name(ruc__scan_t *scan)
{
    ruc_token_t name = scan->now;
    scan->wrong = scan->wrong || name.kind != RUC_TOKEN_NAME;
    advance(scan);
    return name;
}

/* ---- expressions ---- */

static void statements(ruc__scan_t *scan);
static void block(ruc__scan_t *scan);
static void expression(ruc__scan_t *scan);

static bool enter(ruc__scan_t *scan)
{
    scan->wrong = scan->wrong || ++scan->depth > DEPTH_MAX;
    return !scan->wrong;
}

static void leave(ruc__scan_t *scan)
{
    scan->depth--;
}

static void expressions(ruc__scan_t *scan)
{
    do {
        expression(scan);
    } while (!scan->wrong && take(scan, ","));
}

static void body(ruc__scan_t *scan, bool method)
{
    size_t outside = scan->local_count;
    if (method) {
        ruc__scan_declare(scan, "self", 4);
    }
    expect(scan, "(");
    while (!scan->wrong && !is(scan, ")")) {
        if (!take(scan, "...")) {
            ruc_token_t name = expect_name(scan);
            ruc__scan_declare(scan, name.text, name.len);
        }
        if (!take(scan, ",")) {
            break;
        }
    }
    expect(scan, ")");
    block(scan);
    expect(scan, "end");
    scan->local_count = outside;
}

static void table(ruc__scan_t *scan)
{
    expect(scan, "{");
    while (!scan->wrong && !is(scan, "}")) {
        if (take(scan, "[")) {
            expression(scan);
            expect(scan, "]");
            expect(scan, "=");
        } else if (scan->now.kind == RUC_TOKEN_NAME && ruc_token_is(&scan->next, "=")) {
            advance(scan);
            advance(scan);
        }
        expression(scan);
        if (!take(scan, ",") && !take(scan, ";")) {
            break;
        }
    }
    expect(scan, "}");
}

static bool arguments(ruc__scan_t *scan)
{
    if (scan->now.kind == RUC_TOKEN_STRING) {
        advance(scan);
    } else if (is(scan, "{")) {
        table(scan);
    } else if (take(scan, "(")) {
        if (!is(scan, ")")) {
            expressions(scan);
        }
        expect(scan, ")");
    } else {
        return false;
    }
    return true;
}

/* A name or a bracketed expression and what is done to it. What it is of a global is left in
 * `path`, to be read or set. */
static void suffixed(ruc__scan_t *scan, ruc__path_t *path)
{
    *path = (ruc__path_t){.line = scan->now.line, .at = scan->now.text};
    if (take(scan, "(")) {
        expression(scan);
        expect(scan, ")");
        path->closed = true;
    } else {
        ruc_token_t name = expect_name(scan);
        path->plain = true;
        path->global = ruc__scan_is_global(scan, &name);
        ruc__scan_path_add(path, &name);
    }
    while (!scan->wrong) {
        bool call = false;
        if (take(scan, ".")) {
            ruc_token_t name = expect_name(scan);
            ruc__scan_path_add(path, &name);
        } else if (take(scan, "[")) {
            path->closed = true;
            expression(scan);
            expect(scan, "]");
        } else if (take(scan, ":")) {
            call = path->closed = true;
            expect_name(scan);
            scan->wrong = scan->wrong || !arguments(scan);
        } else if (arguments(scan)) {
            call = path->closed = true;
        } else {
            return;
        }
        path->plain = false;
        path->call = call;
    }
}

static bool simple(ruc__scan_t *scan)
{
    static const char *const words[] = {"nil", "true", "false", "...", NULL};
    if (scan->now.kind == RUC_TOKEN_STRING || scan->now.kind == RUC_TOKEN_NUMBER) {
        advance(scan);
        return true;
    }
    for (const char *const *word = words; *word != NULL; word++) {
        if (take(scan, *word)) {
            return true;
        }
    }
    if (is(scan, "{")) {
        table(scan);
        return true;
    }
    if (take(scan, "function")) {
        body(scan, false);
        return true;
    }
    return false;
}

static bool take_any(ruc__scan_t *scan, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (take(scan, *list)) {
            return true;
        }
    }
    return false;
}

/* Which operator binds tighter makes no difference to which names are used. */
static void expression(ruc__scan_t *scan)
{
    static const char *const before[] = {"not", "-", "#", "~", NULL};
    static const char *const between[] = {
        "+",  "-",  "*", "/", "//", "^",  "%",  "&",  "~",   "|",  ">>",
        "<<", "..", "<", ">", "<=", ">=", "==", "~=", "and", "or", NULL};
    if (!enter(scan)) {
        return;
    }
    do {
        while (take_any(scan, before)) {
        }
        if (!simple(scan)) {
            ruc__path_t path;
            suffixed(scan, &path);
            ruc__scan_check(scan, &path);
        }
    } while (!scan->wrong && take_any(scan, between));
    leave(scan);
}

/* ---- statements ---- */

/* A list of names that are in scope only after what follows it: until reveal() they have no length,
 * which no name has. Returns where they begin. */
static size_t hidden_names(ruc__scan_t *scan)
{
    size_t first = scan->local_count;
    do {
        ruc_token_t name = expect_name(scan);
        ruc__scan_declare(scan, name.text, 0);
        if (take(scan, "<")) { /* <const>, <close> */
            expect_name(scan);
            expect(scan, ">");
        }
    } while (!scan->wrong && take(scan, ","));
    return first;
}

static void reveal(ruc__scan_t *scan, size_t first)
{
    for (size_t i = first; i < scan->local_count; i++) {
        const char *end = scan->locals[i].name;
        while (*end == '_' || (*end >= '0' && *end <= '9') || (*end >= 'a' && *end <= 'z') ||
               (*end >= 'A' && *end <= 'Z')) {
            end++;
        }
        scan->locals[i].len = (size_t)(end - scan->locals[i].name);
    }
}

static void local_statement(ruc__scan_t *scan)
{
    if (take(scan, "function")) {
        ruc_token_t name = expect_name(scan);
        ruc__scan_declare(scan, name.text, name.len);
        body(scan, false);
        return;
    }
    size_t first = hidden_names(scan);
    if (take(scan, "=")) {
        expressions(scan);
    }
    if (!scan->wrong) {
        reveal(scan, first);
    }
}

static void for_statement(ruc__scan_t *scan)
{
    size_t outside = hidden_names(scan);
    if (!take(scan, "=")) {
        expect(scan, "in");
    }
    expressions(scan);
    if (!scan->wrong) {
        reveal(scan, outside);
    }
    expect(scan, "do");
    block(scan);
    expect(scan, "end");
    scan->local_count = outside;
}

static void function_statement(ruc__scan_t *scan)
{
    bool method = false;
    ruc__path_t path = {.line = scan->now.line, .at = scan->now.text, .plain = true};
    ruc_token_t name = expect_name(scan);
    path.global = ruc__scan_is_global(scan, &name);
    ruc__scan_path_add(&path, &name);
    while (!scan->wrong && !method && (is(scan, ".") || is(scan, ":"))) {
        method = is(scan, ":");
        advance(scan);
        name = expect_name(scan);
        ruc__scan_path_add(&path, &name);
        path.plain = false;
    }
    ruc__scan_assign(scan, &path);
    body(scan, method);
}

static void if_statement(ruc__scan_t *scan)
{
    do {
        expression(scan);
        expect(scan, "then");
        block(scan);
    } while (!scan->wrong && take(scan, "elseif"));
    if (take(scan, "else")) {
        block(scan);
    }
    expect(scan, "end");
}

/* The condition sees the locals of the block. */
static void repeat_statement(ruc__scan_t *scan)
{
    size_t outside = scan->local_count;
    statements(scan);
    expect(scan, "until");
    expression(scan);
    scan->local_count = outside;
}

static void expression_statement(ruc__scan_t *scan)
{
    ruc__path_t path;
    suffixed(scan, &path);
    if (!is(scan, "=") && !is(scan, ",")) {
        scan->wrong = scan->wrong || !path.call;
        ruc__scan_check(scan, &path);
        return;
    }
    ruc__scan_assign(scan, &path);
    while (!scan->wrong && take(scan, ",")) {
        suffixed(scan, &path);
        ruc__scan_assign(scan, &path);
    }
    expect(scan, "=");
    expressions(scan);
}

static void return_statement(ruc__scan_t *scan)
{
    static const char *const ends[] = {"end", "else", "elseif", "until", ";", NULL};
    bool empty = scan->now.kind == RUC_TOKEN_END;
    for (const char *const *end = ends; *end != NULL; end++) {
        empty = empty || is(scan, *end);
    }
    if (!empty) {
        expressions(scan);
    }
    take(scan, ";");
}

static void while_statement(ruc__scan_t *scan)
{
    expression(scan);
    expect(scan, "do");
    block(scan);
    expect(scan, "end");
}

static void do_statement(ruc__scan_t *scan)
{
    block(scan);
    expect(scan, "end");
}

static void label(ruc__scan_t *scan)
{
    expect_name(scan);
    expect(scan, "::");
}

static void jump(ruc__scan_t *scan)
{
    expect_name(scan);
}

static void nothing(ruc__scan_t *scan)
{
    (void)scan;
}

static void statement(ruc__scan_t *scan)
{
    static const struct {
        const char *word;
        void (*rest)(ruc__scan_t *scan);
    } kinds[] = {{";", nothing},
                 {"local", local_statement},
                 {"if", if_statement},
                 {"for", for_statement},
                 {"return", return_statement},
                 {"function", function_statement},
                 {"while", while_statement},
                 {"repeat", repeat_statement},
                 {"do", do_statement},
                 {"break", nothing},
                 {"goto", jump},
                 {"::", label}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (take(scan, kinds[i].word)) {
            kinds[i].rest(scan);
            return;
        }
    }
    expression_statement(scan);
}

static void statements(ruc__scan_t *scan)
{
    if (!enter(scan)) {
        return;
    }
    while (!scan->wrong && scan->now.kind != RUC_TOKEN_END && !is(scan, "end") &&
           !is(scan, "else") && !is(scan, "elseif") && !is(scan, "until")) {
        statement(scan);
    }
    leave(scan);
}

static void block(ruc__scan_t *scan)
{
    size_t outside = scan->local_count;
    statements(scan);
    scan->local_count = outside;
}

/* ---- whole ---- */

bool ruc_globals_scan(const char *text, size_t len, const ruc_names_t *known, ruc_globals_cb told,
                      void *arg)
{
    ruc__scan_t scan = {.known = known};
    scan.locals = malloc(RUC__LOCALS_MAX * sizeof *scan.locals);
    scan.uses = malloc(RUC__USES_MAX * sizeof *scan.uses);
    bool fine = scan.locals != NULL && scan.uses != NULL;
    if (fine) {
        ruc_lexer_init(&scan.lexer, text, len);
        scan.next = ruc_lexer_next(&scan.lexer);
        advance(&scan);
        block(&scan);
        fine = !scan.wrong && scan.now.kind == RUC_TOKEN_END;
    }
    if (fine) {
        ruc__scan_tell(&scan, told, arg);
    }
    ruc_names_free(&scan.own);
    free(scan.locals);
    free(scan.uses);
    return fine;
}
