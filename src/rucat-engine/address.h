/* address.h - a host of the plan (an IP address, or "localhost") as a socket address. No resolver:
 * it would block, and a driver is on this machine. */
#ifndef RUC_RE_ADDRESS_H
#define RUC_RE_ADDRESS_H

#include <sys/socket.h>

/* 0 or -1 when `host` is no address. */
int ruc_re_address(const char *host, int port, struct sockaddr_storage *out, socklen_t *len);

#endif
