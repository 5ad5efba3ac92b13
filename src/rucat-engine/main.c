/* main.c - rucat-engine: the parent of one driver.
 *
 * `rucat-engine RUN_DIR` is started by `rucat serve`, one for each local driver; nobody starts it
 * by hand. It reads RUN_DIR/plan.json, starts the driver, keeps its log, finds out when it is
 * ready, answers servers over RPC, stops it when told, reaps all that comes from it, and says in
 * status.json how it ended. It outlives the server, except in embedded mode.
 *
 * Descriptors it may be born with: 3, a pidfd of the server (embedded mode); 4, a connected stream
 * socket, its first RPC connection; 5, RUN_DIR/lock, locked: who holds that lock is the one helper
 * of this epoch, and a server that finds it free knows that there is none. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/failpoint.h"
#include "rucat-engine/ladder.h"
#include "rucat-engine/loop.h"
#include "rucat-engine/output.h"
#include "rucat-engine/plan.h"
#include "rucat-engine/ready.h"
#include "rucat-engine/rpc.h"
#include "rucat-engine/say.h"
#include "rucat-engine/spawn.h"
#include "rucat-engine/status.h"

enum { FD_SERVER = 3, FD_RPC = 4, FD_LOCK = 5, FD_REST = 6 };

#define FLUSH_MS 1000 /* for connections, after the end was said */

typedef struct helper {
    ruc_re_loop_t loop;
    ruc_re_plan_t plan;
    ruc_re_status_t status;
    ruc_re_output_t output;
    ruc_re_ready_t ready;
    ruc_re_ladder_t ladder;
    ruc_re_driver_t driver;
    ruc_re_rpc_t rpc;
    ruc_re_source_t signals, server;
    ruc_re_timer_t beat, flush;
    int born_rpc, born_lock; /* descriptors 4 and 5, or -1 */
    bool done;               /* the driver and its tree are gone */
    bool flushed;            /* or the time for it is over */
} helper_t;

static void refresh(helper_t *h)
{
    h->status.port = h->ready.port;
    h->status.ui_port = h->ready.ui_port;
    h->status.log_bytes = h->output.written;
    h->status.dropped = h->output.dropped;
    h->status.kill_took_ms = h->ladder.took_ms;
    ruc_re_output_tail(&h->output, h->status.tail);
}

static void push_status(helper_t *h)
{
    ruc_re_rpc_push(&h->rpc, json_pack("{s:s, s:o}", "event", "status", "status",
                                       ruc_re_status_json(&h->status)));
}

/* Something changed: tell those who listen, and whoever will read the file. */
static void changed(helper_t *h)
{
    refresh(h);
    push_status(h);
    ruc_re_status_save(&h->status, true);
}

static void set_why(helper_t *h, const char *why)
{
    if (h->status.why[0] == '\0') { /* the first reason is the one that counts */
        snprintf(h->status.why, sizeof h->status.why, "%s", why);
    }
}

/* Starts or hurries the ladder. */
static void stop(helper_t *h, int signal, int64_t grace_ms)
{
    bool news = h->status.phase < RUC_RE_STOPPING;
    if (h->done) {
        return;
    }
    ruc_re_ready_stop(&h->ready);
    if (news) {
        h->status.phase = RUC_RE_STOPPING;
    }
    ruc_re_ladder_stop(&h->ladder, signal, grace_ms);
    if (news) {
        changed(h);
    }
}

static void stop_as_planned(helper_t *h)
{
    stop(h, h->plan.stop_signal, h->plan.grace_ms);
}

static void on_line(void *arg, const char *line, size_t len)
{
    helper_t *h = arg;
    if (!ruc_re_ready_line(&h->ready, line, len)) {
        h->output.line = NULL;
    }
}

static void on_ready(void *arg)
{
    helper_t *h = arg;
    if (h->status.phase != RUC_RE_STARTING) {
        return;
    }
    h->status.phase = RUC_RE_READY;
    h->status.ready_ms = ruc_clock_wall_ms();
    h->status.ready_mono_ms = (int64_t)ruc_clock_mono_ms();
    changed(h);
}

