/* namelist.c - see namelist.h. */
#include "lua/namelist.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

int ruc_names_add(ruc_names_t *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : names->room * 2;
        char **list = realloc(names->list, room * sizeof *list);
        if (list == NULL) {
            return UV_ENOMEM;
        }
        names->list = list;
        names->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return UV_ENOMEM;
    }
    names->list[names->count++] = copy;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void ruc_names_sort(ruc_names_t *names)
{
    if (names->count > 0) {
        qsort(names->list, names->count, sizeof *names->list, by_text);
    }
}

bool ruc_names_has(const ruc_names_t *names, const char *name)
{
    return names->count > 0 &&
           bsearch(&name, names->list, names->count, sizeof *names->list, by_text) != NULL;
}

void ruc_names_free(ruc_names_t *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->list[i]);
    }
    free(names->list);
    *names = (ruc_names_t){0};
}
