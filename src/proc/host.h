/* host.h - which host is this? A machine, one boot of it, and one pid namespace there: a container
 * is a host of its own, and a machine that was started anew is another one, because no process of
 * the one can be there, seen or signalled from the other. Each part is a hash, as the ids that they
 * are made of are nobody's business outside of the machine. Any thread; reads files. */
#ifndef RUC_PROC_HOST_H
#define RUC_PROC_HOST_H

#include <stdbool.h>

#define RUC_HOST_SIZE 51 /* "MACHINE-BOOT-NAMESPACE", 16 hexadecimal digits each, and the NUL */
#define RUC_HOST_NAME_SIZE 65

/* Writes what identifies this host. Always succeeds: without /etc/machine-id the machine is known
 * by its name. */
void ruc_host_identify(char out[RUC_HOST_SIZE]);

/* Writes the machine's name, for people; "unknown" without one. */
void ruc_host_name(char out[RUC_HOST_NAME_SIZE]);

/* True when both are of the same machine, whatever their boot or namespace; texts that are no
 * hosts are of none. */
bool ruc_host_same_machine(const char *a, const char *b);

/* True when both are of the same machine, and of two boots of it: nothing of the one has survived
 * into the other. */
bool ruc_host_rebooted(const char *a, const char *b);

#endif
