/* service.c - see service.h. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

int ruc_service_notify(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len == 0) {
        return 0;
    }
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof to.sun_path) {
        return -EINVAL;
    }
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* an abstract name */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t sent = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&to, size);
    int rc = sent < 0 ? -errno : 0;
    close(fd);
    return rc;
}

/* A variable that is a whole number above 0 and at most `most`; 0 when it is not. */
static uint64_t number_of(const char *name, uint64_t most)
{
    const char *text = getenv(name);
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return 0;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && value <= most ? value : 0;
}

uint64_t ruc_service_watchdog_ms(void)
{
    uint64_t whose = number_of("WATCHDOG_PID", INT_MAX);
    uint64_t us = number_of("WATCHDOG_USEC", (uint64_t)INT_MAX * 1000);
    if (getenv("WATCHDOG_PID") != NULL && whose != (uint64_t)getpid()) {
        return 0;
    }
    return us / 2000;
}

int ruc_service_sockets(int *fds, int most)
{
    int count = 0;
    uint64_t given = number_of("LISTEN_FDS", 1024);
    bool ours = number_of("LISTEN_PID", INT_MAX) == (uint64_t)getpid();
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; ours && i < (int)given; i++) {
        int fd = FIRST_FD + i;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
            continue; /* it is not there */
        }
        if (count < most) {
            fds[count++] = fd;
        } else {
            close(fd);
        }
    }
    return count;
}
