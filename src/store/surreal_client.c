/* surreal_client.c - see surreal_client.h and surreal_in.h: calls, their tries, the state.
 *
 * Every request names a session of our own, attached and signed in once (surreal_session.c), and
 * carries no token and no namespace headers: SurrealDB 3.0 keeps what such headers say in one slot
 * that all requests without a session share, so that a question beside another client's was
 * answered from the other's namespace (10 of 2,400, tried). The session lives in the server's
 * memory: one that it does not know any more means that the server was started again, and then the
 * database is looked at before anything else is asked. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "store/surreal_in.h"

#define TRY_MS 5000     /* one try of a call */
#define CONNECT_MS 2000 /* to get a connection */
#define DOWN_MS 600     /* so long checks must have failed: then it is down */
#define BODY_SLACK 4096 /* what a request has beside its text and its variables */
#define LEAVE_MS 500    /* to tell it that a session is over */
#define REFUSED_MAX 3   /* times a call waits for another sign-in */

static void turn(ruc_surreal_t *surreal);
static ruc_surreal_call_t *make_call(ruc_surreal_t *surreal, const char *method,
                                     const uint8_t *leaving, const ruc__cbor_t *params,
                                     int64_t timeout_ms, ruc_surreal_cb cb, void *arg,
                                     ruc_why_t *why);

static uint64_t random_below(uint64_t bound)
{
    uint64_t number;
    ruc_id_random(&number, sizeof number);
    return bound == 0 ? 0 : number % bound;
}

/* ---- the timer: it fires when the first of those who wait wants something ---- */

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

static void arm(ruc_surreal_t *surreal)
{
    uint64_t now = ruc_clock_mono_ms(), first = UINT64_MAX;
    const ruc_surreal_call_t *call;
    TAILQ_FOREACH(call, &surreal->calls, all)
    {
        if (!call->http) {
            bool due = call->rc != 0 || call->probe || surreal->state == RUC__SURREAL_UP;
            uint64_t at =
                due && call->retry_ms < call->deadline_ms ? call->retry_ms : call->deadline_ms;
            at = surreal->state == RUC__SURREAL_DOWN ? now : at; /* it fails at once */
            first = at < first ? at : first;
        }
    }
    if (surreal->state != RUC__SURREAL_UP && !surreal->checking && surreal->check_ms < first) {
        first = surreal->check_ms;
    }
    if (surreal->closing) {
        return;
    }
    if (first == UINT64_MAX) {
        uv_timer_stop(&surreal->timer);
    } else {
        uv_update_time(surreal->timer.loop);
        uv_timer_start(&surreal->timer, on_timer, first > now ? first - now : 0, 0);
    }
}

/* ---- the end of a call ---- */

static void call_free(ruc_surreal_call_t *call)
{
    TAILQ_REMOVE(&call->surreal->calls, call, all);
    call->surreal->count--;
    if (call->http) {
        ruc_http_call_cancel(call->http);
    }
    ruc_buf_free(&call->body);
    free(call);
}

static void finish(ruc_surreal_call_t *call, int rc, const cbor_item_t *results)
{
    ruc_surreal_cb cb = call->cb;
    void *arg = call->arg;
    char trouble[sizeof call->trouble];
    memcpy(trouble, call->trouble, sizeof trouble);
    call_free(call);
    cb(arg, rc, results, rc == 0 ? NULL : trouble);
}

void ruc_surreal_cancel(ruc_surreal_call_t *call)
{
    call_free(call);
}

/* ---- the state ---- */

void ruc__surreal_suspect(ruc_surreal_t *surreal, const char *why)
{
    if (surreal->state == RUC__SURREAL_UP) {
        snprintf(surreal->trouble, sizeof surreal->trouble, "%s", why);
        surreal->state = RUC__SURREAL_CHECKED;
        surreal->failed = 0;
        surreal->since_ms = surreal->check_ms = ruc_clock_mono_ms();
        arm(surreal);
    }
}

void ruc__surreal_fresh(ruc_surreal_t *surreal)
{
    ruc_id_random(surreal->fresh, sizeof surreal->fresh);
    surreal->fresh[6] = (uint8_t)((surreal->fresh[6] & 0x0f) | 0x40); /* a version 4 UUID */
    surreal->fresh[8] = (uint8_t)((surreal->fresh[8] & 0x3f) | 0x80);
    surreal->has_fresh = false;
}

