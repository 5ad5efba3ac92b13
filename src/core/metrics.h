/* metrics.h - counters, gauges and histograms, and their text for Prometheus (format 0.0.4).
 *
 * A family has a name, a help text, a type and label names; a series is one set of label values in
 * it. rucat's own families are the list below, written once; scripts define theirs at run time. A
 * series is looked up once and its handle then counted on with no look-up:
 *
 *     ruc_metric_t *hits = ruc_metrics_series(RUC_M_HTTP_REQUESTS, "/v1/engines", "200");
 *     ruc_metric_add(hits, 1);
 *
 * A family holds at most RUC_METRICS_SERIES_MAX series; what comes then is counted in one more
 * series whose label values are all "other". Handles are never NULL (without memory they count into
 * nothing) and live until ruc_metrics_remove or ruc_metrics_close. Loop thread only. */
#ifndef RUC_CORE_METRICS_H
#define RUC_CORE_METRICS_H

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

#define RUC_METRICS_SERIES_MAX 10000u
#define RUC_METRICS_FAMILIES_MAX 1000u /* of scripts */
#define RUC_METRICS_LABELS_MAX 8u
#define RUC_METRICS_BUCKETS_MAX 64u
#define RUC_METRICS_VALUE_MAX 256u /* bytes of a label value; longer ones are cut */

typedef enum { RUC_METRIC_COUNTER, RUC_METRIC_GAUGE, RUC_METRIC_HISTOGRAM } ruc_metric_type_t;

/* handle, type, name, label names (comma-separated), upper bounds of buckets, help.
 * Bounds are names of lists in metrics.c. */
#define RUC_METRICS_MAP(XX)                                                                        \
    XX(ENGINES, GAUGE, "rucat_engines", "state,type,platform", NONE, "Engines there are.")         \
    XX(ENGINE_TRANSITIONS, COUNTER, "rucat_engine_transitions_total", "from,to,reason", NONE,      \
       "Changes of an engine's state.")                                                            \
    XX(ENGINE_RESTARTS, COUNTER, "rucat_engine_restarts_total", "", NONE,                          \
       "Automatic restarts of drivers.")                                                           \
    XX(ENGINE_START, HISTOGRAM, "rucat_engine_start_seconds", "", START,                           \
       "From the start of a driver until it is ready.")                                            \
    XX(ENGINE_OWN, HISTOGRAM, "rucat_engine_own_seconds", "span", FAST,                            \
       "rucat's own share of a start: exec, from POST to exec; running, from ready to Running.")   \
    XX(HTTP_REQUESTS, COUNTER, "rucat_http_requests_total", "route,code", NONE,                    \
       "HTTP requests answered.")                                                                  \
    XX(HTTP_REQUEST, HISTOGRAM, "rucat_http_request_seconds", "", FAST,                            \
       "From a request's head until its answer was handed over.")                                  \
    XX(GATEWAY_STREAMS, GAUGE, "rucat_gateway_streams", "engine", NONE,                            \
       "Open streams through the gateway.")                                                        \
    XX(GATEWAY_BYTES, COUNTER, "rucat_gateway_bytes_total", "direction", NONE,                     \
       "Bytes through the gateway.")                                                               \
    XX(POLICY, HISTOGRAM, "rucat_policy_seconds", "policy", FAST, "Time in policies.")             \
    XX(POLICY_ERRORS, COUNTER, "rucat_policy_errors_total", "policy,kind", NONE,                   \
       "Policies that failed, were stopped or answered nonsense.")                                 \
    XX(SCRIPT_STOPPED, COUNTER, "rucat_script_stopped_total", "kind,budget", NONE,                 \
       "Scripts that were stopped because a budget was used up.")                                  \
    XX(SCRIPT_RENEWALS, COUNTER, "rucat_script_renewals_total", "", NONE,                          \
       "Script generations made anew because what they kept had filled their memory.")             \
    XX(STALLS, COUNTER, "rucat_stalls_total", "", NONE,                                            \
       "Times that this process has started itself again because its loop stood still.")           \
    XX(SCRIPT_GENERATION, GAUGE, "rucat_script_generation", "", NONE,                              \
       "The script generation that serves.")                                                       \
    XX(SCRIPT_LOAD_ERRORS, COUNTER, "rucat_script_load_errors_total", "", NONE,                    \
       "Script generations that could not be loaded.")                                             \
    XX(SCRIPTS_BROKEN, GAUGE, "rucat_scripts_broken", "", NONE,                                    \
       "1 while the newest scripts cannot be loaded and older ones serve, else 0.")                \
    XX(SCRIPTS_ERROR, GAUGE, "rucat_scripts_error", "error", NONE,                                 \
       "1 with what is wrong first, FILE:LINE: what, while rucat_scripts_broken is 1.")            \
    XX(STORE, HISTOGRAM, "rucat_store_seconds", "op", FAST,                                        \
       "From a call of the store until its answer.")                                               \
    XX(STORE_ERRORS, COUNTER, "rucat_store_errors_total", "", NONE,                                \
       "Calls that the store did not take.")                                                       \
    XX(REPLICAS, GAUGE, "rucat_replicas", "state", NONE,                                           \
       "Replicas on this store: alive, or gone within the last day.")                              \
    XX(LEASE_HELD, GAUGE, "rucat_lease_held", "", NONE,                                            \
       "1 while this replica's lease holds and it may decide, else 0.")                            \
    XX(LEASE_RENEWALS, COUNTER, "rucat_lease_renewals_total", "outcome", NONE,                     \
       "Renewals of this replica's lease: done or failed.")                                        \
    XX(FENCED, COUNTER, "rucat_fenced_total", "", NONE,                                            \
       "Times that the lease of this replica was over before it was renewed.")                     \
    XX(TAKEOVERS, COUNTER, "rucat_takeovers_total", "", NONE,                                      \
       "Engines taken over from a replica whose lease was over.")                                  \
    XX(STORE_STALE, GAUGE, "rucat_store_stale_seconds", "", NONE,                                  \
       "How long ago the engines were known to be as the store has them; 0: they are.")            \
    XX(LOG_DROPPED, COUNTER, "rucat_log_dropped_total", "", NONE,                                  \
       "Log lines dropped because nobody read them.")

