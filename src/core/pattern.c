/* pattern.c - see pattern.h. A pattern is read item by item while it is matched: an item is one
 * single-character matcher (a literal, '.', a class or a set) and the repetition behind it, or one
 * of the special forms (captures, %b, %f, back references, the final '$'). An item without a
 * choice is handled in the loop of `walk`; one with a choice calls `walk` again for the rest of the
 * pattern, so that recursion is as deep as the pattern has such items, never as the subject is
 * long. Errors are sticky in the state: every caller gives up when it sees one. */
#include "core/pattern.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "core/pattern_room.h"

#define NO_MATCH SIZE_MAX

typedef struct walk {
    const char *subject;
    size_t subject_len;
    const char *pattern;
    size_t pattern_len;
    uint64_t *steps;
    int depth;
    int error;
    ruc_why_t *why;
    ruc_match_t *match;
} walk_t;

/* One single-character matcher of the pattern: its bytes are [from, to). */
typedef struct single {
    size_t from;
    size_t to;
} single_t;

static size_t walk(walk_t *w, size_t s, size_t p);

/* ruc_why_set lives beside libuv's error texts, which rucat-engine does without. */
int ruc__pattern_malformed(ruc_why_t *why, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return RUC_EINVALID;
}

/* Makes an error sticky; the value is what a matcher returns then. */
static size_t fail(walk_t *w, int error)
{
    if (w->error == 0) {
        w->error = error;
    }
    return NO_MATCH;
}

/* Takes `count` steps from the budget; false when it is out. */
static bool spend(walk_t *w, uint64_t count)
{
    if (*w->steps < count) {
        *w->steps = 0;
        fail(w, RUC_ESTEPS);
        return false;
    }
    *w->steps -= count;
    return true;
}

