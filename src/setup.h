/* setup.h - what every command that reads the configuration does first: where things are, and the
 * configuration from file, environment and flags. */
#ifndef RUC_SETUP_H
#define RUC_SETUP_H

#include <limits.h>
#include <stdbool.h>

#include "core/config.h"

#define RUC_FLAGS_MAX 16

/* Where this program's parts are: from the tree it was built in, else where it was installed. */
typedef struct ruc_places {
    char lua_dir[PATH_MAX];
    char engine_binary[PATH_MAX];
    char config_file[PATH_MAX]; /* "" when there is none */
} ruc_places_t;

/* What the command line says of configuration keys. */
typedef struct ruc_flags {
    const char *config_file; /* NULL: the default */
    bool strict;             /* check: a warning counts as an error */
    const char *try_kind;    /* check: a policy to ask about samples; NULL none */
    struct {
        const char *path, *text;
    } keys[RUC_FLAGS_MAX];
    size_t count;
} ruc_flags_t;

/* Finds the places; `config` is the file that was asked for, or NULL. 0 or a negative code. */
int ruc_setup_places(ruc_places_t *places, const char *config, ruc_why_t *why);

/* Builds the configuration. On failure every problem is a line on standard error and the result is
 * RUC_EINVALID. Warnings are logged. */
int ruc_setup_config(ruc_config_t *config, const ruc_places_t *places, const ruc_flags_t *flags);

/* Lays the flags of the command over a configuration again (a reload). */
void ruc_setup_lay_flags(ruc_config_t *config);

#define RUC_PASSWORD_SIZE 1026

/* The first line of store.password_file, without its newline. 0, or a code and a sentence; a file
 * that others may read is said in the log. Waits for the disk. */
int ruc_setup_password(const char *path, char out[RUC_PASSWORD_SIZE], ruc_why_t *why);

#endif