static void on_late(void *arg)
{
    helper_t *h = arg;
    char why[128];
    snprintf(why, sizeof why, "not ready within %.3g s", (double)h->plan.timeout_ms / 1000);
    h->status.timed_out = true;
    set_why(h, why);
    stop_as_planned(h);
}

static void on_ports(void *arg)
{
    changed(arg);
}

/* Did the kernel kill it for want of memory? What the ladder killed was not; -1: not known. */
static int was_oom(const helper_t *h, const siginfo_t *how)
{
    int64_t kills = h->ladder.cgroup < 0 ? -1 : ruc_cgroup_oom_kills(h->ladder.cgroup);
    if (kills < 0) {
        return -1;
    }
    return kills > 0 && how->si_code != CLD_EXITED && how->si_status == SIGKILL &&
           !h->ladder.killing;
}

static void on_exit_of_driver(void *arg, const siginfo_t *how)
{
    helper_t *h = arg;
    RUC_FAILPOINT("re.exited");
    h->status.has_exit = true;
    h->status.exit_code = how->si_code == CLD_EXITED ? how->si_status : -1;
    if (how->si_code != CLD_EXITED) {
        ruc_proc_signal_name(how->si_status, h->status.exit_signal);
    }
    h->status.exit_oom = was_oom(h, how);
    ruc_re_ready_stop(&h->ready);
}

static void on_stuck(void *arg)
{
    helper_t *h = arg;
    h->status.phase = RUC_RE_STOPPING;
    h->status.kill_incomplete = true;
    changed(h);
}

static void leave_cgroup(helper_t *h)
{
    if (h->ladder.cgroup >= 0) {
        close(h->ladder.cgroup);
        h->ladder.cgroup = -1;
    }
    int rc = h->status.cgroup[0] == '\0' ? 0 : ruc_cgroup_remove(h->status.cgroup);
    if (rc < 0) {
        ruc_re_say("cannot remove %s: %s", h->status.cgroup, strerror(-rc));
    }
}

/* Nothing is left of the driver: the last output, then the last word. */
static void end(helper_t *h)
{
    RUC_FAILPOINT("re.end");
    leave_cgroup(h);
    ruc_re_output_finish(&h->output);
    refresh(h);
    h->status.phase = RUC_RE_ENDED;
    h->status.kill_incomplete = false;
    h->status.ended_ms = ruc_clock_wall_ms();
    h->status.ended_mono_ms = (int64_t)ruc_clock_mono_ms();
    ruc_re_status_save(&h->status, true);
    push_status(h);
    h->done = true;
    ruc_re_loop_unset(&h->loop, &h->beat);
    ruc_re_loop_set(&h->loop, &h->flush, FLUSH_MS);
}

static void on_empty(void *arg)
{
    end(arg);
}

/* Beats that are seconds apart come at whole seconds of the machine's clock: those of many engines
 * then wake the server together, and not one by one. */
static void set_beat(helper_t *h)
{
    int64_t now = (int64_t)ruc_clock_mono_ms(), at = now + h->plan.beat_ms;
    ruc_re_loop_set(&h->loop, &h->beat, (h->plan.beat_ms >= 2000 ? at - at % 1000 : at) - now);
}

static void on_beat(void *arg)
{
    helper_t *h = arg;
    set_beat(h);
    if (h->output.dropped != h->status.dropped) {
        changed(h); /* the disk is full, or the log is in the way: that is to be known */
    }
    ruc_re_status_touch(&h->status);
    ruc_re_rpc_push(&h->rpc, json_pack("{s:s, s:I}", "event", "beat", "at_ms",
                                       (json_int_t)ruc_clock_wall_ms()));
}

static void on_flush_over(void *arg)
{
    helper_t *h = arg;
    h->flushed = true;
}

