/* metrics.c - families and their series, and counting.
 *
 * A series keeps its labels as they are written (`route="/v1",code="200"`, escaped): that text is
 * both its key in the family's hash and what is printed, so a scrape only joins pieces. Families of
 * our own come from the list in metrics.h and are made at the first use. */
#include "core/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/check.h"
#include "core/metrics_room.h"

static const double bounds_fast[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                     0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
static const double bounds_start[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300};

#define BOUNDS_NONE NULL, 0
#define BOUNDS_FAST bounds_fast, sizeof bounds_fast / sizeof(double)
#define BOUNDS_START bounds_start, sizeof bounds_start / sizeof(double)

static const struct {
    ruc_metric_type_t type;
    const char *name, *labels, *help;
    const double *bounds;
    size_t nbounds;
} own[RUC_M_COUNT] = {
#define XX(id, type, name, labels, buckets, help)                                                  \
    {RUC_METRIC_##type, name, labels, help, BOUNDS_##buckets},
    RUC_METRICS_MAP(XX) RUC_METRICS_PROCESS_MAP(XX)
#undef XX
};

static ruc_metrics_family_t *own_families[RUC_M_COUNT];
static ruc_metrics_family_t *defined, **defined_end = &defined;
static size_t ndefined;

/* --- families --- */

static void free_series(ruc_metric_t *metric)
{
    if (metric) {
        free(metric->labels);
        free(metric);
    }
}

static void free_family(ruc_metrics_family_t *family)
{
    ruc_metric_t *metric, *next;
    HASH_ITER(hh, family->series, metric, next)
    {
        HASH_DEL(family->series, metric);
        free_series(metric);
    }
    free_series(family->other);
    free_series(family->nowhere);
    for (size_t i = 0; i < family->nlabels; i++) {
        free(family->labels[i]);
    }
    free(family->bounds);
    free(family->name);
    free(family->help);
    free(family);
}

static ruc_metric_t *new_series(ruc_metrics_family_t *family, const char *labels)
{
    ruc_metric_t *metric = calloc(1, sizeof *metric + family->nbounds * sizeof(uint64_t));
    if (!metric || !(metric->labels = strdup(labels))) {
        free(metric);
        return NULL;
    }
    metric->family = family;
    return metric;
}

static ruc_metrics_family_t *new_family(const char *name, const char *help, ruc_metric_type_t type,
                                        const char *const *labels, size_t nlabels,
                                        const double *bounds, size_t nbounds)
{
    ruc_metrics_family_t *family = calloc(1, sizeof *family);
    if (!family) {
        return NULL;
    }
    family->type = type;
    family->name = strdup(name);
    family->help = strdup(help);
    bool fine = family->name && family->help;
    for (size_t i = 0; i < nlabels && fine; i++) {
        family->labels[i] = strdup(labels[i]);
        family->nlabels++;
        fine = family->labels[i] != NULL;
    }
    if (type == RUC_METRIC_HISTOGRAM && fine) {
        family->bounds = malloc(nbounds * sizeof *bounds);
        fine = family->bounds != NULL;
        if (fine) {
            memcpy(family->bounds, bounds, nbounds * sizeof *bounds);
            family->nbounds = nbounds;
        }
    }
    if (!fine || !(family->nowhere = new_series(family, ""))) {
        free_family(family);
        return NULL;
    }
    return family;
}

/* A family of our own from its line in the list. A few at the start of the program; without memory
 * for that nothing would work. */
static ruc_metrics_family_t *make_own(ruc_metrics_own_t id)
{
    char text[128];
    const char *labels[RUC_METRICS_LABELS_MAX];
    size_t n = 0;
    RUC_MUST(strlen(own[id].labels) < sizeof text);
    memcpy(text, own[id].labels, strlen(own[id].labels) + 1);
    char *rest = NULL;
    for (char *label = strtok_r(text, ",", &rest); label; label = strtok_r(NULL, ",", &rest)) {
        RUC_MUST(n < RUC_METRICS_LABELS_MAX);
        labels[n++] = label;
    }
    ruc_metrics_family_t *family = new_family(own[id].name, own[id].help, own[id].type, labels, n,
                                              own[id].bounds, own[id].nbounds);
    RUC_MUST(family);
    return family;
}

ruc_metrics_family_t *ruc_metrics_own(ruc_metrics_own_t id)
{
    if (!own_families[id]) {
        own_families[id] = make_own(id);
    }
    return own_families[id];
}

ruc_metrics_family_t *ruc_metrics_find(const char *name)
{
    for (int id = 0; id < RUC_M_COUNT; id++) {
        if (strcmp(own[id].name, name) == 0) {
            return ruc_metrics_own((ruc_metrics_own_t)id);
        }
    }
    for (ruc_metrics_family_t *family = defined; family; family = family->next) {
        if (strcmp(family->name, name) == 0) {
            return family;
        }
    }
    return NULL;
}

static bool is_name(const char *text, bool colons)
{
    size_t len = strnlen(text, 256);
    if (len == 0 || len > 200 || (*text >= '0' && *text <= '9')) {
        return false;
    }
    for (; *text; text++) {
        bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        bool digit = *text >= '0' && *text <= '9';
        if (!letter && !digit && *text != '_' && !(colons && *text == ':')) {
            return false;
        }
    }
    return true;
}

static int check_labels(ruc_metric_type_t type, const char *const *labels, size_t n, ruc_why_t *why)
{
    if (n > RUC_METRICS_LABELS_MAX) {
        return ruc_why_set(why, RUC_EINVALID, "more than %u labels", RUC_METRICS_LABELS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_name(labels[i], false) || strncmp(labels[i], "__", 2) == 0 ||
            (type == RUC_METRIC_HISTOGRAM && strcmp(labels[i], "le") == 0)) {
            return ruc_why_set(why, RUC_EINVALID, "\"%s\" cannot be a label's name", labels[i]);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(labels[i], labels[k]) == 0) {
                return ruc_why_set(why, RUC_EINVALID, "the label \"%s\" is there twice", labels[i]);
            }
        }
    }
    return 0;
}

static int check_bounds(const double *bounds, size_t n, ruc_why_t *why)
{
    if (n > RUC_METRICS_BUCKETS_MAX) {
        return ruc_why_set(why, RUC_EINVALID, "more than %u buckets", RUC_METRICS_BUCKETS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1])) {
            return ruc_why_set(why, RUC_EINVALID, "buckets must be finite numbers that rise");
        }
    }
    return 0;
}

