/* http_client_test.c - the client against the server of this room, in one loop. */
#include "http/client.h"
#include "http_fixture.h"

typedef struct outcome {
    fixture_t *f;
    ruc_http_client_t *client;
    ruc_http_call_t *other; /* to be cancelled in a callback */
    int calls, rc, status, pieces, stop;
    char body[4096], error[512], type[128];
    size_t len;
} outcome_t;

static void on_answer(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    outcome_t *out = arg;
    out->calls++;
    out->rc = rc;
    if (rc != 0) {
        assert_null(answer);
        snprintf(out->error, sizeof out->error, "%s", error);
        return;
    }
    out->status = answer->status;
    out->len = answer->len;
    snprintf(out->body, sizeof out->body, "%s", answer->body);
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->headers[i].name, "content-type") == 0) {
            snprintf(out->type, sizeof out->type, "%s", answer->headers[i].value);
        }
    }
}

static void open_both(fixture_t *f, outcome_t *out)
{
    fixture_open(f, NULL, false);
    *out = (outcome_t){.f = f, .client = ruc_http_client_new(&f->loop)};
    assert_non_null(out->client);
}

static void close_both(fixture_t *f, outcome_t *out)
{
    ruc_http_client_close(out->client);
    fixture_close(f);
}

static ruc_http_call_t *send_spec(outcome_t *out, ruc_http_call_spec_t *spec)
{
    ruc_why_t why = {""};
    int before = out->calls;
    ruc_http_call_t *call = ruc_http_client_send(out->client, spec, on_answer, out, &why);
    if (call == NULL) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(out->calls, before); /* never from inside */
    return call;
}

static const char *url(fixture_t *f, const char *path)
{
    static char text[256];
    snprintf(text, sizeof text, "http://127.0.0.1:%d%s", f->port, path);
    return text;
}

static void calls_are_answered_and_connections_used_again(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    ruc_http_header_t headers[] = {{"X-A", "b"}, {"X-Empty", ""}, {"Content-Type", "text/x"}};
    static const struct {
        const char *method, *path, *body, *want;
    } cases[] = {
        {NULL, "/a?b=c", NULL, "GET|/a|/a|b=c|"},   {"POST", "/echo", "hello", "hello"},
        {"PUT", "/echo", "other", "other"},         {"DELETE", "/d", NULL, "DELETE|/d|/d|-|"},
        {"POST", "/p", NULL, "POST|/p|/p|-|"},      {"PATCH", "/echo", "x", "x"},
        {"GET", "/echo", "with body", "with body"}, {"HEAD", "/h", NULL, ""},
        {"OPTIONS", "/o", NULL, "OPTIONS|/o|"},     {"GET", "/last", NULL, "GET|/last|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ruc_http_call_spec_t spec = {
            .method = cases[i].method,
            .url = url(&f, cases[i].path),
            .headers = headers,
            .header_count = 3,
            .body = cases[i].body,
            .body_len = cases[i].body == NULL ? 0 : strlen(cases[i].body),
        };
        int before = out.calls;
        send_spec(&out, &spec);
        UNTIL(&f, out.calls > before);
        assert_int_equal(out.rc, 0);
        assert_int_equal(out.status, 200);
        assert_int_equal(strncmp(out.body, cases[i].want, strlen(cases[i].want)), 0);
        assert_true(cases[i].want[0] != '\0' || out.len == 0);
    }
    assert_string_equal(out.type, "text/plain");
    assert_int_equal(ruc_http_server_stats(f.server).accepted, 1);
    assert_int_equal(ruc_http_client_active(out.client), 0);
    close_both(&f, &out);
}

static void many_run_at_a_time(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    ruc_http_call_spec_t spec = {.url = url(&f, "/many")};
    for (int i = 0; i < 100; i++) {
        send_spec(&out, &spec);
    }
    UNTIL(&f, out.calls == 100);
    assert_int_equal(out.rc, 0);
    close_both(&f, &out);
}

