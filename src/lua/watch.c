/* watch.c - see watch.h. */
#include "lua/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <uthash.h>

#include "core/buf.h"
#include "core/log.h"
#include "lua/walk.h"

#define QUIET_MS 100   /* after the last event */
#define LATEST_MS 1000 /* after the first */
#define LINKS_MAX 40   /* as the kernel */
#define NAMES_MAX (64u * 1024)

/* What changes which names are there, and what changes a file. */
#define MASK_NAMES                                                                                 \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)
#define MASK_TEXTS (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

/* A folder that is watched. */
typedef struct watched {
    int wd;
    bool tree;       /* a script folder: all names count; else only those in `names` */
    ruc_buf_t names; /* "/one/two/" */
    UT_hash_handle hh;
} watched_t;

struct ruc_watch {
    uv_loop_t *loop;
    void (*changed)(void *arg);
    void *arg;
    int fd;         /* inotify; -1 none */
    int open_errno; /* why there is none */
    ruc_watch_mode_t mode;
    uint64_t every_ms;
    uv_poll_t poll;
    uv_timer_t quiet, often;
    unsigned handles;  /* not closed yet */
    bool reading;      /* `poll` is a handle */
    uint64_t first_ms; /* of the events that nobody was told of yet; 0 none */
    watched_t *now;
    /* Of ruc_watch_sync: the thread pool's until ruc_watch_synced. */
    watched_t *next;
    bool falls_short;
    char why[512];
    /* As of the last ruc_watch_synced. */
    bool polls, told;
};

/* ---- the set of folders ---- */

static void watched_free(watched_t *set)
{
    watched_t *each, *next;
    HASH_ITER(hh, set, each, next)
    {
        HASH_DEL(set, each);
        ruc_buf_free(&each->names);
        free(each);
    }
}

static void falls_short(ruc_watch_t *watch, const char *path, const char *why)
{
    if (!watch->falls_short) {
        watch->falls_short = true;
        snprintf(watch->why, sizeof watch->why, "%.400s: %s", path, why);
    }
}

/* True for file systems that others change without this kernel's knowledge. */
static bool is_remote(const char *path)
{
    static const unsigned long types[] = {
        0x6969 /* nfs */,        0x517b /* smb */,    0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */,
        0x65735546 /* fuse */,   0x01021997 /* 9p */, 0x00c36400 /* ceph */, 0x5346414f /* afs */,
        0x0bd00bd0 /* lustre */, 0x47504653 /* gpfs */};
    struct statfs info;
    if (statfs(path, &info) < 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (((unsigned long)info.f_type & 0xffffffffu) == types[i]) {
            return true;
        }
    }
    return false;
}

/* The folder at `path`, watched; NULL when it cannot be. */
static watched_t *add_folder(ruc_watch_t *watch, const char *path, uint32_t mask)
{
    watched_t *watched = NULL;
    int wd = inotify_add_watch(watch->fd, path, mask | IN_MASK_ADD | IN_ONLYDIR);
    if (wd < 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != ELOOP) {
            falls_short(watch, path,
                        errno == ENOSPC ? "no inotify watches are left" : strerror(errno));
        }
        return NULL; /* gone meanwhile; or not ours to read, then reading it says so */
    }
    HASH_FIND_INT(watch->next, &wd, watched);
    if (watched != NULL) {
        return watched;
    }
    if (HASH_COUNT(watch->next) >= RUC_WATCHES_MAX) {
        falls_short(watch, path, "too many folders");
        return NULL;
    }
    watched = calloc(1, sizeof *watched);
    if (watched == NULL) {
        falls_short(watch, path, "not enough memory");
        return NULL;
    }
    watched->wd = wd;
    ruc_buf_init(&watched->names, NAMES_MAX);
    HASH_ADD_INT(watch->next, wd, watched);
    return watched;
}

static bool has_name(const watched_t *watched, const char *name)
{
    char between[NAME_MAX + 3];
    int len = snprintf(between, sizeof between, "/%s/", name);
    return len > 0 && (size_t)len < sizeof between &&
           strstr(ruc_buf_str(&watched->names), between) != NULL;
}

static void add_name(ruc_watch_t *watch, const char *folder, const char *name, bool last)
{
    watched_t *watched = add_folder(watch, folder, last ? MASK_NAMES | MASK_TEXTS : MASK_NAMES);
    if (watched == NULL || has_name(watched, name)) {
        return;
    }
    if (ruc_buf_addf(&watched->names, "%s%s/", watched->names.len == 0 ? "/" : "", name) < 0) {
        falls_short(watch, folder, "too many names");
    }
}

/* Takes the first part (NAME_MAX + 1 bytes) off a path ("a//b/c" is "a", then "b/c"). False when
 * there is none. */
