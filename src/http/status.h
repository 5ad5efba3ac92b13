/* status.h - HTTP status codes and their reason phrases (RFC 9110 section 15, RFC 6585). */
#ifndef RUC_HTTP_STATUS_H
#define RUC_HTTP_STATUS_H

/* Written once: name, code, phrase. */
#define RUC_HTTP_STATUS_MAP(XX)                                                                    \
    XX(CONTINUE, 100, "Continue")                                                                  \
    XX(SWITCHING_PROTOCOLS, 101, "Switching Protocols")                                            \
    XX(OK, 200, "OK")                                                                              \
    XX(CREATED, 201, "Created")                                                                    \
    XX(ACCEPTED, 202, "Accepted")                                                                  \
    XX(NON_AUTHORITATIVE, 203, "Non-Authoritative Information")                                    \
    XX(NO_CONTENT, 204, "No Content")                                                              \
    XX(RESET_CONTENT, 205, "Reset Content")                                                        \
    XX(PARTIAL_CONTENT, 206, "Partial Content")                                                    \
    XX(MULTIPLE_CHOICES, 300, "Multiple Choices")                                                  \
    XX(MOVED_PERMANENTLY, 301, "Moved Permanently")                                                \
    XX(FOUND, 302, "Found")                                                                        \
    XX(SEE_OTHER, 303, "See Other")                                                                \
    XX(NOT_MODIFIED, 304, "Not Modified")                                                          \
    XX(TEMPORARY_REDIRECT, 307, "Temporary Redirect")                                              \
    XX(PERMANENT_REDIRECT, 308, "Permanent Redirect")                                              \
    XX(BAD_REQUEST, 400, "Bad Request")                                                            \
    XX(UNAUTHORIZED, 401, "Unauthorized")                                                          \
    XX(PAYMENT_REQUIRED, 402, "Payment Required")                                                  \
    XX(FORBIDDEN, 403, "Forbidden")                                                                \
    XX(NOT_FOUND, 404, "Not Found")                                                                \
    XX(METHOD_NOT_ALLOWED, 405, "Method Not Allowed")                                              \
    XX(NOT_ACCEPTABLE, 406, "Not Acceptable")                                                      \
    XX(PROXY_AUTH_REQUIRED, 407, "Proxy Authentication Required")                                  \
    XX(REQUEST_TIMEOUT, 408, "Request Timeout")                                                    \
    XX(CONFLICT, 409, "Conflict")                                                                  \
    XX(GONE, 410, "Gone")                                                                          \
    XX(LENGTH_REQUIRED, 411, "Length Required")                                                    \
    XX(PRECONDITION_FAILED, 412, "Precondition Failed")                                            \
    XX(CONTENT_TOO_LARGE, 413, "Content Too Large")                                                \
    XX(URI_TOO_LONG, 414, "URI Too Long")                                                          \
    XX(UNSUPPORTED_MEDIA_TYPE, 415, "Unsupported Media Type")                                      \
    XX(RANGE_NOT_SATISFIABLE, 416, "Range Not Satisfiable")                                        \
    XX(EXPECTATION_FAILED, 417, "Expectation Failed")                                              \
    XX(MISDIRECTED_REQUEST, 421, "Misdirected Request")                                            \
    XX(UNPROCESSABLE_CONTENT, 422, "Unprocessable Content")                                        \
    XX(LOCKED, 423, "Locked")                                                                      \
    XX(TOO_EARLY, 425, "Too Early")                                                                \
    XX(UPGRADE_REQUIRED, 426, "Upgrade Required")                                                  \
    XX(PRECONDITION_REQUIRED, 428, "Precondition Required")                                        \
    XX(TOO_MANY_REQUESTS, 429, "Too Many Requests")                                                \
    XX(HEADERS_TOO_LARGE, 431, "Request Header Fields Too Large")                                  \
    XX(UNAVAILABLE_FOR_LEGAL_REASONS, 451, "Unavailable For Legal Reasons")                        \
    XX(INTERNAL_SERVER_ERROR, 500, "Internal Server Error")                                        \
    XX(NOT_IMPLEMENTED, 501, "Not Implemented")                                                    \
    XX(BAD_GATEWAY, 502, "Bad Gateway")                                                            \
    XX(SERVICE_UNAVAILABLE, 503, "Service Unavailable")                                            \
    XX(GATEWAY_TIMEOUT, 504, "Gateway Timeout")                                                    \
    XX(VERSION_NOT_SUPPORTED, 505, "HTTP Version Not Supported")                                   \
    XX(INSUFFICIENT_STORAGE, 507, "Insufficient Storage")

enum {
#define XX(name, code, phrase) RUC_HTTP_##name = (code),
    RUC_HTTP_STATUS_MAP(XX)
#undef XX
};

/* The reason phrase of a code; "" for one that is not in the list. Static memory, any thread. */
const char *ruc_http_reason(int status);

#endif
