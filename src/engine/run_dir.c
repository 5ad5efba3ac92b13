/* run_dir.c - see run_dir.h. */
#include "engine/run_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/failpoint.h"
#include "proc/cgroup.h"
#include "proc/identity.h"
#include "proc/signame.h"

#define STATUS_MAX (1 << 20)

int ruc_run_dir_mkdirs(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return -ENAMETOOLONG;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return -errno;
        }
        part[i] = path[i];
    }
    return 0;
}

/* Writes a whole file, 0600. 0 or a negative errno. */
static int write_file(int dir, const char *name, const char *data, size_t len, bool durable)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0 && fchmod(fd, 0600) != 0) {
        rc = -errno;
    }
    for (size_t done = 0; rc == 0 && done < len;) {
        ssize_t wrote = write(fd, data + done, len - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote == 0 || errno != EINTR) {
            rc = wrote == 0 ? -EIO : -errno;
        }
    }
    if (rc == 0 && durable && fsync(fd) != 0) {
        rc = -errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int write_all(int dir, const json_t *files, const char *plan, ruc_why_t *why)
{
    const char *name;
    json_t *content;
    int rc;
    json_object_foreach((json_t *)files, name, content)
    {
        rc = write_file(dir, name, json_string_value(content), json_string_length(content), false);
        if (rc < 0) {
            return ruc_why_set(why, rc, "cannot write %s: %s", name, strerror(-rc));
        }
    }
    RUC_FAILPOINT("run_dir.plan.before");
    rc = write_file(dir, "plan.json", plan, strlen(plan), true);
    RUC_FAILPOINT("run_dir.plan.after");
    return rc < 0 ? ruc_why_set(why, rc, "cannot write plan.json: %s", strerror(-rc)) : 0;
}

/* Takes the lock and opens helper.log. 0, RUC_EEXISTS or a negative errno. */
static int lock_and_log(int dir, int *lock_fd, int *log_fd)
{
    *lock_fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*lock_fd < 0) {
        return -errno;
    }
    if (flock(*lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? RUC_EEXISTS : -errno;
    }
    *log_fd =
        openat(dir, "helper.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*log_fd < 0) {
        return -errno;
    }
    /* What another helper of this epoch left (it never came to a driver) must not be read as ours.
     */
    return unlinkat(dir, "status.json", 0) == 0 || errno == ENOENT ? 0 : -errno;
}

int ruc_run_dir_make(const char *run_dir, const char *data_dir, const json_t *files,
                     const char *plan, int *lock_fd, int *log_fd, ruc_why_t *why)
{
    *lock_fd = *log_fd = -1;
    int rc = ruc_run_dir_mkdirs(data_dir);
    if (rc < 0) {
        return ruc_why_set(why, rc, "cannot make %s: %s", data_dir, strerror(-rc));
    }
    rc = ruc_run_dir_mkdirs(run_dir);
    int dir = rc == 0 ? open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0) {
        rc = rc == 0 ? -errno : rc;
        return ruc_why_set(why, rc, "cannot make %s: %s", run_dir, strerror(-rc));
    }
    RUC_FAILPOINT("run_dir.lock.before");
    rc = lock_and_log(dir, lock_fd, log_fd);
    RUC_FAILPOINT("run_dir.lock.after");
    if (rc == 0) {
        rc = write_all(dir, files, plan, why);
    } else if (rc != RUC_EEXISTS) {
        ruc_why_set(why, rc, "cannot write in %s: %s", run_dir, strerror(-rc));
    }
    close(dir);
    if (rc < 0 && *lock_fd >= 0) {
        close(*lock_fd);
        *lock_fd = -1;
    }
    if (rc < 0 && *log_fd >= 0) {
        close(*log_fd);
        *log_fd = -1;
    }
    return rc;
}

/* An open file as JSON; NULL when it is none. At once: json_loadfd reads byte by byte. */
static json_t *load_json(int fd, size_t size)
{
    char *text = malloc(size + 1); /* one more: it may be empty */
    size_t len = 0;
    while (text != NULL && len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            break;
        }
        len += got > 0 ? (size_t)got : 0;
    }
    json_t *json = text == NULL ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    return json;
}

static void read_status(int dir, ruc_run_look_t *look)
{
    struct stat st;
    int fd = openat(dir, "status.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= STATUS_MAX) {
        look->status = load_json(fd, (size_t)st.st_size);
        look->mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }
    close(fd);
}

static bool says_ended(const json_t *status)
{
    const char *phase = json_string_value(json_object_get(status, "phase"));
    return phase != NULL && strcmp(phase, "ended") == 0;
}

/* Who `key` ("driver", "helper") of a status is. False: it does not say. */
static bool who_is(const json_t *status, const char *key, ruc_proc_id_t *id)
{
    const json_t *process = json_object_get(status, key);
    const char *boot_id = json_string_value(json_object_get(status, "boot_id"));
    const char *instance = json_string_value(json_object_get(status, "instance"));
    json_int_t pid = json_integer_value(json_object_get(process, "pid"));
    if (boot_id == NULL || instance == NULL || pid <= 1 || pid > INT_MAX) {
        return false;
    }
    *id = (ruc_proc_id_t){.pid = (int)pid,
                          .start = (uint64_t)json_integer_value(json_object_get(process, "start")),
                          .pidfd_ino =
                              (uint64_t)json_integer_value(json_object_get(process, "pidfd_ino"))};
    snprintf(id->boot_id, sizeof id->boot_id, "%s", boot_id);
    snprintf(id->instance, sizeof id->instance, "%s", instance);
    return true;
}

/* Kills the driver that was written down before it was let run. 1 while it is there, also when it
 * is ending and its environment is gone already: it still has its port. */