static void on_signal(void *arg, uint32_t events)
{
    (void)events;
    helper_t *h = arg;
    struct signalfd_siginfo info;
    while (read(h->signals.fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            set_why(h, "rucat-engine was told to stop");
            stop_as_planned(h);
        }
    }
    if (!h->done) {
        ruc_re_ladder_reap(&h->ladder);
    }
}

static void on_server_gone(void *arg, uint32_t events)
{
    (void)events;
    helper_t *h = arg;
    ruc_re_loop_drop(&h->loop, &h->server);
    set_why(h, "the server is gone");
    stop_as_planned(h);
}

static json_t *request_stop(helper_t *h, json_t *params, ruc_re_rpc_error_t *error)
{
    json_t *name = json_object_get(params, "signal");
    json_t *grace = json_object_get(params, "grace_ms");
    int usual = h->ladder.started ? h->ladder.last_signal : h->plan.stop_signal;
    int signal = json_is_string(name) ? ruc_proc_stop_signal(json_string_value(name)) : usual;
    if (signal < 0 || (name != NULL && !json_is_string(name) && !json_is_null(name))) {
        *error = (ruc_re_rpc_error_t){"invalid", "signal: expected " RUC_STOP_SIGNALS};
        return NULL;
    }
    int64_t grace_ms = json_is_integer(grace) ? json_integer_value(grace) : h->plan.grace_ms;
    if (grace_ms < 0 || grace_ms > 86400000) {
        *error = (ruc_re_rpc_error_t){"invalid", "grace_ms: expected 0 to 86400000"};
        return NULL;
    }
    /* Without a word on how, a stop that is under way stays as it is. */
    if (h->status.phase < RUC_RE_STOPPING || json_is_string(name) || json_is_integer(grace)) {
        stop(h, signal, grace_ms);
    }
    return json_object();
}

static json_t *hello(helper_t *h, json_t *params, ruc_re_rpc_error_t *error)
{
    json_t *newest = json_object_get(params, "v");
    int64_t v = json_is_integer(newest) ? json_integer_value(newest) : 1;
    json_t *status = NULL;
#if RUC_RE_PROTOCOL >= 2
    json_t *least = json_object_get(params, "min");
    if (v < 1 || (json_is_integer(least) && json_integer_value(least) > RUC_RE_PROTOCOL)) {
        *error = (ruc_re_rpc_error_t){"version", "this rucat-engine speaks versions 1 to 2"};
        return NULL;
    }
    status = ruc_re_status_json(&h->status);
    if (v >= 2) {
        return json_pack("{s:i, s:[s, s, s, s, s], s:o}", "v", RUC_RE_PROTOCOL, "methods", "hello",
                         "status", "stop", "ping", "set", "status", status);
    }
#else
    (void)v;
    (void)error;
    status = ruc_re_status_json(&h->status);
#endif
    return json_pack("{s:i, s:o}", "v", 1, "status", status);
}

#if RUC_RE_PROTOCOL >= 2
/* Takes over what it knows of the plan's numbers; the rest is for newer ones. */
static json_t *set(helper_t *h, json_t *params)
{
    json_t *log_max = json_object_get(params, "log_max");
    json_t *beat_ms = json_object_get(params, "beat_ms");
    if (json_is_integer(log_max) && json_integer_value(log_max) >= RUC_RE_LOG_LEAST) {
        h->output.log_max = json_integer_value(log_max);
    }
    if (json_is_integer(beat_ms) && json_integer_value(beat_ms) >= RUC_RE_BEAT_LEAST_MS &&
        json_integer_value(beat_ms) <= RUC_RE_DAY_MS && !h->done) {
        h->plan.beat_ms = json_integer_value(beat_ms);
        set_beat(h);
    }
    return json_pack("{s:I, s:I}", "log_max", (json_int_t)h->output.log_max, "beat_ms",
                     (json_int_t)h->plan.beat_ms);
}
#endif

