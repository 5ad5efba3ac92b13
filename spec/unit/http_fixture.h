/* http_fixture.h - a real server on a real loop, and raw sockets that talk to it, in one thread.
 *
 * A test never sleeps: it turns the loop until a condition holds, or fails at a deadline. */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

/* cmocka.h needs the four before it */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "http/server.h"

#define DEADLINE_MS 10000

typedef struct fixture {
    uv_loop_t loop;
    ruc_http_server_t *server;
    int port;
    bool drained;
    ruc_http_stream_t *held; /* of /later and /stream */
    int requests, closes, dones, drains, last_status;
    bool last;        /* the last piece of a streamed body came */
    ruc_buf_t pieces; /* streamed body */
    ruc_http_body_mode_t mode;
    int early; /* status that on_head answers with, or 0 */
} fixture_t;

static void fixture_closed(ruc_http_stream_t *stream, void *arg)
{
    fixture_t *f = arg;
    f->closes++;
    if (f->held == stream) {
        f->held = NULL;
    }
}

static void fixture_drain(ruc_http_stream_t *stream, void *arg)
{
    (void)stream;
    ((fixture_t *)arg)->drains++;
}

static void fixture_body(ruc_http_stream_t *stream, void *arg, const char *data, size_t len,
                         bool last)
{
    (void)stream;
    fixture_t *f = arg;
    assert_false(f->last);
    assert_int_equal(ruc_buf_add(&f->pieces, data, len), 0);
    f->last = last;
}

static const ruc_http_events_t fixture_events = {fixture_body, fixture_drain, fixture_closed};

static inline ruc_http_body_mode_t fixture_head(ruc_http_stream_t *stream, void *arg)
{
    fixture_t *f = arg;
    ruc_http_listen(stream, &fixture_events, f);
    if (f->early != 0) {
        (void)ruc_http_problem(stream, f->early, NULL, "no");
    }
    return f->mode;
}

static inline void fixture_request(ruc_http_stream_t *stream, void *arg)
{
    fixture_t *f = arg;
    f->requests++;
    ruc_http_listen(stream, &fixture_events, f);
    if (strcmp(stream->path, "/later") == 0) {
        assert_null(f->held);
        f->held = stream;
    } else if (strcmp(stream->path, "/echo") == 0) {
        ruc_http_header_t type = {"Content-Type", "text/plain"};
        (void)ruc_http_respond(stream, 200, &type, 1, stream->body, stream->body_len);
    } else if (strcmp(stream->path, "/empty") == 0) {
        (void)ruc_http_respond(stream, 204, NULL, 0, "no", 2);
    } else {
        char text[40000];
        int len =
            snprintf(text, sizeof text, "%s|%s|%s|%s|%s|%s|%zu\n", stream->method, stream->raw_path,
                     stream->path, stream->query == NULL ? "-" : stream->query, stream->authority,
                     stream->scheme, stream->header_count);
        (void)ruc_http_respond(stream, 200, NULL, 0, text, (size_t)len);
    }
}

static inline void fixture_done(ruc_http_stream_t *stream, void *arg)
{
    fixture_t *f = arg;
    f->dones++;
    f->last_status = stream->status;
}

/* A server on a free port. `limits` NULL: the defaults. */
static inline void fixture_open(fixture_t *f, const ruc_http_limits_t *limits, bool with_head)
{
    *f = (fixture_t){.mode = RUC_HTTP_BUFFER};
    ruc_buf_init(&f->pieces, (size_t)64 << 20);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    ruc_http_handlers_t handlers = {with_head ? fixture_head : NULL, fixture_request, fixture_done,
                                    f};
    f->server = ruc_http_server_new(&f->loop, &handlers, limits);
    assert_non_null(f->server);
    ruc_why_t why = {""};
    if (ruc_http_server_listen(f->server, "127.0.0.1:0", &why) != 0) {
        fail_msg("%s", why.text);
    }
    f->port = ruc_http_server_port(f->server, 0);
    assert_true(f->port > 0);
}

static inline void fixture_drained(void *arg)
{
    ((fixture_t *)arg)->drained = true;
}