static bool between(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

static bool is_lower(unsigned char c)
{
    return between(c, 'a', 'z');
}

static bool is_upper(unsigned char c)
{
    return between(c, 'A', 'Z');
}

static bool is_alpha(unsigned char c)
{
    return is_lower(c) || is_upper(c);
}

static bool is_digit(unsigned char c)
{
    return between(c, '0', '9');
}

static bool is_graph(unsigned char c)
{
    return between(c, 0x21, 0x7e);
}

/* Is `c` in the class of the letter `name` (lower case)? -1: that is no class. */
static int in_class(unsigned char c, unsigned char name)
{
    switch (name) {
    case 'a':
        return is_alpha(c);
    case 'c':
        return c < 0x20 || c == 0x7f;
    case 'd':
        return is_digit(c);
    case 'g':
        return is_graph(c);
    case 'l':
        return is_lower(c);
    case 'p':
        return is_graph(c) && !is_alpha(c) && !is_digit(c);
    case 's':
        return c == ' ' || between(c, '\t', '\r');
    case 'u':
        return is_upper(c);
    case 'w':
        return is_alpha(c) || is_digit(c);
    case 'x':
        return is_digit(c) || between(c, 'a', 'f') || between(c, 'A', 'F');
    case 'z': /* of Lua 5.1; the stock library of 5.4 still knows it */
        return c == 0;
    default:
        return -1;
    }
}

/* Does `c` match what stands behind a '%'? */
static bool escaped_has(unsigned char c, unsigned char name)
{
    unsigned char lower = is_upper(name) ? (unsigned char)(name - 'A' + 'a') : name;
    int in = in_class(c, lower);
    if (in < 0) {
        return c == name;
    }
    return is_upper(name) ? in == 0 : in == 1;
}

/* Does `c` match the set "[...]" whose bytes are [from, to), brackets included? */
static bool set_has(walk_t *w, unsigned char c, size_t from, size_t to)
{
    const char *p = w->pattern;
    size_t last = to - 1; /* the ']' */
    size_t i = from + 1;
    bool wanted = true;
    if (!spend(w, to - from)) {
        return false;
    }
    if (p[i] == '^') {
        wanted = false;
        i++;
    }
    while (i < last) {
        if (p[i] == '%') {
            if (escaped_has(c, (unsigned char)p[i + 1])) {
                return wanted;
            }
            i += 2;
        } else if (i + 2 < last && p[i + 1] == '-') {
            if (between(c, (unsigned char)p[i], (unsigned char)p[i + 2])) {
                return wanted;
            }
            i += 3;
        } else {
            if (c == (unsigned char)p[i]) {
                return wanted;
            }
            i++;
        }
    }
    return !wanted;
}

/* Where the set that opens at `p` ends (behind its ']'), or 0 with the reason in `why`. A ']' that
 * comes first stands for itself. */
size_t ruc__pattern_set_end(const char *pattern, size_t len, size_t p, ruc_why_t *why)
{
    size_t i = p + 1;
    if (i < len && pattern[i] == '^') {
        i++;
    }
    for (bool first = true; i < len; first = false) {
        if (pattern[i] == ']' && !first) {
            return i + 1;
        }
        i += pattern[i] == '%' ? 2 : 1;
    }
    ruc__pattern_malformed(why, "malformed pattern (missing ']')");
    return 0;
}

/* Where the single-character matcher at `p` ends, or 0 with the reason in `why`. */
size_t ruc__pattern_single_end(const char *pattern, size_t len, size_t p, ruc_why_t *why)
{
    if (pattern[p] == '[') {
        return ruc__pattern_set_end(pattern, len, p, why);
    }
    if (pattern[p] != '%') {
        return p + 1;
    }
    if (p + 1 >= len) {
        ruc__pattern_malformed(why, "malformed pattern (ends with '%%')");
        return 0;
    }
    return p + 2;
}

/* Does the byte of the subject at `s` match the single? False at the end of the subject. */
static bool single_has(walk_t *w, size_t s, single_t one)
{
    if (s >= w->subject_len || !spend(w, 1)) {
        return false;
    }
    unsigned char c = (unsigned char)w->subject[s];
    switch (w->pattern[one.from]) {
    case '.':
        return true;
    case '%':
        return escaped_has(c, (unsigned char)w->pattern[one.from + 1]);
    case '[':
        return set_has(w, c, one.from, one.to);
    default:
        return c == (unsigned char)w->pattern[one.from];
    }
}

/* As many as there are, then one less at a time. `p` is the rest of the pattern. */
static size_t repeat_longest(walk_t *w, size_t s, single_t one, size_t least, size_t p)
{
    size_t count = 0;
    while (single_has(w, s + count, one)) {
        count++;
    }
    while (w->error == 0 && count >= least) {
        size_t end = walk(w, s + count, p);
        if (end != NO_MATCH) {
            return end;
        }
        if (count == 0) {
            break;
        }
        count--;
    }
    return NO_MATCH;
}

/* As few as will do. */
static size_t repeat_shortest(walk_t *w, size_t s, single_t one, size_t p)
{
    for (;;) {
        size_t end = walk(w, s, p);
        if (end != NO_MATCH || w->error != 0) {
            return end;
        }
        if (!single_has(w, s, one)) {
            return NO_MATCH;
        }
        s++;
    }
}

/* '(': opens a capture, and takes it back when the rest does not match. */
static size_t capture_open(walk_t *w, size_t s, size_t p)
{
    bool position = p + 1 < w->pattern_len && w->pattern[p + 1] == ')';
    ruc_match_t *match = w->match;
    if (match->count >= RUC_PATTERN_CAPTURES) {
        return fail(w, ruc__pattern_malformed(w->why, "too many captures"));
    }
    match->captures[match->count++] =
        (ruc_capture_t){.start = s, .length = position ? RUC_CAPTURE_POSITION : RUC_CAPTURE_OPEN};
    size_t end = walk(w, s, p + (position ? 2 : 1));
    if (end == NO_MATCH) {
        match->count--;
    }
    return end;
}

/* ')': closes the innermost open capture, and opens it again when the rest does not match. */
static size_t capture_close(walk_t *w, size_t s, size_t p)
{
    ruc_match_t *match = w->match;
    int i = match->count - 1;
    while (i >= 0 && match->captures[i].length != RUC_CAPTURE_OPEN) {
        i--;
    }
    if (i < 0) {
        return fail(w, ruc__pattern_malformed(w->why, "invalid pattern capture"));
    }
    match->captures[i].length = (ptrdiff_t)(s - match->captures[i].start);
    size_t end = walk(w, s, p + 1);
    if (end == NO_MATCH) {
        match->captures[i].length = RUC_CAPTURE_OPEN;
    }
    return end;
}

/* %1 to %9: the same bytes again. Where they end, or NO_MATCH. */
static size_t same_again(walk_t *w, size_t s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= w->match->count || w->match->captures[i].length == RUC_CAPTURE_OPEN) {
        return fail(w, ruc__pattern_malformed(w->why, "invalid capture index %%%d", i + 1));
    }
    ruc_capture_t before = w->match->captures[i];
    if (before.length == RUC_CAPTURE_POSITION) {
        return NO_MATCH;
    }
    size_t len = (size_t)before.length;
    if (w->subject_len - s < len || !spend(w, len)) {
        return NO_MATCH;
    }
    return memcmp(w->subject + before.start, w->subject + s, len) == 0 ? s + len : NO_MATCH;
}

