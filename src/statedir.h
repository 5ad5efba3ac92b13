/* statedir.h - the state directory: where it is, that one server has it, and, in embedded mode, a
 * private one that is removed at the end. */
#ifndef RUC_STATEDIR_H
#define RUC_STATEDIR_H

#include <limits.h>
#include <stdbool.h>

#include "core/config.h"

typedef struct ruc_statedir {
    char path[PATH_MAX];
    char db_path[PATH_MAX];
    char db_dir[PATH_MAX]; /* embedded: the private directory of the database; else "" */
    bool remove;           /* the whole directory at the end */
    int lock, db_lock;     /* descriptors; -1 */
} ruc_statedir_t;

/* The state directory that is named (NULL: none), or the user's default, as an absolute path. */
int ruc_statedir_choose(char out[PATH_MAX], const char *named, ruc_why_t *why);

/* Finds, makes and locks it. Waits for the disk: before the loop runs. */
int ruc_statedir_open(ruc_statedir_t *dir, const ruc_config_t *config, ruc_why_t *why);

/* The same for what a server has left to the next one in its process (handover.h): the directories
 * are there and locked; nothing is emptied. `from` has paths and locks, and `remove`. */
int ruc_statedir_adopt(ruc_statedir_t *dir, const ruc_statedir_t *from, const ruc_config_t *config,
                       ruc_why_t *why);

/* Unlocks it; removes what is private. */
void ruc_statedir_close(ruc_statedir_t *dir);

/* Writes the listen address to PATH/address (atomically), for scripts that asked for port 0. */
int ruc_statedir_address(const ruc_statedir_t *dir, const char *address, ruc_why_t *why);

#endif
