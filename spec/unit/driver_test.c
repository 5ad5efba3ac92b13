/* driver_test.c - drivers of the kind "process": the real rucat-engine, real small programs, real
 * sockets. Nothing waits by sleeping: the loop runs until something is seen, or a deadline. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/id.h"
#include "engine/driver.h"
#include "engine/helper.h"
#include "engine/plan.h"
#include "engine/reaper.h"
#include "proc/identity.h"

#ifndef DEADLINE_MS
#define DEADLINE_MS 20000
#endif

typedef struct room {
    uv_loop_t loop;
    uv_timer_t tick; /* wakes the loop so that a deadline is noticed */
    char dir[64];
    char run_dir[96];
    char data_dir[96];
    char instance[RUC_UUID_SIZE];
    ruc_driver_spec_t spec;
    int calls, beats;
    bool close_in_callback;
} room_t;

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void room_open(room_t *room, const char *dir)
{
    uv_loop_init(&room->loop);
    uv_timer_init(&room->loop, &room->tick);
    uv_timer_start(&room->tick, on_tick, 50, 50);
    snprintf(room->dir, sizeof room->dir, "%s", dir);
    snprintf(room->run_dir, sizeof room->run_dir, "%s/engines/e/1", dir);
    snprintf(room->data_dir, sizeof room->data_dir, "%s/data/e", dir);
    room->spec = (ruc_driver_spec_t){.engine = "01k000000000000000000000aa",
                                     .name = "test",
                                     .instance = room->instance,
                                     .epoch = 1,
                                     .run_dir = room->run_dir,
                                     .data_dir = room->data_dir,
                                     .helper = RUCAT_BUILD_DIR "/rucat-engine",
                                     .beat_ms = 10000};
}

static int setup(void **state)
{
    char dir[] = "/tmp/rucat-driver-XXXXXX";
    room_t *room = calloc(1, sizeof *room);
    if (room == NULL || mkdtemp(dir) == NULL) {
        return -1;
    }
    ruc_id_uuid(room->instance);
    room_open(room, dir);
    *state = room;
    return 0;
}

/* What the helper wrote to its own log, for sanitizer reports. */
static void helper_log_is_clean(const room_t *room)
{
    char path[160];
    static char text[65536];
    snprintf(path, sizeof path, "%s/helper.log", room->run_dir);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    if (strstr(text, "Sanitizer") != NULL || strstr(text, "runtime error") != NULL) {
        fail_msg("helper.log: %s", text);
    }
}

/* Helpers that were left by a closed driver, or by a killed server, end here. */
static void reap_all(void)
{
    uint64_t end = ruc_clock_mono_ms() + DEADLINE_MS;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0) {
            return;
        }
        assert_true(ruc_clock_mono_ms() < end);
        if (pid == 0) {
            poll(NULL, 0, 5);
        }
    }
}

/* Runs the loop to its end; a test that failed leaves things open, and is not waited for. */
static void run_out(room_t *room)
{
    uint64_t end = ruc_clock_mono_ms() + DEADLINE_MS;
    while (uv_run(&room->loop, UV_RUN_NOWAIT) != 0) {
        assert_true(ruc_clock_mono_ms() < end);
        poll(NULL, 0, 1);
    }
}

static int teardown(void **state)
{
    room_t *room = *state;
    char command[128];
    uv_close((uv_handle_t *)&room->tick, NULL);
    run_out(room);
    ruc_helper_leave_all(&room->loop);
    ruc_reaper_close(&room->loop);
    run_out(room);
    assert_int_equal(uv_loop_close(&room->loop), 0);
    reap_all();
    assert_int_equal(ruc_proc_list_instance(room->instance, NULL, 0), 0);
    helper_log_is_clean(room);
    snprintf(command, sizeof command, "rm -rf %s", room->dir);
    assert_int_equal(system(command), 0);
    free(room);
    return 0;
}

static void on_news(void *arg, ruc_driver_t *driver, bool beat_only)
{
    room_t *room = arg;
    room->calls += !beat_only;
    room->beats += beat_only;
    if (room->close_in_callback) {
        room->close_in_callback = false;
        ruc_driver_close(driver);
    }
}

static ruc_driver_t *new_driver(room_t *room)
{
    ruc_driver_t *driver = ruc_driver_new(&room->loop, "process", &room->spec, on_news, room);
    assert_non_null(driver);
    return driver;
}

/* Runs the loop until the condition holds. */
#define UNTIL(room, cond)                                                                          \
    do {                                                                                           \
        uint64_t end_ = ruc_clock_mono_ms() + DEADLINE_MS;                                         \
        while (!(cond)) {                                                                          \
            if (ruc_clock_mono_ms() > end_) {                                                      \
                fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, DEADLINE_MS, #cond);   \
            }                                                                                      \
            uv_run(&(room)->loop, UV_RUN_ONCE);                                                    \
        }                                                                                          \
    } while (0)