/* %bxy: from an x to the y that balances it. Where that ends, or NO_MATCH. */
static size_t balanced(walk_t *w, size_t s, size_t p)
{
    if (p + 3 >= w->pattern_len) {
        return fail(
            w, ruc__pattern_malformed(w->why, "malformed pattern (missing arguments to '%%b')"));
    }
    char opens = w->pattern[p + 2];
    char closes = w->pattern[p + 3];
    if (s >= w->subject_len || w->subject[s] != opens) {
        return NO_MATCH;
    }
    size_t open = 1;
    for (size_t i = s + 1; i < w->subject_len && spend(w, 1); i++) {
        if (w->subject[i] == closes) {
            if (--open == 0) {
                return i + 1;
            }
        } else if (w->subject[i] == opens) {
            open++;
        }
    }
    return NO_MATCH;
}

/* %f[set]: the place between a byte outside the set and one inside. Where the pattern goes on, or
 * NO_MATCH. The ends of the subject count as '\0'. */
static size_t frontier(walk_t *w, size_t s, size_t p)
{
    size_t set = p + 2;
    if (set >= w->pattern_len || w->pattern[set] != '[') {
        return fail(w, ruc__pattern_malformed(w->why, "missing '[' after '%%f' in pattern"));
    }
    size_t end = ruc__pattern_set_end(w->pattern, w->pattern_len, set, w->why);
    if (end == 0) {
        return fail(w, RUC_EINVALID);
    }
    unsigned char before = s == 0 ? 0 : (unsigned char)w->subject[s - 1];
    unsigned char here = s < w->subject_len ? (unsigned char)w->subject[s] : 0;
    bool at = !set_has(w, before, set, end) && set_has(w, here, set, end);
    return at && w->error == 0 ? end : NO_MATCH;
}

/* An item that is one single-character matcher and its repetition. True when it was settled: the
 * answer is in `end`. False: go on at `s` and `p`. */
static bool plain_item(walk_t *w, size_t *s, size_t *p, size_t *end)
{
    single_t one = {.from = *p,
                    .to = ruc__pattern_single_end(w->pattern, w->pattern_len, *p, w->why)};
    if (one.to == 0) {
        *end = fail(w, RUC_EINVALID);
        return true;
    }
    char repeat = one.to < w->pattern_len ? w->pattern[one.to] : '\0';
    switch (repeat) {
    case '*':
    case '+':
        *end = repeat_longest(w, *s, one, repeat == '+', one.to + 1);
        return true;
    case '-':
        *end = repeat_shortest(w, *s, one, one.to + 1);
        return true;
    case '?':
        if (single_has(w, *s, one)) {
            *end = walk(w, *s + 1, one.to + 1);
            if (*end != NO_MATCH) {
                return true;
            }
        }
        *p = one.to + 1;
        break;
    default:
        if (!single_has(w, *s, one)) {
            *end = NO_MATCH;
            return true;
        }
        *s += 1;
        *p = one.to;
    }
    *end = NO_MATCH;
    return w->error != 0;
}

/* An item that starts with '%'. As plain_item. */
static bool escape_item(walk_t *w, size_t *s, size_t *p, size_t *end)
{
    char name = *p + 1 < w->pattern_len ? w->pattern[*p + 1] : '\0';
    size_t next;
    if (name == 'b') {
        next = balanced(w, *s, *p);
        *p += 4;
    } else if (name == 'f') {
        next = frontier(w, *s, *p);
        *p = next;
        next = next == NO_MATCH ? NO_MATCH : *s;
    } else if (is_digit((unsigned char)name)) {
        next = same_again(w, *s, name);
        *p += 2;
    } else {
        return plain_item(w, s, p, end);
    }
    *s = next;
    *end = NO_MATCH;
    return next == NO_MATCH;
}