static bool take_part(char *path, char *part)
{
    char *at = path + strspn(path, "/");
    size_t len = strcspn(at, "/");
    if (len == 0 || len > NAME_MAX) {
        return false;
    }
    memcpy(part, at, len);
    part[len] = '\0';
    at += len;
    at += strspn(at, "/");
    memmove(path, at, strlen(at) + 1);
    return true;
}

/* Puts what a link holds before what is left of the path. */
static bool put_before(const char *link, char *at, char *rest)
{
    char target[PATH_MAX], whole[2 * PATH_MAX];
    ssize_t len = readlink(link, target, sizeof target - 1);
    if (len <= 0) {
        return false;
    }
    target[len] = '\0';
    if (snprintf(whole, sizeof whole, "%s/%s", target, rest) >= PATH_MAX) {
        return false;
    }
    if (target[0] == '/') {
        at[0] = '\0';
    }
    memcpy(rest, whole, strlen(whole) + 1);
    return true;
}

/* Watches each folder in which a part of this absolute path is looked up, links followed, as far as
 * there is something. */
static void follow_path(ruc_watch_t *watch, const char *path)
{
    char at[PATH_MAX] = "", rest[PATH_MAX], part[NAME_MAX + 1], full[PATH_MAX + NAME_MAX + 2];
    int links = 0;
    if (strlen(path) >= sizeof rest) {
        return;
    }
    memcpy(rest, path, strlen(path) + 1);
    while (take_part(rest, part)) {
        struct stat info;
        if (strcmp(part, ".") == 0) {
            continue;
        }
        if (strcmp(part, "..") == 0) {
            char *slash = strrchr(at, '/');
            at[slash == NULL ? 0 : slash - at] = '\0';
            continue;
        }
        add_name(watch, at[0] == '\0' ? "/" : at, part, rest[0] == '\0');
        snprintf(full, sizeof full, "%s/%s", at, part);
        if (lstat(full, &info) < 0 || strlen(full) >= sizeof at) {
            return;
        }
        if (!S_ISLNK(info.st_mode)) {
            memcpy(at, full, strlen(full) + 1);
        } else if (++links > LINKS_MAX || !put_before(full, at, rest)) {
            return;
        }
    }
}

static void follow(ruc_watch_t *watch, const char *path)
{
    char cwd[PATH_MAX], whole[2 * PATH_MAX];
    if (path[0] == '/') {
        follow_path(watch, path);
    } else if (getcwd(cwd, sizeof cwd) != NULL) {
        snprintf(whole, sizeof whole, "%s/%s", cwd, path);
        follow_path(watch, whole);
    }
}

static void see_folder(void *arg, const ruc_walk_item_t *item)
{
    watched_t *watched = add_folder(arg, item->path, MASK_NAMES | MASK_TEXTS);
    if (watched != NULL) {
        watched->tree = true;
    }
    if (is_remote(item->path)) {
        falls_short(arg, item->path, "a file system that other machines change");
    }
}

static void see_link(void *arg, const char *path)
{
    follow(arg, path);
}

void ruc_watch_sync(ruc_watch_t *watch, const char *const *roots, size_t count, const char *file)
{
    ruc_walk_visitor_t visitor = {.folder = see_folder, .link = see_link, .arg = watch};
    watch->falls_short = false;
    if (watch->mode != RUC_WATCH_AUTO) {
        return;
    }
    if (watch->fd < 0) {
        falls_short(watch, "inotify", strerror(watch->open_errno));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        follow(watch, roots[i]);
    }
    if (file[0] != '\0') {
        follow(watch, file);
    }
    ruc_walk(roots, count, &visitor);
}

/* ---- what happens ---- */

static void tell(ruc_watch_t *watch)
{
    watch->first_ms = 0;
    watch->changed(watch->arg);
}

static void quiet_over(uv_timer_t *timer)
{
    tell(timer->data);
}

static void look_again(uv_timer_t *timer)
{
    tell(timer->data);
}

/* Something happened: the owner is told after a quiet, but not much later than the first. */
static void note(ruc_watch_t *watch)
{
    uint64_t now = uv_now(watch->loop);
    if (watch->first_ms == 0) {
        watch->first_ms = now;
    }
    uint64_t latest = watch->first_ms + LATEST_MS;
    uint64_t due = now + QUIET_MS < latest ? now + QUIET_MS : latest;
    uv_timer_start(&watch->quiet, quiet_over, due > now ? due - now : 0, 0);
}

