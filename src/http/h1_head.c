/* h1_head.c - from the bytes of a request's head to the fields of a stream.
 *
 * llhttp has cut the head into pieces; here everything is checked that two servers could read in
 * two ways (request smuggling): bare CR or LF, folded lines, odd header names, more than one Host,
 * a transfer coding other than chunked. Texts are terminated in place: the byte after a name, a
 * value or the target is a separator that the parser has passed. */
#include <string.h>
#include <strings.h>

#include "core/err.h"
#include "http/h1.h"
#include "http/uri.h"

/* True when every line ends in CRLF, no CR stands alone, and no line is folded. */
static bool lines_are_clean(const char *at, const char *end)
{
    while (at < end) {
        const char *cr = memchr(at, '\r', (size_t)(end - at));
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (cr == NULL || lf != cr + 1) {
            return false;
        }
        at = lf + 1;
        if (at < end && (*at == ' ' || *at == '\t')) {
            return false;
        }
    }
    return true;
}

/* Terminates a name and makes it lower case; false when it is not a token. */
static bool take_name(char *name, size_t len)
{
    if (!ruc_http_is_token(name, len)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c >= 'A' && c <= 'Z') {
            name[i] = (char)(c | 0x20);
        }
    }
    name[len] = '\0';
    return true;
}

/* Terminates a value without the white space around it; false when a control character is in it. */
static bool take_value(char *value, size_t len, const char **out)
{
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    value[len] = '\0';
    while (*value == ' ' || *value == '\t') {
        value++;
    }
    *out = value;
    return true;
}

static bool take_headers(ruc__h1_work_t *work)
{
    for (size_t i = 0; i < work->header_count; i++) {
        const ruc__h1_slot_t *slot = &work->slots[i];
        char *name = work->in + slot->name;
        work->headers[i].name = name;
        if (!take_name(name, slot->name_len)) {
            return false;
        }
        if (slot->value_len == 0) {
            work->headers[i].value = "";
        } else if (!take_value(work->in + slot->value, slot->value_len, &work->headers[i].value)) {
            return false;
        }
    }
    work->stream.headers = work->headers;
    work->stream.header_count = work->header_count;
    return true;
}

/* A host with an optional port, nothing that could be read in two ways. */
static bool authority_is_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c >= 0x7f || strchr("/?#@\\,\"<>{}|^`", c) != NULL) {
            return false;
        }
    }
    return true;
}

/* Copies `len` bytes with a NUL into `text`, which has the room: pointers into it stay. */
static const char *keep(ruc_buf_t *text, const char *from, size_t len)
{
    const char *at = text->data + text->len;
    (void)ruc_buf_add(text, from, len); /* reserved by the caller */
    (void)ruc_buf_add(text, "", 1);
    return at;
}

/* Splits the target into authority, path and query. */
static int take_target(ruc__h1_work_t *work, const char **detail)
{
    ruc_http_stream_t *stream = &work->stream;
    char *target = work->in + work->target;
    size_t len = work->target_len;
    target[len] = '\0';
    *detail = "the request target is not valid";
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7f ||
            target[i] == '#') {
            return RUC_HTTP_BAD_REQUEST;
        }
    }
    ruc_buf_clear(&work->text);
    if (ruc_buf_reserve(&work->text, 3 * len + 8) < 0) {
        *detail = "no memory";
        return RUC_HTTP_SERVICE_UNAVAILABLE;
    }
    const char *path = target;
    stream->target = target;
    stream->authority = "";
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        const char *host = strchr(target, ':') + 3;
        size_t host_len = strcspn(host, "/?");
        if (host_len == 0 || !authority_is_clean(host, host_len)) {
            return RUC_HTTP_BAD_REQUEST;
        }
        stream->authority = keep(&work->text, host, host_len);
        path = host + host_len;
    } else if (target[0] != '/' &&
               !(len == 1 && target[0] == '*' && work->parser.method == HTTP_OPTIONS)) {
        return RUC_HTTP_BAD_REQUEST;
    }
    size_t path_len = strcspn(path, "?");
    stream->query = path[path_len] == '?' ? path + path_len + 1 : NULL;
    bool empty = path_len == 0; /* "http://host?x" asks for "/" */
    stream->raw_path = keep(&work->text, empty ? "/" : path, empty ? 1 : path_len);
    stream->path = stream->raw_path;
    if (memchr(stream->raw_path, '%', path_len) != NULL) {
        char *decoded = work->text.data + work->text.len;
        if (ruc_http_decode(stream->raw_path, path_len, false, decoded) >= 0) {
            stream->path = decoded; /* within what was reserved; nothing is added after it */
        }
    }
    return 0;
}

