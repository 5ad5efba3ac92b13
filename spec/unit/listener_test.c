/* listener_test.c - whose is a port? */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/listener.h"

static int listen_on(int family, unsigned *port)
{
    struct sockaddr_in6 address = {.sin6_family = (sa_family_t)family};
    socklen_t len = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on); /* fails for the other family */
    address.sin6_port = htons((uint16_t)*port);                /* at the same place in both */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin6_port);
    return fd;
}

static void sockets_that_listen_are_found_and_who_has_them(void **state)
{
    (void)state;
    uint32_t inodes[4];
    unsigned port = 0;
    struct stat st;
    int pid = 0, fd = listen_on(AF_INET, &port);
    assert_int_equal(ruc_proc_listeners(port, inodes, 4), 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(inodes[0], st.st_ino);
    assert_int_equal(ruc_proc_socket_holder(inodes[0], &pid), 0);
    assert_int_equal(pid, getpid());
    int more = listen_on(AF_INET6, &port); /* the same number, another socket */
    assert_int_equal(ruc_proc_listeners(port, inodes, 4), more < 0 ? 1 : 2);
    assert_true(more < 0 || inodes[0] < inodes[1]);
    assert_int_equal(ruc_proc_listeners(port, inodes, 1), 1);
    close(fd);
    close(more);
    assert_int_equal(ruc_proc_listeners(port, inodes, 4), 0);
    assert_int_equal(ruc_proc_socket_holder((uint32_t)st.st_ino, &pid), -ESRCH);
}

static void a_process_belongs_to_a_driver_by_its_parents(void **state)
{
    (void)state;
    int ends[2];
    pid_t grandchild;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        grandchild = fork();
        if (grandchild != 0 && write(ends[1], &grandchild, sizeof grandchild) < 0) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    assert_true(ruc_proc_is_of(grandchild, child, "none"));     /* its parent */
    assert_true(ruc_proc_is_of(child, grandchild, "none"));     /* who started it */
    assert_false(ruc_proc_is_of(getpid(), grandchild, "none")); /* who started that */
    assert_false(ruc_proc_is_of(1, child, "none"));
    assert_false(ruc_proc_is_of(grandchild, 0, "none"));
    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_that_listen_are_found_and_who_has_them),
        cmocka_unit_test(a_process_belongs_to_a_driver_by_its_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
