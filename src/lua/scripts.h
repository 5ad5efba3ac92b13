/* scripts.h - the generation that serves, and the way from one to the next.
 *
 * A reload reads all files (and the configuration file) on the thread pool, builds a generation
 * beside the one that serves, and swaps only when nothing is wrong. Accepted generations are kept
 * in state_dir/scripts; a server that starts with broken scripts starts on the newest of those. */
#ifndef RUC_LUA_SCRIPTS_H
#define RUC_LUA_SCRIPTS_H

#include <jansson.h>

#include "lua/generation.h"

typedef struct ruc_scripts ruc_scripts_t;

/* Reads and builds the first generation, before the loop runs. 0, or RUC_ESCRIPT with all that is
 * wrong in `report` and no generation to fall back on. When it fell back, the errors are in
 * `report` too and the result is 0. */
int ruc_scripts_open(ruc_app_t *app, ruc_load_report_t *report);

/* Keeps the generation that serves in state_dir/scripts, on the thread pool, unless the newest one
 * there is the same. For the start; a reload does it by itself. */
void ruc_scripts_keep(ruc_scripts_t *scripts);

/* True while the thread pool reads or keeps scripts. */
bool ruc_scripts_busy(const ruc_scripts_t *scripts);

/* Retires the generation and frees all. Not while it is busy. */
void ruc_scripts_close(ruc_scripts_t *scripts);

/* The generation that serves. Never NULL after ruc_scripts_open. */
ruc_generation_t *ruc_scripts_now(ruc_scripts_t *scripts);

/* Called when a reload is over: rc 0 or RUC_ESCRIPT, and what is to be told of it:
 * {generation, changed: [file...], config: [{key, note}...], errors: [text...]}; borrowed. */
typedef void (*ruc_reload_cb)(void *arg, int rc, json_t *report);

/* Reloads; several requests while one is under way share the next one. `cb` may be NULL. 0 or a
 * negative code (then cb is not called). */
int ruc_scripts_reload(ruc_scripts_t *scripts, ruc_reload_cb cb, void *arg);

/* Makes the generation that serves anew, of the files it was made of, and serves with it: what its
 * scripts have kept is let go of. Logged, with `story` (why), and counted; where it fails the old
 * one serves on. Not while ruc_scripts_busy. */
void ruc_scripts_renew(ruc_scripts_t *scripts, const char *story);

/* {generation, source, watch, files: [{name, path}...], warnings: [text...], last_error,
 * last_error_at}. New reference. */
json_t *ruc_scripts_status(ruc_scripts_t *scripts);

/* Reads scripts and configuration without serving them, for `rucat check`: 0 or RUC_ESCRIPT. */
int ruc_scripts_check(ruc_app_t *app, ruc_load_report_t *report);

#endif
