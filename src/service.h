/* service.h - what a service manager (systemd) is told and hands over: sd_notify(3),
 * sd_listen_fds(3), sd_watchdog_enabled(3). Those pages describe the protocol for programs that do
 * without the library: a datagram to NOTIFY_SOCKET, and descriptors from 3 on. Where no manager
 * started us, all of it does nothing. Loop thread, or before the loop runs. */
#ifndef RUC_SERVICE_H
#define RUC_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

/* Sends "READY=1", "STOPPING=1", "STATUS=...", lines of the protocol. 0, 0 where nobody listens, or
 * a negative errno. Does not wait: a manager that does not read loses it. */
int ruc_service_notify(const char *lines);

/* How often "WATCHDOG=1" is to be sent, in milliseconds: half of what the manager allows. 0: never.
 */
uint64_t ruc_service_watchdog_ms(void);

/* The sockets that were handed over to this process, at most `most`. To be called before anything
 * else is opened: they are known by their numbers alone. They are closed on exec from
 * then on, and the variables that told of them are gone. Returns how many; more than `most` are
 * closed. */
int ruc_service_sockets(int *fds, int most);

#endif
