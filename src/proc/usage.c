/* usage.c - see usage.h. One pass over /proc makes a list sorted by pid; then each process walks up
 * its parents until it meets the root of a driver's tree. */
#include "proc/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/cgroup.h"

#define PROCESSES_MAX 65536
#define DEPTH_MAX 256
#define HELPER "rucat-engine"

typedef struct process {
    int pid, parent;
    uint64_t ticks, pages;
    bool helper;
    ruc_usage_t *owner; /* of whose tree this is the root */
    bool counts;        /* the root itself does; a helper does not */
} process_t;

typedef struct processes {
    process_t *at;
    size_t n, room;
} processes_t;

static ssize_t read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[got < 0 ? 0 : got] = '\0';
    return got;
}

/* /proc/PID/stat: the name in parentheses may hold anything, so the rest is read from the last
 * ')'. False for what has gone, and for the dead that nobody has waited for yet. */
static bool read_process(int pid, process_t *process)
{
    char path[64], text[1024], state;
    unsigned long long user, system, children_user, children_system;
    long long pages;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_text(path, text, sizeof text) <= 0) {
        return false;
    }
    const char *open = strchr(text, '('), *end = strrchr(text, ')');
    *process = (process_t){.pid = pid};
    if (open == NULL || end == NULL ||
        sscanf(end + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %*d %*d "
               "%*u %*u %lld",
               &state, &process->parent, &user, &system, &children_user, &children_system,
               &pages) != 7) {
        return false;
    }
    size_t len = (size_t)(end - open - 1);
    process->helper = len == sizeof HELPER - 1 && memcmp(open + 1, HELPER, len) == 0;
    process->ticks = user + system + children_user + children_system;
    process->pages = pages < 0 ? 0 : (uint64_t)pages;
    return state != 'Z' && state != 'X';
}

static int by_pid(const void *a, const void *b)
{
    const process_t *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static int add(processes_t *all, int pid)
{
    if (all->n == all->room) {
        size_t room = all->room == 0 ? 512 : all->room * 2;
        process_t *more = realloc(all->at, room * sizeof *more);
        if (more == NULL) {
            return -ENOMEM;
        }
        all->at = more;
        all->room = room;
    }
    all->n += read_process(pid, &all->at[all->n]);
    return 0;
}

static int read_all(processes_t *all)
{
    DIR *proc = opendir("/proc");
    int rc = proc == NULL ? -errno : 0;
    for (struct dirent *entry;
         rc == 0 && all->n < PROCESSES_MAX && (entry = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && pid > 0) {
            rc = add(all, (int)pid);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    if (rc == 0 && all->n > 0) {
        qsort(all->at, all->n, sizeof *all->at, by_pid);
    }
    return rc;
}

static process_t *find(const processes_t *all, int pid)
{
    process_t key = {.pid = pid};
    return all->n == 0 ? NULL : bsearch(&key, all->at, all->n, sizeof key, by_pid);
}

/* Where a driver's tree begins: at its helper, which is not part of it, else at itself. */
static void set_root(const processes_t *all, ruc_usage_t *usage)
{
    process_t *driver = find(all, usage->pid);
    if (driver == NULL) {
        return;
    }
    process_t *parent = find(all, driver->parent);
    process_t *root = parent != NULL && parent->helper ? parent : driver;
    root->owner = usage;
    root->counts = root == driver;
}

static ruc_usage_t *owner_of(const processes_t *all, process_t *process)
{
    process_t *at = process;
    for (int depth = 0; at != NULL && depth < DEPTH_MAX; depth++) {
        if (at->owner != NULL) {
            return at != process || at->counts ? at->owner : NULL;
        }
        at = at->parent > 0 ? find(all, at->parent) : NULL;
    }
    return NULL;
}

/* Memory that several processes share counts for each in part. */
static uint64_t memory_of(const process_t *process, long page)
{
    char path[64], text[4096];
    unsigned long long kilobytes;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", process->pid);
    if (read_text(path, text, sizeof text) > 0) {
        const char *at = strstr(text, "\nPss:");
        if (at != NULL && sscanf(at + 5, "%llu", &kilobytes) == 1) {
            return kilobytes * 1024;
        }
    }
    return process->pages * (uint64_t)page;
}

int ruc_proc_usage(ruc_usage_t *usages, size_t n)
{
    processes_t all = {0};
    long page = sysconf(_SC_PAGESIZE), second = sysconf(_SC_CLK_TCK);
    bool *counted = calloc(n + 1, sizeof *counted); /* by their cgroup */
    int rc = counted == NULL ? -ENOMEM : read_all(&all);
    for (size_t i = 0; i < n; i++) {
        usages[i] = (ruc_usage_t){.pid = usages[i].pid};
        if (rc == 0 && usages[i].pid > 0) {
            set_root(&all, &usages[i]);
            int64_t bytes = ruc_cgroup_memory_of(usages[i].pid);
            counted[i] = bytes >= 0;
            usages[i].memory_bytes = bytes >= 0 ? (uint64_t)bytes : 0;
        }
    }
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        ruc_usage_t *owner = owner_of(&all, &all.at[i]);
        if (owner != NULL) {
            owner->processes++;
            owner->cpu_ms += all.at[i].ticks * 1000 / (uint64_t)(second > 0 ? second : 100);
            owner->memory_bytes +=
                counted[owner - usages] ? 0 : memory_of(&all.at[i], page > 0 ? page : 4096);
        }
    }
    free(counted);
    free(all.at);
    return rc;
}
