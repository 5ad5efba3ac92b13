/* driver.c - see driver.h: what all kinds of driver have in common. */
#include "engine/driver.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "engine/driver_ops.h"

static const ruc_driver_ops_t *const kinds[] = {&ruc_driver_process, &ruc_driver_external};

static const ruc_driver_ops_t *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i]->kind, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

bool ruc_driver_kind_known(const char *kind)
{
    return kind_of(kind) != NULL;
}

static void free_all(ruc_driver_t *d)
{
    if (d->ops->destroy != NULL) {
        d->ops->destroy(d);
    }
    free((char *)d->spec.engine);
    free((char *)d->spec.name);
    free((char *)d->spec.record);
    free((char *)d->spec.instance);
    free((char *)d->spec.run_dir);
    free((char *)d->spec.data_dir);
    free((char *)d->spec.helper);
    free(d);
}

void ruc_driver_hold(ruc_driver_t *d)
{
    d->refs++;
}

void ruc_driver_release(ruc_driver_t *d)
{
    RUC_MUST(d->refs > 0);
    if (--d->refs == 0) {
        RUC_MUST(d->closed);
        free_all(d);
    }
}

static void on_telling(uv_timer_t *timer)
{
    ruc_driver_t *d = timer->data;
    bool beat_only = !d->news;
    d->news = false;
    d->cb(d->arg, d, beat_only); /* may close d: nothing after this */
}

void ruc_driver_tell(ruc_driver_t *d, bool beat_only)
{
    if (d->closed) {
        return;
    }
    d->news = d->news || !beat_only;
    int rc = uv_timer_start(&d->telling, on_telling, 0, 0);
    RUC_MUST(rc == 0); /* fails only for a closing handle */
}

static bool copy_spec(ruc_driver_t *d, const ruc_driver_spec_t *spec)
{
    d->spec = *spec;
    d->spec.engine = strdup(spec->engine);
    d->spec.name = strdup(spec->name);
    d->spec.instance = strdup(spec->instance);
    d->spec.run_dir = strdup(spec->run_dir);
    d->spec.data_dir = strdup(spec->data_dir);
    d->spec.helper = strdup(spec->helper);
    d->spec.record = spec->record == NULL ? NULL : strdup(spec->record);
    return (spec->record == NULL || d->spec.record != NULL) && d->spec.engine != NULL &&
           d->spec.name != NULL && d->spec.instance != NULL && d->spec.run_dir != NULL &&
           d->spec.data_dir != NULL && d->spec.helper != NULL;
}

ruc_driver_t *ruc_driver_new(uv_loop_t *loop, const char *kind, const ruc_driver_spec_t *spec,
                             ruc_driver_cb cb, void *arg)
{
    const ruc_driver_ops_t *ops = kind_of(kind);
    ruc_driver_t *d = ops == NULL ? NULL : calloc(1, ops->size);
    if (d == NULL) {
        return NULL;
    }
    d->ops = ops;
    d->loop = loop;
    d->cb = cb;
    d->arg = arg;
    ruc_seen_init(&d->seen, spec->epoch);
    if (!copy_spec(d, spec)) {
        free_all(d);
        return NULL;
    }
    uv_timer_init(loop, &d->telling); /* cannot fail */
    d->telling.data = d;
    ruc_driver_hold(d);
    if (ops->init != NULL && ops->init(d) < 0) {
        ruc_driver_close(d);
        return NULL;
    }
    return d;
}

int ruc_driver_start(ruc_driver_t *d, const json_t *plan, ruc_why_t *why)
{
    return d->ops->start(d, plan, why);
}

int ruc_driver_adopt(ruc_driver_t *d)
{
    return d->ops->adopt(d);
}

int ruc_driver_stop(ruc_driver_t *d, const char *signal, int64_t grace_ms)
{
    return d->ops->stop(d, signal, grace_ms);
}

void ruc_driver_set_log_max(ruc_driver_t *d, int64_t log_max)
{
    d->spec.log_max = log_max;
    if (d->ops->respec != NULL) {
        d->ops->respec(d);
    }
}

const ruc_seen_t *ruc_driver_seen(const ruc_driver_t *d)
{
    return &d->seen;
}

static void on_closed(uv_handle_t *handle)
{
    ruc_driver_release(handle->data);
}

void ruc_driver_close(ruc_driver_t *d)
{
    if (d == NULL || d->closed) {
        return;
    }
    d->closed = true;
    if (d->ops->close != NULL) {
        d->ops->close(d);
    }
    uv_close((uv_handle_t *)&d->telling, on_closed);
}