#define PHASE(driver) (ruc_driver_seen(driver)->phase)

/* A plan with argv {program, "-c", code} and more fields (JSON members, or ""). */
static json_t *plan_of(const char *program, const char *code, const char *more)
{
    char text[256];
    json_error_t error;
    snprintf(text, sizeof text, "{%s}", more);
    json_t *plan = json_loads(text, 0, &error);
    assert_non_null(plan);
    json_object_set_new(plan, "argv", json_pack("[s, s, s]", program, "-c", code));
    return plan;
}

static void start(ruc_driver_t *driver, json_t *plan)
{
    ruc_why_t why = {{0}};
    if (ruc_driver_start(driver, plan, &why) != 0) {
        fail_msg("start: %s", why.text);
    }
    json_decref(plan);
}

static ruc_driver_t *start_sh(room_t *room, const char *code, const char *more)
{
    ruc_driver_t *driver = new_driver(room);
    start(driver, plan_of("/bin/sh", code, more));
    return driver;
}

/* A pidfd, to see the end of a process that is not our child. */
static void gone(int pidfd)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    int rc;
    do { /* SIGCHLD of another may come */
        rc = poll(&wait, 1, DEADLINE_MS);
    } while (rc < 0 && errno == EINTR);
    assert_int_equal(rc, 1);
    close(pidfd);
}

static json_t *read_status(const room_t *room)
{
    char path[160];
    snprintf(path, sizeof path, "%s/status.json", room->run_dir);
    return json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

static int helper_pid(const room_t *room)
{
    json_t *status = read_status(room);
    int pid = (int)json_integer_value(json_object_get(json_object_get(status, "helper"), "pid"));
    json_decref(status);
    assert_true(pid > 1);
    return pid;
}

#define READY_BY_LINE "\"ready\":{\"log\":\"^up\"}"
#define STAY "echo up; exec sleep 1000"

static void it_is_ready_when_its_line_comes_and_its_port_accepts(void **state)
{
    room_t *room = *state;
    static const char code[] = "import socket, time\n"
                               "s = socket.socket(); s.bind(('127.0.0.1', 0))\n"
                               "print('\\x1b[32mui on 4040\\x1b[0m', flush=True)\n"
                               "print('\\x1b[32mat %d\\x1b[0m' % s.getsockname()[1], flush=True)\n"
                               "open('bound', 'w').close()\n"
                               "while not __import__('os').path.exists('go'): time.sleep(0.01)\n"
                               "s.listen(); time.sleep(1000)\n";
    char path[160];
    ruc_driver_t *driver = new_driver(room);
    start(driver, plan_of("python3", code,
                          "\"ready\":{\"log\":\"^at (%d+)$\",\"ui_log\":\"^ui on (%d+)$\","
                          "\"tcp\":true}"));
    assert_int_equal(PHASE(driver), RUC_SEEN_STARTING);
    snprintf(path, sizeof path, "%s/bound", room->data_dir);
    UNTIL(room, access(path, F_OK) == 0);
    assert_int_equal(PHASE(driver), RUC_SEEN_STARTING);
    snprintf(path, sizeof path, "%s/go", room->data_dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    const ruc_seen_t *seen = ruc_driver_seen(driver);
    assert_in_range(seen->port, 1, 65535);
    assert_int_equal(seen->ui_port, 4040);
    assert_true(seen->pid > 1);
    assert_true(seen->started_ms > 0 && seen->ready_ms >= seen->started_ms);
    assert_int_equal(strncmp(seen->tail, "ui on 4040\nat ", 14), 0);
    assert_int_equal(ruc_driver_stop(driver, NULL, -1), 0);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->exit.signal, "SIGTERM");
    assert_int_equal(ruc_driver_seen(driver)->exit.code, -1);
    ruc_driver_close(driver);
}

static void without_a_condition_it_is_ready_when_it_runs(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, "exec sleep 1000", "");
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    ruc_driver_stop(driver, "KILL", 0);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->exit.signal, "SIGKILL");
    ruc_driver_close(driver);
}

static void it_is_late_when_its_line_never_comes(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, "echo almost; exec sleep 1000",
                                    "\"ready\":{\"log\":\"^up\",\"timeout\":0.2}");
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_true(ruc_driver_seen(driver)->timed_out);
    assert_string_equal(ruc_driver_seen(driver)->why, "not ready within 0.2 s");
    assert_string_equal(ruc_driver_seen(driver)->tail, "almost\n");
    ruc_driver_close(driver);
}

