/* fileset.c - see fileset.h. */
#include "lua/fileset.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "core/utf8.h"
#include "lua/walk.h"

#define PROBLEMS_MAX (64u * 1024) /* bytes */

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
        ruc_why_set(why, RUC_ETOOBIG, "%s: %lld bytes, at most %zu are allowed", path,
                    (long long)info.st_size, max);
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
    ruc_buf_free(&set->problems);
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

/* One line of what is wrong; beyond the bound it is counted only. */
static void add_problem(void *arg, const char *text)
{
    ruc_fileset_t *set = arg;
    ruc_buf_addf(&set->problems, "%s%s", set->problem_count > 0 ? "\n" : "", text);
    set->problem_count++;
}

/* A text that is not UTF-8 is named with the line. A byte order mark, which some editors write, is
 * taken away: Lua does not know it. */
static bool check_text(ruc_fileset_t *set, ruc_file_t *file)
{
    if (file->len >= 3 && memcmp(file->text, "\xef\xbb\xbf", 3) == 0) {
        file->len -= 3;
        memmove(file->text, file->text + 3, file->len + 1);
    }
    int line = 1;
    for (size_t i = 0; i < file->len;) {
        size_t step = ruc_utf8_length(file->text + i, file->len - i);
        if (step == 0) {
            ruc_why_t why;
            ruc_why_set(&why, RUC_EINVALID, "%s:%d: not UTF-8 (byte 0x%02x)", file->path, line,
                        (unsigned char)file->text[i]);
            add_problem(set, why.text);
            return false;
        }
        line += file->text[i] == '\n';
        i += step;
    }
    return true;
}

static bool make_room(ruc_fileset_t *set)
{
    if (set->count < set->room) {
        return true;
    }
    size_t room = set->room == 0 ? 64 : set->room * 2;
    ruc_file_t *files = realloc(set->files, room * sizeof *files);
    if (files == NULL) {
        return false;
    }
    set->files = files;
    set->room = room;
    return true;
}

static bool add_script(void *arg, const ruc_walk_item_t *item)
{
    ruc_fileset_t *set = arg;
    ruc_why_t why = {""};
    if (has(set, item->name)) {
        return true; /* shadowed */
    }
    if (set->count == RUC_FILES_MAX || set->bytes > RUC_FILES_BYTES) {
        ruc_why_set(&why, RUC_ETOOBIG, "%s: one too many: at most %d script files of %u bytes",
                    item->path, RUC_FILES_MAX, RUC_FILES_BYTES);
        add_problem(set, why.text);
        return false;
    }
    ruc_file_t file = {.name = strdup(item->name), .path = strdup(item->path)};
    bool room = make_room(set) && file.name != NULL && file.path != NULL;
    file.text = room ? ruc_file_read(item->path, RUC_FILE_MAX, &file.len, &why) : NULL;
    if (file.text == NULL || !check_text(set, &file)) {
        if (file.text == NULL) {
            add_problem(set, room ? why.text : "not enough memory to read the scripts");
        }
        free(file.name);
        free(file.path);
        free(file.text);
        return room;
    }
    set->bytes += file.len;
    set->files[set->count++] = file;
    return true;
}

int ruc_fileset_read(ruc_fileset_t *set, const char *const *roots, size_t count, ruc_why_t *why)
{
    ruc_walk_visitor_t visitor = {.script = add_script, .problem = add_problem, .arg = set};
    *set = (ruc_fileset_t){0};
    ruc_buf_init(&set->problems, PROBLEMS_MAX);
    ruc_walk(roots, count, &visitor);
    if (set->problem_count > 0) {
        ruc_buf_t problems = set->problems;
        size_t many = set->problem_count;
        set->problems = (ruc_buf_t){0};
        ruc_fileset_free(set);
        set->problems = problems;
        set->problem_count = many;
        return ruc_why_set(why, RUC_ESCRIPT, "%.*s", (int)strcspn(ruc_buf_str(&problems), "\n"),
                           ruc_buf_str(&problems));
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

int ruc_fileset_put(ruc_fileset_t *set, const char *name, const char *path, ruc_why_t *why)
{
    ruc_file_t file = {.name = strdup(name), .path = strdup(path)};
    bool room = file.name != NULL && file.path != NULL && make_room(set);
    file.text = room ? ruc_file_read(path, RUC_FILE_MAX, &file.len, why) : NULL;
    if (file.text == NULL || !check_text(set, &file)) {
        bool told = set->problem_count > 0;
        free(file.name);
        free(file.path);
        free(file.text);
        return !room  ? ruc_why_set(why, UV_ENOMEM, "not enough memory")
               : told ? ruc_why_set(why, RUC_ESCRIPT, "%s", ruc_buf_str(&set->problems))
                      : RUC_ESCRIPT;
    }
    ruc_file_t *old = (ruc_file_t *)ruc_fileset_find(set, name);
    if (old != NULL) {
        free(old->name);
        free(old->path);
        free(old->text);
        *old = file;
    } else {
        set->files[set->count++] = file;
        qsort(set->files, set->count, sizeof *set->files, by_name);
    }
    return 0;
}

/* ---- the same or not ---- */

#define FNV_START 14695981039346656037ull
#define FNV_PRIME 1099511628211ull

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * FNV_PRIME;
    }
    return hash;
}

uint64_t ruc_fileset_digest(const ruc_fileset_t *set, bool paths)
{
    uint64_t hash = mix(FNV_START, ruc_buf_str(&set->problems), set->problems.len);
    for (size_t i = 0; i < set->count; i++) {
        const ruc_file_t *file = &set->files[i];
        hash = mix(hash, file->name, strlen(file->name) + 1);
        hash = paths ? mix(hash, file->path, strlen(file->path) + 1) : hash;
        hash = mix(hash, &file->len, sizeof file->len);
        hash = mix(hash, file->text, file->len);
    }
    return hash;
}

uint64_t ruc_file_digest(const char *text, size_t len)
{
    return mix(FNV_START, text, len);
}

typedef struct stamping {
    uint64_t hash; /* a sum: a folder's entries come in no order */
} stamping_t;

static void stamp_one(uint64_t *sum, const char *path, const struct stat *info)
{
    uint64_t parts[] = {(uint64_t)info->st_dev,         (uint64_t)info->st_ino,
                        (uint64_t)info->st_mode,        (uint64_t)info->st_size,
                        (uint64_t)info->st_mtim.tv_sec, (uint64_t)info->st_mtim.tv_nsec,
                        (uint64_t)info->st_ctim.tv_sec, (uint64_t)info->st_ctim.tv_nsec};
    *sum += mix(mix(FNV_START, path, strlen(path) + 1), parts, sizeof parts);
}

static bool stamp_script(void *arg, const ruc_walk_item_t *item)
{
    stamp_one(&((stamping_t *)arg)->hash, item->path, item->info);
    return true;
}

static void stamp_problem(void *arg, const char *text)
{
    ((stamping_t *)arg)->hash += mix(FNV_START, text, strlen(text));
}

uint64_t ruc_fileset_stamp(const char *const *roots, size_t count, const char *file)
{
    stamping_t stamping = {0};
    struct stat info;
    ruc_walk_visitor_t visitor = {
        .script = stamp_script, .problem = stamp_problem, .arg = &stamping};
    ruc_walk(roots, count, &visitor);
    if (file[0] != '\0' && stat(file, &info) == 0) {
        stamp_one(&stamping.hash, file, &info);
    }
    return stamping.hash;
}
