/* client.c - see client.h. libcurl tells which sockets it wants watched and when to be called next;
 * the loop does that and calls it back.
 *
 * libcurl may not be entered from its own callbacks, so a call that is made or cancelled inside
 * on_data waits until libcurl has returned (`untidy`). */
#include "http/client.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/log.h"
#include "http/client_in.h"

/* A socket of libcurl's that the loop watches. */
typedef struct watch {
    uv_poll_t poll;
    ruc_http_client_t *client;
    curl_socket_t fd;
} watch_t;

static void handle_gone(ruc_http_client_t *client)
{
    if (--client->handles == 0 && client->closing) {
        free(client);
    }
}

/* ---- calls ---- */

/* Frees a call that libcurl does not hold; its easy handle is kept for the next one. */
static void call_free(ruc_http_call_t *call)
{
    ruc_http_client_t *client = call->client;
    TAILQ_REMOVE(&client->calls, call, all);
    client->active--;
    curl_easy_reset(call->easy);
    if (client->idle_count < RUC__IDLE_EASIES && !client->closing) {
        client->idle[client->idle_count++] = call->easy;
    } else {
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->list);
    ruc_buf_free(&call->text);
    ruc_buf_free(&call->body);
    free(call);
}

static void take_out(ruc_http_call_t *call)
{
    if (call->added) {
        call->added = false;
        CURLMcode rc = curl_multi_remove_handle(call->client->multi, call->easy);
        (void)RUC_FAILS(rc != CURLM_OK);
    }
}

/* Ends a call with its callback. */
static void finish(ruc_http_call_t *call, CURLcode result)
{
    take_out(call);
    if (!call->cancelled) {
        call->cancelled = true; /* a cancel in the callback does nothing */
        ruc__call_report(call, result);
    }
    call_free(call);
}

/* Adds and removes what could not be while libcurl ran. */
static void tidy(ruc_http_client_t *client)
{
    client->untidy = false;
    ruc_http_call_t *call = TAILQ_FIRST(&client->calls), *next;
    for (; call != NULL && !client->closing; call = next) {
        next = TAILQ_NEXT(call, all);
        if (call->cancelled) {
            take_out(call);
            call_free(call);
        } else if (!call->added) {
            call->added = curl_multi_add_handle(client->multi, call->easy) == CURLM_OK;
            if (!call->added) {
                finish(call, CURLE_OUT_OF_MEMORY);
                next = TAILQ_FIRST(&client->calls); /* the callback may have changed the list */
            }
        }
    }
}

/* After libcurl ran: tidies up and reports what is complete. */
static void after(ruc_http_client_t *client)
{
    if (client->untidy) {
        tidy(client);
    }
    CURLMsg *message;
    int left = 0;
    while (!client->closing && (message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            char *private = NULL;
            CURLcode result = message->data.result; /* the message dies with the removal */
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            finish((ruc_http_call_t *)private, result);
        }
    }
}

static void act(ruc_http_client_t *client, curl_socket_t fd, int events)
{
    int running = 0;
    client->inside = true;
    CURLMcode rc = curl_multi_socket_action(client->multi, fd, events, &running);
    client->inside = false;
    (void)RUC_FAILS(rc != CURLM_OK);
    after(client);
}

/* ---- what libcurl wants ---- */

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    ruc_http_client_t *client = arg;
    if (client->closing) {
        return 0;
    }
    int rc = ms < 0 ? uv_timer_stop(&client->timer)
                    : uv_timer_start(&client->timer, on_timer, (uint64_t)ms, 0);
    return RUC_FAILS(rc < 0) ? -1 : 0;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    watch_t *watch = poll->data;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    what |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    act(watch->client, watch->fd, what);
}

static void on_watch_closed(uv_handle_t *handle)
{
    watch_t *watch = handle->data;
    ruc_http_client_t *client = watch->client;
    free(watch);
    handle_gone(client);
}

static watch_t *watch_new(ruc_http_client_t *client, curl_socket_t fd)
{
    watch_t *watch = calloc(1, sizeof *watch);
    if (watch == NULL || uv_poll_init_socket(client->loop, &watch->poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->client = client;
    watch->fd = fd;
    client->handles++;
    if (curl_multi_assign(client->multi, fd, watch) != CURLM_OK) {
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return NULL;
    }
    return watch;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
    (void)easy;
    ruc_http_client_t *client = arg;
    watch_t *watch = mine;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
            (void)curl_multi_assign(client->multi, fd, NULL); /* libcurl forgets it anyway */
        }
        return 0;
    }
    if (watch == NULL) {
        watch = watch_new(client, fd);
        if (watch == NULL) {
            return -1; /* libcurl fails the transfers */
        }
    }
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&watch->poll, events, on_event) < 0 ? -1 : 0;
}