static void exit_codes_are_told_from_signals(void **state)
{
    room_t *room = *state;
    static const struct {
        const char *code;
        int exit;
        const char *signal;
    } cases[] = {{"exit 0", 0, ""},
                 {"echo last words; exit 1", 1, ""},
                 {"exit 143", 143, ""},
                 {"kill -TERM $$", -1, "SIGTERM"},
                 {"kill -KILL $$", -1, "SIGKILL"}};
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        room->spec.epoch = i + 1;
        snprintf(room->run_dir, sizeof room->run_dir, "%s/engines/e/%d", room->dir, (int)i + 1);
        ruc_driver_t *driver = start_sh(room, cases[i].code, READY_BY_LINE);
        UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
        const ruc_seen_t *seen = ruc_driver_seen(driver);
        assert_int_equal(seen->exit.code, cases[i].exit);
        assert_string_equal(seen->exit.signal, cases[i].signal);
        assert_int_equal(seen->exit.oom, -1);
        assert_int_equal(seen->epoch, i + 1);
        assert_true(seen->ended_ms >= seen->started_ms && seen->ready_ms == 0);
        ruc_driver_close(driver);
    }
}

static void who_ignores_the_signal_is_killed_after_the_grace(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, "trap '' TERM; echo up; while :; do sleep 1; done",
                                    READY_BY_LINE ",\"stop\":{\"signal\":\"TERM\",\"grace\":0.2}");
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    uint64_t from = ruc_clock_mono_ms();
    ruc_driver_stop(driver, NULL, -1);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_STOPPING);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->exit.signal, "SIGKILL");
    assert_true(ruc_clock_mono_ms() - from >= 190);
    ruc_driver_close(driver);
}

static void a_second_stop_hurries_the_first(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, "trap '' TERM; echo up; while :; do sleep 1; done",
                                    READY_BY_LINE ",\"stop\":{\"grace\":600}");
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_STOPPING);
    ruc_driver_stop(driver, NULL, 0);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
}

static void stopped_while_stopped_by_a_signal_it_still_ends(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, "echo up; kill -STOP $$; exec sleep 1000",
                                    READY_BY_LINE ",\"stop\":{\"grace\":600}");
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->exit.signal, "SIGTERM");
    ruc_driver_close(driver);
}

/* Children that leave session and parent: two generations, fifteen of them. */
static const char daemons[] =
    "import os, sys, time\n"
    "for i in range(15):\n"
    "  if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "      os.setsid()\n"
    "      open('child%d' % i, 'w').close()\n"
    "      time.sleep(1000)\n"
    "    os._exit(0)\n"
    "while not all(os.path.exists('child%d' % i) for i in range(15)): time.sleep(0.01)\n";

static void nothing_of_its_tree_is_left_when_it_is_stopped(void **state)
{
    room_t *room = *state;
    char code[1024];
    ruc_driver_t *driver = new_driver(room);
    snprintf(code, sizeof code, "%sprint('up', flush=True); time.sleep(1000)", daemons);
    start(driver, plan_of("python3", code, READY_BY_LINE));
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    assert_int_equal(ruc_proc_list_instance(room->instance, NULL, 0), 16);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_int_equal(ruc_proc_list_instance(room->instance, NULL, 0), 0);
    ruc_driver_close(driver);
}

static void nothing_of_its_tree_is_left_when_it_ends_by_itself(void **state)
{
    room_t *room = *state;
    char code[1024];
    ruc_driver_t *driver = new_driver(room);
    snprintf(code, sizeof code, "%ssys.exit(7)", daemons);
    start(driver, plan_of("python3", code, READY_BY_LINE));
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_int_equal(ruc_driver_seen(driver)->exit.code, 7);
    assert_int_equal(ruc_proc_list_instance(room->instance, NULL, 0), 0);
    ruc_driver_close(driver);
}

static void what_cannot_be_run_says_so(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = new_driver(room);
    start(driver, json_pack("{s:[s]}", "argv", "/nonexistent/driver"));
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->why,
                        "cannot run /nonexistent/driver: No such file or directory");
    assert_int_equal(ruc_driver_seen(driver)->exit.code, -1);
    ruc_driver_close(driver);

    snprintf(room->run_dir, sizeof room->run_dir, "%s/engines/e/2", room->dir);
    driver = new_driver(room);
    start(driver, json_pack("{s:[s], s:s}", "argv", "true", "cwd", "/nonexistent"));
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->why,
                        "cannot enter /nonexistent: No such file or directory");
    ruc_driver_close(driver);

    room->spec.helper = "/nonexistent/rucat-engine";
    snprintf(room->run_dir, sizeof room->run_dir, "%s/engines/e/3", room->dir);
    driver = start_sh(room, "true", "");
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->why,
                        "cannot run /nonexistent/rucat-engine: no such file or directory");
    ruc_driver_close(driver);
}

static void a_port_that_is_taken_says_so(void **state)
{
    room_t *room = *state;
    static uv_tcp_t tcp; /* closed in the teardown's last turns */
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int len = sizeof bound;
    char more[128];
    char why[64];
    uv_tcp_init(&room->loop, &tcp);
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&tcp, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&tcp, 1, NULL), 0);
    uv_tcp_getsockname(&tcp, (struct sockaddr *)&bound, &len);
    int port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
    snprintf(more, sizeof more, "\"ready\":{\"tcp\":true,\"port\":%d}", port);
    snprintf(why, sizeof why, "port %d on 127.0.0.1 is taken", port);
    ruc_driver_t *driver = start_sh(room, STAY, more);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->why, why);
    ruc_driver_close(driver);
    uv_close((uv_handle_t *)&tcp, NULL);
}

