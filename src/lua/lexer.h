/* lexer.h - the tokens of a Lua 5.4 text, for looking at scripts without running them.
 *
 * Pure C, knows no lua_State: for the thread pool. It takes what Lua takes; what Lua refuses may be
 * taken or refused, for it was compiled before. */
#ifndef RUC_LUA_LEXER_H
#define RUC_LUA_LEXER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    RUC_TOKEN_END,
    RUC_TOKEN_NAME,
    RUC_TOKEN_KEYWORD,
    RUC_TOKEN_STRING,
    RUC_TOKEN_NUMBER,
    RUC_TOKEN_SIGN, /* an operator or a bracket */
    RUC_TOKEN_WRONG /* a text that is not finished, a byte that begins nothing */
} ruc_token_kind_t;

typedef struct ruc_token {
    ruc_token_kind_t kind;
    const char *text; /* in the text; of a string with its quotes */
    size_t len;
    int line; /* it begins on */
} ruc_token_t;

typedef struct ruc_lexer {
    const char *at, *end;
    int line;
} ruc_lexer_t;

/* Begins; a first line that starts with # is passed over. The text must outlive it. */
void ruc_lexer_init(ruc_lexer_t *lexer, const char *text, size_t len);

/* The next token; END again and again at the end. */
ruc_token_t ruc_lexer_next(ruc_lexer_t *lexer);

/* True when the token is that name, keyword or sign. */
bool ruc_token_is(const ruc_token_t *token, const char *text);

#endif
