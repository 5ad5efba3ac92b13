/* usage.h - what drivers take: CPU time, memory, processes, each with all that it has started.
 * Reads /proc, all of it once: for the thread pool. */
#ifndef RUC_PROC_USAGE_H
#define RUC_PROC_USAGE_H

#include <stddef.h>
#include <stdint.h>

typedef struct ruc_usage {
    int pid;         /* given: the driver's */
    int processes;   /* how many there are; 0: the driver is gone, the rest means nothing */
    uint64_t cpu_ms; /* user and system, of those that live and of children that were waited for */
    uint64_t memory_bytes; /* of its cgroup where the kernel counts it (with its part of the page
                              cache), else proportional (Pss) where it can be read, else resident */
} ruc_usage_t;

/* Fills in `usages` (each has its `pid` set) for `n` drivers. To a driver belongs what descends
 * from it, and what its rucat-engine has got back (a subreaper) of what it left behind. At most
 * 65,536 processes are looked at. 0 or a negative errno. */
int ruc_proc_usage(ruc_usage_t *usages, size_t n);

#endif