static void environment_files_and_directories_are_as_planned(void **state)
{
    room_t *room = *state;
    struct stat st;
    char path[160];
    setenv("RUCAT_TEST_SECRET", "leaks", 1);
    setenv("SPARK_TEST", "from the server", 1);
    ruc_driver_t *driver = start_sh(
        room,
        "umask; env | sort; pwd; ls /proc/self/fd | tr '\\n' ' '; cat ../../engines/e/1/secret",
        "\"files\":{\"secret\":\"hush\"},\"env\":{\"A\":\"b c\",\"HOME\":\"/h\"}," READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    const char *tail = ruc_driver_seen(driver)->tail;
    char instance[80];
    snprintf(instance, sizeof instance, "\nRUCAT_INSTANCE=%s\n", room->instance);
    assert_non_null(strstr(tail, "\nA=b c\n"));
    assert_non_null(strstr(tail, "\nHOME=/h\n"));
    assert_non_null(strstr(tail, "\nSPARK_TEST=from the server\n"));
    assert_non_null(strstr(tail, instance));
    assert_non_null(strstr(tail, "\nRUCAT_EPOCH=1\n"));
    assert_null(strstr(tail, "RUCAT_TEST_SECRET"));
    assert_non_null(strstr(tail, room->data_dir));
    assert_non_null(strstr(tail, "\n0 1 2 3 hush")); /* 3 is the directory ls reads */
    snprintf(path, sizeof path, "%s/secret", room->run_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(room->run_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    ruc_driver_close(driver);
}

static void a_killed_helper_takes_its_driver_along(void **state)
{
    room_t *room = *state;
    char code[1024];
    ruc_driver_t *driver = new_driver(room);
    snprintf(code, sizeof code, "%sprint('up', flush=True); time.sleep(1000)", daemons);
    start(driver, plan_of("python3", code, READY_BY_LINE));
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    kill(helper_pid(room), SIGKILL);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    const ruc_seen_t *seen = ruc_driver_seen(driver);
    assert_string_equal(seen->why, "rucat-engine was killed");
    assert_int_equal(seen->exit.code, -1);
    assert_string_equal(seen->exit.signal, "");
    assert_int_equal(ruc_proc_list_instance(room->instance, NULL, 0), 0);
    ruc_driver_close(driver);
}

static void a_driver_is_adopted_with_all_that_is_known_of_it(void **state)
{
    room_t *room = *state;
    ruc_driver_t *first =
        start_sh(room, "echo up 4711; exec sleep 1000", "\"ready\":{\"log\":\"^up (%d+)\"}");
    UNTIL(room, PHASE(first) == RUC_SEEN_READY);
    int pid = ruc_driver_seen(first)->pid;
    int64_t ready_ms = ruc_driver_seen(first)->ready_ms;
    ruc_driver_close(first);

    ruc_driver_t *second = new_driver(room);
    assert_int_equal(ruc_driver_adopt(second), 0);
    assert_int_equal(PHASE(second), RUC_SEEN_NONE);
    UNTIL(room, PHASE(second) != RUC_SEEN_NONE);
    assert_int_equal(PHASE(second), RUC_SEEN_READY);
    assert_int_equal(ruc_driver_seen(second)->pid, pid);
    assert_int_equal(ruc_driver_seen(second)->port, 4711);
    assert_int_equal(ruc_driver_seen(second)->ready_ms, ready_ms);

    /* A start of the same epoch finds it, too: there is never a second one. */
    ruc_driver_t *third = start_sh(room, "echo I am another", "");
    UNTIL(room, PHASE(third) == RUC_SEEN_READY);
    assert_int_equal(ruc_driver_seen(third)->pid, pid);

    ruc_driver_stop(second, NULL, -1);
    UNTIL(room, PHASE(second) == RUC_SEEN_ENDED && PHASE(third) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(second)->exit.signal, "SIGTERM");
    ruc_driver_close(second);
    ruc_driver_close(third);

    /* And when all is over its file still says how. */
    ruc_driver_t *fourth = new_driver(room);
    ruc_driver_adopt(fourth);
    UNTIL(room, PHASE(fourth) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(fourth)->exit.signal, "SIGTERM");
    ruc_driver_close(fourth);
}

/* Nobody follows it any more, but it is our child: it must not stay a zombie. */
static void a_helper_of_a_closed_driver_is_reaped(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    int helper = helper_pid(room);
    ruc_driver_close(driver);
    kill(helper, SIGTERM);
    UNTIL(room, kill(helper, 0) != 0); /* a zombie could still be signalled */
    assert_int_equal(errno, ESRCH);
}

static void a_helper_killed_while_nobody_looked_is_found_out(void **state)
{
    room_t *room = *state;
    ruc_driver_t *first = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(first) == RUC_SEEN_READY);
    int pid = ruc_driver_seen(first)->pid;
    int pidfd = ruc_proc_pidfd(pid);
    ruc_driver_close(first);
    kill(helper_pid(room), SIGKILL);
    gone(pidfd);

    ruc_driver_t *second = new_driver(room);
    ruc_driver_adopt(second);
    UNTIL(room, PHASE(second) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(second)->why, "rucat-engine was killed");
    assert_int_equal(ruc_driver_seen(second)->pid, pid);
    ruc_driver_close(second);
}

static void where_nothing_is_none_is_found_and_a_start_may_follow(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = new_driver(room);
    assert_int_equal(ruc_driver_stop(driver, NULL, -1), RUC_ENOTFOUND);
    ruc_driver_adopt(driver);
    UNTIL(room, room->calls == 1);
    assert_int_equal(PHASE(driver), RUC_SEEN_NONE);
    start(driver, plan_of("/bin/sh", "echo up; exit 3", READY_BY_LINE));
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_int_equal(ruc_driver_seen(driver)->exit.code, 3);
    ruc_driver_close(driver);
}

static void a_stop_that_comes_too_early_is_not_lost(void **state)
{
    room_t *room = *state;
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
}

static void beats_come_and_a_callback_may_close(void **state)
{
    room_t *room = *state;
    room->spec.beat_ms = 30;
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    room->beats = 0;
    UNTIL(room, room->beats >= 2);
    assert_true(ruc_clock_mono_ms() - ruc_driver_seen(driver)->beat_mono_ms < 1000);
    assert_true(ruc_clock_wall_ms() - ruc_driver_seen(driver)->beat_wall_ms < 1000);
    int pidfd = ruc_proc_pidfd(helper_pid(room));
    room->close_in_callback = true;
    kill(helper_pid(room), SIGTERM);
    UNTIL(room, !room->close_in_callback);
    gone(pidfd);
}

/* A connection of our own to the helper. */
static int connect_rpc(const room_t *room)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = DEADLINE_MS / 1000};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/rpc", room->run_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

static void send_frame(int fd, const char *body)
{
    size_t len = strlen(body) + 1;
    char head[5] = {0, 0, (char)(len >> 8), (char)len, 1};
    assert_int_equal(send(fd, head, 5, MSG_NOSIGNAL), 5);
    assert_int_equal(send(fd, body, len - 1, MSG_NOSIGNAL), len - 1);
}

/* Reads one frame's body as text. */
static void receive(int fd, char *out, size_t size)
{
    unsigned char head[5];
    assert_int_equal(recv(fd, head, 5, MSG_WAITALL), 5);
    size_t len = ((size_t)head[2] << 8 | head[3]) - 1;
    assert_true(head[4] == 1 && len < size);
    assert_int_equal(recv(fd, out, len, MSG_WAITALL), len);
    out[len] = '\0';
}

static void the_helper_answers_who_speaks_and_closes_who_does_not(void **state)
{
    room_t *room = *state;
    char text[16384];
    static const struct {
        const char *bytes;
        size_t len;
    } garbage[] = {{"GET / HTTP/1.1\r\n\r\n", 18},
                   {"\0\0\0\5\1nope", 9},
                   {"\0\0\0\3\1{}", 7},
                   {"\0\0\0\3\1[]", 7},
                   {"\xff\xff\xff\xff\1", 5},
                   {"\0\0\0\0\0", 5}};
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int fd = connect_rpc(room);
        assert_int_equal(send(fd, garbage[i].bytes, garbage[i].len, MSG_NOSIGNAL), garbage[i].len);
        ssize_t got = recv(fd, text, 1, 0); /* 0, or reset when it left bytes unread */
        assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
        close(fd);
    }
    int fd = connect_rpc(room);
    send_frame(fd, "{\"id\":1,\"method\":\"ping\",\"params\":{\"new\":true},\"more\":1}");
    receive(fd, text, sizeof text);
    assert_string_equal(text, "{\"id\":1,\"result\":{}}");
    send_frame(fd, "{\"id\":\"x\",\"method\":\"dance\"}");
    receive(fd, text, sizeof text);
    assert_string_equal(text, "{\"id\":\"x\",\"error\":{\"code\":\"unknown_method\",\"message\":"
                              "\"methods: hello, status, stop, ping, set\"}}");
    send_frame(fd, "{\"id\":2,\"method\":\"stop\",\"params\":{\"signal\":\"STOP\"}}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"code\":\"invalid\""));
    /* Versions: of an older peer, of a newer one, of one that is too new. */
    send_frame(fd, "{\"id\":4,\"method\":\"hello\",\"params\":{\"v\":1}}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"v\":1,"));
    assert_null(strstr(text, "\"methods\""));
    send_frame(fd, "{\"id\":5,\"method\":\"hello\",\"params\":{\"v\":9,\"min\":2,\"new\":[]}}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"methods\":[\"hello\","));
    send_frame(fd, "{\"id\":6,\"method\":\"hello\",\"params\":{\"v\":9,\"min\":8}}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"code\":\"version\""));
    send_frame(
        fd, "{\"id\":7,\"method\":\"set\",\"params\":{\"log_max\":5000,\"beat_ms\":20,\"new\":1}}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"log_max\":5000"));
    assert_non_null(strstr(text, "\"beat_ms\":20"));
    room->beats = 0;
    UNTIL(room, room->beats >= 3);
    close(fd);
    fd = connect_rpc(room);
    send_frame(fd, "{\"id\":3,\"method\":\"status\"}");
    receive(fd, text, sizeof text);
    assert_non_null(strstr(text, "\"phase\":\"ready\""));
    close(fd);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
}

