/* fileset.h - the text of all script files below the script directories, read at one moment.
 *
 * A file shadows the one of the same relative path in a later directory. Only *.lua counts, no dot
 * files or folders. Reading a set is for the thread pool (or before the loop runs); a set does not
 * change afterwards and knows nothing of Lua. */
#ifndef RUC_LUA_FILESET_H
#define RUC_LUA_FILESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define RUC_FILES_MAX 2000           /* files in a set */
#define RUC_FILE_MAX (1024u * 1024u) /* bytes of one */
#define RUC_FILES_BYTES (16u << 20)  /* bytes of all */

typedef struct ruc_file {
    char *name; /* relative: "policies/restart.lua" */
    char *path; /* where it was read from */
    char *text;
    size_t len;
} ruc_file_t;

typedef struct ruc_fileset {
    ruc_file_t *files; /* sorted by name */
    size_t count, room;
    size_t bytes;
} ruc_fileset_t;

/* Reads the directories in order. One that is not there is an error. On failure the set is empty
 * and `why` names the file. */
int ruc_fileset_read(ruc_fileset_t *set, const char *const *roots, size_t count, ruc_why_t *why);
void ruc_fileset_free(ruc_fileset_t *set);

/* A set of its own with the same content. 0, or UV_ENOMEM and it is empty. */
int ruc_fileset_copy(const ruc_fileset_t *set, ruc_fileset_t *copy);

/* A number that two sets share when their names and texts are the same (and never 0). */
uint64_t ruc_fileset_digest(const ruc_fileset_t *set);

/* The file of that relative name, or NULL. */
const ruc_file_t *ruc_fileset_find(const ruc_fileset_t *set, const char *name);

/* Writes the set below DIR/<number>, as a whole or not at all, and removes all but the newest
 * `keep` of such folders. */
int ruc_fileset_save(const ruc_fileset_t *set, const char *dir, unsigned long long number,
                     unsigned keep, ruc_why_t *why);

/* The numbers of the saved sets in DIR, newest first, at most `most`. Returns how many. */
size_t ruc_fileset_saved(const char *dir, unsigned long long *numbers, size_t most);

/* Reads a whole regular file of at most `max` bytes; NULL and `why`. The caller frees it. */
char *ruc_file_read(const char *path, size_t max, size_t *len, ruc_why_t *why);

#endif
