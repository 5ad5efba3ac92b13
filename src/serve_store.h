/* serve_store.h - what `rucat serve` does with the store before it serves: opens it, reads all
 * engines into the table, and takes up the drivers that the store knows nothing of. Both run the
 * loop until that is done. */
#ifndef RUC_SERVE_STORE_H
#define RUC_SERVE_STORE_H

#include "lua/app.h"

/* Opens the store that the configuration of `app` says (SQLite in the file `path`), fills
 * app->store, table, feed (where others write to it too) and keys. 0, or a code and a sentence;
 * what is open then stays in `app`. */
int ruc_serve_open_store(ruc_app_t *app, const char *path, ruc_why_t *why);

/* Drivers that run although the store has no record of their engine (engine/recover.h). */
int ruc_serve_recover(ruc_app_t *app, ruc_why_t *why);

#endif