static void a_peer_that_never_reads_disturbs_nobody(void **state)
{
    room_t *room = *state;
    room->spec.beat_ms = 30;
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    int fd = connect_rpc(room);
    static const char frame[] = "\0\0\0\x1b\1{\"id\":1,\"method\":\"status\"}";
    ssize_t sent = 0;
    for (int i = 0; sent >= 0 && i < 1000000; i++) {
        sent = send(fd, frame, sizeof frame - 1, MSG_NOSIGNAL);
    }
    assert_int_equal(sent, -1);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    close(fd);
    room->beats = 0;
    UNTIL(room, room->beats >= 2);
    /* More peers than there are places: the extra ones are refused, ours stays. */
    int peers[20];
    for (int i = 0; i < 20; i++) {
        peers[i] = connect_rpc(room);
    }
    room->beats = 0;
    UNTIL(room, room->beats >= 2);
    for (int i = 0; i < 20; i++) {
        close(peers[i]);
    }
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
}

static void much_output_is_kept_within_its_bound(void **state)
{
    room_t *room = *state;
    char path[160];
    struct stat st;
    ruc_driver_t *driver = start_sh(
        room, "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf 'end \\377\\n'; exit 0",
        READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    assert_string_equal(ruc_driver_seen(driver)->tail, "end \xef\xbf\xbd\n");
    snprintf(path, sizeof path, "%s/log", room->run_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3000000 + 1 + 6);
    ruc_driver_close(driver);
}

/* The helper without a server: started by hand, no descriptors, a small log_max. */
/* A server that executed itself anew has children of which its libuv knows nothing. */
static void a_helper_of_an_earlier_life_is_reaped(void **state)
{
    room_t *room = *state;
    char path[160];
    snprintf(path, sizeof path, "mkdir -p %s", room->run_dir);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/plan.json", room->run_dir);
    FILE *plan = fopen(path, "we");
    fprintf(plan,
            "{\"v\":1,\"engine\":\"e\",\"epoch\":1,\"instance\":\"%s\","
            "\"argv\":[\"sleep\",\"1000\"],\"env\":{\"PATH\":\"/usr/bin:/bin\"}}",
            room->instance);
    fclose(plan);
    char *args[] = {RUCAT_BUILD_DIR "/rucat-engine", room->run_dir, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, args[0], NULL, NULL, args, environ), 0);
    snprintf(path, sizeof path, "%s/status.json", room->run_dir);
    uint64_t end = ruc_clock_mono_ms() + DEADLINE_MS;
    while (access(path, F_OK) != 0) {
        assert_true(ruc_clock_mono_ms() < end);
        poll(NULL, 0, 1);
    }
    ruc_driver_t *driver = new_driver(room);
    ruc_driver_adopt(driver);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
    UNTIL(room, kill(pid, 0) != 0); /* a zombie could still be signalled */
    assert_int_equal(errno, ESRCH);
}

