/* http_server_test.c - the HTTP/1.1 server by raw sockets: what it answers, in which order, how it
 * frames, what it keeps open, how answers are streamed and how it ends. */
#include "http/conn.h"
#include "http_fixture.h"

static void a_request_is_answered_and_the_connection_goes_on(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /a%20b?x=1 HTTP/1.1\r\nHost: h:1\r\nX-A:  b c \t\r\n\r\n");
    expect_text(&f, fd, &got, "GET|/a%20b|/a b|x=1|h:1|http|2\n", 1);
    assert_non_null(strstr(got.data, "HTTP/1.1 200 OK\r\nDate: "));
    assert_non_null(strstr(got.data, "\r\nX-Request-Id: 0"));
    assert_non_null(strstr(got.data, "\r\nContent-Length: 31\r\n\r\n"));
    assert_null(strstr(got.data, "Connection:"));
    puts_to(&f, fd, "GET /again HTTP/1.1\r\nHost: h\r\nX-Request-ID: my.id-1\r\n\r\n");
    expect_text(&f, fd, &got, "GET|/again|/again|-|h|http|2\n", 1);
    assert_non_null(strstr(got.data, "\r\nX-Request-Id: my.id-1\r\n"));
    assert_int_equal(ruc_http_server_stats(f.server).accepted, 1);
    assert_int_equal(ruc_http_server_stats(f.server).requests, 2);
    assert_int_equal(f.dones, 2);
    close(fd);
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void bytes_may_come_one_at_a_time(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    const char *text = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n"
                       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    for (const char *at = text; *at != '\0'; at++) {
        assert_true(put(&f, fd, at, 1));
    }
    expect_text(&f, fd, &got, "\r\n\r\nabcdefg", 1);
    expect_text(&f, fd, &got, "\r\n\r\nhi", 1);
    assert_int_equal(f.requests, 2);
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t out, got;
    ruc_buf_init(&out, 1000000);
    ruc_buf_init(&got, 1000000);
    for (int i = 0; i < 1000; i++) {
        ruc_buf_addf(&out, "GET /n%d HTTP/1.1\r\nHost: h\r\n%s\r\n", i,
                     i == 999 ? "Connection: close\r\n" : "");
    }
    int fd = dial(&f);
    assert_true(put(&f, fd, out.data, out.len));
    assert_int_equal(drink(&f, fd, &got), -1);
    const char *at = got.data;
    for (int i = 0; i < 1000; i++) {
        char want[40];
        snprintf(want, sizeof want, "GET|/n%d|", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    assert_non_null(strstr(got.data, "Connection: close\r\n"));
    close(fd);
    ruc_buf_free(&out);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void pipelined_requests_wait_for_a_late_answer(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    puts_to(&f, fd,
            "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(f.requests, 1);
    int before = f.requests;
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "late", 4), 0);
    assert_int_equal(f.requests, before); /* nothing is called from inside */
    expect_text(&f, fd, &got, "GET|/second|", 1);
    assert_true(strstr(got.data, "late") < strstr(got.data, "/second"));
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void head_and_empty_answers_have_no_body(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    char *got =
        talk(&f,
             "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /z HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
             strlen("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /z HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    assert_non_null(strstr(got, "Content-Length: 22\r\n\r\nHTTP/1.1 204 No Content\r\n"));
    char *second = strstr(got, "HTTP/1.1 204");
    char *third = strstr(second, "HTTP/1.1 200");
    assert_non_null(third);
    *third = '\0';
    assert_null(strstr(second, "Content-Length"));
    assert_string_equal(strstr(second, "\r\n\r\n"), "\r\n\r\n");
    free(got);
    fixture_close(&f);
}

static void http_1_0_closes_unless_asked_to_keep(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    const char *text = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n";
    char *got = talk(&f, text, strlen(text));
    assert_non_null(strstr(got, "Connection: keep-alive\r\n\r\nGET|/a|"));
    assert_non_null(strstr(got, "Connection: close\r\n\r\nGET|/b|"));
    free(got);
    fixture_close(&f);
}

static void targets_have_four_forms(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    const char *text = "GET http://other:8/p?q HTTP/1.1\r\nHost: h\r\n\r\n"
                       "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
                       "GET HTTP://other HTTP/1.1\r\nHost: h\r\n\r\n"
                       "GET /bad%zz%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    char *got = talk(&f, text, strlen(text));
    assert_non_null(strstr(got, "GET|/p|/p|q|other:8|http|1\n"));
    assert_non_null(strstr(got, "OPTIONS|*|*|-|h|http|1\n"));
    assert_non_null(strstr(got, "GET|/|/|-|other|http|1\n"));
    assert_non_null(strstr(got, "GET|/bad%zz%00|/bad%zz%00|-|h|http|2\n"));
    free(got);
    expect_status(&f, "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 28, 400);
    expect_status(&f, "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", 34, 501);
    fixture_close(&f);
}

static void a_continue_is_said_when_the_body_is_wanted(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    puts_to(&f, fd,
            "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
            "Content-Length: 3\r\n\r\n");
    expect_text(&f, fd, &got, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    assert_int_equal(f.requests, 0);
    puts_to(&f, fd, "abc");
    expect_text(&f, fd, &got, "\r\n\r\nabc", 1);
    close(fd);
    const char *big = "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                      "Content-Length: 9999999\r\n\r\n";
    char *answer = talk(&f, big, strlen(big));
    assert_int_equal(strncmp(answer, "HTTP/1.1 413 ", 13), 0);
    free(answer);
    const char *odd = "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n";
    expect_status(&f, odd, strlen(odd), 417);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void an_answer_is_streamed_in_chunks(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    ruc_http_header_t header = {"Content-Type", "text/plain"};
    ruc_http_header_t wrong = {"X", "a\r\nb"};
    assert_int_equal(ruc_http_start(f.held, 200, &wrong, 1), RUC_EINVALID);
    assert_int_equal(ruc_http_start(f.held, 200, &header, 1), 0);
    assert_int_equal(ruc_http_write(f.held, "hello", 5), 0);
    expect_text(&f, fd, &got, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 1);
    assert_int_equal(ruc_http_write(f.held, "x", 1), 0);
    ruc_http_header_t trailer = {"Grpc-Status", "0"};
    assert_int_equal(ruc_http_end_trailers(f.held, &trailer, 1), 0);
    f.held = NULL;
    expect_text(&f, fd, &got, "1\r\nx\r\n0\r\nGrpc-Status: 0\r\n\r\n", 1);
    puts_to(&f, fd, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_text(&f, fd, &got, "GET|/next|", 1);
    close(fd);
    /* HTTP/1.0: until the end of the connection */
    fd = dial(&f);
    ruc_buf_clear(&got);
    puts_to(&f, fd, "GET /later HTTP/1.0\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_start(f.held, 200, NULL, 0), 0);
    assert_int_equal(ruc_http_write(f.held, "hello", 5), 0);
    assert_int_equal(ruc_http_end(f.held), 0);
    f.held = NULL;
    assert_int_equal(drink(&f, fd, &got), -1);
    assert_non_null(strstr(got.data, "\r\n\r\nhello"));
    assert_null(strstr(got.data, "chunked"));
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void a_slow_reader_is_told_by_the_queue_and_drains(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.queue = 400000;
    fixture_open(&f, &limits, false);
    ruc_buf_t got;
    ruc_buf_init(&got, (size_t)64 << 20);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    char *piece = calloc(1, 65536);
    memset(piece, 'x', 65536);
    assert_int_equal(ruc_http_start(f.held, 200, NULL, 0), 0);
    int64_t rc = 0;
    size_t sent = 0;
    while ((rc = ruc_http_write(f.held, piece, 65536)) >= 0) {
        assert_true(rc <= 400000 + 65536);
        sent += 65536;
        assert_true(sent < (size_t)60 << 20);
    }
    assert_int_equal(rc, RUC_EFULL);
    assert_int_equal(f.drains, 0);
    UNTIL(&f, (pull(fd, &got), f.drains > 0));
    assert_true(ruc_http_write(f.held, "end", 3) >= 0);
    assert_true(ruc_http_end(f.held) >= 0);
    f.held = NULL;
    expect_text(&f, fd, &got, "3\r\nend\r\n0\r\n\r\n", 1);
    assert_true(got.len > sent);
    free(piece);
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static int released;

static void count_release(void *arg)
{
    assert_string_equal(arg, "mine");
    released++;
}

static void a_body_by_reference_is_released_once(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, (size_t)64 << 20);
    size_t size = (size_t)16 << 20; /* more than the kernel takes at once */
    char *big = malloc(size);
    memset(big, 'y', size);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    released = 0;
    assert_int_equal(ruc_http_respond_ref(f.held, 200, NULL, 0, big, size, count_release, "mine"),
                     0);
    f.held = NULL;
    assert_int_equal(released, 0);
    UNTIL(&f, (pull(fd, &got), got.len >= size && released == 1));
    UNTIL(&f, strlen(strstr(got.data, "\r\n\r\n")) == size + 4);
    /* the reader goes away in the middle */
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_respond_ref(f.held, 200, NULL, 0, big, size, count_release, "mine"),
                     0);
    f.held = NULL;
    close(fd);
    UNTIL(&f, released == 2);
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    /* HEAD and a wrong header release at once */
    fd = dial(&f);
    puts_to(&f, fd, "HEAD /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    ruc_http_header_t wrong = {"a b", "c"};
    assert_int_equal(ruc_http_respond_ref(f.held, 200, &wrong, 1, big, size, count_release, "mine"),
                     RUC_EINVALID);
    f.held = NULL;
    assert_int_equal(released, 3);
    ruc_buf_clear(&got);
    expect_text(&f, fd, &got, "HTTP/1.1 500 ", 1);
    close(fd);
    free(big);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void who_is_gone_is_reported_once(void **state)
{
    (void)state;
    fixture_t f;
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.half_ms = 50;
    fixture_open(&f, &limits, false);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    close(fd); /* half or whole, that is not known: a moment passes */
    UNTIL(&f, f.closes == 1);
    assert_null(f.held);
    assert_int_equal(f.dones, 1);
    assert_int_equal(f.last_status, 0);
    /* a follower is told at once */
    fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_start(f.held, 200, NULL, 0), 0);
    close(fd);
    UNTIL(&f, f.closes == 2);
    /* a peer that ended its side still gets its answer */
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    UNTIL(&f, f.held != NULL);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "ok", 2), 0);
    f.held = NULL;
    assert_int_equal(drink(&f, fd, &got), -1);
    assert_non_null(strstr(got.data, "\r\n\r\nok"));
    assert_non_null(strstr(got.data, "GET|/two|"));
    assert_int_equal(f.closes, 2);
    close(fd);
    /* also when its end is seen between an answer and the next request */
    fd = dial(&f);
    ruc_buf_clear(&got);
    puts_to(&f, fd,
            "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /three HTTP/1.1\r\nHost: h\r\n\r\nGET /ha");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "ok", 2), 0);
    f.held = NULL;
    assert_int_equal(drink(&f, fd, &got), -1);
    assert_non_null(strstr(got.data, "\r\n\r\nok"));
    assert_non_null(strstr(got.data, "GET|/three|"));
    assert_int_equal(f.closes, 2);
    close(fd);
    UNTIL(&f, ruc_http_server_stats(f.server).open == 0);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void an_abort_resets(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int fd = dial(&f);
    puts_to(&f, fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_start(f.held, 200, NULL, 0), 0);
    ruc_http_abort(f.held);
    f.held = NULL;
    assert_int_equal(drink(&f, fd, &got), -2);
    assert_int_equal(f.closes, 0);
    assert_int_equal(f.dones, 1);
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void a_body_may_be_streamed_with_back_pressure(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, true);
    f.mode = RUC_HTTP_STREAM;
    int fd = dial(&f);
    size_t size = (size_t)8 << 20; /* beyond limits.body: streams have no such bound */
    char head[128];
    snprintf(head, sizeof head, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
             size);
    puts_to(&f, fd, head);
    UNTIL(&f, f.held != NULL);
    assert_false(f.last);
    ruc_http_pause_body(f.held, true);
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)('a' + i % 23);
    }
    size_t sent = 0;
    for (int idle = 0; idle < 20;) { /* fills the kernel's buffers, then stands still */
        ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        fixture_turn(&f);
    }
    assert_true(sent < size);
    assert_true(f.pieces.len <= 16384);
    ruc_http_pause_body(f.held, false);
    assert_true(put(&f, fd, data + sent, size - sent));
    UNTIL(&f, f.last);
    assert_int_equal(f.pieces.len, size);
    assert_memory_equal(f.pieces.data, data, size);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "got", 3), 0);
    f.held = NULL;
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    expect_text(&f, fd, &got, "\r\n\r\ngot", 1);
    free(data);
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void a_head_may_be_answered_before_its_body(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, true);
    f.early = 401;
    /* the client is in the middle of a large body and must still see the answer */
    int fd = dial(&f);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    puts_to(&f, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    char *body = calloc(1, 900000);
    (void)put(&f, fd, body, 900000);
    assert_int_equal(drink(&f, fd, &got), -1);
    assert_int_equal(strncmp(got.data, "HTTP/1.1 401 ", 13), 0);
    assert_non_null(strstr(got.data, "Connection: close\r\n"));
    assert_non_null(strstr(got.data, "{\"type\":\"about:blank\",\"title\":\"Unauthorized\","
                                     "\"status\":401,\"detail\":\"no\"}"));
    assert_int_equal(f.requests, 0);
    assert_int_equal(f.dones, 1);
    assert_int_equal(f.closes, 0);
    free(body);
    close(fd);
    /* without a body the connection goes on */
    fd = dial(&f);
    ruc_buf_clear(&got);
    puts_to(&f, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_text(&f, fd, &got, "HTTP/1.1 401 ", 2);
    close(fd);
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void addresses_are_said_and_wrong_ones_refused(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_why_t why;
    char address[64], want[96];
    snprintf(address, sizeof address, "127.0.0.1:%d", f.port);
    snprintf(want, sizeof want, "%s is in use", address);
    assert_string_equal(ruc_http_server_address(f.server, 0), address);
    assert_int_equal(ruc_http_server_listen(f.server, address, &why), UV_EADDRINUSE);
    assert_string_equal(why.text, want);
    assert_int_equal(ruc_http_server_listen(f.server, "nowhere", &why), RUC_EINVALID);
    assert_int_equal(ruc_http_server_listen(f.server, "127.0.0.1:65536", &why), RUC_EINVALID);
    assert_int_equal(ruc_http_server_listen(f.server, "127.0.0.1:", &why), RUC_EINVALID);
    assert_int_equal(ruc_http_server_listen(f.server, "[::1:0", &why), RUC_EINVALID);
    int second = ruc_http_server_listen(f.server, "[::1]:0", &why);
    if (second >= 0) { /* a machine without IPv6 has none to offer */
        assert_int_equal(second, 1);
        assert_int_equal(strncmp(ruc_http_server_address(f.server, 1), "[::1]:", 6), 0);
    }
    fixture_close(&f);
}

static void an_idle_connection_holds_no_buffers(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 1000000);
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = dial(&f);
        puts_to(&f, fds[i], "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_text(&f, fds[i], &got, "GET|/a|", i + 1);
    }
    assert_int_equal(f.server->pool_size, 1); /* all took the same one in turn */
    ruc__http_conn_t *conn;
    TAILQ_FOREACH(conn, &f.server->conns, all)
    {
        assert_null(conn->work);
    }
    assert_true(sizeof *conn <= 512);
    for (int i = 0; i < 100; i++) {
        close(fds[i]);
    }
    ruc_buf_free(&got);
    fixture_close(&f);
}

static void draining_lets_answers_out_and_cuts_the_rest(void **state)
{
    (void)state;
    fixture_t f;
    fixture_open(&f, NULL, false);
    ruc_buf_t got;
    ruc_buf_init(&got, 100000);
    int idle = dial(&f), busy = dial(&f);
    puts_to(&f, idle, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_text(&f, idle, &got, "GET|/a|", 1);
    puts_to(&f, busy, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    ruc_http_server_drain(f.server, 60000, fixture_drained, &f);
    assert_int_equal(drink(&f, idle, &got), -1);
    assert_false(f.drained);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, "bye", 3), 0);
    ruc_buf_clear(&got);
    assert_int_equal(drink(&f, busy, &got), -1);
    assert_non_null(strstr(got.data, "Connection: close\r\n\r\nbye"));
    close(idle);
    close(busy);
    UNTIL(&f, f.drained);
    fixture_close(&f);
    /* an answer that is still on its way to a slow reader gets there */
    fixture_open(&f, NULL, false);
    size_t size = (size_t)16 << 20;
    char *big = calloc(1, size);
    ruc_buf_t all;
    ruc_buf_init(&all, (size_t)64 << 20);
    busy = dial(&f);
    puts_to(&f, busy, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_respond(f.held, 200, NULL, 0, big, size), 0);
    f.held = NULL;
    ruc_http_server_drain(f.server, 60000, fixture_drained, &f);
    assert_int_equal(drink(&f, busy, &all), -1);
    assert_true(all.len > size);
    close(busy);
    free(big);
    ruc_buf_free(&all);
    fixture_close(&f);
    /* one that never answers is cut after the time */
    fixture_open(&f, NULL, false);
    busy = dial(&f);
    puts_to(&f, busy, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    UNTIL(&f, f.held != NULL);
    ruc_http_server_drain(f.server, 60000, fixture_drained, &f);
    (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.closes, 0);
    ruc_http_server_drain(f.server, 20, fixture_drained, &f); /* hurry */
    UNTIL(&f, f.drained);
    assert_int_equal(f.closes, 1);
    close(busy);
    ruc_buf_free(&got);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_goes_on),
        cmocka_unit_test(bytes_may_come_one_at_a_time),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(pipelined_requests_wait_for_a_late_answer),
        cmocka_unit_test(head_and_empty_answers_have_no_body),
        cmocka_unit_test(http_1_0_closes_unless_asked_to_keep),
        cmocka_unit_test(targets_have_four_forms),
        cmocka_unit_test(a_continue_is_said_when_the_body_is_wanted),
        cmocka_unit_test(an_answer_is_streamed_in_chunks),
        cmocka_unit_test(a_slow_reader_is_told_by_the_queue_and_drains),
        cmocka_unit_test(a_body_by_reference_is_released_once),
        cmocka_unit_test(who_is_gone_is_reported_once),
        cmocka_unit_test(an_abort_resets),
        cmocka_unit_test(a_body_may_be_streamed_with_back_pressure),
        cmocka_unit_test(a_head_may_be_answered_before_its_body),
        cmocka_unit_test(addresses_are_said_and_wrong_ones_refused),
        cmocka_unit_test(an_idle_connection_holds_no_buffers),
        cmocka_unit_test(draining_lets_answers_out_and_cuts_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