static json_t *on_request(void *arg, const char *method, json_t *params, ruc_re_rpc_error_t *error)
{
    helper_t *h = arg;
    if (strcmp(method, "ping") == 0) {
        return json_object();
    }
    if (strcmp(method, "stop") == 0) {
        return request_stop(h, params, error);
    }
    if (strcmp(method, "status") == 0 || strcmp(method, "hello") == 0) {
        if (!h->done) {
            refresh(h);
        }
        return method[0] == 's' ? ruc_re_status_json(&h->status) : hello(h, params, error);
    }
#if RUC_RE_PROTOCOL >= 2
    if (strcmp(method, "set") == 0) {
        return set(h, params);
    }
#endif
    *error = (ruc_re_rpc_error_t){"unknown_method", "methods: hello, status, stop, ping, set"};
    return NULL;
}

/* The descriptor if it was open when we were born, else -1. It does not go on to the driver. */
static int inherited(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

/* Before anything else is opened: what was handed to us, and nothing more. */
static void check_descriptors(helper_t *h)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    h->server.fd = inherited(FD_SERVER);
    h->born_rpc = inherited(FD_RPC);
    h->born_lock = inherited(FD_LOCK);
    if (h->born_rpc >= 0 &&
        (getsockopt(FD_RPC, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || domain != AF_UNIX)) {
        close(FD_RPC);
        h->born_rpc = -1;
    }
    close_range(FD_REST, ~0u, 0);
}

/* One helper for each epoch: the lock is inherited, or taken now. It stays open, and locked, until
 * the end. */
static int take_lock(helper_t *h)
{
    if (h->born_lock < 0) {
        h->born_lock = open("lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (h->born_lock < 0 || flock(h->born_lock, LOCK_EX | LOCK_NB) != 0) {
        fprintf(stderr, "rucat-engine: another one has this epoch: %s\n", strerror(errno));
        return -1;
    }
    return 0;
}

/* Signals become events; children of children become ours. */
static int prepare(helper_t *h)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int rc = ruc_re_loop_open(&h->loop);
    if (rc < 0) {
        return rc;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -errno;
    }
    h->signals = (ruc_re_source_t){.ready = on_signal, .arg = h};
    h->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return h->signals.fd < 0 ? -errno : ruc_re_loop_watch(&h->loop, &h->signals, EPOLLIN);
}

static void wire(helper_t *h)
{
    h->status.plan = &h->plan;
    h->beat = (ruc_re_timer_t){.due = on_beat, .arg = h};
    h->flush = (ruc_re_timer_t){.due = on_flush_over, .arg = h};
    h->ready.loop = h->ladder.loop = h->rpc.loop = h->output.loop = &h->loop;
    h->ready.arg = h->ladder.arg = h->rpc.arg = h->output.arg = h;
    h->ready.plan = &h->plan;
    h->ready.ready = on_ready;
    h->ready.late = on_late;
    h->ready.changed = on_ports;
    h->ladder.driver = &h->driver;
    h->ladder.cgroup = -1;
    h->status.exit_oom = -1;
    h->ladder.exited = on_exit_of_driver;
    h->ladder.stuck = on_stuck;
    h->ladder.empty = on_empty;
    h->rpc.request = on_request;
    h->output.line = on_line;
    h->output.pipe.fd = h->output.log = -1;
    ruc_re_ready_init(&h->ready);
    ruc_re_ladder_init(&h->ladder);
}

static void open_rpc(helper_t *h)
{
    int rc = ruc_re_rpc_open(&h->rpc);
    if (rc < 0) {
        ruc_re_say("cannot listen on rpc: %s", strerror(-rc));
    }
    if (h->born_rpc >= 0) {
        ruc_re_rpc_adopt(&h->rpc, h->born_rpc);
    }
    if (h->plan.embedded && h->server.fd >= 0) {
        h->server.ready = on_server_gone;
        h->server.arg = h;
        rc = ruc_re_loop_watch(&h->loop, &h->server, EPOLLIN);
        if (rc < 0) {
            ruc_re_say("cannot watch the server: %s", strerror(-rc));
        }
    }
}

/* Puts the driver into its cgroup, if there can be one. */
static void enter_cgroup(helper_t *h, int pid)
{
    int dir = ruc_cgroup_make(h->status.cgroup);
    int rc = dir < 0 ? dir : ruc_cgroup_add(dir, pid);
    if (dir >= 0 && rc == -ENOENT) { /* a server has cleaned up just now */
        close(dir);
        dir = ruc_cgroup_make(h->status.cgroup);
        rc = dir < 0 ? dir : ruc_cgroup_add(dir, pid);
    }
    if (rc == 0) {
        h->ladder.cgroup = dir;
        return;
    }
    ruc_re_say("no cgroup %s: %s", h->status.cgroup, strerror(-rc));
    if (dir >= 0) {
        close(dir);
        ruc_cgroup_remove(h->status.cgroup);
    }
    h->status.cgroup[0] = '\0';
}

/* Who the driver is going to be, and where, before it is: a server that finds no helper looks for
 * it. */
static int record_driver(void *arg, const ruc_re_driver_t *driver)
{
    helper_t *h = arg;
    h->status.driver = driver->id;
#if RUC_RE_PROTOCOL >= 2
    ruc_cgroup_path(h->plan.instance, h->status.cgroup); /* "" where there is none */
#endif
    int rc = ruc_re_status_save(&h->status, false);
    if (rc == 0 && h->status.cgroup[0] != '\0') {
        enter_cgroup(h, driver->id.pid);
    }
    return rc;
}

/* Opens the output and starts the driver. 0, or -1 with the reason in the status. */
static int start(helper_t *h)
{
    char *why = h->status.why;
    size_t size = sizeof h->status.why;
    int write_end = -1;
    int rc = ruc_re_output_open(&h->output, &h->loop, h->plan.log_max, &write_end);
    if (rc < 0) {
        snprintf(why, size, "cannot make a pipe: %s", strerror(-rc));
    } else {
        rc = ruc_re_spawn_port_free(&h->plan, why, size);
    }
    if (rc == 0) {
        rc = ruc_re_spawn(&h->plan, write_end, &h->driver, record_driver, h, why, size);
    }
    if (write_end >= 0) {
        close(write_end);
    }
    return rc;
}

/* From the plan to a running driver, or to the word that there is none. */
static void begin(helper_t *h)
{
    char why[sizeof h->status.why] = "";
    int rc = ruc_re_plan_load(&h->plan, "plan.json", why, sizeof why);
    wire(h);
    set_why(h, why);
    ruc_proc_identify(getpid(), &h->status.helper);
    h->status.started_ms = ruc_clock_wall_ms();
    open_rpc(h);
    if (rc == 0) {
        rc = start(h);
    }
    h->status.driver = h->driver.id; /* none, when the start failed */
    if (rc < 0) {
        ruc_re_say("%s", h->status.why);
        end(h);
        return;
    }
    changed(h);
    set_beat(h);
    ruc_re_ready_started(&h->ready);
}

int main(int argc, char **argv)
{
    static helper_t h;
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: rucat-engine RUN_DIR (started by `rucat serve`)\n");
        return 2;
    }
    umask(077);
    check_descriptors(&h);
    if (chdir(argv[1]) != 0) {
        fprintf(stderr, "rucat-engine: cannot enter %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    int rc = take_lock(&h);
    if (rc == 0 && (rc = prepare(&h)) < 0) {
        ruc_re_say("cannot start: %s", strerror(-rc));
    }
    if (rc < 0) {
        return 1;
    }
    RUC_FAILPOINT("re.begin");
    begin(&h);
    while (rc == 0 && !(h.done && (h.flushed || ruc_re_rpc_flushed(&h.rpc)))) {
        rc = ruc_re_loop_turn(&h.loop);
    }
    RUC_FAILPOINT("re.leave");
    ruc_re_rpc_close(&h.rpc);
    ruc_re_loop_drop(&h.loop, &h.signals);
    ruc_re_loop_close(&h.loop);
    ruc_re_plan_free(&h.plan);
    return rc == 0 ? 0 : 1;
}
