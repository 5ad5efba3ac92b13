/* pattern.h - Lua 5.4 patterns (manual 6.4.1) in plain C, with a budget.
 *
 * The one thing of Lua's library that is written again here, for two reasons: rucat-engine looks
 * for its `ready` line without a Lua inside, and a pattern that backtracks can run for minutes in
 * the stock library, where nothing can stop it. Here every comparison is one step of a budget.
 *
 * Like the stock library a malformed pattern is found out while matching, at the point where it
 * matters; ruc_pattern_check finds it beforehand. Character classes are those of the C locale.
 * Nothing is allocated and nothing is kept: any thread, and no libuv. */
#ifndef RUC_CORE_PATTERN_H
#define RUC_CORE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define RUC_PATTERN_CAPTURES 32 /* as many as the stock library */
#define RUC_PATTERN_DEPTH 200   /* nested items and captures; beyond: "pattern too complex" */

/* `length` of a capture is a number of bytes or one of these. */
#define RUC_CAPTURE_OPEN ((ptrdiff_t)-1)     /* its ')' was not reached */
#define RUC_CAPTURE_POSITION ((ptrdiff_t)-2) /* "()": `start` is what it captured */

typedef struct ruc_capture {
    size_t start; /* offset into the subject, from 0 */
    ptrdiff_t length;
} ruc_capture_t;

typedef struct ruc_match {
    size_t start; /* offsets into the subject: the match is [start, end) */
    size_t end;
    int count; /* captures in use; 0: the whole match stands for the first */
    ruc_capture_t captures[RUC_PATTERN_CAPTURES];
} ruc_match_t;

/* One attempt: does `pattern` match `subject` exactly at offset `start` (at most subject_len)? A
 * '^' is an ordinary character here: find, match and gsub strip it and make one attempt only.
 * `steps` is what is left of the budget and is counted down. 1 and `match` filled in; 0; RUC_ESTEPS
 * when the budget is out; RUC_EINVALID for a malformed pattern, with the stock library's text. */
int ruc_pattern_try(const char *subject, size_t subject_len, const char *pattern,
                    size_t pattern_len, size_t start, uint64_t *steps, ruc_match_t *match,
                    ruc_why_t *why);

/* The first match at or after `start`, an anchor '^' respected. Returns as ruc_pattern_try. */
int ruc_pattern_find(const char *subject, size_t subject_len, const char *pattern,
                     size_t pattern_len, size_t start, uint64_t *steps, ruc_match_t *match,
                     ruc_why_t *why);

/* Capture `index` (from 0) of a match; without captures number 0 is the whole match. 0, or
 * RUC_EINVALID ("invalid capture index", "unfinished capture") with the stock library's text. */
int ruc_pattern_capture(const ruc_match_t *match, int index, ruc_capture_t *capture,
                        ruc_why_t *why);

/* Does this line match, and what is its first capture? The text (cut to size - 1 bytes, terminated)
 * is "" where there is no capture or it is a position. Returns as ruc_pattern_try. */
int ruc_pattern_line(const char *line, size_t line_len, const char *pattern, uint64_t *steps,
                     char *text, size_t size, ruc_why_t *why);

/* Is the pattern well-formed, whatever it will be matched with? 0 or RUC_EINVALID. */
int ruc_pattern_check(const char *pattern, size_t pattern_len, ruc_why_t *why);

#endif
