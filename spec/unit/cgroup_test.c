/* cgroup_test.c - what is read of a cgroup's files, on a directory that looks like one; and a real
 * one where this machine lets us make it. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/id.h"
#include "proc/cgroup.h"

static char where[64];

static int setup(void **state)
{
    (void)state;
    strcpy(where, "/tmp/rucat-cgroup-XXXXXX");
    return mkdtemp(where) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", where);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", where, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void what_the_kernel_says_is_read(void **state)
{
    (void)state;
    int dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ruc_cgroup_oom_kills(dir), -1);
    assert_int_equal(ruc_cgroup_memory(dir), -1);
    assert_true(ruc_cgroup_populated(dir) < 0);
    put("memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n");
    put("memory.current", "123456\n");
    put("cgroup.events", "populated 1\nfrozen 0\n");
    assert_int_equal(ruc_cgroup_oom_kills(dir), 2);
    assert_int_equal(ruc_cgroup_memory(dir), 123456);
    assert_int_equal(ruc_cgroup_populated(dir), 1);
    put("cgroup.events", "populated 0\nfrozen 0\n");
    put("memory.events", "low 0\noom 1\n"); /* before Linux 4.13 */
    put("memory.current", "max\n");
    assert_int_equal(ruc_cgroup_populated(dir), 0);
    assert_int_equal(ruc_cgroup_oom_kills(dir), -1);
    assert_int_equal(ruc_cgroup_memory(dir), -1);
    close(dir);
}

static void only_the_cgroup_of_the_instance_is_opened(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/rucat-abc", where);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ruc_cgroup_open(path, "abc"), -EINVAL); /* no cgroup2 */
    assert_int_equal(ruc_cgroup_open(path, "abd"), -EINVAL);
    assert_int_equal(ruc_cgroup_open(path, ""), -EINVAL);
    assert_int_equal(ruc_cgroup_open("/", ""), -EINVAL);
    assert_int_equal(ruc_cgroup_open("/sys/rucat-x", "x"), -ENOENT);
    assert_int_equal(ruc_cgroup_memory_of(getpid()), -1);
}

static pid_t fork_sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void a_real_one_is_made_filled_killed_and_removed(void **state)
{
    (void)state;
    char instance[RUC_UUID_SIZE], path[RUC_CGROUP_PATH_SIZE];
    int how;
    ruc_id_uuid(instance);
    int dir = ruc_cgroup_path(instance, path) == 0 ? ruc_cgroup_make(path) : -1;
    if (dir < 0) {
        print_message("no cgroup2 that may be written here\n");
        return;
    }
    assert_int_equal(ruc_cgroup_populated(dir), 0);
    pid_t pid = fork_sleeper();
    assert_int_equal(ruc_cgroup_add(dir, pid), 0);
    assert_int_equal(ruc_cgroup_populated(dir), 1);
    assert_int_equal(ruc_cgroup_remove(path), -EBUSY);
    assert_int_equal(ruc_cgroup_kill(dir), 0);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(ruc_cgroup_populated(dir), 0);
    int again = ruc_cgroup_open(path, instance);
    assert_true(again >= 0);
    close(again);
    assert_int_equal(mkdirat(dir, "below", 0755), 0);
    close(dir);
    ruc_cgroup_clean(3600); /* too young */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ruc_cgroup_remove(path), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ruc_cgroup_remove(path), 0);
    assert_int_equal(ruc_cgroup_open(path, instance), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_kernel_says_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_cgroup_of_the_instance_is_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(a_real_one_is_made_filled_killed_and_removed, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