static void the_helper_works_alone_and_rotates_its_log(void **state)
{
    room_t *room = *state;
    char path[160];
    struct stat st;
    int code = 0;
    snprintf(path, sizeof path, "mkdir -p %s", room->run_dir);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/plan.json", room->run_dir);
    FILE *plan = fopen(path, "we");
    fprintf(plan,
            "{\"v\":1,\"engine\":\"e\",\"epoch\":1,\"instance\":\"%s\",\"log_max\":40000,"
            "\"argv\":[\"sh\",\"-c\",\"seq 1 20000; exit 5\"],"
            "\"env\":{\"PATH\":\"/usr/bin:/bin\"}}",
            room->instance);
    fclose(plan);
    char *args[] = {RUCAT_BUILD_DIR "/rucat-engine", room->run_dir, NULL};
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, args[0], NULL, NULL, args, environ), 0);
    assert_int_equal(waitpid(pid, &code, 0), pid);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    json_t *status = read_status(room);
    assert_string_equal(json_string_value(json_object_get(status, "phase")), "ended");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(status, "exit"), "code")),
                     5);
    assert_int_equal(json_integer_value(json_object_get(status, "log_bytes")), 108894);
    json_decref(status);
    snprintf(path, sizeof path, "%s/log.1", room->run_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 40000);
    snprintf(path, sizeof path, "%s/rpc", room->run_dir);
    assert_int_equal(stat(path, &st), -1);
}

