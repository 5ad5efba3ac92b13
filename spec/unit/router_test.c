/* router_test.c - routes and paths: who wins, what is refused, what is allowed instead. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "http/router.h"
#include "http/uri.h"

static char targets[64];

static void add(ruc_http_router_t *router, const char *route, int number)
{
    ruc_why_t why = {""};
    if (ruc_http_router_add(router, route, &targets[number], &why) != 0) {
        fail_msg("%s", why.text);
    }
}

/* Matches and writes "number name=value ..." or the code. */
static const char *match(const ruc_http_router_t *router, const char *method, const char *path)
{
    static char text[4096];
    static ruc_http_match_t found;
    int rc = ruc_http_router_match(router, method, path, &found);
    if (rc == RUC_ENOTFOUND) {
        return "none";
    }
    if (rc == RUC_EMETHOD) {
        return found.allow;
    }
    assert_int_equal(rc, 0);
    size_t at = (size_t)snprintf(text, sizeof text, "%d", (int)((char *)found.target - targets));
    for (size_t i = 0; i < found.param_count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, " %s=%s", found.params[i].name,
                               found.params[i].value);
        assert_int_equal(strlen(found.params[i].value), found.params[i].len);
    }
    return text;
}

static void paths_find_their_route(void **state)
{
    (void)state;
    ruc_http_router_t *r = ruc_http_router_new();
    assert_non_null(r);
    add(r, "GET /", 0);
    add(r, "GET /v1/engines", 1);
    add(r, "POST /v1/engines", 2);
    add(r, "GET /v1/engines/{id}", 3);
    add(r, "DELETE /v1/engines/{id}", 4);
    add(r, "GET /v1/engines/{id}/logs", 5);
    add(r, "GET /v1/engines/new", 6);
    add(r, "POST /v1/engines/new/{x}/y", 7);
    add(r, "GET /v1/{kind}/{id}/logs", 8);
    add(r, "GET /slash/", 9);
    assert_string_equal(match(r, "GET", "/"), "0");
    assert_string_equal(match(r, "GET", "/v1/engines"), "1");
    assert_string_equal(match(r, "POST", "/v1/engines"), "2");
    assert_string_equal(match(r, "HEAD", "/v1/engines"), "1");
    assert_string_equal(match(r, "GET", "/v1/engines/a"), "3 id=a");
    assert_string_equal(match(r, "DELETE", "/v1/engines/new"), "4 id=new");
    assert_string_equal(match(r, "GET", "/v1/engines/new"), "6");             /* the literal wins */
    assert_string_equal(match(r, "GET", "/v1/engines/new/logs"), "5 id=new"); /* and a way back */
    assert_string_equal(match(r, "GET", "/v1/things/new/logs"), "8 kind=things id=new");
    assert_string_equal(match(r, "POST", "/v1/engines/new/z/y"), "7 x=z");
    /* a trailing slash is another path */
    assert_string_equal(match(r, "GET", "/v1/engines/"), "none");
    assert_string_equal(match(r, "GET", "/slash/"), "9");
    assert_string_equal(match(r, "GET", "/slash"), "none");
    assert_string_equal(match(r, "GET", "//v1/engines"), "none");
    assert_string_equal(match(r, "GET", "*"), "none");
    assert_string_equal(match(r, "GET", ""), "none");
    assert_string_equal(match(r, "GET", "/v1/engines//logs"), "none");
    ruc_http_router_free(r);
}

static void values_are_decoded_after_the_cut(void **state)
{
    (void)state;
    ruc_http_router_t *r = ruc_http_router_new();
    add(r, "GET /e/{id}", 1);
    assert_string_equal(match(r, "GET", "/e/a%2Fb%20c"), "1 id=a/b c");
    assert_string_equal(match(r, "GET", "/%65/x"), "1 id=x");
    assert_string_equal(match(r, "GET", "/e/a+b"), "1 id=a+b");
    assert_string_equal(match(r, "GET", "/e/%c3%a9"), "1 id=\xc3\xa9");
    assert_string_equal(match(r, "GET", "/e/%00"), "none");
    assert_string_equal(match(r, "GET", "/e/%ff"), "none");
    assert_string_equal(match(r, "GET", "/e/%c3"), "none");
    assert_string_equal(match(r, "GET", "/e/%4"), "none");
    assert_string_equal(match(r, "GET", "/e/%zz"), "none");
    assert_string_equal(match(r, "GET", "/e/%"), "none");
    char path[RUC_HTTP_PATH_MAX + 2];
    memset(path, 'x', sizeof path);
    memcpy(path, "/e/", 3);
    path[RUC_HTTP_PATH_MAX] = '\0';
    assert_int_equal(strncmp(match(r, "GET", path), "1 id=xxx", 8), 0);
    path[RUC_HTTP_PATH_MAX] = 'x';
    path[RUC_HTTP_PATH_MAX + 1] = '\0';
    assert_string_equal(match(r, "GET", path), "none");
    for (size_t i = 0; i < RUC_HTTP_PATH_MAX; i++) {
        path[i] = '/';
    }
    path[RUC_HTTP_PATH_MAX] = '\0';
    assert_string_equal(match(r, "GET", path), "none");
    ruc_http_router_free(r);
}