/* Is what is there what is wanted again? */
static int check_same(const ruc_metrics_family_t *family, ruc_metric_type_t type,
                      const char *const *labels, size_t n, ruc_why_t *why)
{
    bool same = family->type == type && family->nlabels == n;
    for (size_t i = 0; i < n && same; i++) {
        same = strcmp(family->labels[i], labels[i]) == 0;
    }
    return same ? 0
                : ruc_why_set(why, RUC_EINVALID,
                              "the metric \"%s\" exists with another type or other labels",
                              family->name);
}

/* One histogram's series and another family's must not meet in a name. */
static bool is_own_name(const char *name)
{
    for (int id = 0; id < RUC_M_COUNT; id++) {
        size_t len = strlen(own[id].name);
        if (strncmp(name, own[id].name, len) == 0 &&
            (name[len] == '\0' || (own[id].type == RUC_METRIC_HISTOGRAM && name[len] == '_'))) {
            return true;
        }
    }
    return false;
}

int ruc_metrics_define(const char *name, const char *help, ruc_metric_type_t type,
                       const char *const *labels, size_t nlabels, const double *buckets,
                       size_t nbuckets, ruc_metrics_family_t **out, ruc_why_t *why)
{
    if (!is_name(name, true)) {
        return ruc_why_set(why, RUC_EINVALID, "\"%.64s\" cannot be a metric's name", name);
    }
    int rc = check_labels(type, labels, nlabels, why);
    rc = rc ? rc : check_bounds(buckets, nbuckets, why);
    if (rc < 0) {
        return rc;
    }
    if (is_own_name(name)) {
        return ruc_why_set(why, RUC_EEXISTS, "the metric \"%s\" is one of rucat's own", name);
    }
    ruc_metrics_family_t *family = ruc_metrics_find(name);
    if (family) {
        *out = family;
        return check_same(family, type, labels, nlabels, why);
    }
    if (ndefined >= RUC_METRICS_FAMILIES_MAX) {
        return ruc_why_set(why, RUC_EFULL, "there are %zu metrics already", ndefined);
    }
    if (nbuckets == 0) {
        buckets = bounds_fast;
        nbuckets = sizeof bounds_fast / sizeof *bounds_fast;
    }
    family = new_family(name, help ? help : "", type, labels, nlabels, buckets, nbuckets);
    if (!family) {
        return ruc_why_set(why, UV_ENOMEM, "no memory for the metric \"%s\"", name);
    }
    *defined_end = family;
    defined_end = &family->next;
    ndefined++;
    *out = family;
    return 0;
}

ruc_metric_type_t ruc_metrics_type(const ruc_metrics_family_t *family)
{
    return family->type;
}

size_t ruc_metrics_labels(const ruc_metrics_family_t *family)
{
    return family->nlabels;
}

const char *ruc_metrics_label(const ruc_metrics_family_t *family, size_t index)
{
    RUC_MUST(index < family->nlabels);
    return family->labels[index];
}

/* --- series --- */

static int add_labels(ruc_buf_t *out, const ruc_metrics_family_t *family, const char *const *values)
{
    int rc = ruc_buf_adds(out, "");
    for (size_t i = 0; i < family->nlabels && rc == 0; i++) {
        rc = ruc_buf_addf(out, "%s%s=\"", i ? "," : "", family->labels[i]);
        rc = rc ? rc
                : ruc__metrics_escape(out, values[i] ? values[i] : "", RUC_METRICS_VALUE_MAX, true);
        rc = rc ? rc : ruc_buf_adds(out, "\"");
    }
    return rc;
}

