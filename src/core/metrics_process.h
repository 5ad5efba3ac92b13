/* metrics_process.h - what /proc says of this process, for the process_* metrics. */
#ifndef RUC_CORE_METRICS_PROCESS_H
#define RUC_CORE_METRICS_PROCESS_H

typedef struct ruc_metrics_process {
    double cpu_seconds;   /* user and system */
    double start_seconds; /* since 1970 */
    double resident_bytes;
    double open_fds;
    double max_fds;
} ruc_metrics_process_t;

/* Fills in what can be read; what cannot is 0. Reads /proc only (no disk). Loop thread only. */
void ruc__metrics_process(ruc_metrics_process_t *out);

#endif
