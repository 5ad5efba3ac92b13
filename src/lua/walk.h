/* walk.h - going through script directories: which of what lies there is a script.
 *
 * Only *.lua counts, no dot files or folders; links are followed as long as they stay below the
 * directory they are in (a Kubernetes ConfigMap is made of such links). What stands where a script
 * is expected and is none (a folder, a pipe, a link that leads out or nowhere, a name that cannot
 * be printed) is a problem, never passed over: a policy that silently is not there would leave the
 * shipped one in force. For the thread pool; knows nothing of Lua. */
#ifndef RUC_LUA_WALK_H
#define RUC_LUA_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define RUC_WALK_DEPTH 16      /* folders in folders */
#define RUC_WALK_ENTRIES 20000 /* that are looked at, scripts or not */

typedef struct ruc_walk_item {
    const char *name; /* below the root: "policies/restart.lua"; "" is the root */
    const char *path;
    const struct stat *info; /* of what a link leads to */
} ruc_walk_item_t;

/* What is told while walking. Each may be NULL; all get `arg`. */
typedef struct ruc_walk_visitor {
    /* A folder, before what it holds is read. */
    void (*folder)(void *arg, const ruc_walk_item_t *item);
    /* A script. False ends the walk. */
    bool (*script)(void *arg, const ruc_walk_item_t *item);
    /* A link, whatever it leads to. */
    void (*link)(void *arg, const char *path);
    /* "PATH: what"; the walk goes on. */
    void (*problem)(void *arg, const char *text);
    void *arg;
} ruc_walk_visitor_t;

/* Walks the directories in order, a folder's entries in no order. Blocks on the file system. */
void ruc_walk(const char *const *roots, size_t count, const ruc_walk_visitor_t *visitor);

/* Copies a name with what cannot be printed as \xNN, cut at the size. Returns `out`. */
char *ruc_walk_printable(const char *name, char *out, size_t size);

#endif
