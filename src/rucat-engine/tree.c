/* tree.c - see tree.h. The kernel's list of children where it is built in, else, and for those
 * further down, a look at the parent of every process. */
#include "rucat-engine/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/identity.h"

#define PROCESSES_MAX 131072
#define DEPTH_MAX 1024

/* The list is "12 13 14 ". Reads it whole for each call; -1 where the kernel has no such file. */
static int kill_listed(void)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "re");
    if (list == NULL) {
        return -1;
    }
    for (int pid; fscanf(list, "%d", &pid) == 1;) {
        kill(pid, SIGKILL);
        count++;
    }
    fclose(list);
    return count;
}

typedef struct process {
    pid_t pid, parent;
    uint64_t start; /* ticks since boot: with the parent, who it is */
    char state;
} process_t;

typedef struct list {
    process_t *at;
    size_t n, room;
} list_t;

/* Reads /proc/PID/stat. False: it is gone. */
static bool read_process(pid_t pid, process_t *p)
{
    char path[64];
    char text[1024];
    unsigned long long start;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *end = strrchr(text, ')'); /* the name before it may hold anything */
    p->pid = pid;
    if (end == NULL || sscanf(end + 1,
                              " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                              "%*d %*d %llu",
                              &p->state, &p->parent, &start) != 3) {
        return false;
    }
    p->start = start;
    return true;
}

static bool add(list_t *all, pid_t pid)
{
    if (all->n == all->room) {
        size_t room = all->room == 0 ? 256 : all->room * 2;
        process_t *more = room > PROCESSES_MAX ? NULL : realloc(all->at, room * sizeof *more);
        if (more == NULL) {
            return false;
        }
        all->at = more;
        all->room = room;
    }
    all->n += read_process(pid, &all->at[all->n]);
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const process_t *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static void read_all(list_t *all)
{
    DIR *proc = opendir("/proc");
    bool room = proc != NULL;
    for (struct dirent *entry; room && (entry = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        room = *end != '\0' || pid <= 1 || add(all, (pid_t)pid);
    }
    if (proc != NULL) {
        closedir(proc);
    }
    if (all->n > 0) {
        qsort(all->at, all->n, sizeof *all->at, by_pid);
    }
}

/* Do its parents lead to us? */
static bool is_ours(const list_t *all, const process_t *p)
{
    for (int depth = 0; p != NULL && depth < DEPTH_MAX; depth++) {
        if (p->parent == getpid()) {
            return true;
        }
        process_t key = {.pid = p->parent};
        p = bsearch(&key, all->at, all->n, sizeof key, by_pid);
    }
    return false;
}

/* Kills it, unless its number is another's meanwhile. */
static void kill_process(const process_t *p)
{
    process_t now;
    int pidfd = ruc_proc_pidfd(p->pid);
    if (pidfd < 0) {
        return;
    }
    if (read_process(p->pid, &now) && now.start == p->start &&
        (now.parent == p->parent || now.parent == getpid())) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0u); /* fails when it is gone */
    }
    close(pidfd);
}

int ruc_re_tree_kill_all(void)
{
    list_t all = {0};
    int alive = 0;
    read_all(&all);
    for (size_t i = 0; i < all.n; i++) {
        const process_t *p = &all.at[i];
        if (p->state != 'Z' && p->state != 'X' && is_ours(&all, p)) {
            kill_process(p);
            alive++;
        }
    }
    free(all.at);
    return alive;
}

int ruc_re_tree_kill_children(void)
{
    int count = kill_listed();
    return count < 0 ? ruc_re_tree_kill_all() : count;
}
