/* logs.c - see logs.h. Read from the end, block by block, newest file first, until there are enough
 * lines or bytes: the cost is that of the answer, not of the log. */
#include "engine/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/err.h"
#include "engine/dirs.h"

#define BLOCK ((size_t)65536)

/* The text so far: it grows at its front. */
typedef struct tail {
    char *data;
    size_t cap, start; /* the text is data[start, cap) */
    size_t max;
    long lines;  /* still wanted; -1: all */
    bool enough; /* no line more */
    bool cut;    /* the bound was met: the first line may be half of one */
} tail_t;

typedef struct job {
    uv_work_t work;
    char *dir;
    tail_t tail;
    ruc_logs_mark_t mark;
    bool since; /* from the mark on, not the end */
    int rc;
    ruc_logs_cb cb;
    void *arg;
} job_t;

static size_t length(const tail_t *t)
{
    return t->cap - t->start;
}

/* Makes room for `more` bytes in front. 0 or UV_ENOMEM. */
static int make_room(tail_t *t, size_t more)
{
    if (t->start >= more) {
        return 0;
    }
    size_t len = length(t);
    size_t cap = t->cap == 0 ? BLOCK : t->cap * 2;
    while (cap - len < more) {
        cap *= 2;
    }
    char *data = malloc(cap);
    if (data == NULL) {
        return UV_ENOMEM;
    }
    if (len > 0) {
        memcpy(data + cap - len, t->data + t->start, len);
    }
    free(t->data);
    t->data = data;
    t->cap = cap;
    t->start = cap - len;
    return 0;
}

/* `fresh` bytes came to the front: cuts before the last line that is wanted. */
static void count_lines(tail_t *t, size_t fresh)
{
    for (size_t i = t->start + fresh; t->lines >= 0 && i > t->start; i--) {
        bool last = i == t->cap; /* the newline that ends the text begins no line */
        if (t->data[i - 1] == '\n' && !last && --t->lines == 0) {
            t->start = i;
            t->enough = true;
            return;
        }
    }
}

/* Puts the end of a file in front. 0 or a negative code. */
static int prepend_file(tail_t *t, int fd, off_t size)
{
    while (size > 0 && !t->enough) {
        size_t want = (size_t)size < BLOCK ? (size_t)size : BLOCK;
        if (want > t->max - length(t)) {
            want = t->max - length(t);
            t->cut = true;
        }
        if (want == 0) {
            t->enough = true;
            break;
        }
        int rc = make_room(t, want);
        if (rc < 0) {
            return rc;
        }
        ssize_t got = pread(fd, t->data + t->start - want, want, size - (off_t)want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got != (ssize_t)want) {
            return got < 0 ? -errno : 0; /* it was cut off meanwhile */
        }
        t->start -= want;
        size -= (off_t)want;
        count_lines(t, want);
    }
    return 0;
}

/* Between two epochs there is the end of a line, also where a driver died in the middle of one. */
static int end_line(tail_t *t, int fd, off_t size)
{
    char last = '\n';
    if (length(t) == 0 || size == 0 || pread(fd, &last, 1, size - 1) != 1 || last == '\n' ||
        length(t) >= t->max) {
        return 0;
    }
    int rc = make_room(t, 1);
    if (rc == 0) {
        t->data[--t->start] = '\n';
        count_lines(t, 1);
    }
    return rc;
}

/* One file of an epoch, if it is there and is not `skip` (the log that was renamed meanwhile). */
static int add_file(tail_t *t, const char *path, bool newest, ino_t skip, ino_t *inode,
                    ruc_logs_mark_t *mark)
{
    struct stat st;
    *inode = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    int rc = fstat(fd, &st) == 0 ? 0 : -errno;
    if (rc == 0 && S_ISREG(st.st_mode) && st.st_ino != skip) {
        *inode = st.st_ino;
        if (mark->inode == 0 && newest) { /* the newest file there is: the text ends with it */
            char last = '\n';
            mark->inode = st.st_ino;
            mark->offset = st.st_size;
            mark->half = st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
        }
        t->enough = t->lines == 0; /* only the mark is wanted */
        rc = newest && !t->enough ? end_line(t, fd, st.st_size) : 0;
        if (rc == 0 && !t->enough) {
            rc = prepend_file(t, fd, st.st_size);
        }
    }
    close(fd);
    return rc;
}

static int add_epoch(tail_t *t, const char *engine_dir, uint64_t epoch, ruc_logs_mark_t *mark)
{
    char path[PATH_MAX];
    ino_t inode;
    int len = snprintf(path, sizeof path, "%s/%" PRIu64 "/log", engine_dir, epoch);
    if (len < 0 || (size_t)len + 2 >= sizeof path) {
        return UV_ENAMETOOLONG;
    }
    if (mark->epoch == 0) {
        mark->epoch = epoch;
    }
    ruc_logs_mark_t passed = {.inode = 1};
    int rc = add_file(t, path, true, 0, &inode, epoch == mark->epoch ? mark : &passed);
    if (rc == 0 && !t->enough) {
        memcpy(path + len, ".1", 3);
        rc = add_file(t, path, false, inode, &inode, &passed);
    }
    return rc;
}

static void work(uv_work_t *request)
{
    job_t *job = request->data;
    tail_t *t = &job->tail;
    uint64_t *epochs;
    int count = ruc_dirs_epochs(job->dir, &epochs);
    job->rc = count < 0 ? count : 0;
    while (count > 0 && job->rc == 0 && !t->enough) {
        job->rc = add_epoch(t, job->dir, epochs[--count], &job->mark);
    }
    free(epochs);
    if (t->cut && length(t) > 0) {
        const char *newline = memchr(t->data + t->start, '\n', length(t));
        size_t next = newline == NULL ? t->cap : (size_t)(newline - t->data) + 1;
        t->start = next < t->cap ? next : t->start; /* one line longer than the bound: its end */
    }
}

