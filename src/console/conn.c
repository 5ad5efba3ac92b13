/* conn.c - see conn.h.
 *
 * What the peer is owed waits in libuv's queue. Answers always find room, because a peer whose
 * queue is full is not read from until it has taken some; other output is dropped and counted then.
 * A peer that takes nothing for RUC_CONN_STALL_MS is let go. Closing never happens inside a job:
 * what goes wrong there leaves `why` and the timer does it on the loop's next turn. */
#include "console/conn.h"

#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "console/server.h"
#include "console/session.h"
#include "core/check.h"
#include "core/log.h"

#define TEXT_MAX ((size_t)512 * 1024) /* of one message */

typedef struct writing {
    uv_write_t req;
    ruc_conn_t *conn;
    ruc_buf_t bytes;
} writing_t;

ruc_conn_t *ruc__consoles;

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);
static void give_chunk(uv_handle_t *handle, size_t hint, uv_buf_t *buf);
static void on_stall(uv_timer_t *timer);

/* ---- the end ---- */

static void free_when_done(ruc_conn_t *conn)
{
    if (conn->handles == 0 && !conn->looking && conn->queued == 0) {
        ruc_wire_free(&conn->wire);
        free(conn);
    }
}

static void on_closed(uv_handle_t *handle)
{
    ruc_conn_t *conn = handle->data;
    conn->handles--;
    free_when_done(conn);
}

static void close_conn(ruc_conn_t *conn)
{
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    DL_DELETE(ruc__consoles, conn);
    ruc_console_follow_stop(conn);
    ruc_session_free(conn->session);
    conn->session = NULL;
    if (conn->looking) {
        uv_cancel((uv_req_t *)&conn->lookup);
    }
    uv_close((uv_handle_t *)&conn->pipe, on_closed);
    uv_close((uv_handle_t *)&conn->stall, on_closed);
    if (conn->greeted) {
        ruc_log_audit(RUC_LOG_CONSOLE, "#%u %s (uid %u, pid %d) is closed", conn->number,
                      conn->user, (unsigned)conn->uid, (int)conn->pid);
    }
}

/* ---- writing ---- */

static void set_reading(ruc_conn_t *conn, bool wanted)
{
    if (wanted && !conn->reading && conn->greeted && !conn->closing) {
        conn->reading = uv_read_start((uv_stream_t *)&conn->pipe, give_chunk, on_read) == 0;
    } else if (!wanted && conn->reading) {
        uv_read_stop((uv_stream_t *)&conn->pipe);
        conn->reading = false;
    }
}

/* Closes it on the loop's next turn: this may be inside a job. */
static void close_soon(ruc_conn_t *conn, const char *why)
{
    if (conn->why == NULL && !conn->closing) {
        conn->why = why;
        uv_timer_start(&conn->stall, on_stall, 0, 0);
    }
}

static void on_stall(uv_timer_t *timer)
{
    ruc_conn_t *conn = timer->data;
    ruc_log(RUC_LOG_CONSOLE, RUC_WARN, "#%u %s (pid %d) is let go: %s", conn->number, conn->user,
            (int)conn->pid, conn->why != NULL ? conn->why : "it does not read");
    close_conn(conn);
}

static void tell_dropped(ruc_conn_t *conn)
{
    char text[64];
    unsigned long n = conn->dropped;
    if (n > 0 && conn->queued < RUC_CONN_QUEUE / 4) {
        conn->dropped = 0;
        int len = snprintf(text, sizeof text, "... %lu outputs were left out\n", n);
        ruc_conn_say(conn, "out", text, (size_t)len);
    }
}

static void written(uv_write_t *req, int status)
{
    writing_t *writing = (writing_t *)req;
    ruc_conn_t *conn = writing->conn;
    conn->queued -= writing->bytes.len;
    ruc_buf_free(&writing->bytes);
    free(writing);
    if (conn->closing) {
        free_when_done(conn);
        return;
    }
    if (status < 0) {
        close_soon(conn, "it is gone");
    } else if (conn->why == NULL && conn->queued == 0) {
        uv_timer_stop(&conn->stall);
    } else if (conn->why == NULL) {
        uv_timer_start(&conn->stall, on_stall, RUC_CONN_STALL_MS, 0);
    }
    tell_dropped(conn);
    if (conn->queued < RUC_CONN_QUEUE / 2) {
        set_reading(conn, true);
    }
}

