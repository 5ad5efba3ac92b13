/* console_test.c - the console's socket against peers that behave badly: garbage, lines that are
 * too long, no reading, no room; and frames in pieces. A real server, real sockets. */
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console/conn.h"
#include "console/link.h"
#include "console/server.h"
#include "core/clock.h"

#define DEADLINE_MS 40000

typedef struct room {
    char dir[64], socket[96], log[96];
    pid_t server;
} room_t;

/* ---- a server ---- */

static void spawn_server(room_t *room)
{
    char config[96];
    snprintf(config, sizeof config, "%s/rucat.lua", room->dir);
    FILE *file = fopen(config, "we");
    assert_non_null(file);
    fprintf(file,
            "return { mode = 'local', listen = '127.0.0.1:0', state_dir = '%s/s',\n"
            "  limits = { lua_memory = 16777216 } }\n",
            room->dir);
    assert_int_equal(fclose(file), 0);
    room->server = fork();
    assert_true(room->server >= 0);
    if (room->server == 0) {
        int log = open(room->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(log, STDERR_FILENO);
        execl(RUCAT_BUILD_DIR "/rucat", "rucat", "serve", "-c", config, (char *)NULL);
        _exit(127);
    }
}

/* A connection that was greeted. */
static ruc_link_t meet(const room_t *room)
{
    ruc_link_t link;
    ruc_why_t why = {""};
    uint64_t limit = ruc_clock_mono_ms() + DEADLINE_MS;
    while (ruc_link_open(&link, room->socket, &why) < 0) {
        if (ruc_clock_mono_ms() > limit) {
            fail_msg("no console: %s", why.text);
        }
        poll(NULL, 0, 10); /* until it listens */
    }
    json_t *hello = ruc_link_await(&link, "hello", 0, DEADLINE_MS);
    assert_non_null(hello);
    json_decref(hello);
    return link;
}

static int setup(void **state)
{
    room_t *room = calloc(1, sizeof *room);
    char dir[] = "/tmp/rucat-console-XXXXXX";
    if (room == NULL || mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(room->dir, sizeof room->dir, "%s", dir);
    snprintf(room->socket, sizeof room->socket, "%s/s/console", dir);
    snprintf(room->log, sizeof room->log, "%s/log", dir);
    spawn_server(room);
    ruc_link_t link = meet(room);
    ruc_link_close(&link);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    room_t *room = *state;
    char command[128];
    int status = 0;
    kill(room->server, SIGTERM);
    waitpid(room->server, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        snprintf(command, sizeof command, "tail -c 4000 %s >&2", room->log);
        if (system(command) != 0) {
            perror("tail");
        }
        return -1;
    }
    snprintf(command, sizeof command, "rm -rf %s", room->dir);
    int rc = system(command);
    free(room);
    return rc;
}

static bool log_has(const room_t *room, const char *text)
{
    char *all = calloc(1, 4u << 20);
    FILE *file = fopen(room->log, "re");
    assert_non_null(all);
    assert_non_null(file);
    size_t len = fread(all, 1, (4u << 20) - 1, file);
    fclose(file);
    bool found = memmem(all, len, text, strlen(text)) != NULL;
    free(all);
    return found;
}

/* ---- talking ---- */

static int64_t ask(ruc_link_t *link, const char *code)
{
    json_t *message = json_pack("{s:s, s:s}", "type", "eval", "code", code);
    int64_t id = ruc_link_send(link, message);
    assert_true(id > 0);
    return id;
}

/* The answer must hold this text, and be ok or not. */
static void expect(ruc_link_t *link, int64_t id, bool ok, const char *text)
{
    json_t *result = ruc_link_await(link, "result", id, DEADLINE_MS);
    assert_non_null(result);
    const char *is = json_string_value(json_object_get(result, "text"));
    assert_non_null(is);
    if (strstr(is, text) == NULL || json_is_true(json_object_get(result, "ok")) != ok) {
        fail_msg("answer: %s", is);
    }
    json_decref(result);
}

static void expect_works(ruc_link_t *link)
{
    expect(link, ask(link, "20 + 1"), true, "21");
}

/* The next message of that type holds that text. */
static void expect_message(ruc_link_t *link, const char *type, const char *text)
{
    json_t *message = ruc_link_await(link, type, 0, DEADLINE_MS);
    assert_non_null(message);
    const char *is = json_string_value(json_object_get(message, "text"));
    if (is == NULL || strstr(is, text) == NULL) {
        fail_msg("%s: %s", type, is == NULL ? "no text" : is);
    }
    json_decref(message);
}

static void expect_end(ruc_link_t *link)
{
    uint64_t limit = ruc_clock_mono_ms() + DEADLINE_MS;
    int rc = 0;
    while (rc == 0 && ruc_clock_mono_ms() < limit) {
        struct pollfd wait = {.fd = link->fd, .events = POLLIN};
        poll(&wait, 1, 100);
        rc = ruc_link_receive(link);
    }
    assert_int_equal(rc, UV_EOF);
}

/* All of it, however long the server takes; false when it closes first. */
static bool push_bytes(ruc_link_t *link, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t done = send(link->fd, bytes, len, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        bytes += done;
        len -= (size_t)done;
    }
    return true;
}

static void push_frame(ruc_link_t *link, const char *body)
{
    ruc_buf_t out;
    size_t at;
    ruc_buf_init(&out, 65536);
    assert_int_equal(ruc_wire_begin(&out, &at), 0);
    assert_int_equal(ruc_buf_adds(&out, body), 0);
    assert_int_equal(ruc_wire_end(&out, at), 0);
    assert_true(push_bytes(link, out.data, out.len));
    ruc_buf_free(&out);
}

/* ---- tests ---- */

static void frames_come_out_whatever_the_pieces(void **state)
{
    (void)state;
    ruc_buf_t out;
    ruc_wire_t wire;
    size_t at, len, seen = 0;
    const char *body;
    ruc_buf_init(&out, 1000);
    ruc_wire_init(&wire);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ruc_wire_begin(&out, &at), 0);
        assert_int_equal(ruc_buf_adds(&out, "[1,2]"), 0);
        assert_int_equal(ruc_wire_end(&out, at), 0);
    }
    for (size_t i = 0; i < out.len; i++) {
        assert_int_equal(ruc_wire_feed(&wire, out.data + i, 1), 0);
        while (ruc_wire_next(&wire, &body, &len) == 1) {
            assert_int_equal(len, 5);
            assert_memory_equal(body, "[1,2]", 5);
            seen++;
        }
    }
    assert_int_equal(seen, 3);
    ruc_wire_free(&wire);
    ruc_buf_free(&out);
}

