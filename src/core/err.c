/* err.c - names and texts of error codes. */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <uv.h>

const char *ruc_err_name(int code)
{
    switch (code) {
#define XX(name, value, text)                                                                      \
    case RUC_E##name:                                                                              \
        return #name;
        RUC_ERR_MAP(XX)
#undef XX
    case 0:
        return "OK";
    default:
        return uv_err_name(code);
    }
}

const char *ruc_err_text(int code)
{
    switch (code) {
#define XX(name, value, text)                                                                      \
    case RUC_E##name:                                                                              \
        return text;
        RUC_ERR_MAP(XX)
#undef XX
    case 0:
        return "no error";
    default:
        return uv_strerror(code);
    }
}

int ruc_why_set(ruc_why_t *why, int code, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return code;
}