/* A server of its own, to be killed: starts an embedded driver and says its pid when it is ready.
 */
static int embedded_server(const char *dir, const char *instance)
{
    static room_t room;
    snprintf(room.instance, sizeof room.instance, "%s", instance);
    room_open(&room, dir);
    room.spec.embedded = true;
    ruc_driver_t *driver = start_sh(&room, STAY, READY_BY_LINE);
    while (PHASE(driver) != RUC_SEEN_READY) {
        uv_run(&room.loop, UV_RUN_ONCE);
    }
    printf("%d\n", ruc_driver_seen(driver)->pid);
    fflush(stdout);
    return uv_run(&room.loop, UV_RUN_DEFAULT);
}

static void an_embedded_driver_ends_with_its_killed_server(void **state)
{
    room_t *room = *state;
    int out[2];
    char text[32] = "";
    pid_t server;
    posix_spawn_file_actions_t actions;
    char *args[] = {"/proc/self/exe", "embedded", room->dir, room->instance, NULL};
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    assert_int_equal(posix_spawn(&server, args[0], &actions, NULL, args, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    assert_true(read(out[0], text, sizeof text - 1) > 0);
    close(out[0]);
    int driver = ruc_proc_pidfd(atoi(text));
    int helper = ruc_proc_pidfd(helper_pid(room));
    assert_true(driver >= 0 && helper >= 0);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    gone(driver);
    gone(helper);
    json_t *status = read_status(room);
    assert_string_equal(json_string_value(json_object_get(status, "phase")), "ended");
    assert_string_equal(json_string_value(json_object_get(status, "why")), "the server is gone");
    json_decref(status);
}

static void the_helper_is_small_and_quiet(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    (void)state;
    skip();
#else
    room_t *room = *state;
    char path[64];
    char line[256];
    long rss = 0;
    ruc_driver_t *driver = start_sh(room, STAY, READY_BY_LINE);
    UNTIL(room, PHASE(driver) == RUC_SEEN_READY);
    snprintf(path, sizeof path, "/proc/%d/status", helper_pid(room));
    FILE *file = fopen(path, "re");
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %ld", &rss) == 1) {
            break;
        }
    }
    fclose(file);
    assert_in_range(rss, 100, 3072);
    ruc_driver_stop(driver, NULL, -1);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
#endif
}

static void an_external_engine_is_only_watched(void **state)
{
    room_t *room = *state;
    ruc_why_t why;
    json_t *plan = json_pack("{s:s}", "driver", "external");
    assert_int_equal(ruc_plan_check(plan, &why), 0);
    ruc_driver_t *driver = ruc_driver_new(&room->loop, "external", &room->spec, on_news, room);
    assert_int_equal(ruc_driver_start(driver, plan, &why), 0);
    assert_int_equal(room->calls, 0); /* never from inside a call */
    UNTIL(room, room->calls == 1);
    assert_int_equal(PHASE(driver), RUC_SEEN_READY);
    assert_int_equal(ruc_driver_stop(driver, NULL, -1), 0);
    UNTIL(room, PHASE(driver) == RUC_SEEN_ENDED);
    ruc_driver_close(driver);
    json_decref(plan);
    assert_null(ruc_driver_new(&room->loop, "abacus", &room->spec, on_news, room));
}