/* The server does not know it, or forgets it at its next start. */
static void on_left(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    (void)arg, (void)rc, (void)results, (void)error;
}

static ruc_surreal_call_t *leave(ruc_surreal_t *surreal, const uint8_t *session, ruc_surreal_cb cb)
{
    ruc__cbor_t params;
    ruc__cbor_init(&params, 64);
    ruc__cbor_array(&params, 0);
    ruc_surreal_call_t *call =
        make_call(surreal, "detach", session, &params, LEAVE_MS, cb, surreal, NULL);
    ruc__cbor_free(&params);
    return call;
}

/* The session of a check that went well takes the place of the one before; of another it goes. */
static void keep_session(ruc_surreal_t *surreal, bool good)
{
    uint8_t old[16];
    bool leaves = good ? surreal->has_session : surreal->has_fresh;
    memcpy(old, good ? surreal->session : surreal->fresh, sizeof old);
    if (good) {
        memcpy(surreal->session, surreal->fresh, sizeof surreal->session);
        surreal->has_session = true;
    }
    surreal->has_fresh = false;
    if (leaves) {
        (void)leave(surreal, old, on_left);
    }
}

void ruc__surreal_checked(ruc_surreal_t *surreal, int rc, const char *why)
{
    uint64_t now = ruc_clock_mono_ms();
    bool light = surreal->light;
    surreal->checking = surreal->light = false;
    if (light && (surreal->session_lost || rc == RUC_EREFUSED)) {
        surreal->light_failed = true; /* it answers, but not on this session: from the start */
        surreal->check_ms = now;
        arm(surreal);
        return;
    }
    if (!light) {
        keep_session(surreal, rc == 0);
    }
    if (rc == 0) {
        surreal->state = RUC__SURREAL_UP;
        surreal->failed = 0;
        surreal->light_failed = surreal->session_lost = false;
    } else {
        snprintf(surreal->trouble, sizeof surreal->trouble, "%s", why);
        unsigned shift = surreal->failed < 4 ? surreal->failed : 4;
        uint64_t wait = 200u << shift > 2000 ? 2000 : 200u << shift;
        surreal->check_ms = now + wait - random_below(wait / 4);
        surreal->failed++;
        if (now - surreal->since_ms >= DOWN_MS || rc == RUC_EREFUSED) {
            surreal->state = RUC__SURREAL_DOWN;
        }
    }
    if (surreal->config.on_checked) {
        surreal->config.on_checked(surreal->config.arg, rc, surreal->trouble);
    }
    arm(surreal);
}

/* ---- one try ---- */

/* This try led to nothing: another one later, or the end. `sent`: it may have been carried out. */
static void failed_try(ruc_surreal_call_t *call, bool sent, const char *why)
{
    ruc_surreal_t *surreal = call->surreal;
    snprintf(call->trouble, sizeof call->trouble, "%s", why);
    if (sent && !call->again) {
        finish(call, RUC_EUNSURE, NULL);
        return;
    }
    if (call->probe) {
        finish(call, RUC_ESTORE, NULL);
        return;
    }
    uint64_t wait = 20u << (call->tries < 6 ? call->tries : 6);
    call->retry_ms = ruc_clock_mono_ms() + wait / 2 + random_below(wait);
    arm(surreal);
}

/* The server refused it: nothing was carried out. */
static void refused(ruc_surreal_call_t *call, const char *message)
{
    bool known = strncmp(message, "Session not found", 17) != 0 && !strstr(message, "expired") &&
                 !strstr(message, "Anonymous access");
    snprintf(call->trouble, sizeof call->trouble, "%s", message);
    call->surreal->session_lost = call->surreal->session_lost || !known;
    if (strstr(message, "can be retried")) {
        failed_try(call, false, message);
    } else if (known || call->probe || ++call->refused > REFUSED_MAX) {
        finish(call, RUC_ESTORE, NULL);
    } else {
        ruc__surreal_suspect(call->surreal, message);
        failed_try(call, false, message);
    }
}

