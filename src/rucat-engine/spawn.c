/* spawn.c - see spawn.h. Between fork and exec the child uses system calls and execvp only. */
#include "rucat-engine/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/failpoint.h"
#include "rucat-engine/address.h"

/* What the child says through the close-on-exec pipe when it could not become the driver. */
typedef struct failure {
    enum { FAILED_SETUP, FAILED_CWD, FAILED_EXEC } step;
    int error;
} failure_t;

static void reset_signals(void)
{
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL); /* EINVAL for KILL, STOP and those of the C library */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Closes all but the three standard descriptors at exec; the error pipe is among them. */
static void close_rest(void)
{
    if (syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) == 0) {
        return;
    }
    long max = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < (max > 0 && max < 65536 ? max : 65536); fd++) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

_Noreturn static void say_and_leave(int tell, failure_t failure)
{
    ssize_t written = write(tell, &failure, sizeof failure);
    (void)written; /* the parent then sees an exit with 127 */
    _exit(127);
}

/* Waits until we may: the helper has written down who we are. It dies, and so do we. */
static void await_word(int word)
{
    char byte;
    ssize_t got;
    do {
        got = read(word, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) {
        _exit(127);
    }
}

_Noreturn static void become_driver(const ruc_re_plan_t *plan, pid_t parent, int output, int tell,
                                    int word)
{
    failure_t failure = {.step = FAILED_SETUP};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || null < 0 || setsid() < 0 ||
        dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0) {
        failure.error = errno;
        say_and_leave(tell, failure);
    }
    if (getppid() != parent) {
        _exit(127); /* the helper died before the kernel was told to watch it */
    }
    if (chdir(plan->cwd) != 0) {
        failure = (failure_t){.step = FAILED_CWD, .error = errno};
        say_and_leave(tell, failure);
    }
    reset_signals();
    close_rest();
    umask(022);
    await_word(word);
    RUC_FAILPOINT("re.child.exec");
    environ = plan->envp; /* execvp looks for PATH in there */
    execvp(plan->argv[0], plan->argv);
    failure = (failure_t){.step = FAILED_EXEC, .error = errno};
    say_and_leave(tell, failure);
}

/* Reads what the child has to say: 0 when it was executed, -1 with the reason. */
static int hear(const ruc_re_plan_t *plan, int from, char *why, size_t size)
{
    failure_t failure;
    ssize_t got;
    do {
        got = read(from, &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return 0;
    }
    if (got != sizeof failure) {
        snprintf(why, size, "cannot run %s: the child did not say why", plan->argv[0]);
    } else if (failure.step == FAILED_CWD) {
        snprintf(why, size, "cannot enter %s: %s", plan->cwd, strerror(failure.error));
    } else {
        snprintf(why, size, "cannot run %s: %s", plan->argv[0], strerror(failure.error));
    }
    return -1;
}

/* Finds out who the child is, has it written down, and gives the word. 0 or a negative errno. */
static int let_run(pid_t pid, int word, ruc_re_driver_t *driver,
                   int (*record)(void *arg, const ruc_re_driver_t *driver), void *arg)
{
    /* SIGCHLD is blocked and nobody else reaps: the number is still this child's. */
    int rc = driver->pidfd = ruc_proc_pidfd(pid);
    if (rc >= 0) {
        rc = ruc_proc_identify(pid, &driver->id);
    }
    if (rc >= 0) {
        rc = record(arg, driver);
    }
    if (rc >= 0 && write(word, "", 1) != 1) {
        rc = -errno; /* EPIPE: it failed already, and says why */
    }
    return rc == -EPIPE ? 0 : rc;
}

/* What is left of a start that failed. */
static void clear_away(pid_t pid, ruc_re_driver_t *driver)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (driver->pidfd >= 0) {
        close(driver->pidfd);
    }
    *driver = (ruc_re_driver_t){.pidfd = -1};
}

/* The pipes of a start: what the child tells, and the word that lets it run. */
static int open_pipes(int tell[2], int word[2])
{
    if (pipe2(tell, O_CLOEXEC) != 0) {
        return -errno;
    }
    if (pipe2(word, O_CLOEXEC) != 0) {
        int error = errno;
        close(tell[0]);
        close(tell[1]);
        return -error;
    }
    return 0;
}

static pid_t fork_child(const ruc_re_plan_t *plan, int output, const int tell[2], const int word[2])
{
    pid_t parent = getpid();
    int rc = RUC_FAILPOINT("re.fork");
    pid_t pid = rc < 0 ? -1 : fork();
    if (rc < 0) {
        errno = -rc;
    }
    if (pid == 0) {
        close(word[1]); /* or we would never see its end */
        become_driver(plan, parent, output, tell[1], word[0]);
    }
    return pid;
}

int ruc_re_spawn(const ruc_re_plan_t *plan, int output, ruc_re_driver_t *driver,
                 int (*record)(void *arg, const ruc_re_driver_t *driver), void *arg, char *why,
                 size_t size)
{
    int tell[2], word[2];
    *driver = (ruc_re_driver_t){.pidfd = -1};
    int rc = open_pipes(tell, word);
    if (rc < 0) {
        snprintf(why, size, "cannot run %s: %s", plan->argv[0], strerror(-rc));
        return -1;
    }
    pid_t pid = fork_child(plan, output, tell, word);
    rc = pid < 0 ? -errno : 0;
    close(tell[1]);
    close(word[0]);
    if (rc < 0) {
        snprintf(why, size, "cannot run %s: %s", plan->argv[0], strerror(-rc));
    } else {
        RUC_FAILPOINT("re.forked");
        rc = let_run(pid, word[1], driver, record, arg);
        RUC_FAILPOINT("re.let_run");
        if (rc < 0) {
            snprintf(why, size, "cannot run %s: it cannot be watched: %s", plan->argv[0],
                     strerror(-rc));
        } else {
            rc = hear(plan, tell[0], why, size);
        }
        if (rc < 0) {
            clear_away(pid, driver);
        }
    }
    close(tell[0]);
    close(word[1]);
    return rc < 0 ? -1 : 0;
}

int ruc_re_spawn_port_free(const ruc_re_plan_t *plan, char *why, size_t size)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (plan->port == 0 || !plan->tcp ||
        ruc_re_address(plan->host, plan->port, &address, &len) < 0) {
        return 0;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0; /* let the driver find out */
    }
    int on = 1;
    int taken = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(fd, (struct sockaddr *)&address, len) != 0 && errno == EADDRINUSE;
    close(fd);
    if (taken) {
        snprintf(why, size, "port %d on %s is taken", plan->port, plan->host);
    }
    return taken ? -1 : 0;
}
