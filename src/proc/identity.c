/* identity.c - see identity.h. The order is always the same: open the pidfd, look at /proc, then
 * ask the pidfd whether its process is still there. If it is, what was read was that process. */
#include "proc/identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/err.h"

#define PIDFS_MAGIC_NUMBER 0x50494446
#define ENVIRON_MAX ((size_t)4 << 20)
#define KILL_BATCH 256

/* Reads up to size - 1 bytes of a small file and terminates them. Their number or a code. */
static ssize_t read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t got;
    do {
        got = read(fd, out, size - 1);
    } while (got < 0 && errno == EINTR);
    int error = errno;
    close(fd);
    if (got < 0) {
        return -error;
    }
    out[got] = '\0';
    return got;
}

int ruc_proc_boot_id(char out[RUC_BOOT_ID_SIZE])
{
    ssize_t got = read_small("/proc/sys/kernel/random/boot_id", out, RUC_BOOT_ID_SIZE);
    if (got < 0) {
        out[0] = '\0';
        return (int)got;
    }
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

int ruc_proc_start_time(int pid, uint64_t *ticks)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    ssize_t got = read_small(path, text, sizeof text);
    if (got < 0) {
        return (int)got;
    }
    /* The name in parentheses may hold anything, so count from the last ')'. */
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return -EINVAL;
    }
    *ticks = strtoull(at + 1, NULL, 10);
    return 0;
}

int ruc_proc_pidfd(int pid)
{
    long fd = syscall(SYS_pidfd_open, (pid_t)pid, 0u);
    return fd < 0 ? -errno : (int)fd; /* close-on-exec by itself */
}

uint64_t ruc_proc_pidfd_inode(int pidfd)
{
    struct statfs fs;
    struct stat st;
    if (fstatfs(pidfd, &fs) != 0 || fs.f_type != PIDFS_MAGIC_NUMBER || fstat(pidfd, &st) != 0) {
        return 0;
    }
    return st.st_ino;
}

static int pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0u) == 0 ? 0 : -errno;
}

int ruc_proc_identify(int pid, ruc_proc_id_t *id)
{
    *id = (ruc_proc_id_t){.pid = pid};
    int pidfd = ruc_proc_pidfd(pid);
    if (pidfd < 0) {
        return pidfd;
    }
    id->pidfd_ino = ruc_proc_pidfd_inode(pidfd);
    int rc = ruc_proc_boot_id(id->boot_id);
    if (rc == 0) {
        rc = ruc_proc_start_time(pid, &id->start);
    }
    if (rc == 0) {
        rc = pidfd_signal(pidfd, 0);
    }
    close(pidfd);
    return rc;
}

/* Is there "RUCAT_INSTANCE=instance" among the NUL-terminated strings? */
static bool environ_says(const char *text, size_t len, const char *instance)
{
    static const char name[] = "RUCAT_INSTANCE=";
    size_t prefix = sizeof name - 1;
    for (size_t at = 0; at < len;) {
        size_t run = strnlen(text + at, len - at);
        if (run > prefix && memcmp(text + at, name, prefix) == 0 &&
            run - prefix == strlen(instance) &&
            memcmp(text + at + prefix, instance, run - prefix) == 0) {
            return true;
        }
        at += run + 1;
    }
    return false;
}

/* Reads all of a file of /proc (its size is not known beforehand) up to the buffer's bound. */
static int read_whole(const char *path, ruc_buf_t *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;
    while (rc == 0) {
        rc = ruc_buf_reserve(out, 4096);
        if (rc < 0) {
            rc = rc == RUC_ETOOBIG ? 0 : rc;
            break;
        }
        ssize_t got = read(fd, out->data + out->len, 4096);
        if (got == 0) {
            break;
        }
        if (got > 0) {
            out->len += (size_t)got;
        } else if (errno != EINTR) {
            rc = -errno;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

int ruc_proc_has_instance(int pid, const char *instance)
{
    char path[64];
    ruc_buf_t text;
    ruc_buf_init(&text, ENVIRON_MAX);
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int rc = read_whole(path, &text);
    if (rc == 0) {
        rc = environ_says(ruc_buf_str(&text), text.len, instance);
    }
    ruc_buf_free(&text);
    return rc;
}

/* Is the process behind this pidfd (and pid) the one of `id`? */
static bool matches(int pidfd, const ruc_proc_id_t *id)
{
    char boot_id[RUC_BOOT_ID_SIZE];
    uint64_t start;
    if (ruc_proc_boot_id(boot_id) != 0 || strcmp(boot_id, id->boot_id) != 0) {
        return false;
    }
    uint64_t inode = ruc_proc_pidfd_inode(pidfd);
    if (inode != 0 && id->pidfd_ino != 0) {
        return inode == id->pidfd_ino;
    }
    if (id->start == 0 || ruc_proc_start_time(id->pid, &start) != 0 || start != id->start) {
        return false;
    }
    return id->instance[0] != '\0' && ruc_proc_has_instance(id->pid, id->instance) == 1;
}

int ruc_proc_same(const ruc_proc_id_t *id)
{
    if (id->pid <= 1) {
        return -ESRCH;
    }
    int pidfd = ruc_proc_pidfd(id->pid);
    if (pidfd < 0) {
        return pidfd;
    }
    if (!matches(pidfd, id) || pidfd_signal(pidfd, 0) != 0) {
        close(pidfd);
        return -ESRCH;
    }
    return pidfd;
}

bool ruc_proc_stopped(int pid)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *end = read_small(path, text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
    return end != NULL && (end[2] == 'T' || end[2] == 't');
}

bool ruc_proc_ended(int pidfd)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

int ruc_proc_signal(const ruc_proc_id_t *id, int signal)
{
    int pidfd = ruc_proc_same(id);
    if (pidfd < 0) {
        return pidfd;
    }
    int rc = pidfd_signal(pidfd, signal);
    close(pidfd);
    return rc;
}

int ruc_proc_list_instance(const char *instance, int *pids, size_t max)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return -errno;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 1 || pid == getpid() ||
            ruc_proc_has_instance((int)pid, instance) != 1) {
            continue;
        }
        if ((size_t)count < max) {
            pids[count] = (int)pid;
        }
        count++;
    }
    closedir(proc);
    return count;
}

int ruc_proc_signal_instance(const char *instance, int signal)
{
    int pids[KILL_BATCH];
    int count = ruc_proc_list_instance(instance, pids, KILL_BATCH);
    for (int i = 0; i < count && i < KILL_BATCH; i++) {
        int pidfd = ruc_proc_pidfd(pids[i]);
        if (pidfd < 0) {
            continue; /* gone already */
        }
        if (ruc_proc_has_instance(pids[i], instance) == 1) {
            pidfd_signal(pidfd, signal); /* fails only when it is gone */
        }
        close(pidfd);
    }
    return count;
}
