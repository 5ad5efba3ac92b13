/* client_call.c - one transfer: options from the spec, the answer as it comes, the outcome. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "http/client_in.h"

#define DEFAULT_TIMEOUT 30000
#define DEFAULT_CONNECT 10000
#define DEFAULT_BODY ((size_t)8 << 20)
#define HEADER_BYTES 65536

/* ---- the answer as it comes ---- */

/* What has come of the answer; `headers` has room for RUC__CALL_HEADERS. */
static ruc_http_answer_t answer_of(ruc_http_call_t *call, ruc_http_header_t *headers)
{
    const char *at = ruc_buf_str(&call->text);
    long status = 0;
    for (size_t i = 0; i < call->header_count; i++) {
        headers[i].name = at;
        headers[i].value = at + strlen(at) + 1;
        at = headers[i].value + strlen(headers[i].value) + 1;
    }
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (ruc_http_answer_t){.status = (int)status,
                               .headers = headers,
                               .header_count = call->header_count,
                               .body = ruc_buf_str(&call->body),
                               .len = call->body.len};
}

/* A head is whole: tells of it, unless another one follows. */
static void head_complete(ruc_http_call_t *call)
{
    ruc_http_header_t headers[RUC__CALL_HEADERS];
    ruc_http_answer_t answer = answer_of(call, headers);
    bool redirect = call->follows && answer.status >= 300 && answer.status < 400;
    if (call->on_head != NULL && !call->cancelled && answer.status >= 200 && !redirect) {
        void (*on_head)(void *, const ruc_http_answer_t *) = call->on_head;
        call->on_head = NULL;
        on_head(call->arg, &answer);
    }
}

static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
    ruc_http_call_t *call = arg;
    (void)one;
    if (len >= 5 && strncasecmp(data, "HTTP/", 5) == 0) { /* a redirect's or a 100's are over */
        ruc_buf_clear(&call->text);
        call->header_count = 0;
        return len;
    }
    const char *colon = memchr(data, ':', len);
    size_t end = len;
    if (len == 2 && data[0] == '\r') {
        head_complete(call);
        return len;
    }
    while (end > 0 && strchr("\r\n \t", data[end - 1]) != NULL) {
        end--;
    }
    if (colon == NULL || memchr(data, '\0', len) != NULL || end == 0 ||
        call->header_count == RUC__CALL_HEADERS) {
        return len;
    }
    size_t name = (size_t)(colon - data), value = name + 1;
    while (value < end && (data[value] == ' ' || data[value] == '\t')) {
        value++;
    }
    size_t at = call->text.len;
    if (value > end || ruc_buf_reserve(&call->text, name + (end - value) + 2) < 0) {
        return len; /* beyond the bound further headers are left out */
    }
    (void)ruc_buf_add(&call->text, data, name); /* reserved */
    for (size_t i = 0; i < name; i++) {
        char *c = call->text.data + at + i;
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    (void)ruc_buf_add(&call->text, "", 1);
    (void)ruc_buf_add(&call->text, data + value, end - value);
    (void)ruc_buf_add(&call->text, "", 1);
    call->header_count++;
    return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    ruc_http_call_t *call = arg;
    (void)one;
    if (call->on_data != NULL && !call->cancelled) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->stop = call->on_data(call->arg, (int)status, data, len);
    } else if (call->on_data == NULL) {
        call->stop = ruc_buf_add(&call->body, data, len);
    }
    if (call->on_data != NULL && call->stop == RUC_HTTP_PAUSE && !call->cancelled) {
        call->stop = 0;
        return CURL_WRITEFUNC_PAUSE;
    }
    return call->stop == 0 && !call->cancelled ? len : CURL_WRITEFUNC_ERROR;
}

/* ---- options ---- */

static int add_line(ruc_http_call_t *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->list, line);
    if (list == NULL) {
        return UV_ENOMEM;
    }
    call->list = list;
    return 0;
}

static int set_headers(ruc_http_call_t *call, const ruc_http_call_spec_t *spec)
{
    bool typed = false;
    int rc = add_line(call, "Expect:"); /* libcurl would wait a second for a 100 */
    for (size_t i = 0; rc == 0 && i < spec->header_count; i++) {
        const ruc_http_header_t *header = &spec->headers[i];
        ruc_buf_t line;
        ruc_buf_init(&line, HEADER_BYTES);
        typed = typed || strcasecmp(header->name, "content-type") == 0;
        rc = header->value[0] == '\0' ? ruc_buf_addf(&line, "%s;", header->name)
                                      : ruc_buf_addf(&line, "%s: %s", header->name, header->value);
        rc = rc < 0 ? rc : add_line(call, line.data);
        ruc_buf_free(&line);
    }
    if (rc == 0 && !typed) {
        rc = add_line(call, "Content-Type:"); /* libcurl would say it is a form */
    }
    return rc;
}

