/* metrics_text.c - the text that Prometheus reads (exposition format 0.0.4).
 *
 * Our own families come first, in the order of their list, then those of scripts in the order they
 * were defined; a family without series still says that it exists. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/metrics_process.h"
#include "core/metrics_room.h"
#include "core/utf8.h"

int ruc__metrics_escape(ruc_buf_t *out, const char *text, size_t max, bool quoted)
{
    int rc = 0;
    size_t len = strlen(text);
    for (size_t at = 0; at < len && rc == 0;) {
        size_t step = ruc_utf8_length(text + at, len - at);
        if (at + (step ? step : 1) > max) {
            break;
        }
        if (step == 0) {
            rc = ruc_buf_adds(out, "\xef\xbf\xbd");
        } else if (text[at] == '\\') {
            rc = ruc_buf_adds(out, "\\\\");
        } else if (text[at] == '\n') {
            rc = ruc_buf_adds(out, "\\n");
        } else if (text[at] == '"' && quoted) {
            rc = ruc_buf_adds(out, "\\\"");
        } else {
            rc = ruc_buf_add(out, text + at, step);
        }
        at += step ? step : 1;
    }
    return rc;
}

/* The shortest decimal that reads back as the same number. */
static const char *number(double value, char out[40])
{
    if (isnan(value)) {
        return "NaN";
    }
    if (isinf(value)) {
        return value > 0 ? "+Inf" : "-Inf";
    }
    if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        snprintf(out, 40, "%.0f", value);
        return out;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            break;
        }
    }
    return out;
}

static int render_histogram(ruc_buf_t *out, const ruc_metric_t *metric)
{
    const ruc_metrics_family_t *family = metric->family;
    const char *labels = metric->labels, *comma = *labels ? "," : "";
    char text[40];
    uint64_t below = 0;
    int rc = 0;
    for (size_t i = 0; i < family->nbounds && rc == 0; i++) {
        below += metric->buckets[i];
        rc = ruc_buf_addf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", family->name, labels, comma,
                          number(family->bounds[i], text), (unsigned long long)below);
    }
    const char *open = *labels ? "{" : "", *shut = *labels ? "}" : "";
    rc = rc ? rc
            : ruc_buf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family->name, labels, comma,
                           (unsigned long long)metric->count);
    rc = rc ? rc
            : ruc_buf_addf(out, "%s_sum%s%s%s %s\n", family->name, open, labels, shut,
                           number(metric->value, text));
    return rc ? rc
              : ruc_buf_addf(out, "%s_count%s%s%s %llu\n", family->name, open, labels, shut,
                             (unsigned long long)metric->count);
}

static int render_series(ruc_buf_t *out, const ruc_metric_t *metric)
{
    if (metric->family->type == RUC_METRIC_HISTOGRAM) {
        return render_histogram(out, metric);
    }
    char text[40];
    return ruc_buf_addf(out, *metric->labels ? "%s{%s} %s\n" : "%s%s %s\n", metric->family->name,
                        metric->labels, number(metric->value, text));
}

static int render_family(ruc_buf_t *out, const ruc_metrics_family_t *family)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    int rc = ruc_buf_addf(out, "# HELP %s ", family->name);
    rc = rc ? rc : ruc__metrics_escape(out, family->help, 4096, false);
    rc = rc ? rc : ruc_buf_addf(out, "\n# TYPE %s %s\n", family->name, types[family->type]);
    for (const ruc_metric_t *metric = family->series; metric && rc == 0; metric = metric->hh.next) {
        rc = render_series(out, metric);
    }
    return rc || !family->other ? rc : render_series(out, family->other);
}

/* The values that are looked up at each scrape. */
static void refresh(void)
{
    ruc_metrics_process_t now;
    ruc__metrics_process(&now);
    const struct {
        ruc_metrics_own_t id;
        double value;
    } values[] = {{RUC_M_PROCESS_CPU, now.cpu_seconds},
                  {RUC_M_PROCESS_START, now.start_seconds},
                  {RUC_M_PROCESS_RESIDENT, now.resident_bytes},
                  {RUC_M_PROCESS_FDS, now.open_fds},
                  {RUC_M_PROCESS_MAX_FDS, now.max_fds},
                  {RUC_M_LOG_DROPPED, (double)ruc_log_dropped()}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        ruc_metrics_series_of(ruc_metrics_own(values[i].id), NULL, 0)->value = values[i].value;
    }
}

int ruc_metrics_render(ruc_buf_t *out)
{
    int rc = 0;
    refresh();
    for (int id = 0; id < RUC_M_COUNT && rc == 0; id++) {
        ruc_metrics_family_t *family = ruc_metrics_own((ruc_metrics_own_t)id);
        if (family->nlabels == 0) {
            ruc_metrics_series_of(family, NULL, 0); /* a plain number is there from the start */
        }
        rc = render_family(out, family);
    }
    for (ruc_metrics_family_t *family = ruc__metrics_defined(); family && rc == 0;
         family = family->next) {
        rc = render_family(out, family);
    }
    return rc;
}