/* What rucat says of its own process, read when it is rendered. */
#define RUC_METRICS_PROCESS_MAP(XX)                                                                \
    XX(PROCESS_CPU, COUNTER, "process_cpu_seconds_total", "", NONE,                                \
       "CPU time of this process in user and system mode.")                                        \
    XX(PROCESS_START, GAUGE, "process_start_time_seconds", "", NONE,                               \
       "Start of this process in seconds since 1970.")                                             \
    XX(PROCESS_RESIDENT, GAUGE, "process_resident_memory_bytes", "", NONE,                         \
       "Resident memory of this process.")                                                         \
    XX(PROCESS_FDS, GAUGE, "process_open_fds", "", NONE, "Open file descriptors.")                 \
    XX(PROCESS_MAX_FDS, GAUGE, "process_max_fds", "", NONE, "Bound on open file descriptors.")

typedef enum {
#define XX(id, type, name, labels, buckets, help) RUC_M_##id,
    RUC_METRICS_MAP(XX) RUC_METRICS_PROCESS_MAP(XX)
#undef XX
        RUC_M_COUNT
} ruc_metrics_own_t;

typedef struct ruc_metric ruc_metric_t; /* one series */
typedef struct ruc_metrics_family ruc_metrics_family_t;

/* The series of one of rucat's own families with these label values, in the order of the family's
 * label names: one `const char *` for each, none for a family without labels. Made when it is not
 * there. The number of values must be the family's (RUC_MUST). */
#define ruc_metrics_series(own, ...)                                                               \
    ruc_metrics_series_of(ruc_metrics_own(own), (const char *const[]){"", ##__VA_ARGS__} + 1,      \
                          sizeof((const char *const[]){"", ##__VA_ARGS__}) / sizeof(char *) - 1)

/* One of rucat's own families. Never NULL. */
ruc_metrics_family_t *ruc_metrics_own(ruc_metrics_own_t own);

/* Finds or makes a family at run time. Names as Prometheus wants them ([a-zA-Z_:][a-zA-Z0-9_:]*;
 * labels without colon, not "le" in a histogram, not starting with "__"); a counter's name ends in
 * _total by custom, which is not enforced. `buckets` are `nbuckets` rising upper bounds in the
 * observed unit, +Inf left out; none: those of request times. Everything is copied. Defining the
 * same again gives the same family; with another type or other labels, RUC_EINVALID; a name that
 * rucat uses itself, RUC_EEXISTS; RUC_EFULL at RUC_METRICS_FAMILIES_MAX; UV_ENOMEM. */
int ruc_metrics_define(const char *name, const char *help, ruc_metric_type_t type,
                       const char *const *labels, size_t nlabels, const double *buckets,
                       size_t nbuckets, ruc_metrics_family_t **out, ruc_why_t *why);

/* The family of that name, of rucat's own or defined; NULL when there is none. */
ruc_metrics_family_t *ruc_metrics_find(const char *name);

/* Type, number of labels and the name of one of them. */
ruc_metric_type_t ruc_metrics_type(const ruc_metrics_family_t *family);
size_t ruc_metrics_labels(const ruc_metrics_family_t *family);
const char *ruc_metrics_label(const ruc_metrics_family_t *family, size_t index);

/* The series with these `n` label values (n must be the family's number of labels: RUC_MUST). NUL
 * terminated; NULL counts as ""; invalid UTF-8 is made valid; values are copied. Never NULL. */
ruc_metric_t *ruc_metrics_series_of(ruc_metrics_family_t *family, const char *const *values,
                                    size_t n);

/* Forgets one series (an engine that is gone); its handle is then invalid. The "other" series
 * stays. */
void ruc_metrics_remove(ruc_metric_t *metric);

/* Counters and gauges: adds. A counter that would fall, or a NaN, is left as it is. */
void ruc_metric_add(ruc_metric_t *metric, double amount);

/* Gauges: sets. */
void ruc_metric_set(ruc_metric_t *metric, double value);

/* Histograms: takes one observation (seconds for times). NaN is passed over. */
void ruc_metric_observe(ruc_metric_t *metric, double value);

/* The value of a counter or gauge; of a histogram the number of observations. */
double ruc_metric_value(const ruc_metric_t *metric);

/* Appends everything as text. 0, RUC_ETOOBIG or UV_ENOMEM (then `out` holds a part). */
int ruc_metrics_render(ruc_buf_t *out);

/* Forgets all series and all defined families; every handle is then invalid. */
void ruc_metrics_close(void);

#endif