static CURLcode set_method(CURL *easy, const ruc_http_call_spec_t *spec)
{
    const char *method = spec->method == NULL ? "GET" : spec->method;
    bool post = strcmp(method, "POST") == 0;
    CURLcode rc = CURLE_OK;
    if (strcmp(method, "HEAD") == 0) {
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (spec->body_len > 0 || post || strcmp(method, "PUT") == 0) {
        rc = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
        if (rc == CURLE_OK) {
            rc = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                                  spec->body_len > 0 ? spec->body : "");
        }
    }
    if (rc == CURLE_OK && !post && (spec->body_len > 0 || strcmp(method, "GET") != 0)) {
        rc = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
    return rc;
}

/* Sets an option once all before it were taken. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK) {                                                                      \
            rc = curl_easy_setopt(easy, option, value);                                            \
        }                                                                                          \
    } while (0)

static CURLcode set_bounds(CURL *easy, const ruc_http_call_spec_t *spec)
{
    CURLcode rc = CURLE_OK;
    int64_t whole = spec->timeout_ms == 0 ? DEFAULT_TIMEOUT : spec->timeout_ms;
    int64_t connect = spec->connect_timeout_ms <= 0 ? DEFAULT_CONNECT : spec->connect_timeout_ms;
    SET(CURLOPT_TIMEOUT_MS, whole < 0 ? 0L : (long)whole);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_MAXREDIRS, 5L);
    SET(CURLOPT_FOLLOWLOCATION, spec->follow_redirects ? 1L : 0L);
    SET(CURLOPT_PROXY, spec->proxy == NULL ? "" : spec->proxy); /* "": not from the environment */
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    SET(CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for a resolver thread */
#endif
    return rc;
}

static CURLcode set_all(ruc_http_call_t *call, const ruc_http_call_spec_t *spec)
{
    CURL *easy = call->easy;
    CURLcode rc = set_bounds(easy, spec);
    SET(CURLOPT_URL, spec->url);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HTTPHEADER, call->list);
    SET(CURLOPT_USERAGENT, "rucat/" RUCAT_VERSION);
    SET(CURLOPT_SSL_VERIFYPEER, spec->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, spec->insecure ? 0L : 2L);
    if (spec->fresh) {
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    if (spec->http2) {
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    }
    if (spec->unix_socket != NULL) {
        SET(CURLOPT_UNIX_SOCKET_PATH, spec->unix_socket);
    }
    if (spec->ca_file != NULL) {
        SET(CURLOPT_CAINFO, spec->ca_file);
    }
    if (spec->cert_file != NULL) {
        SET(CURLOPT_SSLCERT, spec->cert_file);
        SET(CURLOPT_SSLKEY, spec->key_file == NULL ? spec->cert_file : spec->key_file);
    }
    return rc == CURLE_OK ? set_method(easy, spec) : rc;
}

int ruc__call_prepare(ruc_http_call_t *call, const ruc_http_call_spec_t *spec, ruc_why_t *why)
{
    const char *url = spec->url == NULL ? "" : spec->url;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
        return ruc_why_set(why, RUC_EINVALID,
                           "\"%.200s\": the url must begin with http:// or https://", url);
    }
    for (const char *at = url; *at != '\0'; at++) {
        if ((unsigned char)*at <= 0x20 || *at == 0x7f) {
            return ruc_why_set(why, RUC_EINVALID, "the url holds a space or a control character");
        }
    }
    if (spec->method != NULL && !ruc_http_is_token(spec->method, strlen(spec->method))) {
        return ruc_why_set(why, RUC_EINVALID, "the method is not a word");
    }
    if (spec->header_count > 100 || !ruc_http_headers_valid(spec->headers, spec->header_count)) {
        return ruc_why_set(why, RUC_EINVALID, "%s",
                           spec->header_count > 100 ? "more than 100 headers"
                                                    : "a header holds a character that it may not");
    }
    if (spec->unix_socket != NULL && strlen(spec->unix_socket) > 107) {
        return ruc_why_set(why, RUC_EINVALID,
                           "the path of the unix socket is longer than 107 bytes");
    }
    ruc_buf_init(&call->text, HEADER_BYTES);
    ruc_buf_init(&call->body, spec->max_body == 0 ? DEFAULT_BODY : spec->max_body);
    call->on_data = spec->on_data;
    call->on_head = spec->on_head;
    call->follows = spec->follow_redirects;
    if (set_headers(call, spec) < 0) {
        return ruc_why_set(why, UV_ENOMEM, "no memory");
    }
    CURLcode rc = set_all(call, spec);
    return rc == CURLE_OK ? 0 : ruc_why_set(why, RUC_EINVALID, "%s", curl_easy_strerror(rc));
}

/* ---- the outcome ---- */

static int code_of(ruc_http_call_t *call, CURLcode result)
{
    long error = 0;
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &error);
    switch (result) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        return error > 0 ? -(int)error : UV_ECONNREFUSED; /* uv codes are -errno on Unix */
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return UV_EAI_NONAME;
    case CURLE_OPERATION_TIMEDOUT:
        return UV_ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY:
        return UV_ENOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return RUC_EINVALID;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return UV_ECONNRESET;
    case CURLE_WRITE_ERROR:
        return call->stop != 0 ? call->stop : RUC_EPROTO;
    default:
        return RUC_EPROTO;
    }
}

bool ruc_http_call_sent(const ruc_http_call_t *call)
{
    long bytes = 0;
    return curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &bytes) != CURLE_OK || bytes > 0;
}

void ruc__call_report(ruc_http_call_t *call, CURLcode result)
{
    int rc = code_of(call, result);
    if (rc != 0) {
        const char *text = rc == RUC_ETOOBIG        ? "the answer is larger than its bound"
                           : call->error[0] != '\0' ? call->error
                                                    : curl_easy_strerror(result);
        call->cb(call->arg, rc, NULL, text);
        return;
    }
    ruc_http_header_t headers[RUC__CALL_HEADERS];
    ruc_http_answer_t answer = answer_of(call, headers);
    call->cb(call->arg, 0, &answer, NULL);
}
