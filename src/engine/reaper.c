/* reaper.c - see reaper.h. A pidfd in the loop; a child's number is its own until it is reaped, so
 * the pidfd is that of the child. */
#include "engine/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "proc/identity.h"

typedef struct watched {
    uv_poll_t poll;
    int pid, pidfd;
    struct watched *prev, *next;
} watched_t;

static watched_t *all;

static void on_closed(uv_handle_t *handle)
{
    watched_t *w = handle->data;
    close(w->pidfd);
    free(w);
}

static void forget(watched_t *w)
{
    DL_DELETE(all, w);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}

static void on_ended(uv_poll_t *poll, int status, int events)
{
    watched_t *w = poll->data;
    (void)status;
    (void)events;
    while (waitpid(w->pid, NULL, WNOHANG) < 0 && errno == EINTR) {
    }
    forget(w);
}

static int watch(uv_loop_t *loop, watched_t *w)
{
    int rc = uv_poll_init(loop, &w->poll, w->pidfd);
    if (rc < 0) {
        close(w->pidfd);
        free(w);
        return rc;
    }
    w->poll.data = w;
    DL_APPEND(all, w);
    uv_unref((uv_handle_t *)&w->poll);
    rc = uv_poll_start(&w->poll, UV_READABLE, on_ended);
    if (rc < 0) {
        forget(w);
    }
    return rc;
}

int ruc_reaper_watch(uv_loop_t *loop, int pid)
{
    siginfo_t info;
    watched_t *w;
    DL_FOREACH(all, w)
    {
        if (w->pid == pid) {
            return 0;
        }
    }
    if (pid <= 1 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        return 0; /* ECHILD: not ours */
    }
    w = calloc(1, sizeof *w);
    int pidfd = w == NULL ? UV_ENOMEM : ruc_proc_pidfd(pid);
    if (pidfd < 0) {
        free(w);
        return pidfd;
    }
    w->pid = pid;
    w->pidfd = pidfd;
    return watch(loop, w);
}

void ruc_reaper_close(uv_loop_t *loop)
{
    watched_t *w, *next;
    DL_FOREACH_SAFE(all, w, next)
    {
        if (w->poll.loop == loop) {
            forget(w);
        }
    }
}
