/* server.h - the admin socket: a unix socket of mode 0600 that only root and the server's own user
 * may use, and the consoles on it. Loop thread only. */
#ifndef RUC_CONSOLE_SERVER_H
#define RUC_CONSOLE_SERVER_H

#include "lua/app.h"

#define RUC_CONSOLES_MAX 16

/* Opens the socket: the configuration's `console` (a relative path is below the state directory),
 * else STATE_DIR/console. Reads the shipped library: before the loop runs. 0 or a negative code
 * and `why`; then nothing is open. `app` is borrowed and must outlive it. `fd`: the socket, bound
 * and listening, that the server before has left; -1: there is none. It is taken over in every
 * case. */
int ruc_console_open(ruc_app_t *app, int fd, ruc_why_t *why);

/* The descriptor of the socket; -1 when it is not open. */
int ruc_console_fd(void);

/* Ends every console with a last message and closes the socket, at once; their jobs are cancelled.
 * Not from inside a job. Fine when nothing is open. What is left are handles that the loop closes;
 * ruc_console_free comes after the loop. */
void ruc_console_close(void);
void ruc_console_free(void);

/* Where the socket of a server with this state directory and configuration key is. `configured`
 * may be NULL. 0 or RUC_ETOOBIG and `why` (a unix socket's path has at most 107 bytes). */
int ruc_console_path(const char *configured, const char *state_dir, char *out, size_t size,
                     ruc_why_t *why);

#endif