/* The series for all that is above the bound. */
static ruc_metric_t *other_series(ruc_metrics_family_t *family)
{
    if (!family->other) {
        const char *values[RUC_METRICS_LABELS_MAX];
        for (size_t i = 0; i < family->nlabels; i++) {
            values[i] = "other";
        }
        ruc_buf_t labels;
        ruc_buf_init(&labels, 65536);
        if (add_labels(&labels, family, values) == 0) {
            family->other = new_series(family, ruc_buf_str(&labels));
        }
        ruc_buf_free(&labels);
    }
    return family->other ? family->other : family->nowhere;
}

static ruc_metric_t *find_or_make(ruc_metrics_family_t *family, const char *labels)
{
    ruc_metric_t *metric = NULL;
    HASH_FIND_STR(family->series, labels, metric);
    if (metric) {
        return metric;
    }
    if (HASH_COUNT(family->series) >= RUC_METRICS_SERIES_MAX) {
        return other_series(family);
    }
    metric = new_series(family, labels);
    if (!metric) {
        return family->nowhere;
    }
    HASH_ADD_KEYPTR(hh, family->series, metric->labels, strlen(metric->labels), metric);
    if (!metric->hh.tbl) {
        free_series(metric);
        return family->nowhere;
    }
    return metric;
}

static ruc_metric_t *series_by_labels(ruc_metrics_family_t *family, const char *const *values)
{
    ruc_buf_t labels;
    ruc_buf_init(&labels, 65536);
    ruc_metric_t *metric = add_labels(&labels, family, values) == 0
                               ? find_or_make(family, ruc_buf_str(&labels))
                               : family->nowhere;
    ruc_buf_free(&labels);
    return metric;
}

/* Joins the values; their length with the NULs, or 0 when they are too long to be remembered. */
static size_t join(char out[RUC__METRICS_MEMO], const char *const *values, size_t n, unsigned *hash)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = values[i] ? values[i] : "";
        do {
            if (len == RUC__METRICS_MEMO) {
                return 0;
            }
            out[len++] = *at;
            *hash = *hash * 31 + (unsigned char)*at;
        } while (*at++ != '\0');
    }
    return len;
}

/* Writing labels out costs far more than counting does, and mostly the same few are asked for. */
ruc_metric_t *ruc_metrics_series_of(ruc_metrics_family_t *family, const char *const *values,
                                    size_t n)
{
    RUC_MUST(n == family->nlabels);
    char key[RUC__METRICS_MEMO];
    unsigned hash = 0;
    size_t len = join(key, values, n, &hash);
    ruc__metrics_memo_t *memo = &family->memo[(hash ^ hash >> 7) % RUC__METRICS_MEMOS];
    if (memo->metric && memo->len == len && memcmp(memo->values, key, len) == 0) {
        return memo->metric;
    }
    ruc_metric_t *metric = series_by_labels(family, values);
    if ((len > 0 || n == 0) && metric != family->nowhere && metric != family->other) {
        memo->metric = metric;
        memo->len = (uint16_t)len;
        memcpy(memo->values, key, len);
    }
    return metric;
}

void ruc_metrics_remove(ruc_metric_t *metric)
{
    ruc_metrics_family_t *family = metric->family;
    if (metric != family->other && metric != family->nowhere) {
        memset(family->memo, 0, sizeof family->memo);
        HASH_DEL(family->series, metric);
        free_series(metric);
    }
}

/* --- counting --- */

void ruc_metric_add(ruc_metric_t *metric, double amount)
{
    bool falls = metric->family->type == RUC_METRIC_COUNTER && amount < 0;
    if (!falls && !isnan(amount) && metric->family->type != RUC_METRIC_HISTOGRAM) {
        metric->value += amount;
    }
}

void ruc_metric_set(ruc_metric_t *metric, double value)
{
    if (metric->family->type == RUC_METRIC_GAUGE) {
        metric->value = value;
    }
}

void ruc_metric_observe(ruc_metric_t *metric, double value)
{
    const ruc_metrics_family_t *family = metric->family;
    if (family->type != RUC_METRIC_HISTOGRAM || isnan(value)) {
        return;
    }
    metric->count++;
    metric->value += value;
    for (size_t i = 0; i < family->nbounds; i++) {
        if (value <= family->bounds[i]) {
            metric->buckets[i]++;
            return;
        }
    }
}

double ruc_metric_value(const ruc_metric_t *metric)
{
    return metric->family->type == RUC_METRIC_HISTOGRAM ? (double)metric->count : metric->value;
}

ruc_metrics_family_t *ruc__metrics_defined(void)
{
    return defined;
}

void ruc_metrics_close(void)
{
    for (int id = 0; id < RUC_M_COUNT; id++) {
        if (own_families[id]) {
            free_family(own_families[id]);
            own_families[id] = NULL;
        }
    }
    while (defined) {
        ruc_metrics_family_t *family = defined;
        defined = family->next;
        free_family(family);
    }
    defined_end = &defined;
    ndefined = 0;
}
