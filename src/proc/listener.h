/* listener.h - who listens on a TCP port of this machine? A driver's port can become somebody
 * else's while the driver lives on: it closed its socket, and another process took the number.
 * Errors are negative errno values. Any thread. */
#ifndef RUC_PROC_LISTENER_H
#define RUC_PROC_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The inodes of the sockets that listen on that port, in rising order: at most `max` are written,
 * the number of those is returned, or a negative code. An inode is a socket's as long as that is
 * there. Asks the kernel (sock_diag(7)) and does not wait. */
int ruc_proc_listeners(unsigned port, uint32_t *inodes, size_t max);

/* The pid of a process that has that socket. 0; -ESRCH when none is to be seen. Looks at the
 * descriptors of all processes: for the thread pool. */
int ruc_proc_socket_holder(uint32_t inode, int *pid);

/* Does the process belong to a driver: by RUCAT_INSTANCE in its environment, or because it or one
 * of its parents is `driver` or the rucat-engine that started that? */
bool ruc_proc_is_of(int pid, int driver, const char *instance);

#endif
