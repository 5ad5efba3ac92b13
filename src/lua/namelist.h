/* namelist.h - the names that scripts see, as a sorted list: "ipairs", "rucat", "rucat.clock",
 * "rucat.clock.now". */
#ifndef RUC_LUA_NAMELIST_H
#define RUC_LUA_NAMELIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ruc_names {
    char **list; /* sorted once ruc_names_sort was called */
    size_t count, room;
} ruc_names_t;

/* Adds a copy. 0 or UV_ENOMEM. */
int ruc_names_add(ruc_names_t *names, const char *name);

/* After all were added, before ruc_names_has. */
void ruc_names_sort(ruc_names_t *names);

bool ruc_names_has(const ruc_names_t *names, const char *name);
void ruc_names_free(ruc_names_t *names);

#endif
