/* fileset_save.c - sets of scripts that are kept in the state directory, to fall back on. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "lua/fileset.h"

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *item;
    while (dir != NULL && (item = readdir(dir)) != NULL) {
        char child[PATH_MAX];
        struct stat info;
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
            snprintf(child, sizeof child, "%s/%s", path, item->d_name) >= (int)sizeof child ||
            lstat(child, &info) < 0) {
            continue;
        }
        if (S_ISDIR(info.st_mode)) {
            remove_tree(child);
        } else {
            unlink(child);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(path);
}

static int make_parents(char *path, size_t from)
{
    for (char *slash = strchr(path + from, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
        *slash = '/';
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Not flushed to the disk: after a power failure the digest tells a whole set from a torn one, and
 * the next older one is there. A flush for each of sixty files would cost a reload its speed. */
static int write_file(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    size_t done = 0;
    ssize_t put = 0;
    while (done < len && (put = write(fd, text + done, len - done)) > 0) {
        done += (size_t)put;
    }
    int rc = done < len ? (put < 0 ? -errno : UV_EIO) : 0;
    if (close(fd) < 0 && rc == 0) {
        rc = -errno;
    }
    return rc;
}

int ruc_fileset_save(const ruc_fileset_t *set, const char *dir, unsigned long long number,
                     unsigned keep, ruc_why_t *why)
{
    char part[PATH_MAX], whole[PATH_MAX], path[PATH_MAX];
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        return ruc_why_set(why, -errno, "%s: %s", dir, strerror(errno));
    }
    int a = snprintf(part, sizeof part, "%s/.%llu", dir, number);
    int b = snprintf(whole, sizeof whole, "%s/%llu", dir, number);
    if (a < 0 || b < 0 || (size_t)a >= sizeof part - 256) {
        return ruc_why_set(why, UV_ENAMETOOLONG, "%s: too long", dir);
    }
    remove_tree(part);
    int rc = mkdir(part, 0700) < 0 ? -errno : 0;
    for (size_t i = 0; rc == 0 && i < set->count; i++) {
        const ruc_file_t *file = &set->files[i];
        int len = snprintf(path, sizeof path, "%s/%s", part, file->name);
        rc = len < 0 || (size_t)len >= sizeof path ? UV_ENAMETOOLONG
                                                   : make_parents(path, strlen(part) + 1);
        rc = rc == 0 ? write_file(path, file->text, file->len) : rc;
    }
    if (rc == 0) {
        char digest[32];
        int len = snprintf(digest, sizeof digest, "%016llx\n",
                           (unsigned long long)ruc_fileset_digest(set, false));
        snprintf(path, sizeof path, "%.*s/.digest", (int)(sizeof path - 16), part);
        rc = write_file(path, digest, (size_t)len);
    }
    remove_tree(whole);
    if (rc == 0 && rename(part, whole) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        remove_tree(part);
        return ruc_why_set(why, rc, "%s: %s", whole, uv_strerror(rc));
    }
    unsigned long long numbers[64];
    size_t count = ruc_fileset_saved(dir, numbers, 64);
    for (size_t i = keep; i < count; i++) {
        snprintf(path, sizeof path, "%s/%llu", dir, numbers[i]);
        remove_tree(path);
    }
    return 0;
}

bool ruc_fileset_intact(const ruc_fileset_t *set, const char *dir)
{
    char path[PATH_MAX], *end;
    size_t len;
    if (snprintf(path, sizeof path, "%s/.digest", dir) >= (int)sizeof path) {
        return false;
    }
    char *text = ruc_file_read(path, 64, &len, NULL);
    bool intact =
        text != NULL && strtoull(text, &end, 16) == ruc_fileset_digest(set, false) && *end == '\n';
    free(text);
    return intact;
}

static int newest_first(const void *a, const void *b)
{
    unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

size_t ruc_fileset_saved(const char *dir, unsigned long long *numbers, size_t most)
{
    DIR *handle = opendir(dir);
    struct dirent *item;
    size_t count = 0;
    while (handle != NULL && (item = readdir(handle)) != NULL && count < most) {
        char *end;
        unsigned long long number = strtoull(item->d_name, &end, 10);
        if (item->d_name[0] >= '0' && item->d_name[0] <= '9' && *end == '\0') {
            numbers[count++] = number;
        }
    }
    if (handle != NULL) {
        closedir(handle);
    }
    qsort(numbers, count, sizeof *numbers, newest_first);
    return count;
}
