/* status.c - reason phrases. */
#include "http/status.h"

const char *ruc_http_reason(int status)
{
    switch (status) {
#define XX(name, code, phrase)                                                                     \
    case code:                                                                                     \
        return phrase;
        RUC_HTTP_STATUS_MAP(XX)
#undef XX
    default:
        return "";
    }
}
