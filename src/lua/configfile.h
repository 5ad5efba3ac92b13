/* configfile.h - reads etc/rucat.lua: a Lua file that returns a table, run with almost nothing. */
#ifndef RUC_LUA_CONFIGFILE_H
#define RUC_LUA_CONFIGFILE_H

#include <stddef.h>

#include "core/config.h"

/* Runs `text` (of the file `path`) and lays what it returns over `config`. Problems go into
 * `lines`, each "FILE:LINE: what" (or "FILE: what" where no line is known). 0 or RUC_EINVALID. */
int ruc_configfile_lay(ruc_config_t *config, const char *path, const char *text, size_t len,
                       ruc_config_report_t *lines);

#endif
