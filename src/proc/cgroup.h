/* cgroup.h - a cgroup (version 2) of its own for a driver and all that comes from it.
 *
 * Where a cgroup2 file system is mounted and we may make directories in our part of it, a driver
 * gets `BASE/rucat-INSTANCE`. Everything it forks stays in there, whatever it does to its session,
 * its group or its parents; so it can be killed in one go and counted. Nothing is taken for
 * granted: each function says when this kernel, or this mount, cannot do it, and the caller then
 * does without.
 *
 * BASE is the nearest part above us that systemd has delegated to us (Delegate=yes), else the
 * cgroup we are in. Errors are negative errno values. No libuv: rucat-engine uses this too. All of
 * it reads and writes files of the kernel: short, but on the server for the thread pool. */
#ifndef RUC_PROC_CGROUP_H
#define RUC_PROC_CGROUP_H

#include <stddef.h>
#include <stdint.h>

#define RUC_CGROUP_PATH_SIZE 1024

/* Writes the path that the cgroup of an instance has, or would have. 0, or -ENOENT where there is
 * no cgroup2 that we are in. */
int ruc_cgroup_path(const char *instance, char out[RUC_CGROUP_PATH_SIZE]);

/* Makes it, if it is not there, and opens it. A descriptor (close-on-exec, the caller's), or an
 * error: where it may not be made there is none. */
int ruc_cgroup_make(const char *path);

/* Opens one that was made before. `path` comes from a file, so it must be a cgroup2 directory whose
 * name is that of the instance: -EINVAL. -ENOENT: removed meanwhile. */
int ruc_cgroup_open(const char *path, const char *instance);

/* Moves a process into it, with all its threads. 0 or an error. */
int ruc_cgroup_add(int dir, int pid);

/* SIGKILL to all in it and below it: by cgroup.kill; where the kernel has no such file (before
 * Linux 5.14) it is frozen first and each one is killed. To be repeated until it is not populated.
 * 0 or an error. */
int ruc_cgroup_kill(int dir);

/* 1 while a process lives in it or below it (the dead that nobody has waited for do not count), 0
 * when there is none, or an error. */
int ruc_cgroup_populated(int dir);

/* How many in it were killed because memory ran out; -1: the kernel does not say (no memory
 * controller there). */
int64_t ruc_cgroup_oom_kills(int dir);

/* Bytes of memory charged to it; -1: the kernel does not say. */
int64_t ruc_cgroup_memory(int dir);

/* Removes it and what was made below it; 0 also when it is not there. -EBUSY: somebody is in it. */
int ruc_cgroup_remove(const char *path);

/* Removes those of instances that nobody is in any more and that are older than `age_s` seconds:
 * what killed helpers left. How many. */
int ruc_cgroup_clean(int64_t age_s);

#endif