static void a_frame_that_is_too_large_is_passed_over(void **state)
{
    (void)state;
    static char junk[RUC_WIRE_FEED];
    ruc_wire_t wire;
    const char *body;
    size_t len, size = RUC_WIRE_FRAME + 1000, sent = 0;
    ruc_wire_init(&wire);
    const char head[] = {(char)(size >> 24), (char)(size >> 16), (char)(size >> 8), (char)size, 1};
    assert_int_equal(ruc_wire_feed(&wire, head, 5), 0);
    assert_int_equal(ruc_wire_next(&wire, &body, &len), RUC_ETOOBIG);
    for (size -= 1; sent < size;) {
        size_t part = size - sent < sizeof junk ? size - sent : sizeof junk;
        assert_int_equal(ruc_wire_feed(&wire, junk, part), 0);
        assert_int_equal(ruc_wire_next(&wire, &body, &len), 0);
        sent += part;
    }
    assert_int_equal(ruc_wire_feed(&wire, "\0\0\0\3\1{}", 7), 0);
    assert_int_equal(ruc_wire_next(&wire, &body, &len), 1);
    assert_int_equal(len, 2);
    assert_true(wire.in.cap < RUC_WIRE_FRAME); /* nothing of it was kept */
    ruc_wire_free(&wire);
}

