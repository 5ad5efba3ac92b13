/* identity.h - is the process of this number still the one we mean?
 *
 * A pid is used again sooner or later, so a signal is sent only through a pidfd that was opened
 * first and checked afterwards. The check is the boot id and, where every pidfd has an inode of its
 * own (Linux 6.9 and newer), that inode; elsewhere the start time (field 22 of /proc/PID/stat, 10
 * ms ticks) and the uuid in RUCAT_INSTANCE of /proc/PID/environ. When a step fails the answer is
 * no. Errors are negative errno values. No libuv: rucat-engine uses this too. Any thread; all of it
 * reads /proc and is for the thread pool where many processes are looked at. */
#ifndef RUC_PROC_IDENTITY_H
#define RUC_PROC_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUC_BOOT_ID_SIZE 37
#define RUC_INSTANCE_SIZE 64 /* a uuid with some room */

typedef struct ruc_proc_id {
    int pid;
    uint64_t start;     /* ticks since boot; 0: not known */
    uint64_t pidfd_ino; /* 0: this kernel has none */
    char boot_id[RUC_BOOT_ID_SIZE];
    char instance[RUC_INSTANCE_SIZE]; /* RUCAT_INSTANCE; "" for a process that has none */
} ruc_proc_id_t;

/* Writes the boot id of this kernel. 0 or a negative code. */
int ruc_proc_boot_id(char out[RUC_BOOT_ID_SIZE]);

/* The start time of a process, in ticks since boot. 0, -ENOENT or another negative code. */
int ruc_proc_start_time(int pid, uint64_t *ticks);

/* A pidfd (close-on-exec, the caller closes it), -ESRCH or another negative code. */
int ruc_proc_pidfd(int pid);

/* The inode of a pidfd where it identifies a process, else 0. */
uint64_t ruc_proc_pidfd_inode(int pidfd);

/* Fills in all of `id` but the instance, for a process that is there. 0 or a negative code. */
int ruc_proc_identify(int pid, ruc_proc_id_t *id);

/* 1: the environment of the process says RUCAT_INSTANCE=instance; 0: it does not (a zombie has no
 * environment); negative: it could not be read. At most 4 MiB of it are looked at. */
int ruc_proc_has_instance(int pid, const char *instance);

/* A verified pidfd of the very process `id` names (the caller closes it); -ESRCH when it is gone
 * or another one has its number. */
int ruc_proc_same(const ruc_proc_id_t *id);

/* True when the process behind a pidfd has ended (a zombie, or reaped): its memory, its files and
 * its locks are given back. A process that is ending has no environment any more, but still has
 * its port. */
bool ruc_proc_ended(int pidfd);

/* True when the process is stopped (SIGSTOP, or a debugger holds it). */
bool ruc_proc_stopped(int pid);

/* Sends a signal to that very process. 0, -ESRCH or another negative code. */
int ruc_proc_signal(const ruc_proc_id_t *id, int signal);

/* The pids of all processes whose environment says RUCAT_INSTANCE=instance, this one excepted: at
 * most `max` are written, the number of all is returned, or a negative code. */
int ruc_proc_list_instance(const char *instance, int *pids, size_t max);

/* Sends a signal to each of them, each through a verified pidfd. How many there were, or a negative
 * code. To be repeated until it is 0. */
int ruc_proc_signal_instance(const char *instance, int signal);

#endif
