/* metrics_room.h - what metrics.c (counting) and metrics_text.c (the text format) share: how
 * families and series look inside. */
#ifndef RUC_CORE_METRICS_ROOM_H
#define RUC_CORE_METRICS_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "core/metrics.h"

#define RUC__METRICS_MEMO 110 /* bytes of values that are remembered */
#define RUC__METRICS_MEMOS 4

struct ruc_metric {
    ruc_metrics_family_t *family;
    UT_hash_handle hh;
    char *labels;       /* as they are printed, "" for none */
    double value;       /* counters, gauges; histograms: the sum */
    uint64_t count;     /* histograms: all observations */
    uint64_t buckets[]; /* histograms: observations of each bucket alone */
};

/* What was asked for lately: the values as they were given, NUL between them. */
typedef struct ruc__metrics_memo {
    ruc_metric_t *metric; /* NULL: empty */
    uint16_t len;
    char values[RUC__METRICS_MEMO];
} ruc__metrics_memo_t;

struct ruc_metrics_family {
    char *name, *help;
    ruc_metric_type_t type;
    char *labels[RUC_METRICS_LABELS_MAX];
    size_t nlabels;
    double *bounds;
    size_t nbounds;
    ruc_metric_t *series;  /* hash by labels, in the order of making */
    ruc_metric_t *other;   /* counts what is above the bound; NULL until then */
    ruc_metric_t *nowhere; /* counts what there is no memory for; is not printed */
    ruc_metrics_family_t *next;
    ruc__metrics_memo_t memo[RUC__METRICS_MEMOS];
};

/* The first of the families that scripts defined; the others by `next`. */
ruc_metrics_family_t *ruc__metrics_defined(void);

/* Appends text as it stands between the quotes of a label value or, not `quoted`, on a HELP line
 * (where a quote stays as it is), made valid UTF-8 and cut at `max` bytes. As ruc_buf_add. */
int ruc__metrics_escape(ruc_buf_t *out, const char *text, size_t max, bool quoted);

#endif