static void a_plan_is_refused_by_the_name_of_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *plan;
        const char *why;
    } bad[] = {
        {"{}", "argv: expected a list of text that is not empty"},
        {"[1]", "plan: expected a table of fields"},
        {"{\"argv\":[]}", "argv: expected a list of text that is not empty"},
        {"{\"argv\":[\"a\",1]}", "argv[2]: expected text without a NUL"},
        {"{\"argv\":[\"a\",\"b\\u0000c\"]}", "argv[2]: expected text without a NUL"},
        {"{\"argv\":[\"bin/a\"]}",
         "argv[1]: expected an absolute path, or a plain name to be found in PATH"},
        {"{\"argv\":[\"a\"],\"shell\":true}", "shell: unknown field"},
        {"{\"argv\":[\"a\"],\"env\":{\"A\":1}}", "env.A: expected text without a NUL"},
        {"{\"argv\":[\"a\"],\"env\":{\"RUCAT_EPOCH\":\"1\"}}",
         "env.RUCAT_EPOCH: is set by rucat itself"},
        {"{\"argv\":[\"a\"],\"cwd\":\"here\"}", "cwd: expected an absolute path"},
        {"{\"argv\":[\"a\"],\"files\":{\"../x\":\"\"}}",
         "files.../x: expected a file name without '/', not starting with '.', none of rucat's "
         "own"},
        {"{\"argv\":[\"a\"],\"files\":{\"plan.json\":\"\"}}",
         "files.plan.json: expected a file name without '/', not starting with '.', none of "
         "rucat's own"},
        {"{\"argv\":[\"a\"],\"ready\":{\"log\":\"[a\"}}",
         "ready.log: expected a Lua pattern: malformed pattern (missing ']')"},
        {"{\"argv\":[\"a\"],\"ready\":{\"tcp\":true}}",
         "ready.tcp: expected ready.port or ready.log beside it"},
        {"{\"argv\":[\"a\"],\"ready\":{\"port\":70000}}",
         "ready.port: expected a port, 1 to 65535"},
        {"{\"argv\":[\"a\"],\"ready\":{\"timeout\":0}}",
         "ready.timeout: expected a number of seconds, more than 0 and at most 86400"},
        {"{\"argv\":[\"a\"],\"ready\":{\"host\":\"example.org\"}}",
         "ready.host: expected an IP address or \"localhost\""},
        {"{\"argv\":[\"a\"],\"stop\":{\"signal\":\"STOP\"}}",
         "stop.signal: expected TERM, INT, HUP, QUIT, ABRT, USR1, USR2, WINCH or KILL"},
        {"{\"argv\":[\"a\"],\"stop\":{\"grace\":-1}}",
         "stop.grace: expected a number of seconds, 0 to 86400"},
        {"{\"driver\":\"abacus\"}",
         "driver: expected a kind of driver: \"process\" or \"external\""},
        {"{\"driver\":\"external\",\"argv\":[\"a\"]}",
         "argv: nothing is run by the driver \"external\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ruc_why_t why = {{0}};
        json_t *plan = json_loads(bad[i].plan, JSON_ALLOW_NUL, NULL);
        assert_non_null(plan);
        assert_int_equal(ruc_plan_check(plan, &why), RUC_EINVALID);
        assert_string_equal(why.text, bad[i].why);
        json_decref(plan);
    }
    ruc_why_t why = {{0}};
    json_t *plan = json_loads("{\"driver\":\"process\",\"argv\":[\"sail\"],\"env\":[],\"files\":[],"
                              "\"cwd\":null,\"ready\":{\"log\":\"at .*:(%d+)\",\"tcp\":true,"
                              "\"timeout\":0.5},\"stop\":{\"signal\":\"SIGINT\",\"grace\":0}}",
                              0, NULL);
    assert_int_equal(ruc_plan_check(plan, &why), 0);
    json_decref(plan);
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "embedded") == 0) {
        return embedded_server(argv[2], argv[3]);
    }
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        IN_ROOM(it_is_ready_when_its_line_comes_and_its_port_accepts),
        IN_ROOM(without_a_condition_it_is_ready_when_it_runs),
        IN_ROOM(it_is_late_when_its_line_never_comes),
        IN_ROOM(exit_codes_are_told_from_signals),
        IN_ROOM(who_ignores_the_signal_is_killed_after_the_grace),
        IN_ROOM(a_second_stop_hurries_the_first),
        IN_ROOM(stopped_while_stopped_by_a_signal_it_still_ends),
        IN_ROOM(nothing_of_its_tree_is_left_when_it_is_stopped),
        IN_ROOM(nothing_of_its_tree_is_left_when_it_ends_by_itself),
        IN_ROOM(what_cannot_be_run_says_so),
        IN_ROOM(a_port_that_is_taken_says_so),
        IN_ROOM(environment_files_and_directories_are_as_planned),
        IN_ROOM(a_killed_helper_takes_its_driver_along),
        IN_ROOM(a_driver_is_adopted_with_all_that_is_known_of_it),
        IN_ROOM(a_helper_of_a_closed_driver_is_reaped),
        IN_ROOM(a_helper_killed_while_nobody_looked_is_found_out),
        IN_ROOM(where_nothing_is_none_is_found_and_a_start_may_follow),
        IN_ROOM(a_stop_that_comes_too_early_is_not_lost),
        IN_ROOM(beats_come_and_a_callback_may_close),
        IN_ROOM(the_helper_answers_who_speaks_and_closes_who_does_not),
        IN_ROOM(a_peer_that_never_reads_disturbs_nobody),
        IN_ROOM(much_output_is_kept_within_its_bound),
        IN_ROOM(a_helper_of_an_earlier_life_is_reaped),
        IN_ROOM(the_helper_works_alone_and_rotates_its_log),
        IN_ROOM(an_embedded_driver_ends_with_its_killed_server),
        IN_ROOM(the_helper_is_small_and_quiet),
        IN_ROOM(an_external_engine_is_only_watched),
        cmocka_unit_test(a_plan_is_refused_by_the_name_of_its_field),
    };
    signal(SIGPIPE, SIG_IGN); /* as the server does: a helper may end while it is written to */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
