/* reaper.h - reaps rucat-engines that are our children without this program having started them: a
 * server that executed itself anew (same pid, same children) finds them by adoption, and libuv
 * waits only for what it has spawned. Loop thread only. */
#ifndef RUC_ENGINE_REAPER_H
#define RUC_ENGINE_REAPER_H

#include <uv.h>

/* Sees to it that this process is reaped when it ends, if it is a child of ours; else, and when it
 * is seen to already, nothing happens. Not for what uv_spawn started. 0 or a negative code. Does
 * not keep the loop alive. */
int ruc_reaper_watch(uv_loop_t *loop, int pid);

/* Closes what is kept for this loop: at the end of the server. */
void ruc_reaper_close(uv_loop_t *loop);

#endif
