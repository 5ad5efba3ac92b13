/* http_bounds_test.c - what a hostile, broken or slow peer gets: each bound, request smuggling,
 * random bytes. The times are set short. */
#include <sys/resource.h>

#include "http_fixture.h"

static void ambiguous_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"}, /* no Host */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
              "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
              "Content-Length: 3\r\n\r\n0\r\n\r\n"},
        {400,
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
              "chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"}, /* folded */
        {400, "GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\n\n"}, /* bare LF */
        {400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"}, /* bare CR */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n"},
        {400, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "NOPE / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "\x16\x03\x01\x02"}, /* TLS to a plain port */
        {505, "GET / HTTP/3.7\r\nHost: a\r\n\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"},
        {400,
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n"},
        {400,
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "fffffffffffffffff\r\n"},
    };
    fixture_t f;
    fixture_open(&f, NULL, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_status(&f, cases[i].text, strlen(cases[i].text), cases[i].status);
    }
    expect_status(&f, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 36, 400);
    assert_int_equal(f.requests, 0);
    assert_int_equal(f.dones, 0);
    fixture_close(&f);
}

static void nothing_is_served_after_a_refusal(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    const char *text =
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
        "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    char *got = talk(&f, text, strlen(text));
    assert_non_null(strstr(got, "GET|/a|"));
    assert_non_null(strstr(got, "HTTP/1.1 400 "));
    assert_non_null(strstr(got, "application/problem+json"));
    assert_null(strstr(got, "smuggled"));
    assert_int_equal(f.requests, 1);
    free(got);
    fixture_close(&f);
}

/* "PREFIX" + `count` times `fill` + "SUFFIX" must give `status`; 0: a 200. */
static void expect_long(fixture_t *f, const char *prefix, const char *fill, size_t count,
                        const char *suffix, int status)
{
    ruc_buf_t text;
    ruc_buf_init(&text, (size_t)64 << 20);
    ruc_buf_adds(&text, prefix);
    for (size_t i = 0; i < count; i++) {
        ruc_buf_adds(&text, fill);
    }
    ruc_buf_adds(&text, suffix);
    expect_status(f, text.data, text.len, status);
    ruc_buf_free(&text);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    const char *tail = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    expect_long(&f, "GET /", "a", 8191, tail, 200);
    expect_long(&f, "GET /", "a", 8192, tail, 414);
    expect_long(&f, "GET /", "a", 100000, tail, 414);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 98, "Connection: close\r\n\r\n",
                200);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 99, "Connection: close\r\n\r\n",
                431);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", "y", 16000, "\r\n\r\n",
                200);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", "y", 16384, "\r\n\r\n",
                431);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", 3000000, "\r\n\r\n", 431);
    expect_long(&f, "GET / HTTP/1.1\r\nHost: a\r\n", "y", 3000000, ": z\r\n\r\n", 431);
    fixture_close(&f);
}

static void bodies_are_bounded_and_the_client_sees_why(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.body = 100000;
    fixture_open(&f, &limits, false);
    const char *head = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    char text[256];
    snprintf(text, sizeof text, "%sContent-Length: 100000\r\n\r\n", head);
    expect_long(&f, text, "b", 100000, "", 200);
    snprintf(text, sizeof text, "%sContent-Length: 100001\r\n\r\n", head);
    expect_long(&f, text, "b", 100001, "", 413);
    snprintf(text, sizeof text, "%sContent-Length: 3000000\r\n\r\n", head);
    expect_long(&f, text, "b", 3000000, "", 413);
    snprintf(text, sizeof text, "%sTransfer-Encoding: chunked\r\n\r\n", head);
    expect_long(&f, text, "a\r\n0123456789\r\n", 10000, "0\r\n\r\n", 200);
    expect_long(&f, text, "a\r\n0123456789\r\n", 10001, "0\r\n\r\n", 413);
    expect_long(&f, text, "a\r\n0123456789\r\n", 100000, "0\r\n\r\n", 413);
    expect_long(&f, text, "1;extension=x\r\nz\r\n", 5000, "0\r\n\r\n", 413);
    snprintf(text, sizeof text, "%sTransfer-Encoding: chunked\r\n\r\n0\r\n", head);
    expect_long(&f, text, "X: y\r\n", 10, "\r\n", 200);
    expect_long(&f, text, "X: y\r\n", 100000, "\r\n", 413);
    fixture_close(&f);
}