/* Does an entry say that all of it may be tried again? */
static bool is_retryable(const ruc_surreal_call_t *call, const cbor_item_t *results)
{
    char text[320];
    size_t n = ruc__cbor_count(results);
    for (size_t i = 0; (n == 1 || call->again) && i < n; i++) {
        const char *error = ruc__surreal_error(ruc__cbor_at(results, i), text, sizeof text);
        if (error && strstr(error, "can be retried")) {
            return true;
        }
    }
    return false;
}

static void answered(ruc_surreal_call_t *call, const cbor_item_t *answer)
{
    char text[320];
    const cbor_item_t *error = ruc__cbor_get(answer, "error");
    const cbor_item_t *result = ruc__cbor_get(answer, "result");
    if (error) {
        refused(call, ruc__surreal_text(ruc__cbor_get(error, "message"), text, sizeof text));
    } else if (is_retryable(call, result)) {
        failed_try(call, false, "the database has too many conflicts");
    } else {
        finish(call, 0, result);
    }
}

/* An answer that is none of SurrealDB's own. */
static void wrong_status(ruc_surreal_call_t *call, int status)
{
    char text[200];
    snprintf(text, sizeof text, "SurrealDB answered with HTTP status %d%s", status,
             status == 401 || status == 403 ? ": not allowed"
             : status == 413                ? ": the question is too large"
             : status == 404                ? ": it is not a SurrealDB, or its /rpc is closed"
                                            : "");
    if (status >= 500 || status == 429) {
        if (!call->probe) {
            ruc__surreal_suspect(call->surreal, text);
        }
        failed_try(call, status != 429, text);
        return;
    }
    snprintf(call->trouble, sizeof call->trouble, "%s", text);
    finish(call, status == 413 ? RUC_ETOOBIG : RUC_ESTORE, NULL);
}

static void on_http(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    ruc_surreal_call_t *call = arg;
    bool sent = rc == 0 || ruc_http_call_sent(call->http);
    call->http = NULL;
    if (rc == RUC_ETOOBIG) {
        snprintf(call->trouble, sizeof call->trouble, "the answer is larger than its bound");
        finish(call, RUC_ETOOBIG, NULL);
        return;
    }
    if (rc < 0) {
        char text[300];
        snprintf(text, sizeof text, "SurrealDB is not reached: %s", error);
        if (!call->probe) {
            ruc__surreal_suspect(call->surreal, text);
        }
        failed_try(call, sent, text);
        return;
    }
    if (answer->status != 200) {
        wrong_status(call, answer->status);
        return;
    }
    cbor_item_t *item = ruc__cbor_load(answer->body, answer->len);
    if (!item || !cbor_isa_map(item)) {
        if (!call->probe) {
            ruc__surreal_suspect(call->surreal, "what answers is not SurrealDB");
        }
        failed_try(call, true, "the answer is not SurrealDB's");
    } else {
        answered(call, item);
    }
    if (item) {
        cbor_decref(&item);
    }
}

/* Asks now. False when that could not even begin; the call then waits. */
static void send_call(ruc_surreal_call_t *call)
{
    static const ruc_http_header_t headers[] = {{"content-type", "application/cbor"},
                                                {"accept", "application/cbor"}};
    ruc_surreal_t *surreal = call->surreal;
    uint64_t now = ruc_clock_mono_ms();
    int64_t left = (int64_t)(call->deadline_ms - now);
    ruc_http_call_spec_t spec = {.method = "POST",
                                 .url = surreal->rpc_url,
                                 .headers = headers,
                                 .header_count = 2,
                                 .body = call->body.data,
                                 .body_len = call->body.len,
                                 .timeout_ms = left < TRY_MS ? left : TRY_MS,
                                 .connect_timeout_ms = CONNECT_MS,
                                 .max_body = RUC__SURREAL_ANSWER,
                                 .ca_file = surreal->ca_file};
    ruc_why_t why = {""};
    if (!call->leaves) {
        memcpy(call->body.data + call->session_at, call->probe ? surreal->fresh : surreal->session,
               sizeof surreal->session);
    }
    call->tries++;
    call->http = ruc_http_client_send(surreal->http, &spec, on_http, call, &why);
    if (!call->http) {
        snprintf(call->trouble, sizeof call->trouble, "%.300s", why.text);
        call->rc = RUC_ESTORE;
        call->retry_ms = now;
        arm(surreal);
    }
}

/* ---- what waits ---- */