/* Hands a frame over; takes the bytes in every case. */
static void send_bytes(ruc_conn_t *conn, ruc_buf_t *bytes)
{
    writing_t *writing = calloc(1, sizeof *writing);
    if (writing == NULL) {
        ruc_buf_free(bytes);
        close_soon(conn, "not enough memory");
        return;
    }
    writing->conn = conn;
    writing->bytes = *bytes;
    uv_buf_t buf = uv_buf_init(bytes->data, (unsigned)bytes->len);
    conn->queued += bytes->len;
    int rc = uv_write(&writing->req, (uv_stream_t *)&conn->pipe, &buf, 1, written);
    if (rc < 0) {
        conn->queued -= bytes->len;
        ruc_buf_free(&writing->bytes);
        free(writing);
        close_soon(conn, "it cannot be written to");
        return;
    }
    if (!uv_is_active((uv_handle_t *)&conn->stall)) {
        uv_timer_start(&conn->stall, on_stall, RUC_CONN_STALL_MS, 0);
    }
    if (conn->queued >= RUC_CONN_QUEUE) {
        set_reading(conn, false);
    }
}

/* {"type":TYPE` + what `head` formats + `"KEY":"text"}`. */
static void send_message(ruc_conn_t *conn, const char *head, const char *key, const char *text,
                         size_t len)
{
    ruc_buf_t out;
    size_t at;
    ruc_buf_init(&out, RUC_WIRE_FRAME);
    len = len < TEXT_MAX ? len : TEXT_MAX;
    if (ruc_wire_begin(&out, &at) < 0 || ruc_buf_addf(&out, "{%s,\"%s\":", head, key) < 0 ||
        ruc_buf_add_json(&out, text, len) < 0 || ruc_buf_adds(&out, "}") < 0 ||
        ruc_wire_end(&out, at) < 0) {
        ruc_buf_free(&out);
        close_soon(conn, "a message could not be made");
        return;
    }
    send_bytes(conn, &out);
}

void ruc_conn_say(ruc_conn_t *conn, const char *type, const char *text, size_t len)
{
    char head[64];
    bool loose = strcmp(type, "out") == 0 || strcmp(type, "push") == 0;
    if (conn->closing || conn->why != NULL) {
        return;
    }
    if (loose && conn->queued >= RUC_CONN_QUEUE) {
        conn->dropped++;
        return;
    }
    snprintf(head, sizeof head, "\"type\":\"%s\"", type);
    send_message(conn, head, "text", text, len);
}

void ruc_conn_result(ruc_conn_t *conn, int64_t id, bool ok, bool incomplete, const char *text,
                     size_t len)
{
    char head[128];
    if (conn->closing || conn->why != NULL) {
        return;
    }
    snprintf(head, sizeof head, "\"type\":\"result\",\"id\":%lld,\"ok\":%s%s", (long long)id,
             ok ? "true" : "false", incomplete ? ",\"incomplete\":true" : "");
    send_message(conn, head, "text", text, len);
}

void ruc_conn_end(ruc_conn_t *conn, const char *type, const char *text)
{
    if (conn->closing) {
        return;
    }
    if (text != NULL && conn->why == NULL) {
        ruc_conn_say(conn, type, text, strlen(text)); /* before the line that this ends */
    }
    close_conn(conn);
}

/* ---- reading ---- */

static void give_chunk(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    static char chunk[RUC_WIRE_FEED]; /* used up before the next read */
    (void)handle;
    (void)hint;
    *buf = uv_buf_init(chunk, sizeof chunk);
}

static void say_error(ruc_conn_t *conn, const char *text)
{
    ruc_conn_say(conn, "error", text, strlen(text));
}

