/* globals_room.h - what the two halves of globals.h share: globals.c reads the grammar,
 * globals_scope.c knows which names are whose. */
#ifndef RUC_LUA_GLOBALS_ROOM_H
#define RUC_LUA_GLOBALS_ROOM_H

#include "core/near.h"
#include "lua/globals.h"
#include "lua/lexer.h"

#define RUC__PATH_BYTES 128
#define RUC__USES_MAX 1000   /* unknown names in a file */
#define RUC__LOCALS_MAX 5000 /* in scope at once */

typedef struct use {
    char name[RUC__PATH_BYTES];
    const char *at; /* in the text */
    int line;
    ruc_near_t near; /* its `word` is not used after the scan */
} ruc__use_t;

typedef struct local {
    const char *name;
    size_t len;
} ruc__local_t;

typedef struct scan {
    ruc_lexer_t lexer;
    ruc_token_t now, next;
    const ruc_names_t *known;
    ruc_names_t own; /* globals that the file sets */
    ruc__local_t *locals;
    size_t local_count;
    ruc__use_t *uses;
    size_t use_count;
    int depth;
    bool wrong;
} ruc__scan_t;

/* A name and the fields after it: "rucat.store.engines"; the text is of a global only. */
typedef struct path {
    char text[RUC__PATH_BYTES]; /* "rucat.store.engines"; of a global only */
    int line;
    bool global;
    bool plain;     /* nothing but a name */
    bool closed;    /* something else than .name came */
    bool call;      /* it ends in a call */
    const char *at; /* in the text */
    size_t parent;  /* length up to the last dot */
} ruc__path_t;

/* A local is in scope from here on; `len` 0: not yet. */
void ruc__scan_declare(ruc__scan_t *scan, const char *name, size_t len);

/* True when the name is looked up in the file's environment, and so is ours to judge. */
bool ruc__scan_is_global(const ruc__scan_t *scan, const ruc_token_t *name);

/* Adds a field to a path. */
void ruc__scan_path_add(ruc__path_t *path, const ruc_token_t *name);

/* The path is read: notes the first part of it that is not there, as far as that is known. */
void ruc__scan_check(ruc__scan_t *scan, const ruc__path_t *path);

/* The path is set: a plain name is one of the file's own; of a.b, `a` is read. */
void ruc__scan_assign(ruc__scan_t *scan, ruc__path_t *path);

/* Tells of what was noted and is not the file's own. */
void ruc__scan_tell(ruc__scan_t *scan, ruc_globals_cb told, void *arg);

#endif