static bool is_over(ruc_surreal_call_t *call, uint64_t now)
{
    ruc_surreal_t *surreal = call->surreal;
    if (call->http) {
        return false;
    }
    if (call->rc == 0 && surreal->state == RUC__SURREAL_DOWN && !call->probe) {
        snprintf(call->trouble, sizeof call->trouble, "%.*s", (int)sizeof call->trouble - 1,
                 surreal->trouble);
        call->rc = RUC_ESTORE;
    } else if (call->rc == 0 && now >= call->deadline_ms) {
        if (call->trouble[0] == '\0') {
            snprintf(call->trouble, sizeof call->trouble, "SurrealDB did not answer in time");
        }
        call->rc = RUC_ESTORE;
    }
    return call->rc != 0;
}

/* Ends what is over, asks what is due, begins a check. A callback may make and cancel calls, so the
 * list is begun anew after each. */
static void turn(ruc_surreal_t *surreal)
{
    uint64_t now = ruc_clock_mono_ms();
    size_t ends = surreal->count; /* a caller may ask again from inside: not for ever */
    ruc_surreal_call_t *call = TAILQ_FIRST(&surreal->calls), *next;
    for (; call && !surreal->closing; call = next) {
        next = TAILQ_NEXT(call, all);
        if (is_over(call, now)) {
            finish(call, call->rc, NULL);
            next = ends-- > 0 ? TAILQ_FIRST(&surreal->calls) : NULL;
        } else if (!call->http && call->retry_ms <= now &&
                   (surreal->state == RUC__SURREAL_UP || call->probe)) {
            send_call(call);
        }
    }
    if (surreal->closing) {
        return;
    }
    if (surreal->state != RUC__SURREAL_UP && !surreal->checking && surreal->check_ms <= now) {
        surreal->checking = true;
        ruc__surreal_connect(surreal);
    }
    arm(surreal);
}

/* ---- making calls ---- */

static ruc_surreal_call_t *call_new(ruc_surreal_t *surreal, int64_t timeout_ms, ruc_surreal_cb cb,
                                    void *arg, ruc_why_t *why)
{
    if (surreal->closing || surreal->count >= RUC__SURREAL_CALLS) {
        ruc_why_set(why, RUC_EFULL, "%s",
                    surreal->closing ? "the connection to SurrealDB is being closed"
                                     : "too many questions to SurrealDB are under way");
        return NULL;
    }
    ruc_surreal_call_t *call = calloc(1, sizeof *call);
    if (!call) {
        ruc_why_set(why, UV_ENOMEM, "no memory");
        return NULL;
    }
    uint64_t now = ruc_clock_mono_ms();
    call->surreal = surreal;
    call->cb = cb;
    call->arg = arg;
    call->retry_ms = now;
    call->deadline_ms = now + (uint64_t)(timeout_ms > 0 ? timeout_ms : 1);
    TAILQ_INSERT_TAIL(&surreal->calls, call, all);
    surreal->count++;
    return call;
}

/* Writes {id, method, session, params}; which session it is may change with each try. 0,
 * RUC_ETOOBIG, UV_ENOMEM. */
static int write_body(ruc_surreal_call_t *call, const char *method, const uint8_t *session,
                      const ruc__cbor_t *params)
{
    ruc__cbor_t out;
    ruc__cbor_init(&out, RUC__SURREAL_BODY);
    ruc__cbor_map(&out, 4);
    ruc__cbor_str(&out, "id");
    ruc__cbor_int(&out, 1);
    ruc__cbor_str(&out, "method");
    ruc__cbor_str(&out, method);
    ruc__cbor_str(&out, "session");
    ruc__cbor_tag(&out, RUC_CBOR_UUID);
    ruc__cbor_bytes(&out, session, sizeof call->surreal->session);
    call->session_at = out.buf.len - (out.rc == 0 ? sizeof call->surreal->session : 0);
    ruc__cbor_str(&out, "params");
    ruc__cbor_raw(&out, params->buf.data, params->buf.len);
    call->body = out.buf;
    return params->rc < 0 ? params->rc : out.rc;
}

/* A call that may be told as to be repeated, and as a probe; it is not asked yet. `leaving`: the
 * session that it ends. */
