/* watch.h - noticing that script files change.
 *
 * inotify watches every script folder, and every folder in which a part of the path of a root, of a
 * link or of the configuration file is looked up: so a root that is a link and is pointed
 * elsewhere, a root that appears later, and a ConfigMap whose `..data` is swapped are all noticed.
 * What happens is not interpreted: after a short quiet the owner is told to look, and it is the
 * content that tells whether anything changed. Where inotify is not to be had (no watches left, a
 * file system that is changed from another machine) the owner is told to look now and then instead.
 *
 * An inotify of our own and not uv_fs_event: adding a watch looks a path up, which may block, so it
 * is done on the thread pool, and one handle serves all folders. */
#ifndef RUC_LUA_WATCH_H
#define RUC_LUA_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define RUC_WATCHES_MAX 4096 /* folders; with more, looking now and then */

typedef struct ruc_watch ruc_watch_t;

/* How to watch. AUTO: by inotify, by looking now and then where that fails. */
typedef enum { RUC_WATCH_OFF, RUC_WATCH_AUTO, RUC_WATCH_POLL } ruc_watch_mode_t;

/* Makes one that watches nothing yet. `changed` is called on the loop when somebody should look.
 * NULL without memory. */
ruc_watch_t *ruc_watch_new(uv_loop_t *loop, void (*changed)(void *arg), void *arg);

/* Stops and frees it; not between ruc_watch_sync and ruc_watch_synced. NULL is fine. */
void ruc_watch_close(ruc_watch_t *watch);

/* Sets how to watch, and how often to look where there is no inotify. Takes effect with the next
 * ruc_watch_sync. Loop thread. */
void ruc_watch_configure(ruc_watch_t *watch, ruc_watch_mode_t mode, double seconds);

/* Watches these roots, all below them, and the file ("" none), and nothing else. Before they are
 * read: what changes after this is noticed. On the thread pool; ruc_watch_synced must follow. */
void ruc_watch_sync(ruc_watch_t *watch, const char *const *roots, size_t count, const char *file);

/* What ruc_watch_sync found takes effect. Loop thread. */
void ruc_watch_synced(ruc_watch_t *watch);

/* True when the owner is told to look now and then. Loop thread, or between sync and synced. */
bool ruc_watch_polls(const ruc_watch_t *watch);

/* "inotify", "poll" or "off". Static. */
const char *ruc_watch_state(const ruc_watch_t *watch);

#endif
