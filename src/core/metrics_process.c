/* metrics_process.c - CPU, memory and descriptors of this process, out of /proc/self. */
#include "core/metrics_process.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"

/* Field `wanted` (proc(5) counts from 1) of /proc/self/stat, which is behind the command's name in
 * parentheses; 0 when it cannot be read. */
static double stat_field(const char *line, int wanted)
{
    const char *at = strrchr(line, ')');
    double value = 0;
    if (!at || at[1] == '\0') {
        return 0;
    }
    at += 2;
    for (int field = 3; field < wanted && at; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at && sscanf(at, "%lf", &value) == 1 ? value : 0;
}

/* Since Linux 6.2 the directory's size is the number; before, the entries are counted. */
static double count_fds(void)
{
    struct stat info;
    if (stat("/proc/self/fd", &info) == 0 && info.st_size > 0) {
        return (double)info.st_size;
    }
    DIR *dir = opendir("/proc/self/fd");
    double count = 0;
    if (!dir) {
        return 0;
    }
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

void ruc__metrics_process(ruc_metrics_process_t *out)
{
    memset(out, 0, sizeof *out);
    char line[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    if (file) {
        if (!fgets(line, sizeof line, file)) {
            line[0] = '\0';
        }
        fclose(file);
    }
    double tick = (double)sysconf(_SC_CLK_TCK);
    static double start; /* worked out once: a wall clock that is set must not move it */
    if (line[0] && tick > 0) {
        if (start == 0) {
            double now = (double)ruc_clock_wall_ms() / 1e3;
            double age = (double)ruc_clock_mono_ns() / 1e9 - stat_field(line, 22) / tick;
            start = floor((now - age) * 100) / 100;
        }
        out->start_seconds = start;
        out->resident_bytes = stat_field(line, 24) * (double)sysconf(_SC_PAGESIZE);
    }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        out->cpu_seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        out->max_fds = limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur;
    }
    out->open_fds = count_fds();
}