static ruc_surreal_call_t *prepare(ruc_surreal_t *surreal, const char *method,
                                   const uint8_t *leaving, const ruc__cbor_t *params,
                                   int64_t timeout_ms, ruc_surreal_cb cb, void *arg, ruc_why_t *why)
{
    ruc_surreal_call_t *call = call_new(surreal, timeout_ms, cb, arg, why);
    if (!call) {
        return NULL;
    }
    int rc = write_body(call, method, leaving ? leaving : surreal->session, params);
    if (rc < 0) {
        ruc_why_set(why, rc, "%s",
                    rc == RUC_ETOOBIG ? "a question to SurrealDB may have 4 MiB" : "no memory");
        call_free(call);
        return NULL;
    }
    call->leaves = leaving != NULL;
    return call;
}

static void begin(ruc_surreal_call_t *call)
{
    if (call->probe || call->surreal->state == RUC__SURREAL_UP) {
        send_call(call);
    } else {
        arm(call->surreal);
    }
}

static ruc_surreal_call_t *make_call(ruc_surreal_t *surreal, const char *method,
                                     const uint8_t *leaving, const ruc__cbor_t *params,
                                     int64_t timeout_ms, ruc_surreal_cb cb, void *arg,
                                     ruc_why_t *why)
{
    ruc_surreal_call_t *call = prepare(surreal, method, leaving, params, timeout_ms, cb, arg, why);
    if (call) {
        call->again = call->probe = true;
        begin(call);
    }
    return call;
}

ruc_surreal_call_t *ruc__surreal_ask(ruc_surreal_t *surreal, const char *sql,
                                     const ruc__cbor_t *vars, bool again, bool probe,
                                     int64_t timeout_ms, ruc_surreal_cb cb, void *arg,
                                     ruc_why_t *why)
{
    ruc__cbor_t params;
    ruc__cbor_init(&params, RUC__SURREAL_BODY - BODY_SLACK);
    ruc__cbor_array(&params, vars ? 2 : 1);
    ruc__cbor_str(&params, sql);
    if (vars) {
        ruc__cbor_raw(&params, vars->buf.data, vars->buf.len);
        params.rc = vars->rc < 0 ? vars->rc : params.rc;
    }
    ruc_surreal_call_t *call = prepare(surreal, "query", NULL, &params, timeout_ms, cb, arg, why);
    ruc__cbor_free(&params);
    if (call) {
        call->again = again;
        call->probe = probe;
        begin(call);
    }
    return call;
}

ruc_surreal_call_t *ruc__surreal_method(ruc_surreal_t *surreal, const char *method,
                                        const ruc__cbor_t *params, int64_t timeout_ms,
                                        ruc_surreal_cb cb, void *arg, ruc_why_t *why)
{
    return make_call(surreal, method, NULL, params, timeout_ms, cb, arg, why);
}

ruc_surreal_call_t *ruc_surreal_query(ruc_surreal_t *surreal, const char *sql,
                                      const cbor_item_t *vars, bool again, int64_t timeout_ms,
                                      ruc_surreal_cb cb, void *arg, ruc_why_t *why)
{
    ruc__cbor_t encoded;
    ruc__cbor_init(&encoded, RUC__SURREAL_BODY);
    if (vars) {
        unsigned char *bytes = NULL;
        size_t size = 0, len = cbor_serialize_alloc(vars, &bytes, &size);
        encoded.rc = len == 0 ? UV_ENOMEM : 0;
        ruc__cbor_raw(&encoded, bytes, len);
        free(bytes);
    }
    ruc_surreal_call_t *call = ruc__surreal_ask(surreal, sql, vars ? &encoded : NULL, again, false,
                                                timeout_ms, cb, arg, why);
    ruc__cbor_free(&encoded);
    return call;
}

/* ---- reading what failed ---- */

const char *ruc__surreal_text(const cbor_item_t *message, char *out, size_t size)
{
    (void)ruc__cbor_copy(message, out, size); /* cut is fine */
    if (out[0] == '\0') {
        snprintf(out, size, "SurrealDB gave no reason");
    }
    return out;
}

const char *ruc__surreal_error(const cbor_item_t *entry, char *out, size_t size)
{
    if (ruc__cbor_equals(ruc__cbor_get(entry, "status"), "OK")) {
        return NULL;
    }
    return ruc__surreal_text(ruc__cbor_get(entry, "result"), out, size);
}

/* ---- opening, closing ---- */

