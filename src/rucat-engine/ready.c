/* ready.c - see ready.h. */
#include "rucat-engine/ready.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pattern.h"
#include "rucat-engine/address.h"
#include "rucat-engine/say.h"

#define STEPS_PER_LINE 200000 /* some milliseconds at worst */
#define PROBE_FIRST_MS 20
#define PROBE_LAST_MS 100
#define PROBE_PATIENCE_MS 1000 /* for one connect */

static void settle(ruc_re_ready_t *r)
{
    r->settled = true;
    ruc_re_loop_unset(r->loop, &r->timeout);
    ruc_re_loop_unset(r->loop, &r->retry);
    ruc_re_loop_drop(r->loop, &r->probe);
}

static void is_ready(ruc_re_ready_t *r)
{
    settle(r);
    /* ui_log may still come: the timer now only ends the search. */
    if (r->plan->ready_ui_log != NULL && !r->ui_seen) {
        ruc_re_loop_set(r->loop, &r->timeout, r->plan->timeout_ms);
    }
    r->ready(r->arg);
}

static void probe_later(ruc_re_ready_t *r)
{
    ruc_re_loop_drop(r->loop, &r->probe);
    ruc_re_loop_set(r->loop, &r->retry, r->probe_gap_ms);
    r->probe_gap_ms += r->probe_gap_ms / 2;
    if (r->probe_gap_ms > PROBE_LAST_MS) {
        r->probe_gap_ms = PROBE_LAST_MS;
    }
}

/* A connect to a free port of the local range can meet itself; nobody accepted then. */
static bool met_itself(int fd)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_storage b = {0};
    socklen_t a_len = sizeof a;
    socklen_t b_len = sizeof b;
    return getsockname(fd, (struct sockaddr *)&a, &a_len) != 0 ||
           getpeername(fd, (struct sockaddr *)&b, &b_len) != 0 ||
           (a_len == b_len && memcmp(&a, &b, a_len) == 0);
}

static void probe_ready(void *arg, uint32_t events)
{
    (void)events;
    ruc_re_ready_t *r = arg;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(r->probe.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0 ||
        met_itself(r->probe.fd)) {
        probe_later(r);
        return;
    }
    is_ready(r);
}

static void probe_now(ruc_re_ready_t *r)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (ruc_re_address(r->plan->host, r->port, &address, &len) < 0) {
        ruc_re_say_once("host '%s' is no address", r->plan->host);
        return; /* it will be late */
    }
    r->probe.fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->probe.fd < 0) {
        probe_later(r);
        return;
    }
    int rc = connect(r->probe.fd, (struct sockaddr *)&address, len) == 0 ? 0 : errno;
    if ((rc != 0 && rc != EINPROGRESS) || ruc_re_loop_watch(r->loop, &r->probe, EPOLLOUT) != 0) {
        probe_later(r);
        return;
    }
    ruc_re_loop_set(r->loop, &r->retry, PROBE_PATIENCE_MS);
}

static void retry_due(void *arg)
{
    ruc_re_ready_t *r = arg;
    ruc_re_loop_drop(r->loop, &r->probe);
    probe_now(r);
}

static void timeout_due(void *arg)
{
    ruc_re_ready_t *r = arg;
    r->overdue = true;
    if (!r->settled) {
        settle(r);
        r->late(r->arg);
    }
}

/* The first capture of a matching line as a port: 1 to 65535, 0 for none, -1: no match. */
static int port_in(const char *line, size_t len, const char *pattern)
{
    char text[16];
    char *end;
    uint64_t steps = STEPS_PER_LINE;
    int rc = ruc_pattern_line(line, len, pattern, &steps, text, sizeof text, NULL);
    if (rc < 0) {
        ruc_re_say_once("pattern '%s' on a line of %zu bytes: %s", pattern, len,
                        rc == RUC_ESTEPS ? "too many steps" : "malformed");
    }
    if (rc <= 0) {
        return -1;
    }
    if (text[0] == '\0') {
        return 0;
    }
    long port = strtol(text, &end, 10);
    return *end == '\0' && port > 0 && port <= 65535 ? (int)port : -1;
}

/* What the line was all about is there: probe the port, or be ready. */
static void line_came(ruc_re_ready_t *r)
{
    r->line_seen = true;
    if (r->plan->tcp && r->port != 0) {
        probe_now(r);
    } else {
        is_ready(r);
    }
}

static void look_for_ui(ruc_re_ready_t *r, const char *line, size_t len)
{
    int port = port_in(line, len, r->plan->ready_ui_log);
    if (port < 0) {
        return;
    }
    r->ui_seen = true;
    r->ui_port = port > 0 ? port : r->ui_port;
    if (r->line_seen) {
        r->changed(r->arg);
    }
}

bool ruc_re_ready_line(ruc_re_ready_t *r, const char *line, size_t len)
{
    bool look_ui = r->plan->ready_ui_log != NULL && !r->ui_seen && !r->overdue;
    bool look_log = r->plan->ready_log != NULL && !r->line_seen && !r->settled;
    if (look_ui) {
        look_for_ui(r, line, len);
    }
    int port = look_log ? port_in(line, len, r->plan->ready_log) : -1;
    if (port >= 0) {
        r->port = port > 0 ? port : r->port;
        line_came(r);
    }
    return look_ui || look_log;
}

void ruc_re_ready_init(ruc_re_ready_t *r)
{
    r->port = r->plan->port;
    r->ui_port = r->plan->ui_port;
    r->probe_gap_ms = PROBE_FIRST_MS;
    r->timeout = (ruc_re_timer_t){.due = timeout_due, .arg = r};
    r->retry = (ruc_re_timer_t){.due = retry_due, .arg = r};
    r->probe = (ruc_re_source_t){.fd = -1, .ready = probe_ready, .arg = r};
}

void ruc_re_ready_started(ruc_re_ready_t *r)
{
    ruc_re_loop_set(r->loop, &r->timeout, r->plan->timeout_ms);
    if (r->plan->ready_log == NULL) {
        line_came(r);
    }
}

void ruc_re_ready_stop(ruc_re_ready_t *r)
{
    settle(r);
    r->overdue = true;
}
