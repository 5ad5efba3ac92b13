/* helper.c - see helper.h. */
#include "engine/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "proc/identity.h"

#define FIRST_FREE 10 /* descriptors below are the child's to come */

struct ruc_helper {
    uv_poll_t poll; /* of the pidfd */
    int pid, pidfd;
    char name[64]; /* of the engine, for the log */
    void (*gone)(void *arg);
    void *arg;
    ruc_helper_t *prev, *next; /* in `all` */
    bool is_left;              /* it was let go of */
};

static ruc_helper_t *all; /* that run; loop thread only, as all of this */

static void on_closed(uv_handle_t *handle)
{
    ruc_helper_t *h = handle->data;
    void (*gone)(void *arg) = h->gone;
    void *arg = h->arg;
    close(h->pidfd);
    free(h);
    if (gone != NULL) {
        gone(arg);
    }
}

static void close_handle(ruc_helper_t *h)
{
    if (!uv_is_closing((uv_handle_t *)&h->poll)) {
        DL_DELETE(all, h);
        uv_close((uv_handle_t *)&h->poll, on_closed);
    }
}

void ruc_helper_leave(ruc_helper_t *h)
{
    if (h == NULL) {
        return;
    }
    h->gone = NULL;
    if (!uv_is_closing((uv_handle_t *)&h->poll)) {
        h->is_left = true;
        uv_unref((uv_handle_t *)&h->poll);
    }
}

void ruc_helper_leave_all(uv_loop_t *loop)
{
    ruc_helper_t *h, *next;
    DL_FOREACH_SAFE(all, h, next)
    {
        if (h->poll.loop == loop && h->is_left) {
            close_handle(h);
        }
    }
}

bool ruc_helper_is(int pid)
{
    ruc_helper_t *h;
    DL_FOREACH(all, h)
    {
        if (h->pid == pid) {
            return true;
        }
    }
    return false;
}

/* The process has ended; a number stays a child's until it is reaped. */
static void reap(uv_poll_t *poll, int status, int events)
{
    ruc_helper_t *h = poll->data;
    int how = 0;
    (void)status;
    (void)events;
    pid_t pid = waitpid(h->pid, &how, WNOHANG);
    if (pid == 0) {
        return; /* not yet: the loop asks again */
    }
    if (pid > 0 && how != 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: rucat-engine ended with code %d, signal %d", h->name,
                WIFEXITED(how) ? WEXITSTATUS(how) : 0, WIFSIGNALED(how) ? WTERMSIG(how) : 0);
    }
    close_handle(h);
}

/* It cannot be watched: then it must not be. */
static void end(const ruc_helper_born_t *born)
{
    kill(born->pid, SIGKILL);
    while (waitpid(born->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

int ruc_helper_watch(uv_loop_t *loop, const char *name, const ruc_helper_born_t *born,
                     void (*gone)(void *arg), void *arg, ruc_helper_t **helper)
{
    ruc_helper_t *h = calloc(1, sizeof *h);
    int rc = h == NULL ? UV_ENOMEM : uv_poll_init(loop, &h->poll, born->pidfd);
    if (rc < 0) {
        end(born);
        close(born->pidfd);
        free(h);
        return rc;
    }
    h->poll.data = h;
    h->pid = born->pid;
    h->pidfd = born->pidfd;
    snprintf(h->name, sizeof h->name, "%s", name);
    DL_APPEND(all, h);
    rc = uv_poll_start(&h->poll, UV_READABLE, reap);
    if (rc < 0) {
        end(born);
        close_handle(h);
        return rc;
    }
    h->gone = gone;
    h->arg = arg;
    *helper = h;
    return 0;
}

/* ---- on the thread pool -----------------------------------------------------------------------*/

/* What the new process gets: a session, the usual signals, and its descriptors by their numbers.
 * All others of ours are closed by exec. */
static int describe(posix_spawnattr_t *attr, posix_spawn_file_actions_t *actions, const int fds[6])
{
    sigset_t none, every;
    sigemptyset(&none);
    sigfillset(&every);
    int rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF);
    rc = rc != 0 ? rc : posix_spawnattr_setsigmask(attr, &none);
    rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(attr, &every);
    rc = rc != 0
             ? rc
             : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 1; i < 6 && rc == 0; i++) {
        if (fds[i] >= 0) {
            rc = posix_spawn_file_actions_adddup2(actions, fds[i], i);
        }
    }
    return -rc;
}

static int run(const ruc_driver_spec_t *spec, const int fds[6], pid_t *pid)
{
    char path[4096 + 5];
    snprintf(path, sizeof path, "PATH=%s", getenv("PATH") == NULL ? "" : getenv("PATH"));
    char *args[] = {(char *)spec->helper, (char *)spec->run_dir, NULL};
    char *env[] = {path, NULL, NULL, NULL};
#ifdef RUC_TESTING
    char points[1024], seed[64];
    if (getenv("FAILPOINTS_ENGINE") != NULL) {
        snprintf(points, sizeof points, "FAILPOINTS=%s", getenv("FAILPOINTS_ENGINE"));
        env[1] = points;
    }
    if (getenv("FAILPOINTS_SEED") != NULL) {
        snprintf(seed, sizeof seed, "FAILPOINTS_SEED=%s", getenv("FAILPOINTS_SEED"));
        env[env[1] == NULL ? 1 : 2] = seed;
    }
#endif
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    int rc = -posix_spawnattr_init(&attr);
    if (rc < 0) {
        return rc;
    }
    rc = -posix_spawn_file_actions_init(&actions);
    if (rc == 0) {
        rc = describe(&attr, &actions, fds);
        if (rc == 0) {
            rc = -posix_spawn(pid, spec->helper, &actions, &attr, args, env);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attr);
    return rc;
}

/* A copy out of the way of the numbers that the child will use. */
static int out_of_the_way(int fd)
{
    int copy = fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
    return copy < 0 && fd >= 0 ? -errno : copy;
}

static void close_all(int fds[6])
{
    for (int i = 0; i < 6; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* Fills in the descriptors of the child, each a copy of its own. 0 or a negative errno. */
static int gather(const ruc_driver_spec_t *spec, int lock_fd, int log_fd, int rpc, int fds[6])
{
    int server = spec->embedded ? ruc_proc_pidfd(getpid()) : -1;
    int rc = spec->embedded && server < 0 ? server : 0;
    const int from[6] = {-1, log_fd, log_fd, server, rpc, lock_fd};
    for (int i = 1; i < 6 && rc == 0; i++) {
        if (from[i] >= 0) {
            fds[i] = out_of_the_way(from[i]);
            rc = fds[i] < 0 ? fds[i] : 0;
        }
    }
    if (server >= 0) {
        close(server);
    }
    return rc;
}

int ruc_helper_start(const ruc_driver_spec_t *spec, int lock_fd, int log_fd,
                     ruc_helper_born_t *born)
{
    int fds[6] = {-1, -1, -1, -1, -1, -1}, pair[2];
    int rc = RUC_FAILPOINT("helper.spawn");
    if (rc < 0) {
        return rc;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    rc = gather(spec, lock_fd, log_fd, pair[1], fds);
    if (rc == 0) {
        rc = run(spec, fds, &born->pid);
    }
    close_all(fds);
    close(pair[1]);
    RUC_FAILPOINT("helper.spawned");
    if (rc == 0) {
        born->rpc = pair[0];
        born->pidfd = ruc_proc_pidfd(born->pid);
        rc = born->pidfd < 0 ? born->pidfd : 0;
        if (rc < 0) {
            end(born);
        }
    }
    if (rc < 0) {
        close(pair[0]);
    }
    return rc;
}
