/* lexer.c - see lexer.h; the manual's 3.1. */
#include "lua/lexer.h"

#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const ruc_lexer_t *lexer, size_t ahead)
{
    return (size_t)(lexer->end - lexer->at) > ahead ? lexer->at[ahead] : '\0';
}

/* Over one byte, or one line break of one or two bytes. */
static void step(ruc_lexer_t *lexer)
{
    char c = *lexer->at++;
    if (c == '\n' || c == '\r') {
        lexer->line++;
        if (lexer->at < lexer->end && (*lexer->at == '\n' || *lexer->at == '\r') &&
            *lexer->at != c) {
            lexer->at++;
        }
    }
}

void ruc_lexer_init(ruc_lexer_t *lexer, const char *text, size_t len)
{
    *lexer = (ruc_lexer_t){.at = text, .end = text + len, .line = 1};
    if (len > 0 && text[0] == '#') {
        while (lexer->at < lexer->end && *lexer->at != '\n') {
            lexer->at++;
        }
    }
}

/* The level of a long bracket that begins here ("[[" 0, "[=[" 1); -1: none. */
static int long_level(const ruc_lexer_t *lexer)
{
    size_t n = 1;
    while (peek(lexer, n) == '=') {
        n++;
    }
    return peek(lexer, 0) == '[' && peek(lexer, n) == '[' ? (int)n - 1 : -1;
}

/* Over a long string or comment of that level. False: it is not finished. */
static bool skip_long(ruc_lexer_t *lexer, int level)
{
    lexer->at += level + 2;
    while (lexer->at < lexer->end) {
        if (*lexer->at == ']') {
            size_t n = 1;
            while (peek(lexer, n) == '=') {
                n++;
            }
            if (peek(lexer, n) == ']' && (int)n - 1 == level) {
                lexer->at += n + 1;
                return true;
            }
        }
        step(lexer);
    }
    return false;
}

/* Over spaces and comments. False: a comment is not finished. */
static bool skip_space(ruc_lexer_t *lexer)
{
    while (lexer->at < lexer->end) {
        char c = *lexer->at;
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            step(lexer);
        } else if (c == '-' && peek(lexer, 1) == '-') {
            lexer->at += 2;
            int level = long_level(lexer);
            if (level >= 0) {
                if (!skip_long(lexer, level)) {
                    return false;
                }
                continue;
            }
            while (lexer->at < lexer->end && *lexer->at != '\n' && *lexer->at != '\r') {
                lexer->at++;
            }
        } else {
            return true;
        }
    }
    return true;
}

/* Over a quoted string. False: it is not finished. */
static bool skip_string(ruc_lexer_t *lexer)
{
    char quote = *lexer->at++;
    while (lexer->at < lexer->end) {
        char c = *lexer->at;
        if (c == '\n' || c == '\r') {
            return false;
        }
        if (c == '\\') {
            char escaped = peek(lexer, 1);
            lexer->at++;
            if (lexer->at < lexer->end) {
                step(lexer);
            }
            while (escaped == 'z' && lexer->at < lexer->end &&
                   (*lexer->at == ' ' || (*lexer->at >= '\t' && *lexer->at <= '\r'))) {
                step(lexer);
            }
            continue;
        }
        lexer->at++;
        if (c == quote) {
            return true;
        }
    }
    return false;
}

static void skip_number(ruc_lexer_t *lexer)
{
    bool hex = peek(lexer, 0) == '0' && (peek(lexer, 1) == 'x' || peek(lexer, 1) == 'X');
    while (lexer->at < lexer->end) {
        char c = *lexer->at;
        bool exponent = hex ? c == 'p' || c == 'P' : c == 'e' || c == 'E';
        if (!is_letter(c) && !is_digit(c) && c != '.') {
            return;
        }
        lexer->at++;
        if (exponent && (peek(lexer, 0) == '+' || peek(lexer, 0) == '-')) {
            lexer->at++;
        }
    }
}

static bool is_keyword(const char *text, size_t len)
{
    static const char words[] = " and break do else elseif end false for function goto if in local "
                                "nil not or repeat return then true until while ";
    char between[12] = " ";
    if (len > sizeof between - 3) {
        return false;
    }
    memcpy(between + 1, text, len);
    between[len + 1] = ' ';
    between[len + 2] = '\0';
    return strstr(words, between) != NULL;
}

/* The length of the operator that begins here; 0: none. */
static size_t sign_length(const ruc_lexer_t *lexer)
{
    static const char *const long_signs[] = {"...", "..", "::", "//", "<<", ">>",
                                             "<=",  ">=", "==", "~=", NULL};
    size_t left = (size_t)(lexer->end - lexer->at);
    for (const char *const *sign = long_signs; *sign != NULL; sign++) {
        size_t len = strlen(*sign);
        if (left >= len && memcmp(lexer->at, *sign, len) == 0) {
            return len;
        }
    }
    return *lexer->at != '\0' && strchr("+-*/%^#&~|<>=(){}[];:,.", *lexer->at) != NULL;
}

ruc_token_t ruc_lexer_next(ruc_lexer_t *lexer)
{
    bool fine = skip_space(lexer);
    ruc_token_t token = {.text = lexer->at, .line = lexer->line};
    if (!fine) {
        token.kind = RUC_TOKEN_WRONG;
        return token;
    }
    if (lexer->at >= lexer->end) {
        token.kind = RUC_TOKEN_END;
        return token;
    }
    char c = *lexer->at;
    int level = long_level(lexer);
    if (is_letter(c)) {
        while (lexer->at < lexer->end && (is_letter(*lexer->at) || is_digit(*lexer->at))) {
            lexer->at++;
        }
        token.kind = is_keyword(token.text, (size_t)(lexer->at - token.text)) ? RUC_TOKEN_KEYWORD
                                                                              : RUC_TOKEN_NAME;
    } else if (is_digit(c) || (c == '.' && is_digit(peek(lexer, 1)))) {
        skip_number(lexer);
        token.kind = RUC_TOKEN_NUMBER;
    } else if (c == '"' || c == '\'') {
        token.kind = skip_string(lexer) ? RUC_TOKEN_STRING : RUC_TOKEN_WRONG;
    } else if (level >= 0) {
        token.kind = skip_long(lexer, level) ? RUC_TOKEN_STRING : RUC_TOKEN_WRONG;
    } else {
        size_t len = sign_length(lexer);
        token.kind = len > 0 ? RUC_TOKEN_SIGN : RUC_TOKEN_WRONG;
        lexer->at += len > 0 ? len : 1;
    }
    token.len = (size_t)(lexer->at - token.text);
    return token;
}

bool ruc_token_is(const ruc_token_t *token, const char *text)
{
    return token->kind != RUC_TOKEN_STRING && token->kind != RUC_TOKEN_END &&
           strlen(text) == token->len && memcmp(token->text, text, token->len) == 0;
}