static void something_else_than_frames_is_told_so_and_ended(void **state)
{
    ruc_link_t link = meet(*state);
    assert_true(push_bytes(&link, "GET / HTTP/1.1\r\n\r\n", 18));
    expect_message(&link, "error", "not the console's protocol");
    expect_end(&link);
    ruc_link_close(&link);
}

static void frames_without_sense_are_answered_and_survived(void **state)
{
    static const char *const bodies[] = {"",
                                         "{",
                                         "7",
                                         "[]",
                                         "{\"type\":7}",
                                         "{\"type\":\"eval\",\"type\":\"eval\"}",
                                         "{\"type\":\"eval\",\"code\":7}",
                                         "{\"type\":\"fly\"}",
                                         "{\"type\":\"eval\",\"code\":\"\xff\"}"};
    ruc_link_t link = meet(*state);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        push_frame(&link, bodies[i]);
        expect_message(&link, "error", "");
    }
    push_frame(&link, "{\"type\":\"complete\"}"); /* nothing to complete */
    push_frame(&link, "{\"type\":\"cancel\"}");
    push_frame(&link, "{\"type\":\"eval\",\"code\":\"\\u0000\",\"id\":99}");
    expect(&link, 99, false, "console:1:");
    expect_works(&link);
    ruc_link_close(&link);
}

static void a_line_of_ten_megabytes_is_answered_clearly(void **state)
{
    ruc_link_t link = meet(*state);
    size_t size = 10u << 20;
    char *junk = malloc(size);
    assert_non_null(junk);
    memset(junk, 'x', size);
    const char head[] = {(char)(size >> 24), (char)(size >> 16), (char)(size >> 8), (char)size, 1};
    assert_true(push_bytes(&link, head, 5));
    assert_true(push_bytes(&link, junk, size - 1));
    expect_message(&link, "error", "at most 1 MiB");
    expect_works(&link);
    junk[RUC_WIRE_LINE + 1] = '\0'; /* within a frame, but longer than a line may be */
    expect(&link, ask(&link, junk), false, "the code is too long: at most 1 MiB");
    expect_works(&link);
    free(junk);
    ruc_link_close(&link);
}

static void one_line_at_a_time_and_cancel_ends_it(void **state)
{
    ruc_link_t link = meet(*state);
    int64_t sleeping = ask(&link, "rucat.timer.sleep(1000)");
    expect(&link, ask(&link, "1"), false, "a line is still running");
    push_frame(&link, "{\"type\":\"cancel\"}");
    expect(&link, sleeping, false, "interrupted");
    expect_works(&link);
    ruc_link_close(&link);
}

static void a_peer_that_does_not_read_is_let_go(void **state)
{
    room_t *room = *state;
    ruc_link_t link = meet(room), other = meet(room);
    ask(&link, "for i = 1, 100000 do print(('x'):rep(100)) end");
    uint64_t limit = ruc_clock_mono_ms() + DEADLINE_MS;
    while (!log_has(room, "is let go: it does not read")) {
        assert_true(ruc_clock_mono_ms() < limit);
        expect_works(&other); /* nobody else notices */
        poll(NULL, 0, 50);
    }
    expect_end(&link);
    ruc_link_close(&link);
    ruc_link_close(&other);
}

static void output_that_nobody_takes_in_time_is_counted(void **state)
{
    ruc_link_t link = meet(*state);
    int64_t id = ask(&link, "for i = 1, 30000 do print(('x'):rep(100)) end");
    expect(&link, id, true, "");
    bool told = false;
    json_t *message;
    uint64_t limit = ruc_clock_mono_ms() + DEADLINE_MS;
    while (!told && ruc_clock_mono_ms() < limit) {
        while ((message = ruc_link_next(&link)) != NULL) {
            const char *text = json_string_value(json_object_get(message, "text"));
            told = told || strstr(text, "outputs were left out") != NULL;
            json_decref(message);
        }
        struct pollfd wait = {.fd = link.fd, .events = POLLIN};
        poll(&wait, 1, 100);
        ruc_link_receive(&link);
    }
    assert_true(told);
    expect_works(&link);
    ruc_link_close(&link);
}

