/* h1.c - see h1.h. Feeds the parser, hands requests out, and decides how a connection goes on.
 *
 * All work is done in `process`, a loop that takes one step after another until it needs more
 * input, room for output, or an answer. It never runs twice at a time: what is asked for while it
 * runs is seen by its next step, and what is asked for outside of it with input waiting comes in
 * the next turn of the loop, so that no callback is called from inside a stream function. */
#include "http/h1.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"

#define LEAST_ROOM 4096 /* room for a read while a request is under way */

/* ---- the end of a request ---- */

static void tell_done(ruc__h1_work_t *work)
{
    const ruc_http_handlers_t *handlers = &work->conn->server->handlers;
    if (work->handed && handlers->on_done != NULL) {
        handlers->on_done(&work->stream, handlers->arg);
    }
    work->handed = false;
}

/* The caller learns that its stream is gone, if it has one that is not yet answered. */
static void tell_gone(ruc__h1_work_t *work)
{
    if (work == NULL || !work->handed || work->answered) {
        return;
    }
    work->answered = true;
    const ruc_http_events_t *events = work->stream.events;
    if (events != NULL && events->on_close != NULL) {
        events->on_close(&work->stream, work->stream.events_arg);
    }
    tell_done(work);
}

static void cut(ruc__http_conn_t *conn, bool reset)
{
    tell_gone(conn->work);
    ruc__conn_close(conn, reset);
}

void ruc__h1_fail(ruc__http_conn_t *conn, int status, const char *detail)
{
    ruc__h1_work_t *work = conn->work;
    conn->server->stats.bad++;
    if (work->started || work->answered) {
        cut(conn, !work->answered);
        return;
    }
    if (ruc_log_wants(RUC_LOG_HTTP, RUC_DEBUG)) {
        ruc_log(RUC_LOG_HTTP, RUC_DEBUG, "%s: %d %s", ruc__conn_peer(conn), status, detail);
    }
    work->stream.status = status;
    tell_gone(work);
    if (work->stream.request_id == NULL) {
        work->stream.request_id = ruc_id_ulid(work->id);
    }
    bool was = conn->processing;
    conn->processing = true; /* ruc__h1_answered does nothing then */
    work->answered = false;
    work->keep = false;
    (void)ruc_http_problem(&work->stream, status, NULL, detail); /* the connection ends anyway */
    conn->processing = was;
    (void)ruc__h1_flush(work);
    ruc__conn_linger(conn);
}

/* ---- steps ---- */

static void set_phase(ruc__h1_work_t *work, ruc__h1_phase_t phase)
{
    RUC_MUST(phase > work->phase);
    work->phase = phase;
}

/* Makes the input buffer at least `cap` bytes. Only while nothing points into it. */
static bool grow(ruc__h1_work_t *work, size_t cap)
{
    if (work->cap >= cap) {
        return true;
    }
    cap = cap < work->cap * 2 ? work->cap * 2 : cap;
    char *in = realloc(work->in, cap);
    if (in == NULL) {
        return false;
    }
    work->in = in;
    work->cap = cap;
    return true;
}

/* Before a head is parsed: moves it to the front when it lies far back. */
static void compact(ruc__h1_work_t *work)
{
    if (work->pos == work->start && work->start > work->cap / 2) {
        memmove(work->in, work->in + work->start, work->end - work->start);
        work->end -= work->start;
        work->start = work->pos = 0;
    }
}

static void refuse_head(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    const ruc_http_limits_t *limits = &conn->server->limits;
    if (work->target_len > limits->target || (work->target_len > 0 && work->header_count == 0 &&
                                              work->end - work->start > limits->head)) {
        ruc__h1_fail(conn, RUC_HTTP_URI_TOO_LONG, "the request target is too long");
    } else {
        ruc__h1_fail(conn, RUC_HTTP_HEADERS_TOO_LARGE,
                     work->too_many ? "too many headers" : "the head is too large");
    }
}

/* Answers the expectation of a body that is wanted. False: the request was refused. */
static bool expect(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    const char *value = ruc_http_header(&work->stream, "expect");
    if (value == NULL || work->minor0) {
        return true;
    }
    if (strcasecmp(value, "100-continue") != 0) {
        ruc__h1_fail(conn, RUC_HTTP_EXPECTATION_FAILED, "only 100-continue can be expected");
        return false;
    }
    return true;
}

static void say_continue(ruc__h1_work_t *work)
{
    if (work->minor0 || work->pos < work->end || ruc_http_header(&work->stream, "expect") == NULL) {
        return;
    }
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (ruc_buf_add(&work->out, text, sizeof text - 1) == 0) {
        (void)ruc__h1_flush(work); /* a failure is reported later as broken */
    }
}

