/* pattern_check.c - is a pattern well-formed, whatever it will be matched with? For plans and
 * scripts, before they run; a matching does without. */
#include <string.h>

#include "core/pattern.h"
#include "core/pattern_room.h"

/* The state of a check: which captures are open, how many there are, how deep a match would go. */
typedef struct check {
    bool open[RUC_PATTERN_CAPTURES];
    int count;
    int depth;
} check_t;

static int check_close(check_t *c, ruc_why_t *why)
{
    int i = c->count - 1;
    while (i >= 0 && !c->open[i]) {
        i--;
    }
    if (i < 0) {
        return ruc__pattern_malformed(why, "invalid pattern capture");
    }
    c->open[i] = false;
    return 0;
}

/* Checks the escape at `p` and says in `next` where the pattern goes on; 0: it is a single. */
static int check_escape(check_t *c, const char *pattern, size_t len, size_t p, size_t *next,
                        ruc_why_t *why)
{
    char name = p + 1 < len ? pattern[p + 1] : '\0';
    *next = 0;
    if (name == 'b') {
        *next = p + 4;
        return p + 3 < len
                   ? 0
                   : ruc__pattern_malformed(why, "malformed pattern (missing arguments to '%%b')");
    }
    if (name == 'f') {
        if (p + 2 >= len || pattern[p + 2] != '[') {
            return ruc__pattern_malformed(why, "missing '[' after '%%f' in pattern");
        }
        *next = ruc__pattern_set_end(pattern, len, p + 2, why);
        return *next == 0 ? RUC_EINVALID : 0;
    }
    if (name >= '0' && name <= '9') {
        int i = name - '1';
        *next = p + 2;
        if (i < 0 || i >= c->count || c->open[i]) {
            return ruc__pattern_malformed(why, "invalid capture index %%%d", i + 1);
        }
    }
    return 0;
}

/* Checks one item at `*p` and moves behind it. */
static int check_item(check_t *c, const char *pattern, size_t len, size_t *p, ruc_why_t *why)
{
    size_t next = 0;
    int rc = 0;
    if (pattern[*p] == '(') {
        if (c->count >= RUC_PATTERN_CAPTURES) {
            return ruc__pattern_malformed(why, "too many captures");
        }
        bool position = *p + 1 < len && pattern[*p + 1] == ')';
        c->open[c->count++] = !position;
        c->depth++;
        next = *p + (position ? 2 : 1);
    } else if (pattern[*p] == ')') {
        rc = check_close(c, why);
        c->depth++;
        next = *p + 1;
    } else if (pattern[*p] == '%') {
        rc = check_escape(c, pattern, len, *p, &next, why);
    }
    if (rc == 0 && next == 0) {
        next = ruc__pattern_single_end(pattern, len, *p, why);
        rc = next == 0 ? RUC_EINVALID : 0;
        if (rc == 0 && next < len && strchr("*+-?", pattern[next]) != NULL &&
            pattern[next] != '\0') {
            c->depth++;
            next++;
        }
    }
    *p = next;
    return rc;
}

int ruc_pattern_check(const char *pattern, size_t pattern_len, ruc_why_t *why)
{
    check_t c = {.depth = 1};
    size_t p = pattern_len > 0 && pattern[0] == '^' ? 1 : 0;
    while (p < pattern_len) {
        int rc = check_item(&c, pattern, pattern_len, &p, why);
        if (rc < 0) {
            return rc;
        }
    }
    for (int i = 0; i < c.count; i++) {
        if (c.open[i]) {
            return ruc__pattern_malformed(why, "unfinished capture");
        }
    }
    return c.depth > RUC_PATTERN_DEPTH ? ruc__pattern_malformed(why, "pattern too complex") : 0;
}
