/* statedir.c - see statedir.h.
 *
 * Private directories carry a lock that the kernel lets go of however their server ends, so that
 * the next server can tell those of the dead (kill -9) from those of the living, and removes them.
 */
#include "statedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* The socket of a driver is PATH/engines/<26>/<epoch, at most 10 digits>/rpc, at most 107 bytes. */
#define PATH_MOST (107 - (9 + 26 + 1 + 10 + 4))

#define LOCK_TRIES 25 /* of 20 ms */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Locks DIR/lock; the descriptor, or a negative code (UV_EAGAIN: somebody else has it). */
static int lock_dir(const char *dir)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/lock", dir);
    if (len < 0 || (size_t)len >= sizeof path) {
        return -ENAMETOOLONG;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* Removes private directories below `base` whose server is gone. */
static void sweep(const char *base)
{
    char prefix[32];
    DIR *handle = opendir(base);
    struct dirent *item;
    snprintf(prefix, sizeof prefix, "rucat-%u-", (unsigned)getuid());
    while (handle != NULL && (item = readdir(handle)) != NULL) {
        char path[PATH_MAX], lock[PATH_MAX];
        struct stat info;
        if (strncmp(item->d_name, prefix, strlen(prefix)) != 0 ||
            snprintf(path, sizeof path, "%s/%s", base, item->d_name) >= (int)sizeof path - 8 ||
            lstat(path, &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != getuid()) {
            continue;
        }
        snprintf(lock, sizeof lock, "%.*s/lock", (int)sizeof lock - 8, path);
        if (info.st_mtime > time(NULL) - 10) {
            continue; /* perhaps being made right now, and not locked yet */
        }
        int fd = lock_dir(path);
        if (fd >= 0) {
            remove_tree(path);
            close(fd);
        }
    }
    if (handle != NULL) {
        closedir(handle);
    }
}

/* Makes and locks a private directory; the lock's descriptor or a negative code. */
static int make_private(const char *base, char out[PATH_MAX])
{
    sweep(base);
    int len = snprintf(out, PATH_MAX, "%s/rucat-%u-XXXXXX", base, (unsigned)getuid());
    if (len < 0 || len >= PATH_MAX || mkdtemp(out) == NULL) {
        return -errno;
    }
    return lock_dir(out);
}

static int make_dirs(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL) {
            *slash = '\0';
        }
        if (mkdir(part, 0700) < 0 && errno != EEXIST) {
            return -errno;
        }
        if (slash == NULL) {
            return 0;
        }
        *slash = '/';
    }
}

int ruc_statedir_choose(char out[PATH_MAX], const char *named, ruc_why_t *why)
{
    char cwd[PATH_MAX];
    const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");
    int len;
    if (named != NULL && named[0] == '/') {
        len = snprintf(out, PATH_MAX, "%s", named);
    } else if (named != NULL) {
        if (getcwd(cwd, sizeof cwd) == NULL) {
            return ruc_why_set(why, -errno, "the working directory is gone");
        }
        len = snprintf(out, PATH_MAX, "%s/%s", cwd, named);
    } else if (getuid() == 0) {
        len = snprintf(out, PATH_MAX, "/var/lib/rucat");
    } else if (state != NULL && state[0] == '/') {
        len = snprintf(out, PATH_MAX, "%s/rucat", state);
    } else if (home != NULL && home[0] == '/') {
        len = snprintf(out, PATH_MAX, "%s/.local/state/rucat", home);
    } else {
        return ruc_why_set(why, RUC_EINVALID, "'state_dir' is not set and there is no HOME");
    }
    while (len > 1 && out[len - 1] == '/') {
        out[--len] = '\0';
    }
    return len < 0 || len >= PATH_MAX ? ruc_why_set(why, RUC_ETOOBIG, "'state_dir' is too long")
                                      : 0;
}

/* A database in memory: on a memory file system where there is one. */
static int private_db(ruc_statedir_t *dir)
{
    struct statfs info;
    const char *base = "/dev/shm";
    if (statfs(base, &info) < 0 || info.f_type != TMPFS_MAGIC || access(base, W_OK) < 0) {
        return snprintf(dir->db_path, PATH_MAX, "%s/rucat.db", dir->path) >= PATH_MAX
                   ? -ENAMETOOLONG
                   : 0;
    }
    dir->db_lock = make_private(base, dir->db_dir);
    if (dir->db_lock < 0) {
        return dir->db_lock;
    }
    snprintf(dir->db_path, PATH_MAX, "%.*s/rucat.db", PATH_MAX - 16, dir->db_dir);
    return 0;
}

