/* walk.c - see walk.h. */
#include "lua/walk.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

typedef struct walk {
    const ruc_walk_visitor_t *visitor;
    const char *root;
    char real_root[PATH_MAX];
    size_t entries;
    bool over;
    struct {
        dev_t dev;
        ino_t ino;
    } above[RUC_WALK_DEPTH + 1]; /* the folders we are in */
} walk_t;

char *ruc_walk_printable(const char *name, char *out, size_t size)
{
    size_t used = 0, len = strlen(name);
    for (size_t i = 0; i < len && used + 5 < size;) {
        size_t step = ruc_utf8_length(name + i, len - i);
        unsigned char byte = (unsigned char)name[i];
        if (step == 0 || byte < 0x20 || byte == 0x7f) {
            used += (size_t)snprintf(out + used, 5, "\\x%02x", byte);
            i++;
        } else {
            memcpy(out + used, name + i, step);
            used += step;
            i += step;
        }
    }
    out[used] = '\0';
    return out;
}

static void problem(walk_t *walk, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(walk_t *walk, const char *path, const char *format, ...)
{
    char shown[PATH_MAX], what[PATH_MAX + 256], text[sizeof shown + sizeof what + 4];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", ruc_walk_printable(path, shown, sizeof shown), what);
    if (walk->visitor->problem != NULL) {
        walk->visitor->problem(walk->visitor->arg, text);
    }
}

static bool is_script(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static bool is_printable(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return false;
        }
    }
    return ruc_utf8_valid(name, strlen(name));
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISREG(mode)  ? "a file"
                            : "a device";
}

/* True when the link stays below the root; else says so, when it stands for a script or folder. */
static bool stays_inside(walk_t *walk, const char *path)
{
    char real[PATH_MAX];
    size_t len = strlen(walk->real_root);
    if (realpath(path, real) == NULL) {
        problem(walk, path, errno == ELOOP ? "a link in a circle" : "a link: %s", strerror(errno));
        return false;
    }
    if (strncmp(real, walk->real_root, len) == 0 && (real[len] == '/' || real[len] == '\0')) {
        return true;
    }
    problem(walk, path, "a link out of the script directory %s, to %s", walk->root, real);
    return false;
}

static void enter(walk_t *walk, const char *name, const char *path, const struct stat *info,
                  int depth);

static void visit(walk_t *walk, const char *name, const char *path, int depth)
{
    struct stat own, info;
    bool script = is_script(name);
    if (lstat(path, &own) < 0) {
        if (errno != ENOENT && script) { /* else it is gone meanwhile */
            problem(walk, path, "%s", strerror(errno));
        }
        return;
    }
    info = own;
    if (S_ISLNK(own.st_mode)) {
        if (walk->visitor->link != NULL) {
            walk->visitor->link(walk->visitor->arg, path);
        }
        if (stat(path, &info) < 0) {
            if (script) {
                problem(walk, path, "a link that leads nowhere (%s)", strerror(errno));
            }
            return;
        }
        if ((script || S_ISDIR(info.st_mode)) && !stays_inside(walk, path)) {
            return;
        }
    }
    if (script && !S_ISREG(info.st_mode)) {
        problem(walk, path, "%s where a file is expected", kind_of(info.st_mode));
    } else if (S_ISDIR(info.st_mode)) {
        enter(walk, name, path, &info, depth + 1);
    } else if (script && !is_printable(name)) {
        problem(walk, path, "the name of a script must be printable UTF-8");
    } else if (script && walk->visitor->script != NULL) {
        ruc_walk_item_t item = {name, path, &info};
        walk->over = walk->over || !walk->visitor->script(walk->visitor->arg, &item);
    }
}

static void read_folder(walk_t *walk, DIR *dir, const char *rel, int depth)
{
    struct dirent *entry;
    errno = 0;
    while (!walk->over && (entry = readdir(dir)) != NULL) {
        char name[PATH_MAX], path[PATH_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (++walk->entries > RUC_WALK_ENTRIES) {
            problem(walk, walk->root, "more than %d files and folders", RUC_WALK_ENTRIES);
            walk->over = true;
            return;
        }
        int a =
            snprintf(name, sizeof name, "%s%s%s", rel, rel[0] != '\0' ? "/" : "", entry->d_name);
        int b = snprintf(path, sizeof path, "%s/%s", walk->root, name);
        if (a < 0 || b < 0 || (size_t)a >= sizeof name || (size_t)b >= sizeof path) {
            problem(walk, walk->root, "%s: the name is too long", entry->d_name);
            continue;
        }
        visit(walk, name, path, depth);
    }
}

static void enter(walk_t *walk, const char *name, const char *path, const struct stat *info,
                  int depth)
{
    if (depth > RUC_WALK_DEPTH) {
        problem(walk, path, "folders are nested deeper than %d", RUC_WALK_DEPTH);
        return;
    }
    for (int i = 0; i < depth; i++) {
        if (walk->above[i].dev == info->st_dev && walk->above[i].ino == info->st_ino) {
            problem(walk, path, "a link to a folder that it is in itself");
            return;
        }
    }
    walk->above[depth].dev = info->st_dev;
    walk->above[depth].ino = info->st_ino;
    if (walk->visitor->folder != NULL) {
        ruc_walk_item_t item = {name, path, info};
        walk->visitor->folder(walk->visitor->arg, &item);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        if (errno != ENOENT || depth == 0) { /* else it is gone meanwhile */
            problem(walk, path, "%s", strerror(errno));
        }
        return;
    }
    read_folder(walk, dir, name, depth);
    closedir(dir);
}

void ruc_walk(const char *const *roots, size_t count, const ruc_walk_visitor_t *visitor)
{
    walk_t *walk = calloc(1, sizeof *walk);
    if (walk == NULL) {
        if (visitor->problem != NULL) {
            visitor->problem(visitor->arg, "not enough memory to read the script directories");
        }
        return;
    }
    walk->visitor = visitor;
    for (size_t i = 0; i < count && !walk->over; i++) {
        struct stat info;
        walk->root = roots[i];
        if (stat(roots[i], &info) < 0 || realpath(roots[i], walk->real_root) == NULL) {
            problem(walk, roots[i], "%s", strerror(errno));
        } else if (!S_ISDIR(info.st_mode)) {
            problem(walk, roots[i], "%s where a folder is expected", kind_of(info.st_mode));
        } else {
            enter(walk, "", roots[i], &info, 0);
        }
    }
    free(walk);
}