static void a_wrong_method_says_which_are_right(void **state)
{
    (void)state;
    ruc_http_router_t *r = ruc_http_router_new();
    add(r, "POST /a/{x}", 1);
    add(r, "GET /a/b", 2);
    add(r, "DELETE /a/{x}", 3);
    add(r, "OPTIONS /o", 4);
    assert_string_equal(match(r, "PUT", "/a/b"), "DELETE, GET, HEAD, OPTIONS, POST");
    assert_string_equal(match(r, "GET", "/a/c"), "DELETE, OPTIONS, POST");
    assert_string_equal(match(r, "HEAD", "/a/c"), "DELETE, OPTIONS, POST");
    assert_string_equal(match(r, "OPTIONS", "/a/b"), "DELETE, GET, HEAD, OPTIONS, POST");
    assert_string_equal(match(r, "OPTIONS", "/o"), "4");
    assert_string_equal(match(r, "POST", "/a/b"), "1 x=b");
    assert_ptr_equal(ruc_http_router_get(r, "POST /a/{x}"), &targets[1]);
    assert_null(ruc_http_router_get(r, "POST /a/{y}"));
    assert_null(ruc_http_router_get(r, "PUT /a/{x}"));
    ruc_http_router_free(r);
}

static void wrong_patterns_are_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "/a",
        "GET",
        "GET a",
        "get /a",
        "GET  /a",
        "GET /{",
        "GET /{}",
        "GET /a{b}",
        "GET /{a}b",
        "GET /{1a}",
        "GET /{a-b}",
        "GET /a?b",
        "GET /a//b",
        "GET /a b",
        "GET /{a}/{a}",
        "GET /a%20b",
        "GET //",
        "GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
    };
    ruc_http_router_t *r = ruc_http_router_new();
    ruc_why_t why;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        why.text[0] = '\0';
        if (ruc_http_router_add(r, wrong[i], targets, &why) != RUC_EINVALID) {
            fail_msg("\"%s\" was taken", wrong[i]);
        }
        assert_non_null(strstr(why.text, wrong[i]));
    }
    add(r, "GET /x/{a}/y", 1);
    assert_int_equal(ruc_http_router_add(r, "GET /x/{b}/y", targets, &why), RUC_EEXISTS);
    assert_string_equal(why.text, "\"GET /x/{b}/y\" is there already as \"GET /x/{a}/y\"");
    add(r, "POST /x/{b}/y", 2);
    add(r, "GET /x/{b}/z", 3);
    assert_string_equal(match(r, "POST", "/x/1/y"), "2 b=1");
    assert_string_equal(match(r, "GET", "/x/1/y"), "1 a=1");
    assert_string_equal(match(r, "GET", "/x/1/z"), "3 b=1");
    ruc_http_router_free(r);
}

static void queries_are_cut_and_decoded(void **state)
{
    (void)state;
    const char *at = "a=1&b=x%20y+z&&c&d=%3d=&=e&bad=%zz&f=%00&g=2";
    static const char *const want[] = {"a=1", "b=x y z", "c=", "d===", "=e", "!", "!", "g=2"};
    char buf[64], got[64];
    ruc_http_pair_t pair;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        int rc = ruc_http_query_next(&at, buf, sizeof buf, &pair);
        if (rc == RUC_EINVALID) {
            assert_string_equal(want[i], "!");
            continue;
        }
        assert_int_equal(rc, 1);
        snprintf(got, sizeof got, "%s=%s", pair.name, pair.value);
        assert_string_equal(got, want[i]);
    }
    assert_int_equal(ruc_http_query_next(&at, buf, sizeof buf, &pair), 0);
    at = NULL;
    assert_int_equal(ruc_http_query_next(&at, buf, sizeof buf, &pair), 0);
    at = "name=value";
    assert_int_equal(ruc_http_query_next(&at, buf, 10, &pair), RUC_ETOOBIG);
    at = "name=value";
    assert_int_equal(ruc_http_query_next(&at, buf, 11, &pair), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_route),
        cmocka_unit_test(values_are_decoded_after_the_cut),
        cmocka_unit_test(a_wrong_method_says_which_are_right),
        cmocka_unit_test(wrong_patterns_are_named),
        cmocka_unit_test(queries_are_cut_and_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