static char *copy(const char *text)
{
    return text && text[0] != '\0' ? strdup(text) : NULL;
}

static void free_surreal(ruc_surreal_t *surreal)
{
    if (surreal->password) {
        explicit_bzero(surreal->password, strlen(surreal->password));
    }
    free(surreal->url);
    free(surreal->name_space);
    free(surreal->database);
    free(surreal->user);
    free(surreal->password);
    free(surreal->ca_file);
    free(surreal);
}

static int set_url(ruc_surreal_t *surreal, const char *url, ruc_why_t *why)
{
    size_t len = url ? strlen(url) : 0;
    bool fine = url && (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
    if (!fine || len > 1000 || strpbrk(url, "?#@ ")) {
        return ruc_why_set(
            why, RUC_EINVALID,
            "store.url is \"%.100s\"; expected http://HOST:PORT or https://HOST:PORT",
            url ? url : "");
    }
    while (url[len - 1] == '/') {
        len--;
    }
    if (len > 4 && memcmp(url + len - 4, "/rpc", 4) == 0) {
        len -= 4;
    }
    snprintf(surreal->rpc_url, sizeof surreal->rpc_url, "%.*s/rpc", (int)len, url);
    snprintf(surreal->version_url, sizeof surreal->version_url, "%.*s/version", (int)len, url);
    surreal->url = strndup(url, len);
    return surreal->url ? 0 : UV_ENOMEM;
}

int ruc__surreal_new(uv_loop_t *loop, const ruc__surreal_config_t *config, ruc_surreal_t **out,
                     ruc_why_t *why)
{
    ruc_surreal_t *surreal = calloc(1, sizeof *surreal);
    if (!surreal) {
        return ruc_why_set(why, UV_ENOMEM, "no memory");
    }
    TAILQ_INIT(&surreal->calls);
    surreal->config = *config;
    surreal->level = -1;
    surreal->state = RUC__SURREAL_CHECKED;
    surreal->name_space = copy(config->name_space);
    surreal->database = copy(config->database);
    surreal->user = copy(config->user);
    surreal->password = copy(config->password);
    surreal->ca_file = copy(config->ca_file);
    int rc = set_url(surreal, config->url, why);
    if (rc == 0 && (!surreal->name_space || !surreal->database)) {
        rc = ruc_why_set(why, RUC_EINVALID, "store.namespace and store.database must have a name");
    }
    if (rc == 0 && !(surreal->http = ruc_http_client_new(loop))) {
        rc = ruc_why_set(why, UV_ENOMEM, "no memory");
    }
    if (rc == 0 && (rc = uv_timer_init(loop, &surreal->timer)) < 0) {
        ruc_http_client_close(surreal->http);
    }
    if (rc < 0) {
        free_surreal(surreal);
        return rc;
    }
    surreal->timer.data = surreal;
    surreal->since_ms = surreal->check_ms = ruc_clock_mono_ms();
    uv_timer_start(&surreal->timer, on_timer, 0, 0);
    *out = surreal;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    ruc_surreal_t *surreal = handle->data;
    void (*closed)(void *) = surreal->closed;
    void *arg = surreal->config.arg;
    free_surreal(surreal);
    if (closed) {
        closed(arg);
    }
}

static void end_all(ruc_surreal_t *surreal)
{
    ruc_surreal_call_t *call;
    while ((call = TAILQ_FIRST(&surreal->calls))) {
        call_free(call);
    }
    ruc_http_client_close(surreal->http);
    uv_close((uv_handle_t *)&surreal->timer, on_timer_closed);
}

/* The session is gone, or the server does not answer: it forgets it at its next start. */
static void on_detached(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    (void)rc, (void)results, (void)error;
    end_all(arg);
}

void ruc__surreal_close(ruc_surreal_t *surreal, void (*closed)(void *arg))
{
    ruc_surreal_call_t *call;
    surreal->closed = closed;
    uv_timer_stop(&surreal->timer);
    while ((call = TAILQ_FIRST(&surreal->calls))) {
        call_free(call);
    }
    call = NULL;
    if (surreal->has_session && surreal->state == RUC__SURREAL_UP) {
        call = leave(surreal, surreal->session, on_detached);
    }
    surreal->closing = true;
    uv_timer_stop(&surreal->timer);
    if (!call || !call->http) {
        end_all(surreal);
    }
}
