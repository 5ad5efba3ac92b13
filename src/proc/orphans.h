/* orphans.h - children that the server before us in this process has left (handover.h of the
 * program): nobody here has their handles, and somebody must reap them. */
#ifndef RUC_PROC_ORPHANS_H
#define RUC_PROC_ORPHANS_H

#include <uv.h>

/* Notes the children there are, before any is started, and reaps each when it ends; no others. 0 or
 * a negative code. */
int ruc_proc_orphans_open(uv_loop_t *loop);

/* The handle closes in the loop's next turn. Fine when it is not open. */
void ruc_proc_orphans_close(void);

#endif