static void audit(const ruc_conn_t *conn, const char *code, size_t len)
{
    ruc_log_audit(RUC_LOG_CONSOLE, "#%u %s (uid %u, pid %d): %.*s", conn->number, conn->user,
                  (unsigned)conn->uid, (int)conn->pid, (int)(len < 4000 ? len : 4000), code);
}

static void take_eval(ruc_conn_t *conn, json_int_t id, const json_t *message)
{
    json_t *code = json_object_get(message, "code"), *columns = json_object_get(message, "columns");
    const char *name = json_string_value(json_object_get(message, "name"));
    if (!json_is_string(code)) {
        say_error(conn, "an eval needs \"code\", a string");
        return;
    }
    size_t len = json_string_length(code);
    if (len > RUC_WIRE_LINE) {
        static const char text[] = "the code is too long: at most 1 MiB";
        ruc_conn_result(conn, id, false, false, text, sizeof text - 1);
        return;
    }
    json_int_t width = json_integer_value(columns);
    audit(conn, json_string_value(code), len);
    ruc_session_eval(conn->session, id, json_string_value(code), len,
                     name == NULL ? "=console" : name, width < 0 || width > 10000 ? 0 : (int)width);
}

static void take_complete(ruc_conn_t *conn, json_int_t id, const json_t *message)
{
    json_t *text = json_object_get(message, "text");
    ruc_buf_t words, out;
    size_t from = 0, at;
    ruc_buf_init(&words, TEXT_MAX);
    ruc_buf_init(&out, RUC_WIRE_FRAME);
    if (!json_is_string(text) ||
        ruc_session_complete(conn->session, json_string_value(text), json_string_length(text),
                             &words, &from) < 0) {
        ruc_buf_clear(&words);
        ruc_buf_adds(&words, "[]");
    }
    if (ruc_wire_begin(&out, &at) == 0 &&
        ruc_buf_addf(&out, "{\"type\":\"words\",\"id\":%lld,\"from\":%zu,\"words\":%s}",
                     (long long)id, from, ruc_buf_str(&words)) == 0 &&
        ruc_wire_end(&out, at) == 0) {
        send_bytes(conn, &out);
    } else {
        ruc_buf_free(&out);
        close_soon(conn, "not enough memory");
    }
    ruc_buf_free(&words);
}

static void take_message(ruc_conn_t *conn, const char *body, size_t len)
{
    json_error_t error;
    json_t *message = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    const char *type = json_string_value(json_object_get(message, "type"));
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    if (type == NULL) {
        char text[300];
        snprintf(text, sizeof text, "a message is a JSON object with \"type\"%s%.200s",
                 message == NULL ? ": " : "", message == NULL ? error.text : "");
        say_error(conn, text);
    } else if (strcmp(type, "eval") == 0) {
        take_eval(conn, id, message);
    } else if (strcmp(type, "complete") == 0) {
        take_complete(conn, id, message);
    } else if (strcmp(type, "cancel") == 0) {
        ruc_console_follow_stop(conn);
        ruc_session_cancel(conn->session);
    } else {
        say_error(conn, "a message's type is eval, complete or cancel");
    }
    json_decref(message);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    ruc_conn_t *conn = stream->data;
    const char *body;
    size_t size;
    int rc = 1;
    if (len == 0) {
        return;
    }
    if (len < 0 || ruc_wire_feed(&conn->wire, buf->base, (size_t)len) < 0) {
        close_conn(conn); /* it is gone, and so is whoever would read an answer */
        return;
    }
    while (rc != 0 && !conn->closing && conn->why == NULL) {
        rc = ruc_wire_next(&conn->wire, &body, &size);
        if (rc == 1) {
            take_message(conn, body, size);
        } else if (rc == RUC_ETOOBIG) {
            say_error(conn, "the line is too long: at most 1 MiB; it is passed over");
        } else if (rc < 0) {
            ruc_conn_end(conn, "error", "this is not the console's protocol (rucat console)");
        }
    }
}

/* ---- the beginning ---- */

static void look_up(uv_work_t *work)
{
    ruc_conn_t *conn = work->data;
    struct passwd entry, *found = NULL;
    char space[4096];
    if (getpwuid_r(conn->uid, &entry, space, sizeof space, &found) == 0 && found != NULL) {
        snprintf(conn->user, sizeof conn->user, "%s", entry.pw_name);
    }
}