static void hand_out(ruc__h1_work_t *work)
{
    const ruc_http_handlers_t *handlers = &work->conn->server->handlers;
    work->handed = true;
    handlers->on_request(&work->stream, handlers->arg);
}

/* The head is there: check it, ask how the body is to come, begin the body. */
static bool head_step(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    ruc_http_server_t *server = conn->server;
    const char *detail = "";
    work->head_end = work->pos;
    if (work->head_end - work->start > server->limits.head ||
        work->target_len > server->limits.target) {
        refuse_head(conn);
        return false;
    }
    bool keep = llhttp_should_keep_alive(&work->parser) != 0;
    bool chunked = (work->parser.flags & F_CHUNKED) != 0;
    uint64_t length = chunked ? 0 : work->parser.content_length;
    if (!grow(work, work->head_end + LEAST_ROOM)) {
        ruc__conn_close(conn, false);
        return false;
    }
    int status = ruc__h1_head(work, &detail);
    if (status != 0) {
        ruc__h1_fail(conn, status, detail);
        return false;
    }
    if (!expect(conn)) {
        return false;
    }
    work->keep = keep;
    work->after_head = true;
    work->parser.upgrade = 0; /* we upgrade to nothing: the request is served as it is */
    work->stream.begun_ns = ruc_clock_mono_ns();
    server->stats.requests++;
    work->body_done = !chunked && length == 0;
    set_phase(work, RUC__H1_BODY);
    if (server->handlers.on_head != NULL) {
        work->handed = true;
        work->streamed =
            server->handlers.on_head(&work->stream, server->handlers.arg) == RUC_HTTP_STREAM;
    }
    if (conn->closing || conn->failed || work->answered) {
        return true; /* the next step ends it */
    }
    if (!work->streamed && length > server->limits.body) {
        ruc__h1_fail(conn, RUC_HTTP_CONTENT_TOO_LARGE, "the body is too large");
        return false;
    }
    if (!work->body_done) {
        say_continue(work);
    }
    work->body_begun = uv_now(server->loop);
    if (work->streamed) {
        hand_out(work);
    }
    return true;
}

