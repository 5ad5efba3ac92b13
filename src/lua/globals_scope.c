/* globals_scope.c - which names are locals, the file's own globals, or unknown. See globals_room.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/globals_room.h"

/* ---- scopes ---- */

void ruc__scan_declare(ruc__scan_t *scan, const char *name, size_t len)
{
    if (scan->local_count == RUC__LOCALS_MAX) {
        scan->wrong = true;
        return;
    }
    scan->locals[scan->local_count++] = (ruc__local_t){name, len};
}

static bool is_local(const ruc__scan_t *scan, const char *name, size_t len)
{
    for (size_t i = scan->local_count; i > 0; i--) {
        const ruc__local_t *local = &scan->locals[i - 1];
        if (local->len == len && memcmp(local->name, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Names that are looked up in something else than the file's environment are not ours to judge. */
bool ruc__scan_is_global(const ruc__scan_t *scan, const ruc_token_t *name)
{
    return !is_local(scan, name->text, name->len) && !ruc_token_is(name, "_ENV") &&
           !is_local(scan, "_ENV", 4);
}

/* The known name that begins with these bytes and has more: "rucat." */
static bool has_fields(const ruc_names_t *known, const char *path)
{
    size_t len = strlen(path), low = 0, high = known->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(known->list[middle], path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < known->count && strncmp(known->list[low], path, len) == 0; low++) {
        if (known->list[low][len] == '.') {
            return true;
        }
    }
    return false;
}

static void offer_locals(const ruc__scan_t *scan, ruc_near_t *near)
{
    char word[RUC_NEAR_MAX + 1];
    for (size_t i = scan->local_count; i > 0; i--) {
        const ruc__local_t *local = &scan->locals[i - 1];
        if (local->len <= RUC_NEAR_MAX) {
            memcpy(word, local->name, local->len);
            word[local->len] = '\0';
            ruc_near_offer(near, word);
        }
    }
}

/* The names that are in the same table as the path. */
static void offer_known(const ruc_names_t *known, const char *path, ruc_near_t *near)
{
    const char *dot = strrchr(path, '.');
    size_t len = dot == NULL ? 0 : (size_t)(dot + 1 - path);
    for (size_t i = 0; i < known->count; i++) {
        const char *name = known->list[i];
        if (strncmp(name, path, len) == 0 && strchr(name + len, '.') == NULL) {
            ruc_near_offer(near, name);
        }
    }
}

static void note_use(ruc__scan_t *scan, const char *path, const char *at, int line)
{
    if (scan->use_count == RUC__USES_MAX) {
        return;
    }
    ruc__use_t *use = &scan->uses[scan->use_count++];
    snprintf(use->name, sizeof use->name, "%s", path);
    use->line = line;
    use->at = at;
    ruc_near_init(&use->near, use->name);
    if (strchr(path, '.') == NULL) {
        offer_locals(scan, &use->near);
    }
    offer_known(scan->known, use->name, &use->near);
}

/* ---- a name and the fields after it ---- */

void ruc__scan_path_add(ruc__path_t *path, const ruc_token_t *name)
{
    size_t used = strlen(path->text);
    if (path->closed || used + name->len + 2 > sizeof path->text) {
        path->closed = true;
        return;
    }
    path->parent = used;
    snprintf(path->text + used, sizeof path->text - used, "%s%.*s", used > 0 ? "." : "",
             (int)name->len, name->text);
}

void ruc__scan_check(ruc__scan_t *scan, const ruc__path_t *path)
{
    char part[RUC__PATH_BYTES];
    size_t len = 0, whole = strlen(path->text);
    if (!path->global) {
        return;
    }
    while (len < whole) {
        len += 1 + strcspn(path->text + len + 1, ".");
        memcpy(part, path->text, len);
        part[len] = '\0';
        if (!ruc_names_has(scan->known, part)) {
            note_use(scan, part, path->at, path->line);
            return;
        }
        if (!has_fields(scan->known, part)) {
            return;
        }
    }
}

void ruc__scan_assign(ruc__scan_t *scan, ruc__path_t *path)
{
    if (!path->global) {
        return;
    }
    if (path->plain) {
        if (scan->own.count == RUC__LOCALS_MAX || ruc_names_add(&scan->own, path->text) < 0) {
            scan->wrong = true;
        }
        return;
    }
    if (!path->closed) {
        path->text[path->parent] = '\0';
    }
    ruc__scan_check(scan, path);
}

static int by_place(const void *a, const void *b)
{
    const ruc__use_t *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

void ruc__scan_tell(ruc__scan_t *scan, ruc_globals_cb told, void *arg)
{
    ruc_names_sort(&scan->own);
    qsort(scan->uses, scan->use_count, sizeof *scan->uses, by_place);
    for (size_t i = 0; i < scan->use_count; i++) {
        ruc__use_t *use = &scan->uses[i];
        char first[RUC__PATH_BYTES];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(use->name, "."), use->name);
        if (ruc_names_has(&scan->own, first)) {
            continue;
        }
        use->near.word = use->name; /* it has moved */
        for (size_t k = 0; k < scan->own.count && strchr(use->name, '.') == NULL; k++) {
            ruc_near_offer(&use->near, scan->own.list[k]);
        }
        told(arg, use->line, use->name, use->near.best);
    }
}

typedef struct warning {
    const ruc_file_t *file;
    ruc_buf_t *out;
    size_t count;
} warning_t;

static void warn(void *arg, int line, const char *name, const char *meant)
{
    warning_t *warning = arg;
    if (warning->count++ < RUC_WARNINGS_MAX) {
        bool found = meant[0] != '\0';
        ruc_buf_addf(warning->out, "%s%s:%d: warning: unknown name '%s'%s%s%s",
                     warning->out->len > 0 ? "\n" : "", warning->file->path, line, name,
                     found ? ", did you mean '" : "", meant, found ? "'?" : "");
    }
}

size_t ruc_globals_warn(const ruc_fileset_t *files, const ruc_names_t *known, const char *except,
                        ruc_buf_t *out)
{
    warning_t warning = {.out = out};
    for (size_t i = 0; i < files->count; i++) {
        const ruc_file_t *file = &files->files[i];
        if (except == NULL || strncmp(file->path, except, strlen(except)) != 0) {
            warning.file = file;
            ruc_globals_scan(file->text, file->len, known, warn, &warning);
        }
    }
    return warning.count;
}
