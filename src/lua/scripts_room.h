/* scripts_room.h - what scripts.c (the generation that serves) and reload.c (the way to the next)
 * share. */
#ifndef RUC_LUA_SCRIPTS_ROOM_H
#define RUC_LUA_SCRIPTS_ROOM_H

#include "core/metrics.h"
#include "lua/globals.h"
#include "lua/scripts.h"
#include "lua/watch.h"

#define RUC__ROOTS_MAX 33
#define RUC__KEPT 5
#define RUC__CONFIG_MAX (1024u * 1024)

typedef struct ruc__asker {
    ruc_reload_cb cb;
    void *arg;
    struct ruc__asker *next;
} ruc__asker_t;

/* Of one look at the files: which texts they were. */
typedef struct ruc__digests {
    uint64_t scripts, config;
} ruc__digests_t;

struct ruc_scripts {
    ruc_app_t *app;
    ruc_generation_t *now;
    const char *source; /* "path" or "last good" */
    uint64_t last_number;
    char *last_error;
    int64_t last_error_ms;
    ruc_metric_t *error; /* a series with it; NULL */
    char *saved_dir;
    ruc_names_t known;  /* what scripts see */
    ruc_buf_t warnings; /* of the serving generation, a line each */
    size_t warning_count;
    ruc_watch_t *watch;              /* NULL: without memory, or not open yet */
    ruc__digests_t serving, tried;   /* of what serves; of what was tried last */
    ruc__asker_t *askers, *later;    /* of the reload under way; of the one after it */
    bool reading, again, look_again; /* `look_again`: only if files differ */
    /* What the thread pool works on. */
    uv_work_t work;
    const char *roots[RUC__ROOTS_MAX];
    size_t root_count;
    bool only_if_changed, polls, unchanged;
    uint64_t stamp;
    ruc__digests_t read;
    ruc_fileset_t files;
    char *config_text;
    size_t config_len;
    ruc_why_t why;
    int rc;
};

/* Keeps an error for those who ask, counts it and sets the gauge; NULL: there is none any more. */
void ruc__scripts_error(ruc_scripts_t *scripts, const char *text);

/* Makes `next` the generation that serves. */
void ruc__scripts_serve(ruc_scripts_t *scripts, ruc_generation_t *next, const char *source);

/* Keeps the serving generation in the state directory, and looks for what it should be warned of.
 * Thread pool. */
void ruc__scripts_save(ruc_scripts_t *scripts);

/* What a set should be warned of: the library is not for operators. */
size_t ruc__scripts_warn(ruc_app_t *app, const ruc_fileset_t *files, const ruc_names_t *known,
                         ruc_buf_t *out);

/* The script directories in their order; at most RUC__ROOTS_MAX. Returns how many. */
size_t ruc__scripts_roots(ruc_app_t *app, const char **roots);

/* Adds what is wrong with a set that could not be read to a report. */
void ruc__scripts_unread(const ruc_fileset_t *files, const ruc_why_t *why,
                         ruc_load_report_t *report);

/* Are these scripts that have held the loop up (then `report` says so)? They are not served again
 * until they change. */
bool ruc__scripts_stalled(const ruc_scripts_t *scripts, const ruc_fileset_t *files,
                          ruc_load_report_t *report);

/* Appends each line of a text to a list. */
void ruc__scripts_lines(json_t *list, const char *text);

/* Looks at the files, and reloads when they differ from what serves and from what was tried. */
void ruc__scripts_look(void *scripts);

/* Takes over how to watch from the configuration. */
void ruc__scripts_set_watch(ruc_scripts_t *scripts);

#endif