static void memory_and_loops_have_an_end(void **state)
{
    ruc_link_t link = meet(*state);
    expect(&link, ask(&link, "local t = {} while true do t[#t+1] = ('x'):rep(100000) .. #t end"),
           false, "stopped: this state's memory is full");
    expect(&link, ask(&link, "while true do pcall(function() while true do end end) end"), false,
           "stopped: its budget of");
    expect(&link, ask(&link, "coroutine.wrap(function() while true do end end)()"), false,
           "stopped: its budget of");
    expect_works(&link);
    ruc_link_close(&link);
}

static void there_is_room_for_sixteen(void **state)
{
    room_t *room = *state;
    ruc_link_t links[RUC_CONSOLES_MAX], more;
    ruc_why_t why;
    for (int i = 0; i < RUC_CONSOLES_MAX; i++) {
        links[i] = meet(room);
    }
    assert_int_equal(ruc_link_open(&more, room->socket, &why), 0);
    expect_message(&more, "error", "16 consoles");
    expect_end(&more);
    ruc_link_close(&more);
    for (int i = 0; i < RUC_CONSOLES_MAX; i++) {
        expect_works(&links[i]);
        ruc_link_close(&links[i]);
    }
    ruc_link_t again = meet(room); /* the first to find room again */
    ruc_link_close(&again);
}

static void globals_stay_and_are_each_console_s_own(void **state)
{
    ruc_link_t one = meet(*state), two = meet(*state);
    expect(&one, ask(&one, "mine = 5"), true, "");
    expect(&one, ask(&one, "mine + 1"), true, "6");
    expect(&two, ask(&two, "mine"), false, "console:1: unknown name 'mine'");
    ruc_link_close(&one);
    ruc_link_close(&two);
}

static void nobody_else_may_enter(void **state)
{
    room_t *room = *state;
    struct stat info;
    assert_int_equal(stat(room->socket, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    if (geteuid() != 0) {
        skip();
    }
    char dir[96];
    snprintf(dir, sizeof dir, "%s/s", room->dir);
    assert_int_equal(chmod(room->dir, 0711) | chmod(dir, 0711) | chmod(room->socket, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        ruc_link_t link;
        ruc_why_t why;
        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            ruc_link_open(&link, room->socket, &why) < 0) {
            _exit(2);
        }
        json_t *error = ruc_link_await(&link, "error", 0, DEADLINE_MS);
        const char *text = json_string_value(json_object_get(error, "text"));
        _exit(text != NULL && strstr(text, "only root") != NULL ? 0 : 3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    chmod(room->socket, 0600);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_server_s_end_is_told(void **state)
{
    room_t *room = *state;
    ruc_link_t link = meet(room);
    int status;
    ask(&link, "rucat.timer.sleep(1000)");
    kill(room->server, SIGTERM);
    expect_message(&link, "bye", "the server is stopping");
    expect_end(&link);
    ruc_link_close(&link);
    assert_int_equal(waitpid(room->server, &status, 0), room->server);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(access(room->socket, F_OK), -1);
    spawn_server(room); /* for the teardown, and: it starts again */
    link = meet(room);
    ruc_link_close(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_whatever_the_pieces),
        cmocka_unit_test(a_frame_that_is_too_large_is_passed_over),
        cmocka_unit_test(something_else_than_frames_is_told_so_and_ended),
        cmocka_unit_test(frames_without_sense_are_answered_and_survived),
        cmocka_unit_test(a_line_of_ten_megabytes_is_answered_clearly),
        cmocka_unit_test(one_line_at_a_time_and_cancel_ends_it),
        cmocka_unit_test(a_peer_that_does_not_read_is_let_go),
        cmocka_unit_test(output_that_nobody_takes_in_time_is_counted),
        cmocka_unit_test(memory_and_loops_have_an_end),
        cmocka_unit_test(there_is_room_for_sixteen),
        cmocka_unit_test(globals_stay_and_are_each_console_s_own),
        cmocka_unit_test(nobody_else_may_enter),
        cmocka_unit_test(the_server_s_end_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
