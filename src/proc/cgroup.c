/* cgroup.c - see cgroup.h. */
#include "proc/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "core/failpoint.h"

#define CGROUP2_MAGIC 0x63677270
#define PREFIX "rucat-"
#define DEPTH_MAX 16

/* ---- where we are ---- */

/* Undoes the "\040" of /proc/self/mountinfo in place. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; out++) {
        if (in[0] == '\\' && isdigit((unsigned char)in[1]) && isdigit((unsigned char)in[2]) &&
            isdigit((unsigned char)in[3])) {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* The first cgroup2 mount: its root within the hierarchy and where it is. */
static bool find_mount(char root[RUC_CGROUP_PATH_SIZE], char point[RUC_CGROUP_PATH_SIZE])
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && !found && getline(&line, &size, file) > 0) {
        const char *type = strstr(line, " - ");
        found = type != NULL && strncmp(type, " - cgroup2 ", 11) == 0 &&
                sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) == 2;
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    if (found) {
        unescape(root);
        unescape(point);
    }
    return found;
}

/* Our place in the hierarchy: the line "0::/path". */
static bool find_place(char place[RUC_CGROUP_PATH_SIZE])
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && !found && getline(&line, &size, file) > 0) {
        found = strncmp(line, "0::/", 4) == 0 && strlen(line) < RUC_CGROUP_PATH_SIZE;
        if (found) {
            snprintf(place, RUC_CGROUP_PATH_SIZE, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        }
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    /* "/../x": we are outside of the name space that is mounted here */
    return found && strncmp(place, "/..", 3) != 0;
}

static bool is_delegated(const char *path)
{
    char value[4] = "";
    return (getxattr(path, "trusted.delegate", value, sizeof value - 1) > 0 && value[0] == '1') ||
           (getxattr(path, "user.delegate", value, sizeof value - 1) > 0 && value[0] == '1');
}

/* The nearest directory from `path` up to the mount that was delegated to us; `path` itself when
 * there is none. */
static bool go_to_delegated(char *path, size_t mount_len)
{
    char above[RUC_CGROUP_PATH_SIZE];
    snprintf(above, sizeof above, "%s", path);
    while (strlen(above) > mount_len) {
        if (is_delegated(above)) {
            strcpy(path, above);
            return true;
        }
        *strrchr(above, '/') = '\0';
    }
    return false;
}

/* The directory under which drivers' cgroups are made. */
static int find_base(char out[RUC_CGROUP_PATH_SIZE], bool *delegated)
{
    char root[RUC_CGROUP_PATH_SIZE], point[RUC_CGROUP_PATH_SIZE], place[RUC_CGROUP_PATH_SIZE];
    if (RUC_FAILPOINT("cgroup.base") < 0 || !find_mount(root, point) || !find_place(place)) {
        return -ENOENT;
    }
    size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(place, root, skip) != 0 || (place[skip] != '\0' && place[skip] != '/')) {
        return -ENOENT; /* another part of the hierarchy is mounted here */
    }
    const char *below = strcmp(place + skip, "/") == 0 ? "" : place + skip;
    int len = snprintf(out, RUC_CGROUP_PATH_SIZE, "%s%s", point, below);
    if (len < 0 || len >= RUC_CGROUP_PATH_SIZE) {
        return -ENOENT;
    }
    *delegated = go_to_delegated(out, strlen(point));
    return 0;
}

int ruc_cgroup_path(const char *instance, char out[RUC_CGROUP_PATH_SIZE])
{
    bool delegated;
    int rc = find_base(out, &delegated);
    size_t len = rc == 0 ? strlen(out) : 0;
    if (rc == 0 && len + strlen("/" PREFIX) + strlen(instance) >= RUC_CGROUP_PATH_SIZE) {
        rc = -ENOENT;
    }
    if (rc == 0) {
        snprintf(out + len, RUC_CGROUP_PATH_SIZE - len, "/" PREFIX "%s", instance);
    } else {
        out[0] = '\0';
    }
    return rc;
}

/* ---- files of the kernel ---- */

static int write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t wrote = write(fd, text, strlen(text));
    int rc = wrote < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int read_text(int dir, const char *name, char *out, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t got = read(fd, out, size - 1);
    int rc = got < 0 ? -errno : 0;
    out[got < 0 ? 0 : got] = '\0';
    close(fd);
    return rc;
}

/* The number after `key` ("oom_kill 3") at the beginning of a line; -1: there is none. */
static int64_t number_of(int dir, const char *name, const char *key)
{
    char text[1024];
    size_t len = strlen(key);
    if (read_text(dir, name, text, sizeof text) < 0) {
        return -1;
    }
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ') {
            return strtoll(line + len, NULL, 10);
        }
    }
    return -1;
}

/* ---- one cgroup ---- */

static int open_dir(const char *path)
{
    struct statfs fs;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) {
        return -errno;
    }
    if (fstatfs(dir, &fs) != 0 || fs.f_type != CGROUP2_MAGIC) {
        close(dir);
        return -EINVAL;
    }
    return dir;
}

/* What is ours may count the memory of what is below it; where it is not ours that is for others to
 * say. Fails where processes are in it: then the kernel does not tell of oom. */
static void enable_memory(const char *path)
{
    char base[RUC_CGROUP_PATH_SIZE];
    bool delegated = false;
    if (find_base(base, &delegated) != 0 || !delegated || strncmp(base, path, strlen(base)) != 0) {
        return;
    }
    int dir = open_dir(base);
    if (dir >= 0) {
        write_text(dir, "cgroup.subtree_control", "+memory");
        close(dir);
    }
}

