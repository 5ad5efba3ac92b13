/* host.c - see host.h. */
#include "proc/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc/identity.h"

#define PART 16 /* digits */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (const char *salted = "rucat host"; *salted != '\0'; salted++) {
        hash = (hash ^ (unsigned char)*salted) * 1099511628211u;
    }
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash;
}

/* The machine's id; false when there is none (a container's is often empty). */
static bool machine_id(char out[64])
{
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, out, 63);
    if (fd >= 0) {
        close(fd);
    }
    out[len < 0 ? 0 : len] = '\0';
    out[strspn(out, "0123456789abcdef")] = '\0';
    return strlen(out) == 32;
}

void ruc_host_name(char out[RUC_HOST_NAME_SIZE])
{
    if (gethostname(out, RUC_HOST_NAME_SIZE) < 0 || out[0] == '\0') {
        snprintf(out, RUC_HOST_NAME_SIZE, "unknown");
    }
    out[RUC_HOST_NAME_SIZE - 1] = '\0';
}

void ruc_host_identify(char out[RUC_HOST_SIZE])
{
    char machine[RUC_HOST_NAME_SIZE], boot[RUC_BOOT_ID_SIZE] = "", space[PATH_MAX] = "";
    if (!machine_id(machine)) {
        ruc_host_name(machine);
    }
    if (ruc_proc_boot_id(boot) < 0) {
        boot[0] = '\0';
    }
    ssize_t len = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[len < 0 ? 0 : len] = '\0';
    snprintf(out, RUC_HOST_SIZE, "%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64, hash_of(machine),
             hash_of(boot), hash_of(space));
}

static bool is_host(const char *text)
{
    return strlen(text) == RUC_HOST_SIZE - 1 && text[PART] == '-' && text[2 * PART + 1] == '-';
}

bool ruc_host_same_machine(const char *a, const char *b)
{
    return is_host(a) && is_host(b) && strncmp(a, b, PART) == 0;
}

bool ruc_host_rebooted(const char *a, const char *b)
{
    return ruc_host_same_machine(a, b) && strncmp(a + PART + 1, b + PART + 1, PART) != 0;
}