/* Turns the loop once, waiting at most a few milliseconds for something to happen. */
static inline void fixture_turn(fixture_t *f)
{
    if (uv_run(&f->loop, UV_RUN_NOWAIT) != 0) {
        int timeout = uv_backend_timeout(&f->loop);
        struct pollfd fd = {.fd = uv_backend_fd(&f->loop), .events = POLLIN};
        (void)poll(&fd, 1, timeout < 0 || timeout > 2 ? 2 : timeout);
    }
}

/* Turns the loop until `cond`; fails at the deadline. */
#define UNTIL(f, cond)                                                                             \
    do {                                                                                           \
        uint64_t end_ = ruc_clock_mono_ms() + DEADLINE_MS;                                         \
        while (!(cond)) {                                                                          \
            if (ruc_clock_mono_ms() > end_) {                                                      \
                fail_msg("did not happen in time: %s", #cond);                                     \
            }                                                                                      \
            fixture_turn(f);                                                                       \
        }                                                                                          \
    } while (0)

/* Ends the server; nothing may be left in the loop. */
static inline void fixture_close(fixture_t *f)
{
    if (!f->drained) {
        ruc_http_server_drain(f->server, 0, fixture_drained, f);
        UNTIL(f, f->drained);
    }
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    ruc_buf_free(&f->pieces);
}

/* A raw connection, non-blocking. */
static inline int dial(fixture_t *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Sends all of it, turning the loop. False when the peer has closed. */
static inline bool put(fixture_t *f, int fd, const char *data, size_t len)
{
    uint64_t end = ruc_clock_mono_ms() + DEADLINE_MS;
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return false;
        }
        if (ruc_clock_mono_ms() > end) {
            fail_msg("cannot send");
        }
        fixture_turn(f);
    }
    return true;
}

static inline void puts_to(fixture_t *f, int fd, const char *text)
{
    (void)put(f, fd, text, strlen(text)); /* a closed peer is seen when reading */
}

/* Reads what is there: 1 something came, 0 nothing yet, -1 EOF, -2 reset. */
static inline int pull(int fd, ruc_buf_t *into)
{
    char data[65536];
    ssize_t n = recv(fd, data, sizeof data, 0);
    if (n > 0) {
        assert_int_equal(ruc_buf_add(into, data, (size_t)n), 0);
        return 1;
    }
    return n == 0 ? -1 : errno == EAGAIN ? 0 : -2;
}

/* Reads until the peer closes; returns how (-1 EOF, -2 reset). */
static inline int drink(fixture_t *f, int fd, ruc_buf_t *into)
{
    int rc = 0;
    UNTIL(f, (rc = pull(fd, into)) < 0);
    return rc;
}

/* Reads until `text` has come `times` times. */
static inline void expect_text(fixture_t *f, int fd, ruc_buf_t *into, const char *text, int times)
{
    uint64_t end = ruc_clock_mono_ms() + DEADLINE_MS;
    for (;;) {
        int seen = 0;
        for (const char *at = ruc_buf_str(into); (at = strstr(at, text)) != NULL; at++) {
            seen++;
        }
        if (seen >= times) {
            return;
        }
        if (pull(fd, into) < 0 || ruc_clock_mono_ms() > end) {
            fail_msg("\"%s\" %d times is not in \"%.2000s\"", text, times, ruc_buf_str(into));
        }
        fixture_turn(f);
    }
}

/* One connection, one text, all that comes back until the peer closes. The result is malloced. */
static inline char *talk(fixture_t *f, const char *text, size_t len)
{
    ruc_buf_t got;
    ruc_buf_init(&got, (size_t)64 << 20);
    int fd = dial(f);
    (void)put(f, fd, text, len);
    (void)drink(f, fd, &got);
    close(fd);
    char *copy = strdup(ruc_buf_str(&got));
    assert_non_null(copy);
    ruc_buf_free(&got);
    return copy;
}

/* The same, and the answer must begin with "HTTP/1.1 STATUS ". */
static inline void expect_status(fixture_t *f, const char *text, size_t len, int status)
{
    char *got = talk(f, text, len);
    char want[32];
    snprintf(want, sizeof want, "HTTP/1.1 %d ", status);
    if (strncmp(got, want, strlen(want)) != 0) {
        fail_msg("wanted %d for \"%.300s\", got \"%.300s\"", status, text, got);
    }
    free(got);
}

#endif
