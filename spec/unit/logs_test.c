/* logs_test.c - the end of a log over epochs and rotations; removing old epochs and whole trees. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/err.h"
#include "engine/dirs.h"
#include "engine/logs.h"

typedef struct room {
    char dir[64];
    uv_loop_t loop;
    int rc;
    int calls;
    char *text;
    ruc_logs_mark_t mark;
} room_t;

static int setup(void **state)
{
    room_t *room = calloc(1, sizeof *room);
    strcpy(room->dir, "/tmp/rucat-logs-XXXXXX");
    if (mkdtemp(room->dir) == NULL) {
        return -1;
    }
    uv_loop_init(&room->loop);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    room_t *room = *state;
    assert_int_equal(ruc_dirs_remove_now(room->dir), 0);
    assert_int_equal(access(room->dir, F_OK), -1);
    assert_int_equal(uv_loop_close(&room->loop), 0);
    free(room->text);
    free(room);
    return 0;
}

static void put(const room_t *room, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", room->dir, name);
    for (char *slash = strchr(path + strlen(room->dir) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int there(const room_t *room, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", room->dir, name);
    return lstat(path, &st) == 0;
}

static void on_tail(void *arg, int rc, const char *data, size_t len, const ruc_logs_mark_t *mark)
{
    room_t *room = arg;
    room->mark = *mark;
    free(room->text);
    room->text = strndup(data, len);
    room->rc = rc;
    room->calls++;
}

static const char *tail(room_t *room, int lines, size_t max)
{
    room->calls = 0;
    assert_int_equal(ruc_logs_tail(&room->loop, room->dir, lines, max, on_tail, room), 0);
    uv_run(&room->loop, UV_RUN_DEFAULT);
    assert_int_equal(room->calls, 1);
    assert_int_equal(room->rc, 0);
    return room->text;
}

static void the_last_lines_go_over_epochs_and_rotations(void **state)
{
    room_t *room = *state;
    assert_string_equal(tail(room, 10, 1000), "");
    put(room, "9/log", "nine a\nnine b");
    put(room, "10/log.1", "ten a\nten");
    put(room, "10/log", " b\nten c\n");
    put(room, "x/log", "no\n");
    put(room, "010/log", "no\n");
    assert_string_equal(tail(room, 1, 1000), "ten c\n");
    assert_string_equal(tail(room, 2, 1000), "ten b\nten c\n");
    assert_string_equal(tail(room, 4, 1000), "nine b\nten a\nten b\nten c\n");
    assert_string_equal(tail(room, 100000, 1000), "nine a\nnine b\nten a\nten b\nten c\n");
    assert_string_equal(tail(room, RUC_LOGS_ALL, 1000), "nine a\nnine b\nten a\nten b\nten c\n");
}

static void add(const room_t *room, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", room->dir, name);
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *since(room_t *room, size_t max)
{
    room->calls = 0;
    ruc_logs_mark_t mark = room->mark;
    assert_int_equal(ruc_logs_since(&room->loop, room->dir, &mark, max, on_tail, room), 0);
    uv_run(&room->loop, UV_RUN_DEFAULT);
    assert_int_equal(room->calls, 1);
    assert_int_equal(room->rc, 0);
    return room->text;
}

static void a_follower_goes_on_where_it_was_over_rotations_and_epochs(void **state)
{
    room_t *room = *state;
    char from[256], to[256];
    assert_string_equal(tail(room, 0, 1000), "");
    put(room, "1/log", "a\nb\n");
    assert_string_equal(since(room, 1000), "a\nb\n");
    assert_string_equal(since(room, 1000), "");
    add(room, "1/log", "c");
    assert_string_equal(since(room, 1000), "c");
    add(room, "1/log", "d\ne");
    snprintf(from, sizeof from, "%s/1/log", room->dir);
    snprintf(to, sizeof to, "%s/1/log.1", room->dir);
    assert_int_equal(rename(from, to), 0);
    put(room, "1/log", "f\ng");
    assert_string_equal(since(room, 1000), "d\nef\ng");
    put(room, "2/log", "second\n");
    assert_string_equal(since(room, 3), "\nse");
    assert_string_equal(since(room, 1000), "cond\n");
    /* From a tail on, with nothing twice and nothing left out. */
    assert_string_equal(tail(room, 1, 1000), "second\n");
    add(room, "2/log", "more\n");
    assert_string_equal(since(room, 1000), "more\n");
    assert_string_equal(tail(room, 0, 1000), "");
    add(room, "2/log", "last\n");
    assert_string_equal(since(room, 1000), "last\n");
}

