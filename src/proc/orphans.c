/* orphans.c - see orphans.h. */
#include "proc/orphans.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    uv_signal_t signal;
    pid_t *pids; /* 0: it is reaped */
    size_t count;
    bool open;
} orphans;

/* Never waitpid(-1): those that are started from now on are libuv's. */
static void reap(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    size_t left = 0;
    for (size_t i = 0; i < orphans.count; i++) {
        if (orphans.pids[i] != 0 && waitpid(orphans.pids[i], NULL, WNOHANG) != 0) {
            orphans.pids[i] = 0; /* reaped, or no child of ours */
        }
        left += orphans.pids[i] != 0;
    }
    if (left == 0) {
        uv_signal_stop(&orphans.signal);
    }
}

static int read_children(void)
{
    char path[64];
    long pid;
    size_t room = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0; /* a kernel without that list: they stay until we end */
    }
    int rc = 0;
    while (rc == 0 && fscanf(file, "%ld", &pid) == 1) {
        if (orphans.count == room) {
            room = room == 0 ? 64 : room * 2;
            pid_t *more = realloc(orphans.pids, room * sizeof *more);
            rc = more == NULL ? UV_ENOMEM : 0;
            orphans.pids = more == NULL ? orphans.pids : more;
        }
        if (rc == 0) {
            orphans.pids[orphans.count++] = (pid_t)pid;
        }
    }
    fclose(file);
    return rc;
}

int ruc_proc_orphans_open(uv_loop_t *loop)
{
    int rc = read_children();
    if (rc == 0 && orphans.count > 0) {
        rc = uv_signal_init(loop, &orphans.signal);
    }
    if (rc < 0 || orphans.count == 0) {
        free(orphans.pids);
        orphans.pids = NULL;
        orphans.count = 0;
        return rc;
    }
    orphans.open = true;
    uv_unref((uv_handle_t *)&orphans.signal);
    uv_signal_start(&orphans.signal, reap, SIGCHLD);
    reap(&orphans.signal, SIGCHLD); /* who has ended before */
    return 0;
}

void ruc_proc_orphans_close(void)
{
    if (orphans.open) {
        orphans.open = false;
        uv_close((uv_handle_t *)&orphans.signal, NULL);
        free(orphans.pids);
        orphans.pids = NULL;
        orphans.count = 0;
    }
}
