/* replica_id.c - see replica_id.h. The file is one line: ID INSTANCE HOST INODE. */
#include "engine/replica_id.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct line {
    char id[RUC_ULID_SIZE], instance[RUC_UUID_SIZE], host[RUC_HOST_SIZE];
    uint64_t inode;
} line_t;

static bool read_line(const char *dir, line_t *line)
{
    char path[PATH_MAX], text[256];
    int len = snprintf(path, sizeof path, "%s/replica", dir);
    int fd = len < 0 || (size_t)len >= sizeof path ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[got < 0 ? 0 : got] = '\0';
    return sscanf(text, "%26s %36s %50s %" SCNu64, line->id, line->instance, line->host,
                  &line->inode) == 4 &&
           ruc_id_is_ulid(line->id);
}

static int write_line(const char *dir, const line_t *line)
{
    char part[PATH_MAX], whole[PATH_MAX], text[256];
    int len = snprintf(text, sizeof text, "%s %s %s %" PRIu64 "\n", line->id, line->instance,
                       line->host, line->inode);
    if (snprintf(part, sizeof part, "%s/.replica", dir) >= (int)sizeof part ||
        snprintf(whole, sizeof whole, "%s/replica", dir) >= (int)sizeof whole) {
        return -ENAMETOOLONG;
    }
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0 && write(fd, text, (size_t)len) != len) {
        rc = -EIO;
    }
    if (rc == 0 && fsync(fd) < 0) {
        rc = -errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc == 0 && rename(part, whole) < 0 ? -errno : rc;
}

int ruc_replica_id_take(const char *state_dir, const char *instance, const char *host,
                        ruc_replica_id_t *out, ruc_why_t *why)
{
    line_t line;
    struct stat info;
    *out = (ruc_replica_id_t){0};
    if (stat(state_dir, &info) < 0) {
        return ruc_why_set(why, -errno, "state_dir %s: %s", state_dir, strerror(errno));
    }
    /* A copy of a directory is another replica, and so is one that was carried to another machine:
     * two must never go by one id. */
    bool known = read_line(state_dir, &line) && line.inode == (uint64_t)info.st_ino &&
                 ruc_host_same_machine(line.host, host);
    if (known) {
        snprintf(out->before, sizeof out->before, "%s", line.instance);
        out->ended = !ruc_host_rebooted(line.host, host);
    } else {
        ruc_id_ulid(line.id);
    }
    line.inode = (uint64_t)info.st_ino;
    snprintf(line.instance, sizeof line.instance, "%s", instance);
    snprintf(line.host, sizeof line.host, "%s", host);
    snprintf(out->id, sizeof out->id, "%s", line.id);
    int rc = write_line(state_dir, &line);
    return rc < 0 ? ruc_why_set(why, rc, "%s/replica: %s", state_dir, strerror(-rc)) : 0;
}