/* ---- the face ---- */

ruc_http_client_t *ruc_http_client_new(uv_loop_t *loop)
{
    static bool ready;
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return NULL;
    }
    ready = true;
    ruc_http_client_t *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    client->loop = loop;
    client->multi = curl_multi_init();
    TAILQ_INIT(&client->calls);
    bool fine = client->multi != NULL;
    fine = fine && curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == 0;
    fine = fine && curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == 0;
    fine = fine && curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer) == 0;
    fine = fine && curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) == 0;
    fine = fine && curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 64L) == 0;
    if (!fine || uv_timer_init(loop, &client->timer) < 0) {
        curl_multi_cleanup(client->multi);
        free(client);
        return NULL;
    }
    client->timer.data = client;
    client->handles = 1;
    return client;
}

static CURL *take_easy(ruc_http_client_t *client)
{
    return client->idle_count > 0 ? client->idle[--client->idle_count] : curl_easy_init();
}

ruc_http_call_t *ruc_http_client_send(ruc_http_client_t *client, const ruc_http_call_spec_t *spec,
                                      ruc_http_call_cb cb, void *arg, ruc_why_t *why)
{
    if (client->closing || client->active >= RUC__CALLS) {
        ruc_why_set(why, RUC_EFULL, "%s",
                    client->closing ? "the client is closing" : "too many calls are under way");
        return NULL;
    }
    ruc_http_call_t *call = calloc(1, sizeof *call);
    CURL *easy = call == NULL ? NULL : take_easy(client);
    if (easy == NULL) {
        free(call);
        ruc_why_set(why, UV_ENOMEM, "no memory");
        return NULL;
    }
    call->client = client;
    call->easy = easy;
    call->cb = cb;
    call->arg = arg;
    TAILQ_INSERT_TAIL(&client->calls, call, all);
    client->active++;
    if (ruc__call_prepare(call, spec, why) < 0) {
        call_free(call);
        return NULL;
    }
    if (client->inside) {
        client->untidy = true;
        return call;
    }
    /* Nothing is sent here: libcurl asks for a timer of 0 ms. */
    CURLMcode rc = curl_multi_add_handle(client->multi, easy);
    if (rc != CURLM_OK) {
        ruc_why_set(why, UV_ENOMEM, "%s", curl_multi_strerror(rc));
        call_free(call);
        return NULL;
    }
    call->added = true;
    return call;
}

void ruc_http_call_cancel(ruc_http_call_t *call)
{
    if (call->cancelled) {
        return;
    }
    if (call->client->inside) {
        call->cancelled = true;
        call->client->untidy = true;
        return;
    }
    take_out(call);
    call_free(call);
}

void ruc_http_call_resume(ruc_http_call_t *call)
{
    ruc_http_client_t *client = call->client;
    if (call->cancelled || !call->added || RUC_FAILS(client->inside)) {
        return;
    }
    client->inside = true;
    CURLcode rc = curl_easy_pause(call->easy, CURLPAUSE_CONT);
    client->inside = false;
    (void)RUC_FAILS(rc == CURLE_BAD_FUNCTION_ARGUMENT); /* other ends are reported by the multi */
    after(client);
}

size_t ruc_http_client_active(const ruc_http_client_t *client)
{
    return client->active;
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

void ruc_http_client_close(ruc_http_client_t *client)
{
    if (client->closing) {
        return;
    }
    RUC_MUST(!client->inside);
    client->closing = true;
    ruc_http_call_t *call = TAILQ_FIRST(&client->calls), *next;
    for (; call != NULL; call = next) {
        next = TAILQ_NEXT(call, all);
        if (call->added) { /* one whose callback runs now is freed by finish() */
            take_out(call);
            call_free(call);
        }
    }
    while (client->idle_count > 0) {
        curl_easy_cleanup(client->idle[--client->idle_count]);
    }
    CURLMcode rc = curl_multi_cleanup(client->multi); /* removes its sockets by want_socket */
    (void)RUC_FAILS(rc != CURLM_OK);
    client->multi = NULL;
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}
