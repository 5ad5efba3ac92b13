/* pattern_room.h - what pattern.c and pattern_check.c share; nobody else includes it. */
#ifndef RUC_CORE_PATTERN_ROOM_H
#define RUC_CORE_PATTERN_ROOM_H

#include <stddef.h>

#include "core/err.h"

/* Writes a sentence and returns RUC_EINVALID. (ruc_why_set lives beside libuv's error texts, which
 * rucat-engine does without.) */
int ruc__pattern_malformed(ruc_why_t *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Where the set that opens at `p` ends (behind its ']'), or 0 with the reason in `why`. */
size_t ruc__pattern_set_end(const char *pattern, size_t len, size_t p, ruc_why_t *why);

/* Where the single-character matcher at `p` ends, or 0 with the reason in `why`. */
size_t ruc__pattern_single_end(const char *pattern, size_t len, size_t p, ruc_why_t *why);

#endif