static void who_is_slow_is_cut(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.head_ms = 150;
    limits.body_ms = 600;
    limits.progress_ms = 150;
    limits.progress = 1;
    limits.idle_ms = 150;
    limits.linger_ms = 100;
    fixture_open(&f, &limits, false);
    /* a head by drops: the clock is not reset by progress */
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f), rc = 0;
    uint64_t begun = ruc_clock_mono_ms();
    puts_to(&f, fd, "GET / HTTP/1.1\r\nHost: a\r\n");
    UNTIL(&f, (send(fd, "X: y\r\n", 1, MSG_NOSIGNAL), (rc = pull(fd, &got)) != 0));
    assert_true(ruc_clock_mono_ms() - begun >= 140);
    assert_true(rc < 0 || strncmp(got.data, "HTTP/1.1 408 ", 13) == 0);
    close(fd);
    /* half a request, then silence */
    expect_status(&f, "GET / HTTP/1.1\r\nHo", 18, 408);
    expect_status(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 50, 408);
    /* a body by drops: progress, but not for ever */
    fd = dial(&f);
    ruc_buf_clear(&got);
    begun = ruc_clock_mono_ms();
    puts_to(&f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n");
    UNTIL(&f, (send(fd, "b", 1, MSG_NOSIGNAL), (rc = pull(fd, &got)) != 0));
    uint64_t spent = ruc_clock_mono_ms() - begun;
    assert_true(spent >= 550 && spent < 5000);
    close(fd);
    /* nothing at all, and nothing more */
    char *silent = talk(&f, "", 0);
    assert_string_equal(silent, "");
    free(silent);
    char *once = talk(&f, "GET /once HTTP/1.1\r\nHost: a\r\n\r\n", 31);
    assert_non_null(strstr(once, "GET|/once|"));
    free(once);
    assert_true(ruc_http_server_stats(f.server).timeouts >= 4);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void who_does_not_read_is_cut(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.write_ms = 100;
    fixture_open(&f, &limits, false);
    size_t size = (size_t)32 << 20;
    char *big = calloc(1, size);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_start(f.held, 200, NULL, 0), 0);
    assert_true(ruc_http_write(f.held, big, size) > 0);
    UNTIL(&f, f.closes == 1);
    assert_int_equal(ruc_http_server_stats(f.server).timeouts, 1);
    close(fd);
    /* also after the answer is complete, and while it lingers */
    for (int i = 0; i < 2; i++) {
        fd = dial(&f);
        puts_to(&f, fd,
                i == 0 ? "GET /later HTTP/1.1\r\nHost: a\r\n\r\n" : "GET /later HTTP/1.0\r\n\r\n");
        UNTIL(&f, f.held != NULL);
        assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, big, size), 0);
        f.held = NULL;
        if (i == 0) { /* pipelined behind it: not read while so much is queued */
            puts_to(&f, fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
        close(fd);
    }
    free(big);
    fixture_close(&f);
}

static void a_flood_of_pipelined_requests_is_held_back(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    const char *one = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t sent = 0;
    for (int idle = 0; idle < 20;) { /* until the kernel's buffers are full */
        ssize_t n = send(fd, one + sent % 28, 28 - sent % 28, MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0) {
            fixture_turn(&f);
        }
    }
    assert_true(ruc_http_server_stats(f.server).bytes_in <= 65536);
    assert_int_equal(f.requests, 1);
    close(fd);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "x", 1), 0);
    f.held = NULL;
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    fixture_close(&f);
}

static void connections_are_bounded(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.connections = 3;
    limits.linger_ms = 50;
    fixture_open(&f, &limits, false);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(&f);
    }
    UNTIL(&f, ruc_http_server_stats(f.server).open == 3);
    char *got = talk(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_int_equal(strncmp(got, "HTTP/1.1 503 ", 13), 0);
    assert_non_null(strstr(got, "Retry-After: 1\r\n"));
    free(got);
    assert_int_equal(ruc_http_server_stats(f.server).refused, 1);
    close(fds[0]);
    UNTIL(&f, ruc_http_server_stats(f.server).open == 2);
    expect_status(&f, "GET / HTTP/1.0\r\n\r\n", 18, 200);
    close(fds[1]);
    close(fds[2]);
    fixture_close(&f);
}