static void free_job(job_t *job)
{
    free(job->tail.data);
    free(job->dir);
    free(job);
}

static void done(uv_work_t *request, int status)
{
    job_t *job = request->data;
    const tail_t *t = &job->tail;
    int rc = status < 0 ? status : job->rc;
    bool some = rc == 0 && length(t) > 0;
    job->cb(job->arg, rc, some ? t->data + t->start : "", some ? length(t) : 0, &job->mark);
    free_job(job);
}

/* ---- what has come since a mark ---- */

/* Appends at most what fits from `offset` of a file on. The bytes read, or a negative code. */
static ssize_t append_from(tail_t *t, int fd, off_t offset)
{
    char block[BLOCK];
    size_t room = t->max - length(t);
    ssize_t got;
    do {
        got = pread(fd, block, room < sizeof block ? room : sizeof block, offset);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return got < 0 ? -errno : 0;
    }
    size_t len = length(t);
    char *data = realloc(t->data, len + (size_t)got); /* start is 0 here: nothing is in front */
    if (data == NULL) {
        return UV_ENOMEM;
    }
    memcpy(data + len, block, (size_t)got);
    t->data = data;
    t->cap = len + (size_t)got;
    return got;
}

static int open_log(const char *dir, uint64_t epoch, const char *name, struct stat *st)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%" PRIu64 "/%s", dir, epoch, name);
    if (len < 0 || (size_t)len >= sizeof path) {
        return UV_ENAMETOOLONG;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, st) < 0) {
        close(fd);
        fd = -1;
    }
    return fd < 0 ? UV_ENOENT : fd;
}

/* Reads on in one file to its end or the bound; 0 or a negative code. */
static int read_on(tail_t *t, int fd, ruc_logs_mark_t *mark)
{
    ssize_t got = 1;
    while (got > 0 && length(t) < t->max) {
        got = append_from(t, fd, mark->offset);
        if (got > 0) {
            mark->offset += got;
            mark->half = t->data[t->cap - 1] != '\n';
        }
    }
    return got < 0 ? (int)got : 0;
}

/* Reads on in the mark's epoch, over a rotation too. */
static int read_epoch(tail_t *t, const char *dir, ruc_logs_mark_t *mark)
{
    struct stat st, old;
    int fd = open_log(dir, mark->epoch, "log", &st);
    if (fd < 0) {
        return fd == UV_ENOENT ? 0 : fd;
    }
    int rc = 0;
    if (mark->inode != 0 && mark->inode != st.st_ino) {
        int before = open_log(dir, mark->epoch, "log.1", &old);
        if (before >= 0) {
            rc = old.st_ino == mark->inode ? read_on(t, before, mark) : 0;
            close(before);
        }
        if (rc == 0 && length(t) < t->max) {
            mark->inode = st.st_ino;
            mark->offset = 0;
        }
    }
    if (mark->inode == 0) {
        mark->inode = st.st_ino;
    }
    if (rc == 0 && mark->inode == st.st_ino) {
        rc = read_on(t, fd, mark);
    }
    close(fd);
    return rc;
}

static void since_work(uv_work_t *request)
{
    job_t *job = request->data;
    tail_t *t = &job->tail;
    uint64_t *epochs;
    int count = ruc_dirs_epochs(job->dir, &epochs);
    job->rc = count < 0 ? count : job->mark.epoch == 0 ? 0 : read_epoch(t, job->dir, &job->mark);
    for (int i = 0; i < count && job->rc == 0 && length(t) < t->max; i++) {
        if (epochs[i] <= job->mark.epoch) {
            continue;
        }
        if (job->mark.half) { /* a driver that died in the middle of a line */
            char *data = realloc(t->data, t->cap + 1);
            if (data != NULL) {
                data[t->cap++] = '\n';
                t->data = data;
            }
        }
        job->mark = (ruc_logs_mark_t){.epoch = epochs[i]};
        job->rc = read_epoch(t, job->dir, &job->mark);
    }
    free(epochs);
}

static int queue(uv_loop_t *loop, const char *engine_dir, job_t model)
{
    job_t *job = malloc(sizeof *job);
    if (job == NULL) {
        return UV_ENOMEM;
    }
    *job = model;
    job->dir = strdup(engine_dir);
    job->work.data = job;
    int rc = job->dir == NULL
                 ? UV_ENOMEM
                 : uv_queue_work(loop, &job->work, job->since ? since_work : work, done);
    if (rc < 0) {
        free_job(job);
    }
    return rc;
}

int ruc_logs_tail(uv_loop_t *loop, const char *engine_dir, int lines, size_t max_bytes,
                  ruc_logs_cb cb, void *arg)
{
    if ((lines != RUC_LOGS_ALL && (lines < 0 || lines > RUC_LOGS_LINES_MAX)) || max_bytes == 0 ||
        max_bytes > SSIZE_MAX / 4) {
        return RUC_EINVALID;
    }
    return queue(loop, engine_dir,
                 (job_t){.tail = {.max = max_bytes, .lines = lines}, .cb = cb, .arg = arg});
}

int ruc_logs_since(uv_loop_t *loop, const char *engine_dir, const ruc_logs_mark_t *mark,
                   size_t max_bytes, ruc_logs_cb cb, void *arg)
{
    if (max_bytes == 0 || max_bytes > SSIZE_MAX / 4) {
        return RUC_EINVALID;
    }
    return queue(
        loop, engine_dir,
        (job_t){.tail = {.max = max_bytes}, .mark = *mark, .since = true, .cb = cb, .arg = arg});
}