static void failures_have_a_code_and_a_sentence(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    /* a port on which nobody listens: bound, not listening */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    char nobody[64];
    snprintf(nobody, sizeof nobody, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    send_spec(&out, &(ruc_http_call_spec_t){.url = nobody});
    UNTIL(&f, out.calls == 1);
    assert_int_equal(out.rc, UV_ECONNREFUSED);
    assert_true(strlen(out.error) > 5);
    close(fd);
    send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/later"), .timeout_ms = 50});
    UNTIL(&f, out.calls == 2);
    assert_int_equal(out.rc, UV_ETIMEDOUT);
    UNTIL(&f, f.held == NULL);
    send_spec(&out, &(ruc_http_call_spec_t){.method = "POST",
                                            .url = url(&f, "/echo"),
                                            .body = "12345678901",
                                            .body_len = 11,
                                            .max_body = 10});
    UNTIL(&f, out.calls == 3);
    assert_int_equal(out.rc, RUC_ETOOBIG);
    assert_string_equal(out.error, "the answer is larger than its bound");
    send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/later")});
    UNTIL(&f, f.held != NULL);
    ruc_http_abort(f.held);
    f.held = NULL;
    UNTIL(&f, out.calls == 4);
    assert_int_equal(out.rc, UV_ECONNRESET);
    send_spec(&out,
              &(ruc_http_call_spec_t){.url = "http://127.0.0.1/", .unix_socket = "/nonexistent"});
    UNTIL(&f, out.calls == 5);
    assert_int_equal(out.rc, UV_ENOENT);
    close_both(&f, &out);
}

static void wrong_specs_are_refused_at_once(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    ruc_http_header_t split = {"X", "a\r\nInjected: b"}, odd = {"X Y", "a"};
    char socket_path[200];
    memset(socket_path, 'a', sizeof socket_path);
    socket_path[108] = '\0';
    ruc_http_call_spec_t specs[] = {
        {.url = "file:///etc/passwd"},
        {.url = "gopher://x"},
        {.url = "localhost:80"},
        {.url = NULL},
        {.url = "http://a b/"},
        {.url = "http://a/\r\nX: y"},
        {.url = "http://a/", .headers = &split, .header_count = 1},
        {.url = "http://a/", .headers = &odd, .header_count = 1},
        {.url = "http://a/", .method = "GET / HTTP/1.1\r\n"},
        {.url = "http://a/", .unix_socket = socket_path},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        ruc_why_t why = {""};
        assert_null(ruc_http_client_send(out.client, &specs[i], on_answer, &out, &why));
        assert_true(strlen(why.text) > 5);
    }
    assert_int_equal(ruc_http_client_active(out.client), 0);
    close_both(&f, &out);
    assert_int_equal(out.calls, 0);
}

static void a_cancelled_call_is_silent(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    ruc_http_call_t *call = send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/never")});
    ruc_http_call_cancel(call); /* before anything was sent */
    call = send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/later")});
    UNTIL(&f, f.held != NULL);
    ruc_http_call_cancel(call);
    UNTIL(&f, f.closes == 1); /* the server sees it go */
    send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/later")});
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_client_active(out.client), 1);
    close_both(&f, &out); /* with one under way */
    assert_int_equal(out.calls, 0);
    assert_int_equal(f.requests, 2);
}

static int on_piece(void *arg, int status, const char *data, size_t len)
{
    outcome_t *out = arg;
    assert_int_equal(status, 200);
    (void)data;
    out->pieces++;
    out->len += len;
    if (out->other != NULL) { /* both are put off until libcurl has returned */
        ruc_http_call_cancel(out->other);
        out->other = NULL;
    } else if (out->stop == 0 && out->pieces == 2) {
        send_spec(out, &(ruc_http_call_spec_t){.url = url(out->f, "/from-inside")});
    }
    return out->stop;
}

static void a_follower_gets_pieces_as_they_come(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    ruc_http_call_spec_t spec = {
        .url = url(&f, "/later"), .on_data = on_piece, .timeout_ms = -1, .max_body = 1};
    send_spec(&out, &spec);
    UNTIL(&f, f.held != NULL);
    ruc_http_stream_t *first = f.held;
    f.held = NULL;
    out.other = send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/later")});
    UNTIL(&f, f.held != NULL);
    assert_int_equal(ruc_http_start(first, 200, NULL, 0), 0);
    assert_int_equal(ruc_http_write(first, "one", 3), 0);
    UNTIL(&f, out.pieces == 1 && f.closes == 1); /* the other one is gone */
    assert_int_equal(out.calls, 0);
    assert_int_equal(ruc_http_write(first, "two", 3), 0);
    UNTIL(&f, out.pieces == 2 && out.calls == 1);
    assert_int_equal(strncmp(out.body, "GET|/from-inside|", 17), 0);
    close_both(&f, &out);
}

static void a_follower_ends_itself(void **state)
{
    (void)state;
    fixture_t f;
    outcome_t out;
    open_both(&f, &out);
    out.stop = UV_ECANCELED;
    send_spec(&out, &(ruc_http_call_spec_t){.url = url(&f, "/plain"), .on_data = on_piece});
    UNTIL(&f, out.calls == 1);
    assert_int_equal(out.rc, UV_ECANCELED);
    assert_int_equal(out.pieces, 1);
    close_both(&f, &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_answered_and_connections_used_again),
        cmocka_unit_test(many_run_at_a_time),
        cmocka_unit_test(failures_have_a_code_and_a_sentence),
        cmocka_unit_test(wrong_specs_are_refused_at_once),
        cmocka_unit_test(a_cancelled_call_is_silent),
        cmocka_unit_test(a_follower_gets_pieces_as_they_come),
        cmocka_unit_test(a_follower_ends_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