static void greet(ruc_conn_t *conn)
{
    char head[128];
    snprintf(head, sizeof head, "\"type\":\"hello\",\"pid\":%d,\"number\":%u,\"listen\":\"%.40s\"",
             (int)uv_os_getpid(), conn->number, conn->app->listen);
    send_message(conn, head, "version", RUCAT_VERSION, sizeof RUCAT_VERSION - 1);
}

static void looked_up(uv_work_t *work, int status)
{
    (void)status; /* cancelled: it is closing; then the name is the number */
    ruc_conn_t *conn = work->data;
    ruc_why_t why = {""};
    conn->looking = false;
    if (conn->closing) {
        free_when_done(conn);
        return;
    }
    conn->session = ruc_session_new(conn, conn->files, &why);
    if (conn->session == NULL) {
        ruc_log(RUC_LOG_CONSOLE, RUC_ERROR, "no console: %s", why.text);
        ruc_conn_end(conn, "error", why.text);
        return;
    }
    conn->greeted = true;
    ruc_log_audit(RUC_LOG_CONSOLE, "#%u %s (uid %u, pid %d) is open", conn->number, conn->user,
                  (unsigned)conn->uid, (int)conn->pid);
    greet(conn);
    set_reading(conn, true);
}

static ruc_conn_t *conn_new(ruc_app_t *app, ruc_fileset_t *files)
{
    static unsigned last_number;
    ruc_conn_t *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    conn->app = app;
    conn->files = files;
    conn->number = ++last_number;
    ruc_wire_init(&conn->wire);
    if (uv_pipe_init(app->loop, &conn->pipe, 0) < 0 || uv_timer_init(app->loop, &conn->stall) < 0) {
        RUC_MUST(!"libuv's pipe and timer take no resources to make");
    }
    conn->pipe.data = conn->stall.data = conn->lookup.data = conn;
    conn->handles = 2;
    DL_APPEND(ruc__consoles, conn);
    return conn;
}

/* Who is at the other end; false: nobody who may be here. */
static bool may_enter(ruc_conn_t *conn)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&conn->pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        return false;
    }
    conn->uid = peer.uid;
    conn->pid = peer.pid;
    snprintf(conn->user, sizeof conn->user, "uid-%u", (unsigned)peer.uid);
    return peer.uid == 0 || peer.uid == geteuid();
}

/* Without memory for a connection it is accepted all the same, and closed: libuv offers no other
 * one before. */
static void turn_away(ruc_app_t *app, uv_stream_t *listener)
{
    static uv_pipe_t pipe;
    ruc_log(RUC_LOG_CONSOLE, RUC_ERROR, "not enough memory for a console");
    if (!uv_is_closing((uv_handle_t *)&pipe) && uv_pipe_init(app->loop, &pipe, 0) == 0) {
        uv_accept(listener, (uv_stream_t *)&pipe);
        uv_close((uv_handle_t *)&pipe, NULL);
    }
}

void ruc_conn_accept(ruc_app_t *app, uv_stream_t *listener, ruc_fileset_t *files)
{
    int open = 0;
    ruc_conn_t *conn;
    DL_COUNT(ruc__consoles, conn, open);
    conn = conn_new(app, files);
    if (conn == NULL) {
        turn_away(app, listener);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&conn->pipe) < 0) {
        close_conn(conn);
        return;
    }
    if (!may_enter(conn)) {
        ruc_log(RUC_LOG_CONSOLE, RUC_WARN, "uid %u (pid %d) is refused", (unsigned)conn->uid,
                (int)conn->pid);
        ruc_conn_end(conn, "error", "only root and the server's own user may use the console");
        return;
    }
    if (open >= RUC_CONSOLES_MAX) {
        ruc_conn_end(conn, "error", "there are 16 consoles already: close one");
        return;
    }
    conn->looking = uv_queue_work(app->loop, &conn->lookup, look_up, looked_up) == 0;
    if (!conn->looking) {
        ruc_conn_end(conn, "error", "the server is too busy");
    }
}