/* Takes the peer's x-request-id where it is harmless in logs and headers, else makes one. */
static void take_request_id(ruc__h1_work_t *work, const char *given)
{
    size_t len = given == NULL ? 0 : strlen(given);
    bool safe = len >= 1 && len <= 64;
    for (size_t i = 0; safe && i < len; i++) {
        unsigned char c = (unsigned char)given[i];
        safe = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
               c == '_' || c == '.' || c == ':';
    }
    if (safe) {
        memcpy(work->id, given, len + 1);
    } else {
        ruc_id_ulid(work->id);
    }
    work->stream.request_id = work->id;
}

/* Looks at the headers that mean something to the protocol. */
static int known_headers(ruc__h1_work_t *work, const char **detail)
{
    const char *host = NULL, *coding = NULL, *id = NULL;
    for (size_t i = 0; i < work->header_count; i++) {
        const char *name = work->headers[i].name, *value = work->headers[i].value;
        if (strcmp(name, "host") == 0) {
            if (host != NULL || !authority_is_clean(value, strlen(value))) {
                *detail = host != NULL ? "more than one Host" : "the Host is not valid";
                return RUC_HTTP_BAD_REQUEST;
            }
            host = value;
        } else if (strcmp(name, "transfer-encoding") == 0) {
            if (coding != NULL || strcasecmp(value, "chunked") != 0 || work->minor0) {
                *detail = "the only transfer coding is chunked, in HTTP/1.1";
                return RUC_HTTP_BAD_REQUEST;
            }
            coding = value;
        } else if (strcmp(name, "x-request-id") == 0 && id == NULL) {
            id = value;
        }
    }
    if (host == NULL && !work->minor0) {
        *detail = "HTTP/1.1 needs a Host";
        return RUC_HTTP_BAD_REQUEST;
    }
    if (work->stream.authority[0] == '\0' && host != NULL) {
        work->stream.authority = host;
    }
    take_request_id(work, id);
    return 0;
}

int ruc__h1_head(ruc__h1_work_t *work, const char **detail)
{
    ruc_http_stream_t *stream = &work->stream;
    const char *at = work->in + work->start, *end = work->in + work->head_end;
    while (at < end && (*at == '\r' || *at == '\n')) {
        at++; /* an empty line before a request, RFC 9112 2.2 */
    }
    if (work->fold || !lines_are_clean(at, end)) {
        *detail = "lines must end in CR LF and may not be folded";
        return RUC_HTTP_BAD_REQUEST;
    }
    if (work->parser.http_major != 1 || work->parser.http_minor > 1) {
        *detail = "HTTP/1.0 or HTTP/1.1, please";
        return RUC_HTTP_VERSION_NOT_SUPPORTED;
    }
    work->minor0 = work->parser.http_minor == 0;
    if (work->parser.method == HTTP_CONNECT) {
        *detail = "CONNECT is not for this server";
        return RUC_HTTP_NOT_IMPLEMENTED;
    }
    stream->method = llhttp_method_name((llhttp_method_t)work->parser.method);
    stream->scheme = "http";
    work->head_only = work->parser.method == HTTP_HEAD;
    int status = take_target(work, detail);
    if (status != 0) {
        return status;
    }
    if (!take_headers(work)) {
        *detail = "a header is not valid";
        return RUC_HTTP_BAD_REQUEST;
    }
    return known_headers(work, detail);
}
