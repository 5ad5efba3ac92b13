/* tree.c - see tree.h. The kernel's list of children where it is built in, else a look at the
 * parent of every process. */
#include "rucat-engine/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The parent of a process, or -1. */
static int parent_of(long pid)
{
    char path[64];
    char text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) {
        return -1;
    }
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    char state;
    int parent;
    return end != NULL && sscanf(end + 1, " %c %d", &state, &parent) == 2 ? parent : -1;
}

static int kill_found(void)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && pid > 1 && parent_of(pid) == getpid()) {
            kill((pid_t)pid, SIGKILL);
            count++;
        }
    }
    closedir(proc);
    return count;
}

int ruc_re_tree_kill_children(void)
{
    int count = kill_listed();
    return count < 0 ? kill_found() : count;
}