int ruc_cgroup_make(const char *path)
{
    int rc = RUC_FAILPOINT("cgroup.make");
    if (rc < 0) {
        return rc;
    }
    enable_memory(path);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        return -errno;
    }
    return open_dir(path);
}

int ruc_cgroup_open(const char *path, const char *instance)
{
    const char *name = strrchr(path, '/');
    size_t prefix = strlen(PREFIX);
    if (name == NULL || instance[0] == '\0' || strncmp(name + 1, PREFIX, prefix) != 0 ||
        strcmp(name + 1 + prefix, instance) != 0) {
        return -EINVAL;
    }
    return open_dir(path);
}

int ruc_cgroup_add(int dir, int pid)
{
    char text[24];
    int rc = RUC_FAILPOINT("cgroup.add");
    snprintf(text, sizeof text, "%d", pid);
    return rc < 0 ? rc : write_text(dir, "cgroup.procs", text);
}

int ruc_cgroup_populated(int dir)
{
    int64_t populated = number_of(dir, "cgroup.events", "populated");
    return populated < 0 ? -ENOENT : populated != 0;
}

int64_t ruc_cgroup_oom_kills(int dir)
{
    return number_of(dir, "memory.events", "oom_kill");
}

int64_t ruc_cgroup_memory(int dir)
{
    char text[32];
    if (read_text(dir, "memory.current", text, sizeof text) < 0 || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    return strtoll(text, NULL, 10);
}

/* Is it in that cgroup, so that a pidfd that was opened before is that of a member? */
static bool is_member(int dir, int pid)
{
    char line[64];
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
    bool found = false;
    while (list != NULL && !found && fgets(line, sizeof line, list) != NULL) {
        found = atoi(line) == pid;
    }
    if (list != NULL) {
        fclose(list);
    } else if (fd >= 0) {
        close(fd);
    }
    return found;
}

/* Kills each one in it. It is frozen (where it can be), so nobody ends or is born meanwhile; a
 * number is looked up again once we have a hold of the process. */
static int kill_members(int dir)
{
    char line[64];
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
    if (list == NULL) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return -error;
    }
    while (fgets(line, sizeof line, list) != NULL) {
        int pid = atoi(line);
        int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0u) : -1;
        if (pidfd >= 0 && is_member(dir, pid)) {
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0u);
        }
        if (pidfd >= 0) {
            close(pidfd);
        }
    }
    fclose(list);
    return 0;
}

/* Calls `each(dir)` for what is below, then for `dir` itself. */
static int walk(int dir, int depth, int (*each)(int dir))
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (list == NULL && again >= 0) {
        close(again);
    }
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && depth < DEPTH_MAX) {
            int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (below >= 0) {
                walk(below, depth + 1, each);
                close(below);
            }
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return each(dir);
}

int ruc_cgroup_kill(int dir)
{
    int rc = RUC_FAILPOINT("cgroup.kill");
    rc = rc < 0 ? -ENOENT : write_text(dir, "cgroup.kill", "1");
    if (rc == -ENOENT) {
        bool frozen = write_text(dir, "cgroup.freeze", "1") == 0;
        rc = walk(dir, 0, kill_members);
        if (frozen) { /* SIGKILL ends the frozen too; those that came in too late are thawed */
            write_text(dir, "cgroup.freeze", "0");
        }
    }
    return rc;
}

/* ---- removing ---- */

/* Removes the directories below `dir`; the files in them are the kernel's. */
static int remove_below(int dir, int depth)
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (list == NULL && again >= 0) {
        close(again);
    }
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || depth >= DEPTH_MAX) {
            continue;
        }
        int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0) {
            remove_below(below, depth + 1);
            close(below);
        }
        unlinkat(dir, entry->d_name, AT_REMOVEDIR); /* what fails is said by the last one */
    }
    if (list != NULL) {
        closedir(list);
    }
    return 0;
}

int ruc_cgroup_remove(const char *path)
{
    RUC_FAILPOINT("cgroup.remove");
    if (rmdir(path) == 0 || errno == ENOENT) {
        return 0;
    }
    int dir = open_dir(path);
    if (dir >= 0) {
        remove_below(dir, 0);
        close(dir);
    }
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* "rucat-" and a uuid: somebody else's "rucat-x.slice" is not. */
static bool is_ours(const char *name)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) != strlen(PREFIX) + 36) {
        return false;
    }
    name += strlen(PREFIX);
    return strspn(name, "0123456789abcdef-") == 36 && name[8] == '-' && name[23] == '-';
}

int ruc_cgroup_clean(int64_t age_s)
{
    char path[RUC_CGROUP_PATH_SIZE];
    bool delegated;
    int removed = 0;
    if (find_base(path, &delegated) < 0) {
        return 0;
    }
    size_t len = strlen(path);
    DIR *list = opendir(path);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        struct stat st;
        int more = snprintf(path + len, sizeof path - len, "/%s", entry->d_name);
        if (more < 0 || (size_t)more >= sizeof path - len || !is_ours(entry->d_name)) {
            continue;
        }
        /* One that is populated is not removed by the kernel: nothing to check before. */
        if (stat(path, &st) == 0 && time(NULL) - st.st_ctime >= age_s &&
            ruc_cgroup_remove(path) == 0) {
            removed++;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return removed;
}