static bool ends_in_lua(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static bool matters(const ruc_watch_t *watch, const struct inotify_event *event)
{
    watched_t *watched;
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        return true;
    }
    HASH_FIND_INT(watch->now, &event->wd, watched);
    if (watched == NULL) {
        /* A folder that ruc_watch_sync is just adding; or one that was just taken away. */
        return (event->mask & IN_IGNORED) == 0;
    }
    if (event->len == 0) { /* the folder itself: moved, deleted, other rights */
        return watched->tree && (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)) != 0;
    }
    if (has_name(watched, event->name)) {
        return true;
    }
    /* A new name may be a link to a folder; a text matters only when it is a script. */
    return watched->tree && event->name[0] != '.' &&
           ((event->mask & (MASK_NAMES | IN_ISDIR)) != 0 || ends_in_lua(event->name));
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    ruc_watch_t *watch = poll->data;
    char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;
    (void)events;
    if (status < 0) {
        return;
    }
    for (int turn = 0; turn < 64; turn++) { /* the rest comes with the next turn of the loop */
        ssize_t len = read(watch->fd, buffer, sizeof buffer);
        if (len <= 0) {
            break;
        }
        for (ssize_t at = 0; at < len;) {
            const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
            any = any || matters(watch, event);
            at += (ssize_t)sizeof *event + event->len;
        }
    }
    if (any) {
        note(watch);
    }
}

/* Looks every so often, or not at all. */
static void set_often(ruc_watch_t *watch)
{
    bool runs = uv_is_active((uv_handle_t *)&watch->often) != 0;
    if (!watch->polls) {
        uv_timer_stop(&watch->often);
    } else if (!runs || uv_timer_get_repeat(&watch->often) != watch->every_ms) {
        uv_timer_start(&watch->often, look_again, watch->every_ms, watch->every_ms);
    }
}

static void take_over_folders(ruc_watch_t *watch)
{
    watched_t *each, *next, *found;
    HASH_ITER(hh, watch->now, each, next)
    {
        HASH_FIND_INT(watch->next, &each->wd, found);
        if (found == NULL) {
            inotify_rm_watch(watch->fd, each->wd); /* it may be gone by itself */
        }
    }
    watched_free(watch->now);
    watch->now = watch->next;
    watch->next = NULL;
}

void ruc_watch_synced(ruc_watch_t *watch)
{
    bool automatic = watch->mode == RUC_WATCH_AUTO;
    take_over_folders(watch);
    watch->polls = watch->mode == RUC_WATCH_POLL || (automatic && watch->falls_short);
    if (automatic && watch->polls && !watch->told) {
        watch->told = true;
        ruc_log(RUC_LOG_LUA, RUC_WARN,
                "scripts cannot be watched (%s): looking for changes every %g s instead",
                watch->why, (double)watch->every_ms / 1000.0);
    } else if (!watch->polls && watch->told) {
        watch->told = false;
        ruc_log(RUC_LOG_LUA, RUC_INFO, "scripts are watched again");
    }
    set_often(watch);
}

bool ruc_watch_polls(const ruc_watch_t *watch)
{
    return watch->polls;
}

const char *ruc_watch_state(const ruc_watch_t *watch)
{
    return watch->mode == RUC_WATCH_OFF ? "off" : watch->polls ? "poll" : "inotify";
}

/* ---- its life ---- */

void ruc_watch_configure(ruc_watch_t *watch, ruc_watch_mode_t mode, double seconds)
{
    watch->mode = mode;
    watch->every_ms = (uint64_t)(seconds * 1000);
}

ruc_watch_t *ruc_watch_new(uv_loop_t *loop, void (*changed)(void *arg), void *arg)
{
    ruc_watch_t *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    *watch = (ruc_watch_t){.loop = loop, .changed = changed, .arg = arg, .every_ms = 5000};
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        watch->open_errno = errno;
    } else if (uv_poll_init(loop, &watch->poll, watch->fd) < 0) {
        watch->open_errno = EMFILE; /* it has no room for one more */
        close(watch->fd);
        watch->fd = -1;
    } else {
        watch->reading = true;
        watch->poll.data = watch;
        uv_poll_start(&watch->poll, UV_READABLE, on_events);
    }
    uv_timer_init(loop, &watch->quiet);
    uv_timer_init(loop, &watch->often);
    watch->quiet.data = watch->often.data = watch;
    return watch;
}

static void handle_closed(uv_handle_t *handle)
{
    ruc_watch_t *watch = handle->data;
    if (--watch->handles == 0) {
        watched_free(watch->now);
        watched_free(watch->next);
        if (watch->fd >= 0) {
            close(watch->fd);
        }
        free(watch);
    }
}

void ruc_watch_close(ruc_watch_t *watch)
{
    if (watch == NULL) {
        return;
    }
    watch->handles = watch->reading ? 3 : 2;
    uv_close((uv_handle_t *)&watch->quiet, handle_closed);
    uv_close((uv_handle_t *)&watch->often, handle_closed);
    if (watch->reading) {
        uv_close((uv_handle_t *)&watch->poll, handle_closed);
    }
}