/* What went wrong, as an answer. */
static void parse_error(ruc__http_conn_t *conn, llhttp_errno_t rc)
{
    ruc__h1_work_t *work = conn->work;
    if (work->too_many) {
        refuse_head(conn);
    } else if (work->no_memory) {
        ruc__h1_fail(conn, RUC_HTTP_SERVICE_UNAVAILABLE, "no memory");
    } else if (work->too_big) {
        ruc__h1_fail(conn, RUC_HTTP_CONTENT_TOO_LARGE, "the body is too large");
    } else if (rc == HPE_PAUSED_H2_UPGRADE) {
        ruc__h1_fail(conn, RUC_HTTP_VERSION_NOT_SUPPORTED, "HTTP/2 is not supported in this build");
    } else if (rc == HPE_INVALID_VERSION) {
        ruc__h1_fail(conn, RUC_HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 or HTTP/1.1, please");
    } else {
        ruc__h1_fail(conn, RUC_HTTP_BAD_REQUEST, "this is not a valid HTTP/1.1 request");
    }
}

/* Feeds what is there. 1: the parser has stopped at a boundary; 0: it has eaten all; -1: failed. */
static int feed(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    const char *from = work->in + work->pos;
    llhttp_errno_t rc = llhttp_execute(&work->parser, from, work->end - work->pos);
    if (rc == HPE_OK) {
        work->pos = work->end;
        return 0;
    }
    if (rc == HPE_PAUSED) {
        work->pos = (size_t)(llhttp_get_error_pos(&work->parser) - work->in);
        llhttp_resume(&work->parser);
        return 1;
    }
    parse_error(conn, rc);
    return -1;
}

static bool step_head(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    if (work->pos == work->end ||
        ruc__conn_queued(conn) > conn->server->limits.queue / 4) { /* drained() comes back */
        return false;
    }
    compact(work);
    int rc = feed(conn);
    if (rc > 0) {
        return head_step(conn);
    }
    if (rc == 0 && (work->end - work->start > conn->server->limits.head ||
                    work->target_len > conn->server->limits.target)) {
        refuse_head(conn);
    } else if (rc == 0 && work->end == work->cap && !grow(work, work->cap + LEAST_ROOM)) {
        ruc__conn_close(conn, false);
    }
    return false;
}

/* Hands a streamed body's piece out. */
static void deliver(ruc__h1_work_t *work)
{
    const ruc_http_events_t *events = work->stream.events;
    if (work->body_told || work->answered || (work->body.len == 0 && !work->body_done)) {
        ruc_buf_clear(&work->body);
        return;
    }
    work->body_told = work->body_done;
    size_t len = work->body.len;
    work->body.len = 0; /* the bytes stay as they are until more is fed */
    if (events != NULL && events->on_body != NULL) {
        events->on_body(&work->stream, work->stream.events_arg,
                        work->body.data == NULL ? "" : work->body.data, len, work->body_done);
    }
}

static bool step_body(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    if (work->answered) { /* before its body was there: what follows cannot be trusted to be short
                           */
        work->keep = work->keep && work->body_done;
        set_phase(work, RUC__H1_ANSWER);
        return true;
    }
    if (work->paused) {
        return false;
    }
    int rc = feed(conn); /* also with nothing to eat: an empty body ends here */
    if (rc < 0) {
        return false;
    }
    if (rc == 0) {
        work->pos = work->end = work->head_end;
        if (work->streamed) {
            deliver(work);
        }
        return work->answered;
    }
    work->body_done = true;
    if (work->streamed) {
        set_phase(work, RUC__H1_ANSWER);
        deliver(work);
        return true;
    }
    work->stream.body = ruc_buf_str(&work->body);
    work->stream.body_len = work->body.len;
    set_phase(work, RUC__H1_ANSWER);
    hand_out(work);
    return true;
}

/* The answer is complete and so is the request: the next one, idle, or the end. */
static bool step_answer(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    if (!work->answered) {
        return false;
    }
    ruc__conn_timer(conn, RUC__T_NONE, 0);
    if (work->aborted) {
        ruc__conn_close(conn, true);
        return false;
    }
    bool more = work->pos < work->end;
    if (!work->keep || conn->server->draining || (conn->eof && !more)) {
        (void)ruc__h1_flush(work);
        ruc__conn_linger(conn);
        return false;
    }
    ruc_buf_clear(&work->body);
    if (!more) {
        (void)ruc__h1_flush(work);
        ruc__h1_drop(conn);
        return false;
    }
    work->start = work->pos;
    ruc__h1_begin(work);
    return true;
}

/* Chooses what the clock watches. A clock of the same kind goes on as it is. */
static void set_clock(ruc__http_conn_t *conn)
{
    const ruc_http_limits_t *limits = &conn->server->limits;
    ruc__h1_work_t *work = conn->work;
    ruc__timer_kind_t kind = RUC__T_IDLE;
    uint64_t ms = limits->idle_ms;
    if (work != NULL && work->phase == RUC__H1_HEAD) {
        kind = work->pos < work->end ? RUC__T_WRITE : RUC__T_HEAD; /* held back by the queue */
        ms = kind == RUC__T_WRITE ? limits->write_ms : limits->head_ms;
    } else if (work != NULL && work->phase == RUC__H1_BODY && !work->streamed) {
        kind = RUC__T_BODY;
        ms = limits->progress_ms < limits->body_ms ? limits->progress_ms : limits->body_ms;
    } else if (work != NULL) {
        kind = ruc__conn_queued(conn) > 0 ? RUC__T_WRITE : conn->eof ? RUC__T_HALF : RUC__T_NONE;
        ms = kind == RUC__T_WRITE ? limits->write_ms : limits->half_ms;
    }
    if (conn->timer != kind) {
        ruc__conn_timer(conn, kind, ms);
    }
}

/* Reads when there is room for it. */
static void set_reading(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    bool room = work == NULL || work->end < work->cap;
    bool held =
        work != NULL && (work->paused || (work->phase == RUC__H1_HEAD && work->pos < work->end));
    ruc__conn_reading(conn, room && !held);
}

/* True when only more input, of which there will be none, could go on. */
static bool is_starving(const ruc__h1_work_t *work)
{
    return work != NULL && work->phase != RUC__H1_ANSWER && work->pos == work->end &&
           !work->answered && !work->paused;
}

static void process(ruc__http_conn_t *conn)
{
    if (conn->processing) {
        return;
    }
    conn->processing = true;
    bool more = true;
    while (more && conn->work != NULL && !conn->closing && !conn->lingering && !conn->failed) {
        switch (((ruc__h1_work_t *)conn->work)->phase) {
        case RUC__H1_HEAD:
            more = step_head(conn);
            break;
        case RUC__H1_BODY:
            more = step_body(conn);
            break;
        case RUC__H1_ANSWER:
            more = step_answer(conn);
            break;
        }
    }
    if (conn->work != NULL && !conn->closing && !conn->lingering) {
        (void)ruc__h1_flush(conn->work); /* a failure is reported as broken */
    }
    conn->processing = false;
    if (!conn->closing && !conn->lingering && conn->eof && is_starving(conn->work)) {
        tell_gone(conn->work);
        ruc__conn_linger(conn);
    }
    if (!conn->closing && !conn->lingering && !conn->failed) {
        set_clock(conn);
        set_reading(conn);
    }
}

void ruc__h1_answered(ruc__h1_work_t *work)
{
    ruc__http_conn_t *conn = work->conn;
    work->answered = true;
    tell_done(work);
    if (conn->processing) {
        return; /* process() sees it in its next step */
    }
    if (work->phase == RUC__H1_ANSWER && work->pos == work->end) {
        process(conn); /* nothing is waiting: no callback can come of it */
    } else {
        ruc__conn_later(conn);
    }
}

/* ---- what the connection reports ---- */

static void h1_alloc(ruc__http_conn_t *conn, uv_buf_t *buf)
{
    ruc__h1_work_t *work = conn->work;
    if (work == NULL) {
        work = ruc__h1_take(conn);
    }
    if (work == NULL || work->end >= work->cap) {
        *buf = uv_buf_init(NULL, 0); /* libuv reports UV_ENOBUFS */
        return;
    }
    *buf = uv_buf_init(work->in + work->end, (unsigned)(work->cap - work->end));
}

static void h1_read(ruc__http_conn_t *conn, ssize_t n)
{
    ruc__h1_work_t *work = conn->work;
    if (n > 0) {
        work->end += (size_t)n;
        process(conn);
        return;
    }
    if (n == 0) { /* room was asked for, but nothing came */
        if (work != NULL && work->phase == RUC__H1_HEAD && work->start == work->end) {
            ruc__h1_drop(conn);
        }
        return;
    }
    if (n == UV_EOF && work != NULL && work->answered) {
        process(conn); /* the next step was put off: it takes what is there, then ends */
        return;
    }
    bool due = work != NULL && work->phase == RUC__H1_ANSWER && !work->answered;
    bool held = work != NULL && work->phase == RUC__H1_HEAD && work->pos < work->end;
    if (n == UV_EOF && ((due && !work->started) || held)) {
        set_clock(conn); /* a half-closed peer gets what it has asked for, for a while */
    } else if (n == UV_EOF && ruc__conn_queued(conn) > 0 && (work == NULL || !work->handed)) {
        ruc__conn_linger(conn);
    } else {
        cut(conn, false);
    }
}

static void h1_timeout(ruc__http_conn_t *conn, ruc__timer_kind_t kind)
{
    ruc__h1_work_t *work = conn->work;
    const ruc_http_limits_t *limits = &conn->server->limits;
    if (kind == RUC__T_BODY) {
        uint64_t spent = uv_now(conn->server->loop) - work->body_begun;
        if (spent < limits->body_ms && work->body_seen - work->body_mark >= limits->progress) {
            uint64_t left = limits->body_ms - spent;
            work->body_mark = work->body_seen;
            ruc__conn_timer(conn, kind, left < limits->progress_ms ? left : limits->progress_ms);
            return;
        }
    }
    if (kind == RUC__T_IDLE) {
        ruc__conn_close(conn, false);
        return;
    }
    conn->server->stats.timeouts++;
    if (kind == RUC__T_HALF) {
        cut(conn, false);
    } else {
        ruc__h1_fail(conn, RUC_HTTP_REQUEST_TIMEOUT, "the request did not come in time");
    }
}

static void h1_drained(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    if (work == NULL) {
        return;
    }
    if (work->want_drain && !work->answered &&
        ruc__conn_queued(conn) <= conn->server->limits.queue / 4) {
        work->want_drain = false;
        const ruc_http_events_t *events = work->stream.events;
        if (events != NULL && events->on_drain != NULL) {
            events->on_drain(&work->stream, work->stream.events_arg);
        }
    }
    if (!conn->closing) {
        process(conn);
    }
}

static void h1_broken(ruc__http_conn_t *conn)
{
    cut(conn, true);
}

static void h1_shutdown(ruc__http_conn_t *conn, bool now)
{
    ruc__h1_work_t *work = conn->work;
    bool idle = work == NULL || (work->phase == RUC__H1_HEAD && work->start == work->end);
    if (now) {
        cut(conn, work != NULL && work->handed);
    } else if (idle && ruc__conn_queued(conn) > 0) {
        ruc__conn_linger(conn); /* the last answer is still on its way */
    } else if (idle) {
        ruc__conn_close(conn, false);
    }
}

const ruc__http_proto_t ruc__h1_proto = {
    .alloc = h1_alloc,
    .read = h1_read,
    .timeout = h1_timeout,
    .drained = h1_drained,
    .resume = process,
    .broken = h1_broken,
    .shutdown = h1_shutdown,
    .release = ruc__h1_drop,
};
