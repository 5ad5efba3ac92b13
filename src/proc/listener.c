/* listener.c - see listener.h. */
#include "proc/listener.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/identity.h"

#define PARENTS_MAX 64

/* What was found so far. */
typedef struct found {
    unsigned port;
    uint32_t *inodes;
    size_t count, max;
} found_t;

static void add(found_t *found, uint32_t inode)
{
    size_t at = 0;
    while (at < found->count && found->inodes[at] < inode) {
        at++;
    }
    if (found->count < found->max && inode != 0 &&
        (at == found->count || found->inodes[at] != inode)) {
        memmove(found->inodes + at + 1, found->inodes + at,
                (found->count - at) * sizeof *found->inodes);
        found->inodes[at] = inode;
        found->count++;
    }
}

/* One datagram of the kernel's answer: 1 when it was the last, 0, or a negative code. */
static int take(found_t *found, const struct nlmsghdr *message, size_t len)
{
    for (; NLMSG_OK(message, len); message = NLMSG_NEXT(message, len)) {
        if (message->nlmsg_type == NLMSG_DONE) {
            return 1;
        }
        if (message->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *error = NLMSG_DATA(message);
            return error->error < 0 ? error->error : -EPROTO;
        }
        const struct inet_diag_msg *one = NLMSG_DATA(message);
        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof *one) &&
            ntohs(one->id.idiag_sport) == found->port) {
            add(found, one->idiag_inode);
        }
    }
    return 0;
}

/* Asks for all sockets of that family that listen: there are few. */
static int ask(int fd, int family, found_t *found)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body = {.sdiag_family = (uint8_t)family,
                          .sdiag_protocol = IPPROTO_TCP,
                          .idiag_states = 1u << TCP_LISTEN}};
    _Alignas(struct nlmsghdr) char answer[16384];
    if (send(fd, &request, sizeof request, 0) < 0) {
        return -errno;
    }
    int rc = 0;
    while (rc == 0) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got <= 0) {
            rc = got < 0 && errno == EINTR ? 0 : got < 0 ? -errno : -EPROTO;
        } else {
            rc = take(found, (const struct nlmsghdr *)answer, (size_t)got);
        }
    }
    return rc < 0 ? rc : 0;
}

int ruc_proc_listeners(unsigned port, uint32_t *inodes, size_t max)
{
    found_t found = {.port = port, .inodes = inodes, .max = max};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) {
        return -errno;
    }
    int rc = ask(fd, AF_INET, &found);
    if (rc == 0) {
        rc = ask(fd, AF_INET6, &found);
        rc = rc == -ENOENT ? 0 : rc; /* a kernel without IPv6 */
    }
    close(fd);
    return rc < 0 ? rc : (int)found.count;
}

/* Has the process a descriptor that is called so? */
static bool has_descriptor(int pid, const char *name)
{
    char path[64], link[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *list = opendir(path);
    bool has = false;
    if (list == NULL) {
        return false; /* gone, or not ours to look at */
    }
    for (struct dirent *entry; !has && (entry = readdir(list)) != NULL;) {
        ssize_t len = readlinkat(dirfd(list), entry->d_name, link, sizeof link - 1);
        if (len > 0) {
            link[len] = '\0';
            has = strcmp(link, name) == 0;
        }
    }
    closedir(list);
    return has;
}

int ruc_proc_socket_holder(uint32_t inode, int *pid)
{
    char name[40];
    snprintf(name, sizeof name, "socket:[%u]", inode);
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return -errno;
    }
    int rc = -ESRCH;
    for (struct dirent *entry; rc != 0 && (entry = readdir(proc)) != NULL;) {
        char *end;
        long number = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && number > 0 && has_descriptor((int)number, name)) {
            *pid = (int)number;
            rc = 0;
        }
    }
    closedir(proc);
    return rc;
}

/* Field 4 of /proc/PID/stat; 0: not known. */
static int parent_of(int pid)
{
    char path[64], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fgets(text, sizeof text, file) != NULL) {
        const char *end = strrchr(text, ')'); /* the name may have anything in it */
        if (end == NULL || sscanf(end, ") %*c %d", &parent) != 1) {
            parent = 0;
        }
    }
    fclose(file);
    return parent;
}

bool ruc_proc_is_of(int pid, int driver, const char *instance)
{
    if (ruc_proc_has_instance(pid, instance) == 1) {
        return true;
    }
    int helper = driver > 1 ? parent_of(driver) : 0;
    for (int i = 0; i < PARENTS_MAX && pid > 1 && driver > 1; i++) {
        if (pid == driver || pid == helper) {
            return true;
        }
        pid = parent_of(pid);
    }
    return false;
}
