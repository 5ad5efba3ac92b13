/* fileset.c - see fileset.h. */
#include "lua/fileset.h"

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

#define DEPTH_MAX 16

char *ruc_file_read(const char *path, size_t max, size_t *len, ruc_why_t *why)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        ruc_why_set(why, -errno, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        ruc_why_set(why, UV_EINVAL, "%s: not a regular file", path);
    } else if ((size_t)info.st_size > max) {
        ruc_why_set(why, RUC_ETOOBIG, "%s: larger than %zu bytes", path, max);
    } else if ((text = malloc((size_t)info.st_size + 1)) == NULL) {
        ruc_why_set(why, UV_ENOMEM, "%s: not enough memory", path);
    } else {
        size_t have = 0;
        ssize_t got = 1;
        while (have < (size_t)info.st_size && got > 0) {
            got = read(fd, text + have, (size_t)info.st_size - have);
            have += got > 0 ? (size_t)got : 0;
            got = got < 0 && errno == EINTR ? 1 : got;
        }
        if (got < 0) {
            ruc_why_set(why, -errno, "%s: %s", path, strerror(errno));
            free(text);
            text = NULL;
        } else {
            text[have] = '\0';
            *len = have;
        }
    }
    close(fd);
    return text;
}

void ruc_fileset_free(ruc_fileset_t *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->files[i].name);
        free(set->files[i].path);
        free(set->files[i].text);
    }
    free(set->files);
    *set = (ruc_fileset_t){0};
}

int ruc_fileset_copy(const ruc_fileset_t *set, ruc_fileset_t *copy)
{
    *copy = (ruc_fileset_t){.files = calloc(set->count + 1, sizeof *set->files)};
    if (copy->files == NULL) {
        return UV_ENOMEM;
    }
    copy->room = set->count + 1;
    copy->bytes = set->bytes;
    for (size_t i = 0; i < set->count; i++) {
        const ruc_file_t *from = &set->files[i];
        ruc_file_t *to = &copy->files[copy->count++];
        to->name = strdup(from->name);
        to->path = strdup(from->path);
        to->text = malloc(from->len + 1);
        to->len = from->len;
        if (to->name == NULL || to->path == NULL || to->text == NULL) {
            ruc_fileset_free(copy);
            return UV_ENOMEM;
        }
        memcpy(to->text, from->text, from->len + 1); /* terminated */
    }
    return 0;
}

/* FNV-1a. */
static uint64_t digest(uint64_t sum, const char *text, size_t len)
{
    for (size_t i = 0; i <= len; i++) { /* with the NUL: "ab", "c" is not "a", "bc" */
        sum = (sum ^ (unsigned char)text[i]) * 1099511628211u;
    }
    return sum;
}

uint64_t ruc_fileset_digest(const ruc_fileset_t *set)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < set->count; i++) {
        sum = digest(sum, set->files[i].name, strlen(set->files[i].name));
        sum = digest(sum, set->files[i].text, set->files[i].len);
    }
    return sum == 0 ? 1 : sum;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ruc_file_t *)a)->name, ((const ruc_file_t *)b)->name);
}

static bool has(const ruc_fileset_t *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) { /* not sorted yet */
        if (strcmp(set->files[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int add_file(ruc_fileset_t *set, const char *path, const char *name, ruc_why_t *why)
{
    if (has(set, name)) {
        return 0; /* shadowed */
    }
    if (set->count == RUC_FILES_MAX || set->bytes > RUC_FILES_BYTES) {
        return ruc_why_set(why, RUC_ETOOBIG, "%s: more than %d script files or %u bytes", path,
                           RUC_FILES_MAX, RUC_FILES_BYTES);
    }
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 64 : set->room * 2;
        ruc_file_t *files = realloc(set->files, room * sizeof *files);
        if (files == NULL) {
            return ruc_why_set(why, UV_ENOMEM, "%s: not enough memory", path);
        }
        set->files = files;
        set->room = room;
    }
    ruc_file_t file = {.name = strdup(name), .path = strdup(path)};
    file.text = ruc_file_read(path, RUC_FILE_MAX, &file.len, why);
    if (file.name == NULL || file.path == NULL || file.text == NULL) {
        free(file.name);
        free(file.path);
        free(file.text);
        return UV_EIO;
    }
    set->bytes += file.len;
    set->files[set->count++] = file;
    return 0;
}

static bool is_script(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

/* `rel` is the part below the root, "" at first. */
static int walk(ruc_fileset_t *set, const char *root, const char *rel, int depth, ruc_why_t *why)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s%s", root, rel[0] ? "/" : "", rel);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return ruc_why_set(why, -errno, "%s: %s", path, strerror(errno));
    }
    int rc = 0;
    struct dirent *item;
    while (rc == 0 && (item = readdir(dir)) != NULL) {
        char name[PATH_MAX];
        struct stat info;
        int len = snprintf(name, sizeof name, "%s%s%s", rel, rel[0] ? "/" : "", item->d_name);
        if (item->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof name) {
            continue;
        }
        len = snprintf(path, sizeof path, "%s/%s", root, name);
        if (len < 0 || (size_t)len >= sizeof path || stat(path, &info) < 0) {
            continue; /* gone meanwhile, or a link to nowhere */
        }
        if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
            rc = walk(set, root, name, depth + 1, why);
        } else if (S_ISREG(info.st_mode) && is_script(name)) {
            rc = add_file(set, path, name, why);
        }
    }
    closedir(dir);
    return rc;
}

int ruc_fileset_read(ruc_fileset_t *set, const char *const *roots, size_t count, ruc_why_t *why)
{
    *set = (ruc_fileset_t){0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = walk(set, roots[i], "", 0, why);
    }
    if (rc < 0) {
        ruc_fileset_free(set);
        return rc;
    }
    if (set->count > 0) {
        qsort(set->files, set->count, sizeof *set->files, by_name);
    }
    return 0;
}

const ruc_file_t *ruc_fileset_find(const ruc_fileset_t *set, const char *name)
{
    ruc_file_t key = {.name = (char *)name};
    return set->count == 0 ? NULL
                           : bsearch(&key, set->files, set->count, sizeof *set->files, by_name);
}

/* ---- saved sets ---- */

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
    int rc = done < len ? -errno : fsync(fd) < 0 ? -errno : 0;
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
