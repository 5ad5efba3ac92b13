/* err.h - the one error currency of the C code.
 *
 * Every fallible function returns 0 (or a count) on success and a negative code on failure. The
 * codes are libuv's (UV_E*, which are -errno on Unix) plus the RUC_E* below, which live far away
 * from them. A function that has more to say than a code takes a ruc_why_t and writes one sentence
 * into it. Only lua/ turns codes into Lua's `nil, message, code`. */
#ifndef RUC_CORE_ERR_H
#define RUC_CORE_ERR_H

#include <stddef.h>

/* Written once: name, value, what it means to a person. */
#define RUC_ERR_MAP(XX)                                                                            \
    XX(CONFLICT, -20001, "the record was changed by somebody else")                                \
    XX(NOTFOUND, -20002, "no such thing")                                                          \
    XX(EXISTS, -20003, "it exists already")                                                        \
    XX(TOOBIG, -20004, "larger than its bound")                                                    \
    XX(INVALID, -20005, "wrong content")                                                           \
    XX(STORE, -20006, "the store did not take it")                                                 \
    XX(FULL, -20007, "a bound is reached")                                                         \
    XX(PROTO, -20008, "the peer does not speak the protocol")                                      \
    XX(CLOSED, -20009, "it is closed")                                                             \
    XX(STEPS, -20010, "the pattern needed more steps than allowed")                                \
    XX(METHOD, -20011, "method not allowed")                                                       \
    XX(SCRIPT, -20012, "a script failed")                                                          \
    XX(REFUSED, -20013, "refused")                                                                 \
    XX(UNSURE, -20014, "the answer was lost; it may have been done")

enum {
#define XX(name, value, text) RUC_E##name = (value),
    RUC_ERR_MAP(XX)
#undef XX
};

/* One sentence for a person, written by the callee, owned by the caller. Always terminated. */
typedef struct ruc_why {
    char text[1024];
} ruc_why_t;

/* The name of a code: "CONFLICT", "ECONNREFUSED". Static memory; never NULL. */
const char *ruc_err_name(int code);

/* What a code means, for a person. Static memory; never NULL. */
const char *ruc_err_text(int code);

/* Writes a sentence (cut at the bound) and returns `code`, so that `return ruc_why_set(...)` reads
 * well. `why` may be NULL. */
int ruc_why_set(ruc_why_t *why, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