static int clear_driver(const json_t *status)
{
    ruc_proc_id_t id;
    int pidfd = who_is(status, "driver", &id) ? ruc_proc_same(&id) : -ESRCH;
    if (pidfd < 0) {
        return 0;
    }
    bool there = !ruc_proc_ended(pidfd);
    close(pidfd);
    if (there) {
        ruc_proc_signal(&id, SIGKILL); /* fails only when it is gone: seen by the next look */
    }
    return there;
}

/* Kills what is in the driver's cgroup and removes it; 1 while somebody is in it. */
static int clear_cgroup(const json_t *status)
{
    const char *path = json_string_value(json_object_get(status, "cgroup"));
    const char *instance = json_string_value(json_object_get(status, "instance"));
    int dir = path == NULL || instance == NULL ? -ENOENT : ruc_cgroup_open(path, instance);
    if (dir < 0) {
        return 0;
    }
    bool populated = ruc_cgroup_populated(dir) == 1;
    if (populated) {
        ruc_cgroup_kill(dir); /* what it did is seen by the next look */
    }
    close(dir);
    if (!populated) {
        ruc_cgroup_remove(path);
    }
    return populated;
}

/* Kills what is left; how many there were, or a negative code. */
static int clear_away(const json_t *status, const char *instance)
{
    const char *recorded = json_string_value(json_object_get(status, "instance"));
    int driver = clear_driver(status) + clear_cgroup(status);
    int left = ruc_proc_signal_instance(instance, SIGKILL);
    left = left < 0 ? left : left + driver;
    if (left >= 0 && recorded != NULL && recorded[0] != '\0' && strcmp(recorded, instance) != 0) {
        int more = ruc_proc_signal_instance(recorded, SIGKILL);
        left = more < 0 ? more : left + more;
    }
    return left;
}

void ruc_run_dir_look(const char *run_dir, const char *instance, ruc_run_look_t *look)
{
    *look = (ruc_run_look_t){0};
    int dir = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return; /* never made, or removed */
    }
    int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    look->held = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    read_status(dir, look);
    RUC_FAILPOINT("run_dir.look");
    if (!look->held && lock >= 0 && !says_ended(look->status)) {
        look->left = clear_away(look->status, instance);
    }
    if (lock >= 0) {
        close(lock); /* and with it our own hold of it */
    }
    close(dir);
}

static json_t *read_json(const char *run_dir, const char *name)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", run_dir, name);
    return len < 0 || (size_t)len >= sizeof path
               ? NULL
               : json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

json_t *ruc_run_dir_record(const char *run_dir)
{
    return read_json(run_dir, "record.json");
}

bool ruc_run_dir_held(const char *run_dir)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/lock", run_dir);
    int lock =
        len < 0 || (size_t)len >= sizeof path ? -1 : open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool held = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (lock >= 0) {
        close(lock);
    }
    return held;
}

bool ruc_run_dir_vacant(const char *run_dir)
{
    struct stat wanted, cwd;
    DIR *list = stat(run_dir, &wanted) == 0 ? opendir("/proc") : NULL;
    bool vacant = list != NULL;
    for (struct dirent *item; vacant && (item = readdir(list)) != NULL;) {
        char path[64];
        if (item->d_name[0] < '1' || item->d_name[0] > '9') {
            continue;
        }
        snprintf(path, sizeof path, "/proc/%.20s/cwd", item->d_name);
        vacant = stat(path, &cwd) < 0 || cwd.st_ino != wanted.st_ino || cwd.st_dev != wanted.st_dev;
    }
    if (list != NULL) {
        closedir(list);
    }
    return vacant;
}

int ruc_run_dir_driver(const char *run_dir)
{
    ruc_proc_id_t id;
    json_t *status = read_json(run_dir, "status.json");
    int pidfd = !says_ended(status) && who_is(status, "driver", &id) ? ruc_proc_same(&id) : -ESRCH;
    json_decref(status);
    if (pidfd < 0) {
        return 0;
    }
    close(pidfd);
    return id.pid;
}

void ruc_run_dir_instance(const char *run_dir, char instance[37])
{
    json_t *plan = read_json(run_dir, "plan.json");
    const char *text = json_string_value(json_object_get(plan, "instance"));
    snprintf(instance, 37, "%s", text == NULL ? "" : text);
    json_decref(plan);
}

int ruc_run_dir_signal_helper(const char *run_dir, int signal, bool *stopped)
{
    ruc_proc_id_t id;
    json_t *status = read_json(run_dir, "status.json");
    int rc = who_is(status, "helper", &id) ? 0 : -ESRCH;
    if (rc == 0) {
        *stopped = ruc_proc_stopped(id.pid);
        rc = ruc_proc_signal(&id, signal);
    }
    json_decref(status);
    return rc;
}

int ruc_run_dir_stop_driver(const char *run_dir, const char *signal, int64_t *grace_ms)
{
    ruc_proc_id_t id;
    json_t *status = read_json(run_dir, "status.json");
    json_t *plan = read_json(run_dir, "plan.json");
    json_t *stop = json_object_get(plan, "stop");
    const char *planned = json_string_value(json_object_get(stop, "signal"));
    int number = ruc_proc_stop_signal(signal != NULL ? signal : planned != NULL ? planned : "TERM");
    *grace_ms = json_integer_value(json_object_get(stop, "grace_ms"));
    int rc = who_is(status, "driver", &id) ? 0 : -ESRCH;
    if (rc == 0) {
        rc = ruc_proc_signal(&id, number < 0 ? SIGTERM : number);
    }
    if (rc == 0) {
        rc = ruc_proc_signal(&id, SIGCONT);
    }
    json_decref(plan);
    json_decref(status);
    return rc;
}