static struct rlimit descriptors; /* as the process began */

static int limit_noted(void **state)
{
    (void)state;
    return getrlimit(RLIMIT_NOFILE, &descriptors);
}

static int limit_restored(void **state)
{
    (void)state;
    return setrlimit(RLIMIT_NOFILE, &descriptors);
}

static void it_goes_on_after_descriptors_ran_out(void **state)
{
    (void)state;
    enum { CLIENTS = 40, FOR_SERVER = 24 }; /* its loop takes some of them */
    fixture_t f;
    int fds[CLIENTS], lost = 0;
    /* The clients live in this process too: theirs are taken first, so that it is the server that
     * finds none left, however many this process was born with. */
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fds[i] > 0);
    }
    int next = dup(fds[0]);
    assert_true(next > 0);
    close(next);
    struct rlimit low = descriptors;
    low.rlim_cur = (rlim_t)next + FOR_SERVER;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    fixture_open(&f, NULL, false);
    assert_int_equal(ruc_log_set_level("http", "error"), 0);
    ruc_buf_t got;
    ruc_buf_init(&got, 1000);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CLIENTS && lost == 0; i++) {
        (void)connect(fds[i], (struct sockaddr *)&to, sizeof to); /* goes on by itself */
        uint64_t seen = ruc_http_server_stats(f.server).accepted;
        UNTIL(&f, ruc_http_server_stats(f.server).accepted > seen || pull(fds[i], &got) < 0);
        lost = ruc_http_server_stats(f.server).accepted == seen;
    }
    assert_true(ruc_http_server_stats(f.server).no_fds > 0);
    assert_int_equal(lost, 1);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    expect_status(&f, "GET / HTTP/1.0\r\n\r\n", 18, 200);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static uint32_t dice(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void random_input_does_no_harm(void **state)
{
    (void)state;
    static const char *const seeds[] = {
        "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "PUT http://h/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
        "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    static const char bits[] = "\r\n :;,/?%\0\x80\xff"
                               "0aZ\t";
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.linger_ms = 5;
    fixture_open(&f, &limits, true);
    uint32_t seed = 20261123;
    for (int run = 0; run < 2000; run++) {
        f.mode = run % 2 == 0 ? RUC_HTTP_BUFFER : RUC_HTTP_STREAM;
        f.last = false;
        ruc_buf_clear(&f.pieces);
        char text[512];
        size_t len = 0;
        for (uint32_t i = 0, n = 1 + dice(&seed) % 3; i < n; i++) {
            const char *one = seeds[dice(&seed) % 5];
            memcpy(text + len, one, strlen(one));
            len += strlen(one);
        }
        for (uint32_t i = 0, n = dice(&seed) % 6; i < n; i++) {
            size_t at = dice(&seed) % len;
            uint32_t how = dice(&seed) % 4;
            if (how == 0) {
                text[at] = (char)dice(&seed);
            } else if (how == 1) {
                text[at] = bits[dice(&seed) % (sizeof bits - 1)];
            } else if (how == 2 && len > 10) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else if (len < sizeof text - 1) {
                memmove(text + at + 1, text + at, len - at);
                len++;
            }
        }
        int fd = dial(&f);
        for (size_t at = 0; at < len;) {
            size_t step = 1 + dice(&seed) % (len - at);
            (void)send(fd, text + at, step, MSG_NOSIGNAL);
            at += step;
            (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        }
        f.held = NULL;
        close(fd);
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    assert_true(f.dones > 1000);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_requests_are_refused),
        cmocka_unit_test(nothing_is_served_after_a_refusal),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(bodies_are_bounded_and_the_client_sees_why),
        cmocka_unit_test(who_is_slow_is_cut),
        cmocka_unit_test(who_does_not_read_is_cut),
        cmocka_unit_test(a_flood_of_pipelined_requests_is_held_back),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test_setup_teardown(it_goes_on_after_descriptors_ran_out, limit_noted,
                                        limit_restored),
        cmocka_unit_test(random_input_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