/* Matches the pattern from `p` on at `s`. Where the match ends, or NO_MATCH. */
static size_t walk(walk_t *w, size_t s, size_t p)
{
    if (w->depth >= RUC_PATTERN_DEPTH) {
        return fail(w, ruc__pattern_malformed(w->why, "pattern too complex"));
    }
    w->depth++;
    size_t end = s;
    bool settled = false;
    while (!settled && p < w->pattern_len) {
        if (!spend(w, 1)) {
            end = NO_MATCH;
            break;
        }
        switch (w->pattern[p]) {
        case '(':
            end = capture_open(w, s, p);
            settled = true;
            break;
        case ')':
            end = capture_close(w, s, p);
            settled = true;
            break;
        case '$':
            if (p + 1 == w->pattern_len) {
                end = s == w->subject_len ? s : NO_MATCH;
                settled = true;
                break;
            }
            settled = plain_item(w, &s, &p, &end);
            break;
        case '%':
            settled = escape_item(w, &s, &p, &end);
            break;
        default:
            settled = plain_item(w, &s, &p, &end);
        }
        if (!settled) {
            end = s;
        }
    }
    w->depth--;
    return end;
}

int ruc_pattern_try(const char *subject, size_t subject_len, const char *pattern,
                    size_t pattern_len, size_t start, uint64_t *steps, ruc_match_t *match,
                    ruc_why_t *why)
{
    RUC_MUST(start <= subject_len);
    match->count = 0;
    walk_t w = {.subject = subject,
                .subject_len = subject_len,
                .pattern = pattern,
                .pattern_len = pattern_len,
                .steps = steps,
                .why = why,
                .match = match};
    size_t end = spend(&w, 1) ? walk(&w, start, 0) : NO_MATCH;
    if (w.error == RUC_ESTEPS) {
        ruc__pattern_malformed(why, "the pattern needed more steps than allowed");
    }
    if (w.error != 0) {
        return w.error;
    }
    match->start = start;
    match->end = end;
    return end != NO_MATCH;
}

int ruc_pattern_find(const char *subject, size_t subject_len, const char *pattern,
                     size_t pattern_len, size_t start, uint64_t *steps, ruc_match_t *match,
                     ruc_why_t *why)
{
    bool anchor = pattern_len > 0 && pattern[0] == '^';
    if (start > subject_len) {
        return 0;
    }
    for (size_t s = start; s <= subject_len; s++) {
        int rc = ruc_pattern_try(subject, subject_len, pattern + anchor, pattern_len - anchor, s,
                                 steps, match, why);
        if (rc != 0 || anchor) {
            return rc;
        }
    }
    return 0;
}

int ruc_pattern_capture(const ruc_match_t *match, int index, ruc_capture_t *capture, ruc_why_t *why)
{
    if (index == 0 && match->count == 0) {
        *capture = (ruc_capture_t){.start = match->start,
                                   .length = (ptrdiff_t)(match->end - match->start)};
        return 0;
    }
    if (index < 0 || index >= match->count) {
        return ruc__pattern_malformed(why, "invalid capture index %%%d", index + 1);
    }
    *capture = match->captures[index];
    return capture->length == RUC_CAPTURE_OPEN ? ruc__pattern_malformed(why, "unfinished capture")
                                               : 0;
}

int ruc_pattern_line(const char *line, size_t line_len, const char *pattern, uint64_t *steps,
                     char *text, size_t size, ruc_why_t *why)
{
    ruc_match_t match;
    ruc_capture_t first;
    text[0] = '\0';
    int rc = ruc_pattern_find(line, line_len, pattern, strlen(pattern), 0, steps, &match, why);
    if (rc <= 0 || match.count == 0) {
        return rc;
    }
    rc = ruc_pattern_capture(&match, 0, &first, why);
    if (rc < 0) {
        return rc;
    }
    if (first.length > 0) {
        size_t len = (size_t)first.length < size ? (size_t)first.length : size - 1;
        memcpy(text, line + first.start, len);
        text[len] = '\0';
    }
    return 1;
}
