/* follow.c - see follow.h.
 *
 * Log lines come from any thread: a tap copies them into a bounded buffer and the loop hands them
 * on. Records in it: level (1 byte), length (4 bytes), text. */
#include "console/follow.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/conn.h"
#include "core/clock.h"

#define TAP_MAX ((size_t)256 * 1024)

static struct {
    uv_mutex_t lock;
    uv_async_t wake;
    ruc_buf_t lines;
    unsigned long dropped;
    unsigned followers; /* of the log */
    bool open;
} tap;

/* ---- the log ---- */

static void on_line(void *arg, ruc_log_level_t level, const char *line, size_t len)
{
    (void)arg;
    unsigned char head[5] = {(unsigned char)level};
    uint32_t size = (uint32_t)len;
    memcpy(head + 1, &size, sizeof size);
    uv_mutex_lock(&tap.lock);
    if (ruc_buf_reserve(&tap.lines, sizeof head + len) < 0 ||
        ruc_buf_add(&tap.lines, head, sizeof head) < 0 || ruc_buf_add(&tap.lines, line, len) < 0) {
        tap.dropped++;
    }
    uv_mutex_unlock(&tap.lock);
    uv_async_send(&tap.wake);
}

static void tell_line(ruc_log_level_t level, const char *line, size_t len)
{
    for (ruc_conn_t *conn = ruc__consoles; conn != NULL; conn = conn->next) {
        if (conn->follow.log && level >= conn->follow.level) {
            ruc_conn_say(conn, "push", line, len);
        }
    }
}

static void on_wake(uv_async_t *handle)
{
    (void)handle;
    ruc_buf_t lines;
    uv_mutex_lock(&tap.lock);
    lines = tap.lines;
    unsigned long dropped = tap.dropped;
    tap.dropped = 0;
    ruc_buf_init(&tap.lines, TAP_MAX);
    uv_mutex_unlock(&tap.lock);
    for (size_t at = 0; at + 5 <= lines.len;) {
        uint32_t size;
        memcpy(&size, lines.data + at + 1, sizeof size);
        tell_line((ruc_log_level_t)lines.data[at], lines.data + at + 5, size);
        at += 5 + size;
    }
    ruc_buf_free(&lines);
    if (dropped > 0) {
        char text[64];
        int len = snprintf(text, sizeof text, "... %lu log lines were left out", dropped);
        tell_line(RUC_ERROR, text, (size_t)len);
    }
}

int ruc_console_follow_open(uv_loop_t *loop)
{
    int rc = uv_mutex_init(&tap.lock);
    if (rc < 0) {
        return rc;
    }
    ruc_buf_init(&tap.lines, TAP_MAX);
    rc = uv_async_init(loop, &tap.wake, on_wake);
    if (rc < 0) {
        uv_mutex_destroy(&tap.lock);
        return rc;
    }
    tap.followers = 0;
    tap.open = true;
    return 0;
}

static void wake_closed(uv_handle_t *handle)
{
    (void)handle;
    uv_mutex_destroy(&tap.lock);
    ruc_buf_free(&tap.lines);
}

void ruc_console_follow_close(void)
{
    if (tap.open) {
        tap.open = false;
        ruc_log_tap(NULL, NULL);
        uv_close((uv_handle_t *)&tap.wake, wake_closed);
    }
}

void ruc_console_follow_log(ruc_conn_t *conn, ruc_log_level_t level)
{
    conn->follow.level = level;
    if (!conn->follow.log) {
        conn->follow.log = true;
        if (tap.followers++ == 0) {
            ruc_log_tap(on_line, NULL);
        }
    }
}

/* ---- engines ---- */

static const char *text_of(const json_t *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event, name));
    return text == NULL ? "" : text;
}

/* "12:30:01 team-a: Pending -> Running, Ready: message (monitor)" */
static void told(ruc_listener_t *listener, const ruc_event_t *event)
{
    ruc_console_follow_t *follow = (ruc_console_follow_t *)listener;
    char at[RUC_RFC3339_SIZE], text[1500];
    if (follow->engine[0] != '\0' && strcmp(follow->engine, event->engine) != 0) {
        return;
    }
    json_t *doc = json_loadb(event->doc, event->len, 0, NULL);
    const char *from = text_of(doc, "from"), *to = text_of(doc, "to"), *by = text_of(doc, "by"),
               *message = text_of(doc, "message");
    bool moved = strcmp(from, to) != 0;
    ruc_clock_rfc3339(event->at_ms, at);
    at[19] = '\0';
    int len = snprintf(text, sizeof text, "%s %s: %s%s%s%s%s%s%.1000s%s%.64s%s", at + 11,
                       text_of(doc, "name"), moved ? from : "",
                       moved && from[0] != '\0' && to[0] != '\0' ? " -> " : "", moved ? to : "",
                       moved ? ", " : "", text_of(doc, "reason"), message[0] != '\0' ? ": " : "",
                       message, by[0] != '\0' ? " (" : "", by, by[0] != '\0' ? ")" : "");
    json_decref(doc);
    if (len > 0) {
        size_t most = sizeof text - 1;
        ruc_conn_say(follow->conn, "push", text, (size_t)len < most ? (size_t)len : most);
    }
}

void ruc_console_follow_events(ruc_conn_t *conn, const char *engine)
{
    ruc_console_follow_t *follow = &conn->follow;
    snprintf(follow->engine, sizeof follow->engine, "%s", engine == NULL ? "" : engine);
    if (!follow->events) {
        follow->events = true;
        follow->conn = conn;
        follow->listener.told = told;
        ruc_table_listen(conn->app->table, &follow->listener);
    }
}

int ruc_console_follow_stop(ruc_conn_t *conn)
{
    ruc_console_follow_t *follow = &conn->follow;
    int n = follow->events + follow->log;
    if (follow->events) {
        ruc_table_unlisten(conn->app->table, &follow->listener);
        follow->events = false;
    }
    if (follow->log) {
        follow->log = false;
        if (--tap.followers == 0) {
            ruc_log_tap(NULL, NULL);
        }
    }
    return n;
}