static int open_named(ruc_statedir_t *dir, const char *named, ruc_why_t *why)
{
    int rc = ruc_statedir_choose(dir->path, named, why);
    if (rc < 0) {
        return rc;
    }
    rc = make_dirs(dir->path);
    if (rc < 0) {
        return ruc_why_set(why, rc, "state_dir %s: %s", dir->path, strerror(-rc));
    }
    dir->lock = lock_dir(dir->path);
    /* A server that was just killed may have been about to start a rucat-engine: its child has the
     * lock, too, until it executes. */
    for (int tries = 0; dir->lock == -EAGAIN && tries < LOCK_TRIES; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        dir->lock = lock_dir(dir->path);
    }
    if (dir->lock == -EAGAIN) {
        return ruc_why_set(why, UV_EBUSY, "state_dir %s is in use by another server", dir->path);
    }
    return dir->lock < 0
               ? ruc_why_set(why, dir->lock, "state_dir %s: %s", dir->path, strerror(-dir->lock))
               : 0;
}

int ruc_statedir_open(ruc_statedir_t *dir, const ruc_config_t *config, ruc_why_t *why)
{
    bool embedded = strcmp(ruc_config_text(config, "mode"), "embedded") == 0;
    const char *named = ruc_config_text(config, "state_dir");
    const char *db = ruc_config_text(config, "store.path");
    *dir = (ruc_statedir_t){.lock = -1, .db_lock = -1};
    int rc = 0;
    if (embedded && named == NULL) {
        const char *base = getenv("TMPDIR");
        dir->lock = make_private(base != NULL && base[0] == '/' ? base : "/tmp", dir->path);
        dir->remove = dir->lock >= 0;
        rc = dir->lock < 0
                 ? ruc_why_set(why, dir->lock, "no private directory: %s", strerror(-dir->lock))
                 : 0;
    } else {
        rc = open_named(dir, named, why);
    }
    if (rc == 0 && strlen(dir->path) > PATH_MOST) {
        rc =
            ruc_why_set(why, RUC_EINVALID,
                        "state_dir %s is too long: at most %d bytes, as unix sockets live below it",
                        dir->path, PATH_MOST);
    }
    if (rc == 0 && embedded) {
        char engines[PATH_MAX];
        snprintf(engines, sizeof engines, "%.*s/engines", PATH_MAX - 16, dir->path);
        remove_tree(engines);
        rc = private_db(dir);
        if (rc < 0) {
            ruc_why_set(why, rc, "no private directory for the store: %s", strerror(-rc));
        } else if (dir->db_dir[0] == '\0') {
            remove(dir->db_path); /* an embedded store starts empty */
        }
    } else if (rc == 0) {
        int len = db != NULL ? snprintf(dir->db_path, PATH_MAX, "%s", db)
                             : snprintf(dir->db_path, PATH_MAX, "%s/rucat.db", dir->path);
        rc = len >= PATH_MAX ? ruc_why_set(why, RUC_ETOOBIG, "'store.path' is too long") : 0;
    }
    if (rc < 0) {
        ruc_statedir_close(dir);
    }
    return rc;
}

int ruc_statedir_adopt(ruc_statedir_t *dir, const ruc_statedir_t *from, const ruc_config_t *config,
                       ruc_why_t *why)
{
    const char *db = ruc_config_text(config, "store.path");
    *dir = *from;
    int len = dir->db_dir[0] != '\0'
                  ? snprintf(dir->db_path, PATH_MAX, "%.*s/rucat.db", PATH_MAX - 16, dir->db_dir)
              : db != NULL && strcmp(ruc_config_text(config, "mode"), "embedded") != 0
                  ? snprintf(dir->db_path, PATH_MAX, "%s", db)
                  : snprintf(dir->db_path, PATH_MAX, "%.*s/rucat.db", PATH_MAX - 16, dir->path);
    return len >= PATH_MAX ? ruc_why_set(why, RUC_ETOOBIG, "'store.path' is too long") : 0;
}

void ruc_statedir_close(ruc_statedir_t *dir)
{
    if (dir->db_dir[0] != '\0') {
        remove_tree(dir->db_dir);
    }
    if (dir->remove) {
        remove_tree(dir->path);
    }
    if (dir->lock >= 0) {
        close(dir->lock);
    }
    if (dir->db_lock >= 0) {
        close(dir->db_lock);
    }
    *dir = (ruc_statedir_t){.lock = -1, .db_lock = -1};
}

int ruc_statedir_address(const ruc_statedir_t *dir, const char *address, ruc_why_t *why)
{
    char part[PATH_MAX], whole[PATH_MAX];
    snprintf(part, sizeof part, "%.*s/.address", PATH_MAX - 16, dir->path);
    snprintf(whole, sizeof whole, "%.*s/address", PATH_MAX - 16, dir->path);
    FILE *file = fopen(part, "we");
    if (file == NULL) {
        return ruc_why_set(why, -errno, "%s: %s", part, strerror(errno));
    }
    bool fine = fprintf(file, "%s\n", address) > 0;
    if (fclose(file) != 0 || !fine || rename(part, whole) < 0) {
        return ruc_why_set(why, -errno, "%s: %s", whole, strerror(errno));
    }
    return 0;
}
