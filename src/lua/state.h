/* state.h - what scripts keep for one another: values by name that outlive calls and reloads, in
 * memory, bounded, copied in and out. One for all scripts of a server; it ends with the server.
 * While files are loaded (self-tests too) there is another one, empty, that is forgotten at the end
 * of the load: a generation that is refused leaves nothing behind. Loop thread only. */
#ifndef RUC_LUA_STATE_H
#define RUC_LUA_STATE_H

/* Forgets what was kept while files were loaded. */
void ruc_state_forget_load(void);

/* Forgets all. At the end of the process. */
void ruc_state_close(void);

#endif
