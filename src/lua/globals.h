/* globals.h - which names that are not there does a script use? By its text, without running it.
 *
 * Follows the scopes of Lua 5.4: locals, parameters, labels, `local _ENV`. A name that the file
 * sets itself anywhere is one of its own. Of a table that is known whole, fields are looked at too:
 * `rucat.clok`. What it cannot see (a field by an expression, a name in a text) it says nothing of.
 * Pure C, for the thread pool. */
#ifndef RUC_LUA_GLOBALS_H
#define RUC_LUA_GLOBALS_H

#include <stdbool.h>
#include <stddef.h>

#include "lua/fileset.h"
#include "lua/namelist.h"

#define RUC_WARNINGS_MAX 100 /* that are told of in a set */

/* Told of each use of an unknown name, in their order: the line, the name as a dotted
 * path, what was probably meant ("" nothing). */
typedef void (*ruc_globals_cb)(void *arg, int line, const char *name, const char *meant);

/* Looks through a text. False: it is not Lua, or nested too deep; then nothing is told. */
bool ruc_globals_scan(const char *text, size_t len, const ruc_names_t *known, ruc_globals_cb told,
                      void *arg);

/* Looks through a set, but for files whose path begins with `except` (NULL: none), and appends
 * "FILE:LINE: warning: unknown name 'x', did you mean 'y'?" lines. Returns how many uses there
 * are. */
size_t ruc_globals_warn(const ruc_fileset_t *files, const ruc_names_t *known, const char *except,
                        ruc_buf_t *out);

#endif
