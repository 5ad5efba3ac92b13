/* fileset.h - the text of all script files below the script directories, read at one moment.
 *
 * A file shadows the one of the same relative path in a later directory. Texts are UTF-8. Reading a
 * set is for the thread pool (or before the loop runs); a set does not change afterwards and knows
 * nothing of Lua. */
#ifndef RUC_LUA_FILESET_H
#define RUC_LUA_FILESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

#define RUC_FILES_MAX 2000           /* files in a set */
#define RUC_FILE_MAX (1024u * 1024u) /* bytes of one */
#define RUC_FILES_BYTES (8u << 20)   /* bytes of all: they are compiled on the loop */

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
    ruc_buf_t problems; /* of a set that could not be read: a line for each thing that is wrong */
    size_t problem_count;
} ruc_fileset_t;

/* Reads the directories in order (walk.h says what counts). What is wrong with any file fails it:
 * the set then holds `problems` only ("PATH[:LINE]: what"), `why` is the first of them, and the
 * result is RUC_ESCRIPT. ruc_fileset_free in every case. */
int ruc_fileset_read(ruc_fileset_t *set, const char *const *roots, size_t count, ruc_why_t *why);
void ruc_fileset_free(ruc_fileset_t *set);

/* Reads the file at `path` as the script `name`, in the place of the one that is there or beside
 * those there are. 0, or a negative code and `why`; the set is then as it was. */
int ruc_fileset_put(ruc_fileset_t *set, const char *name, const char *path, ruc_why_t *why);

/* A number that differs (but once in 2^64) when names, texts, problems or (`paths`) paths differ.
 */
uint64_t ruc_fileset_digest(const ruc_fileset_t *set, bool paths);
uint64_t ruc_file_digest(const char *text, size_t len);

/* The same without reading the texts, by inode, size and times, of what the set would be made of
 * and of one file more ("" none). For looking often. */
uint64_t ruc_fileset_stamp(const char *const *roots, size_t count, const char *file);

/* A set of its own with the same content. 0, or UV_ENOMEM and it is empty. */
int ruc_fileset_copy(const ruc_fileset_t *set, ruc_fileset_t *copy);

/* The file of that relative name, or NULL. */
const ruc_file_t *ruc_fileset_find(const ruc_fileset_t *set, const char *name);

/* Writes the set below DIR/<number>, as a whole or not at all, and removes all but the newest
 * `keep` of such folders. */
int ruc_fileset_save(const ruc_fileset_t *set, const char *dir, unsigned long long number,
                     unsigned keep, ruc_why_t *why);

/* True when a set that was read from a folder of ruc_fileset_save is what was saved there: a power
 * failure may have torn it. */
bool ruc_fileset_intact(const ruc_fileset_t *set, const char *dir);

/* The numbers of the saved sets in DIR, newest first, at most `most`. Returns how many. */
size_t ruc_fileset_saved(const char *dir, unsigned long long *numbers, size_t most);

/* Reads a whole regular file of at most `max` bytes; NULL and `why`. The caller frees it. */
char *ruc_file_read(const char *path, size_t max, size_t *len, ruc_why_t *why);

#endif
