/* client.h - `rucat console`: the client of the admin socket. */
#ifndef RUC_CONSOLE_CLIENT_H
#define RUC_CONSOLE_CLIENT_H

#include <signal.h>

#include "console/link.h"

typedef struct ruc_client {
    ruc_link_t link;
    int signals;       /* a signalfd for SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT */
    int columns;       /* of the terminal; 0 when standard output is none */
    int64_t running;   /* the eval that has no answer yet; 0 none */
    bool over;         /* leave */
    bool failed;       /* some line did */
    bool incomplete;   /* the last line goes on */
    bool prompting;    /* a line is being typed (edit.c) */
    unsigned cancels;  /* of the line that runs */
    ruc_buf_t pending; /* the lines so far of one that goes on */
} ruc_client_t;

/* Connects, runs `code`, else the file, else what is typed or comes by standard input; the exit
 * code. */
int ruc_console_client(const char *socket, const char *code, const char *file);

/* Starts an eval of client->pending. Says what is wrong when it cannot (too long, no UTF-8). */
bool ruc_client_eval(ruc_client_t *client, const char *name);

/* Waits until the socket, a signal or (where `input`) standard input has something, and deals with
 * all but the input. True when there is input. */
bool ruc_client_turn(ruc_client_t *client, bool input);

/* ---- edit.c: a line editor on a terminal ---- */

/* Reads lines and runs them until Ctrl-D or the server's end. */
void ruc_edit_run(ruc_client_t *client, const char *greeting);

/* Around anything that is printed while a line may be typed: takes prompt and line off the screen
 * and puts them back. Nothing when no line is being typed. */
void ruc_edit_hide(ruc_client_t *client);
void ruc_edit_show(ruc_client_t *client);

/* Ctrl-C at the prompt, back from Ctrl-Z, and another size of the terminal. */
void ruc_edit_interrupt(ruc_client_t *client);
void ruc_edit_resume(ruc_client_t *client);
void ruc_edit_resize(ruc_client_t *client);

#endif
