/* identity_test.c - is it still the same process? With pidfd inodes, and as on kernels without. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/id.h"
#include "proc/identity.h"
#include "proc/signame.h"

/* A child that waits, with an instance in its environment, and what identifies it. */
static pid_t spawn_child(ruc_proc_id_t *id)
{
    char instance[RUC_UUID_SIZE];
    char env_text[80];
    char *args[] = {"sleep", "1000", NULL};
    char *env[] = {"A=b", env_text, NULL};
    pid_t pid;
    ruc_id_uuid(instance);
    snprintf(env_text, sizeof env_text, "RUCAT_INSTANCE=%s", instance);
    assert_int_equal(posix_spawnp(&pid, "sleep", NULL, NULL, args, env), 0);
    assert_int_equal(ruc_proc_identify(pid, id), 0);
    snprintf(id->instance, sizeof id->instance, "%s", instance);
    /* The parent goes on a moment before the kernel shows the new environment. */
    for (int i = 0; i < 10000 && ruc_proc_has_instance(pid, instance) != 1; i++) {
        usleep(1000);
    }
    assert_int_equal(ruc_proc_has_instance(pid, instance), 1);
    return pid;
}

static void end_child(pid_t pid, const char *expected)
{
    int status;
    char name[RUC_SIGNAME_SIZE];
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(ruc_proc_signal_name(WTERMSIG(status), name), expected);
}

static void a_process_is_known_again_and_no_other(void **state)
{
    (void)state;
    ruc_proc_id_t id;
    pid_t pid = spawn_child(&id);
    assert_true(id.start > 0 && strlen(id.boot_id) == 36);
    int pidfd = ruc_proc_same(&id);
    assert_true(pidfd >= 0);
    close(pidfd);

    ruc_proc_id_t other = id;
    other.boot_id[0] ^= 1; /* the same pid before a restart of the machine */
    assert_int_equal(ruc_proc_same(&other), -ESRCH);
    if (id.pidfd_ino != 0) {
        other = id;
        other.pidfd_ino++; /* the pid was used again */
        assert_int_equal(ruc_proc_same(&other), -ESRCH);
    }
    ruc_proc_id_t old = id;
    old.pidfd_ino = 0; /* a kernel without inodes: start time and uuid */
    pidfd = ruc_proc_same(&old);
    assert_true(pidfd >= 0);
    close(pidfd);
    other = old;
    other.start++;
    assert_int_equal(ruc_proc_signal(&other, SIGKILL), -ESRCH);
    other = old;
    other.instance[0] = 'x';
    assert_int_equal(ruc_proc_signal(&other, SIGKILL), -ESRCH);
    other = old;
    other.instance[0] = '\0';
    assert_int_equal(ruc_proc_signal(&other, SIGKILL), -ESRCH);

    assert_int_equal(ruc_proc_signal(&old, SIGUSR1), 0);
    end_child(pid, "SIGUSR1");
    assert_true(ruc_proc_same(&id) < 0);
    id.pid = 1;
    assert_int_equal(ruc_proc_signal(&id, 0), -ESRCH);
    id.pid = -1; /* kill(-1) would be everybody */
    assert_int_equal(ruc_proc_signal(&id, 0), -ESRCH);
}

static void an_instance_is_found_by_its_environment(void **state)
{
    (void)state;
    ruc_proc_id_t id;
    ruc_proc_id_t stranger;
    int found = 0;
    pid_t pid = spawn_child(&id);
    pid_t another = spawn_child(&stranger);
    assert_int_equal(ruc_proc_has_instance(pid, id.instance), 1);
    assert_int_equal(ruc_proc_has_instance(pid, stranger.instance), 0);
    char half[RUC_INSTANCE_SIZE];
    snprintf(half, sizeof half, "%.10s", id.instance);
    assert_int_equal(ruc_proc_has_instance(pid, half), 0);
    assert_int_equal(ruc_proc_list_instance(id.instance, &found, 1), 1);
    assert_int_equal(found, pid);
    assert_int_equal(ruc_proc_signal_instance(id.instance, SIGTERM), 1);
    end_child(pid, "SIGTERM");
    assert_int_equal(ruc_proc_signal_instance(id.instance, SIGTERM), 0);
    assert_int_equal(ruc_proc_signal_instance(stranger.instance, SIGKILL), 1);
    end_child(another, "SIGKILL");
}

static void stop_signals_have_names(void **state)
{
    (void)state;
    char name[RUC_SIGNAME_SIZE];
    assert_int_equal(ruc_proc_stop_signal("TERM"), SIGTERM);
    assert_int_equal(ruc_proc_stop_signal("SIGINT"), SIGINT);
    assert_int_equal(ruc_proc_stop_signal("STOP"), -1);
    assert_int_equal(ruc_proc_stop_signal("term"), -1);
    assert_int_equal(ruc_proc_stop_signal(""), -1);
    assert_string_equal(ruc_proc_signal_name(SIGSEGV, name), "SIGSEGV");
    assert_string_equal(ruc_proc_signal_name(SIGRTMIN + 3, name), "SIGRTMIN+3");
    assert_string_equal(ruc_proc_signal_name(99, name), "SIG99");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_known_again_and_no_other),
        cmocka_unit_test(an_instance_is_found_by_its_environment),
        cmocka_unit_test(stop_signals_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