static void a_bound_keeps_the_end_from_a_whole_line_on(void **state)
{
    room_t *room = *state;
    put(room, "1/log", "first\nsecond\nthird\n");
    assert_string_equal(tail(room, RUC_LOGS_ALL, 15), "second\nthird\n");
    assert_string_equal(tail(room, RUC_LOGS_ALL, 8), "third\n");
    assert_string_equal(tail(room, RUC_LOGS_ALL, 3), "rd\n");
    put(room, "1/log", "unfinished");
    assert_string_equal(tail(room, 1, 1000), "unfinished");
    assert_int_equal(ruc_logs_tail(&room->loop, room->dir, -2, 10, on_tail, room), RUC_EINVALID);
    assert_int_equal(ruc_logs_tail(&room->loop, room->dir, 100001, 10, on_tail, room),
                     RUC_EINVALID);
}

static void lines_are_counted_over_many_blocks(void **state)
{
    room_t *room = *state;
    char *text = malloc(40 * 20000 + 1);
    size_t at = 0;
    for (int i = 0; i < 20000; i++) {
        at += (size_t)sprintf(text + at, "line %06d xxxxxxxxxxxxxxxxxxxxx\n", i);
    }
    put(room, "1/log", text);
    const char *got = tail(room, 15000, SIZE_MAX / 8);
    assert_int_equal(strncmp(got, "line 005000 ", 12), 0);
    assert_string_equal(got, strstr(text, "line 005000 "));
    assert_string_equal(tail(room, RUC_LOGS_ALL, SIZE_MAX / 8), text);
    free(text);
}

static void on_done(void *arg, int rc)
{
    room_t *room = arg;
    room->rc = rc;
    room->calls++;
}

static void old_epochs_go_but_not_one_that_lives(void **state)
{
    room_t *room = *state;
    char path[256];
    for (int i = 1; i <= 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d/lock", i);
        put(room, name, "");
    }
    put(room, "data/keep", "");
    snprintf(path, sizeof path, "%s/2/lock", room->dir);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(ruc_dirs_prune(&room->loop, room->dir, 5, on_done, room), 0);
    uv_run(&room->loop, UV_RUN_DEFAULT);
    assert_int_equal(room->calls, 1);
    assert_int_equal(room->rc, 0);
    close(lock);
    assert_false(there(room, "1"));
    assert_true(there(room, "2"));
    assert_false(there(room, "3"));
    assert_true(there(room, "4") && there(room, "8") && there(room, "data/keep"));
}

static void a_tree_goes_whole_and_links_are_not_followed(void **state)
{
    room_t *room = *state;
    char path[256];
    char target[256];
    put(room, "stay/file", "x");
    put(room, "tree/a/b/file", "x");
    put(room, "tree/.hidden", "x");
    snprintf(target, sizeof target, "%s/stay", room->dir);
    snprintf(path, sizeof path, "%s/tree/link", room->dir);
    assert_int_equal(symlink(target, path), 0);
    /* Deeper than there may be open directories. */
    snprintf(path, sizeof path, "%s/tree", room->dir);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mkdirat(dir, "d", 0700), 0);
        int below = openat(dir, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(dir);
        dir = below;
    }
    close(dir);
    assert_int_equal(ruc_dirs_remove(&room->loop, path, on_done, room), 0);
    uv_run(&room->loop, UV_RUN_DEFAULT);
    assert_int_equal(room->rc, 0);
    assert_false(there(room, "tree"));
    assert_true(there(room, "stay/file"));
    /* What is not there is gone already; a link is not a tree. */
    assert_int_equal(ruc_dirs_remove_now(path), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_true(ruc_dirs_remove_now(path) < 0);
    assert_true(there(room, "stay/file"));
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOM(the_last_lines_go_over_epochs_and_rotations),
        IN_ROOM(a_follower_goes_on_where_it_was_over_rotations_and_epochs),
        IN_ROOM(a_bound_keeps_the_end_from_a_whole_line_on),
        IN_ROOM(lines_are_counted_over_many_blocks),
        IN_ROOM(old_epochs_go_but_not_one_that_lives),
        IN_ROOM(a_tree_goes_whole_and_links_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
