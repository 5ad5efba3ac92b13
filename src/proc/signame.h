/* signame.h - signals by name. Names are written with or without "SIG"; what is given out has it.
 */
#ifndef RUC_PROC_SIGNAME_H
#define RUC_PROC_SIGNAME_H

#include <stddef.h>

#define RUC_SIGNAME_SIZE 12 /* "SIGRTMIN+30" and the NUL */

/* The signals that may be asked for as a stop signal, for a message. */
#define RUC_STOP_SIGNALS "TERM, INT, HUP, QUIT, ABRT, USR1, USR2, WINCH or KILL"

/* The number of a signal that may be used to stop a driver ("TERM", "SIGTERM"), or -1. */
int ruc_proc_stop_signal(const char *name);

/* Writes the name of any signal ("SIGKILL", "SIGRTMIN+3", "SIG99"); returns `out`. */
const char *ruc_proc_signal_name(int signal, char out[RUC_SIGNAME_SIZE]);

#endif
