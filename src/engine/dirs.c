/* dirs.c - see dirs.h. A tree is removed with openat and unlinkat only, so that nothing outside of
 * it is touched even if somebody moves things meanwhile. */
#include "engine/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* open directories at a time; what is deeper is moved up first */

typedef struct job {
    uv_work_t work;
    char *dir;
    size_t keep;
    bool prune;
    int rc;
    ruc_dirs_cb cb;
    void *arg;
} job_t;

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int empty_out(int dir, int top, int depth, unsigned *moved);

/* Moves a deep directory into the top one, under a name that is free there. */
static int move_up(int dir, const char *name, int top, unsigned *moved)
{
    for (int tries = 0; tries < 1000; tries++) {
        char above[32];
        snprintf(above, sizeof above, ".deep-%u", (*moved)++);
        if (renameat(dir, name, top, above) == 0) {
            return 0;
        }
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) {
            return -errno;
        }
    }
    return -EEXIST;
}

/* Removes one entry of `dir`, whatever it is. */
static int remove_entry(int dir, const char *name, int top, int depth, unsigned *moved)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) { /* EPERM: POSIX's word for a directory */
        return -errno;
    }
    if (depth >= DEPTH_MAX) {
        return move_up(dir, name, top, moved);
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int below = openat(dir, name, flags);
    if (below < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0) {
        below = openat(dir, name, flags);
    }
    int rc = below < 0 ? -errno : empty_out(below, top, depth + 1, moved);
    if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        rc = -errno;
    }
    return rc;
}

/* Removes what is in `dir`, which is closed. Goes on after a failure; the first one is returned. */
static int empty_out(int dir, int top, int depth, unsigned *moved)
{
    DIR *list = fdopendir(dir);
    if (list == NULL) {
        int error = errno;
        close(dir);
        return -error;
    }
    int rc = 0;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (!is_dots(entry->d_name)) {
            int one = remove_entry(dirfd(list), entry->d_name, top, depth, moved);
            rc = rc == 0 ? one : rc;
        }
    }
    closedir(list);
    return rc;
}

int ruc_dirs_remove_now(const char *dir)
{
    unsigned moved = 0;
    unsigned before;
    int rc;
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    do { /* once more when something deep came up while the top was read */
        before = moved;
        int again = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = again < 0 ? -errno : empty_out(again, top, 1, &moved);
    } while (rc == 0 && moved != before);
    close(top);
    return rc == 0 && rmdir(dir) != 0 && errno != ENOENT ? -errno : rc;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The number that is the whole name, in the one way to write it; 0 for another name. */
static uint64_t epoch_of(const char *name)
{
    char *end;
    if (name[0] < '1' || name[0] > '9' || strlen(name) > 19) {
        return 0;
    }
    uint64_t epoch = strtoull(name, &end, 10);
    return *end == '\0' ? epoch : 0;
}

int ruc_dirs_epochs(const char *engine_dir, uint64_t **epochs)
{
    size_t count = 0;
    size_t cap = 0;
    *epochs = NULL;
    DIR *list = opendir(engine_dir);
    if (list == NULL) {
        return errno == ENOENT ? 0 : -errno;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t epoch = epoch_of(entry->d_name);
        if (epoch == 0) {
            continue;
        }
        if (count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            uint64_t *more = realloc(*epochs, cap * sizeof *more);
            if (more == NULL) {
                closedir(list);
                free(*epochs);
                *epochs = NULL;
                return UV_ENOMEM;
            }
            *epochs = more;
        }
        (*epochs)[count++] = epoch;
    }
    closedir(list);
    if (count > 0) {
        qsort(*epochs, count, sizeof **epochs, by_number);
    }
    return (int)count;
}

/* Does a helper hold the lock of this run directory? */
static bool is_held(const char *run_dir)
{
    char path[PATH_MAX + sizeof "/lock"];
    snprintf(path, sizeof path, "%.*s/lock", PATH_MAX - 1, run_dir);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return false;
    }
    bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static int prune(const char *engine_dir, size_t keep)
{
    uint64_t *epochs;
    int rc = 0;
    int count = ruc_dirs_epochs(engine_dir, &epochs);
    for (size_t i = 0; count > 0 && i + keep < (size_t)count; i++) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof path, "%s/%" PRIu64, engine_dir, epochs[i]);
        if (len < 0 || (size_t)len >= sizeof path) {
            rc = UV_ENAMETOOLONG;
        } else if (!is_held(path)) {
            int one = ruc_dirs_remove_now(path);
            rc = rc == 0 ? one : rc;
        }
    }
    free(epochs);
    return count < 0 ? count : rc;
}

static void work(uv_work_t *request)
{
    job_t *job = request->data;
    job->rc = job->prune ? prune(job->dir, job->keep) : ruc_dirs_remove_now(job->dir);
}

static void free_job(job_t *job)
{
    free(job->dir);
    free(job);
}

static void done(uv_work_t *request, int status)
{
    job_t *job = request->data;
    if (job->cb != NULL) {
        job->cb(job->arg, status < 0 ? status : job->rc);
    }
    free_job(job);
}

static int queue(uv_loop_t *loop, const char *dir, bool is_prune, size_t keep, ruc_dirs_cb cb,
                 void *arg)
{
    job_t *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return UV_ENOMEM;
    }
    *job = (job_t){.dir = strdup(dir), .prune = is_prune, .keep = keep, .cb = cb, .arg = arg};
    job->work.data = job;
    int rc = job->dir == NULL ? UV_ENOMEM : uv_queue_work(loop, &job->work, work, done);
    if (rc < 0) {
        free_job(job);
    }
    return rc;
}

int ruc_dirs_prune(uv_loop_t *loop, const char *engine_dir, size_t keep, ruc_dirs_cb cb, void *arg)
{
    return queue(loop, engine_dir, true, keep, cb, arg);
}

int ruc_dirs_remove(uv_loop_t *loop, const char *dir, ruc_dirs_cb cb, void *arg)
{
    return queue(loop, dir, false, 0, cb, arg);
}
