/* plan.h - the plan: what a template (lua/templates/) wants to be run, as JSON.
 *
 *   driver   "process" (the default) or another kind
 *   argv     list of text, at least one; the first absolute or a plain name looked up in PATH
 *   env      map of name to text, over PATH HOME LANG TZ JAVA_HOME SPARK_* of the server
 *   cwd      absolute path; the engine's own directory where it is not given
 *   files    map of plain name to content, written 0600 into the run directory; 1 MiB in all
 *   ready    log, ui_log (patterns whose capture is a port), tcp (boolean), port, ui_port, host,
 *            timeout (seconds, 120)
 *   stop     signal ("TERM"), grace (seconds, 30)
 *
 * An empty list stands for an empty map, as Lua cannot tell them apart. */
#ifndef RUC_ENGINE_PLAN_H
#define RUC_ENGINE_PLAN_H

#include <jansson.h>
#include <stddef.h>

#include "core/err.h"
#include "engine/driver.h"

#define RUC_PLAN_FILES_MAX ((size_t)1 << 20) /* names and contents of `files` */
#define RUC_PLAN_MAX ((size_t)1 << 20)       /* plan.json */

/* Is it a plan? 0, or RUC_EINVALID (RUC_ETOOBIG) with the field and what was expected. */
int ruc_plan_check(const json_t *plan, ruc_why_t *why);

/* Makes the text of plan.json (see rucat-engine/plan.h) from a plan that passed the check. The
 * caller frees it. NULL with the reason in `why`. */
char *ruc_plan_make(const json_t *plan, const ruc_driver_spec_t *spec, ruc_why_t *why);

#endif
