/* replicas.c - see replicas.h: the lease, and what the database tells of the others. Who is to do
 * what by that is in replicas_ask.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/replica_id.h"
#include "engine/replicas_room.h"

#define ROLES_SIZE 32
#define MOMENT_MS 20 /* later than a moment: then it is over */

static void renew(uv_timer_t *timer);

/* ---- what is so now ---- */

bool ruc_replicas_shared(const ruc_replicas_t *r)
{
    return r->shared;
}

const ruc_replica_t *ruc_replicas_self(const ruc_replicas_t *r)
{
    return &r->self;
}

uint64_t ruc_replicas_holds_until(const ruc_replicas_t *r)
{
    uint64_t now = ruc_clock_mono_ms();
    if (!r->shared) {
        return UINT64_MAX;
    }
    return now < r->held_until && now >= r->held_from && !r->leaving ? r->held_until : 0;
}

bool ruc_replicas_holds(const ruc_replicas_t *r)
{
    return ruc_replicas_holds_until(r) != 0;
}

int64_t ruc_replicas_settles_in(const ruc_replicas_t *r)
{
    uint64_t now = ruc_clock_mono_ms();
    if (!ruc_replicas_holds(r)) {
        return -1;
    }
    return now >= r->settled_at ? 0 : (int64_t)(r->settled_at - now);
}

/* 0 fenced, 1 our lease holds, 2 and the others' engines may be taken. */
static int standing(const ruc_replicas_t *r)
{
    int64_t settles_in = ruc_replicas_settles_in(r);
    return settles_in < 0 ? 0 : settles_in > 0 ? 1 : 2;
}

/* ---- telling ---- */

static void tell_if_changed(ruc_replicas_t *r)
{
    int now = standing(r);
    uint64_t who = RUC__REPLICAS_DIGEST;
    for (size_t i = 0; i < r->count; i++) {
        const ruc_replica_t *one = &r->all[i];
        who = ruc__replicas_digest(
            ruc__replicas_digest(ruc__replicas_digest(who, one->id), one->host), one->url);
        who = ruc__replicas_digest(who, one->alive ? one->monitor ? "monitor" : "alive" : "gone");
    }
    ruc_metric_set(ruc_metrics_series(RUC_M_LEASE_HELD), now > 0);
    if (now == r->told && who == r->told_who) {
        return;
    }
    if (now == 0 && r->told > 0 && !r->leaving) {
        ruc_log(RUC_LOG_MONITOR, RUC_ERROR,
                "the lease of this replica (%s) could not be renewed in time: it decides nothing "
                "until it is",
                r->self.id);
        ruc_metric_add(ruc_metrics_series(RUC_M_FENCED), 1);
    }
    r->told = now;
    r->told_who = who;
    r->cb(r->arg);
}

/* Sets the timer to the next time at which standing() changes by itself. */
static void set_moment(ruc_replicas_t *r);

static void on_moment(uv_timer_t *timer)
{
    ruc_replicas_t *r = timer->data;
    tell_if_changed(r);
    set_moment(r);
}

static void set_moment(ruc_replicas_t *r)
{
    const uint64_t times[] = {r->held_until, r->held_from, r->settled_at};
    uint64_t now = ruc_clock_mono_ms(), next = 0;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i] > now && (next == 0 || times[i] < next)) {
            next = times[i];
        }
    }
    if (next != 0 && !r->closed) {
        uv_timer_start(&r->moment, on_moment, next - now + MOMENT_MS, 0);
    }
}

/* ---- renewing ---- */

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text == NULL ? "" : text);
}

static bool has_role(const char *roles, const char *role)
{
    size_t len = strlen(role);
    for (const char *at = roles; at != NULL && *at != '\0'; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, role, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const ruc_replica_t *)a)->id, ((const ruc_replica_t *)b)->id);
}

/* True when what the database says cannot be the whole truth: somebody who was alive is not in it
 * at all (rows stay for a day: it was emptied or exchanged), or its clock was set (then every lease
 * that was not renewed since looks over). */
static bool is_doubtful(const ruc_replicas_t *r, int64_t now_ms, const ruc_replica_t *all, size_t n)
{
    int64_t passed = (int64_t)(ruc_clock_mono_ms() - r->answered_ms);
    if (r->answered_ms == 0) {
        return false; /* the first answer: nothing is taken for a lease anyway */
    }
    if (now_ms - r->database_ms > passed + r->lease_ms / 6) {
        return true;
    }
    for (size_t i = 0; i < r->count; i++) {
        const ruc_replica_t *found =
            bsearch(r->all[i].id, all, n, sizeof *all, by_id); /* the id is its first member */
        if (r->all[i].alive && found == NULL) {
            return true;
        }
    }
    return false;
}

/* Takes over what the database said of all replicas; says who came and who went. */
static int take_all(ruc_replicas_t *r, int64_t now_ms, const ruc_store_replica_t *rows, size_t n)
{
    if (n > RUC_REPLICAS_MAX) {
        ruc_log(RUC_LOG_MONITOR, RUC_WARN, "there are %zu replicas: %u of them are known here", n,
                RUC_REPLICAS_MAX);
        n = RUC_REPLICAS_MAX;
    }
    ruc_replica_t *all = calloc(n + 1, sizeof *all);
    size_t alive = 0;
    if (all == NULL) {
        return UV_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        ruc_replica_t *one = &all[i];
        copy_text(one->id, sizeof one->id, rows[i].id);
        copy_text(one->host, sizeof one->host, rows[i].host);
        copy_text(one->name, sizeof one->name, rows[i].name);
        copy_text(one->url, sizeof one->url, rows[i].url);
        copy_text(one->version, sizeof one->version, rows[i].version);
        const char *roles = rows[i].roles == NULL ? "" : rows[i].roles;
        one->server = has_role(roles, "server");
        one->monitor = has_role(roles, "monitor");
        one->left_ms = rows[i].left_ms;
        one->alive = rows[i].left_ms > 0;
        alive += one->alive;
        const ruc_replica_t *before = ruc_replicas_find(r, one->id);
        if (strcmp(one->id, r->self.id) != 0 && one->alive != (before != NULL && before->alive) &&
            (before != NULL || one->alive)) {
            ruc_log(RUC_LOG_MONITOR, one->alive ? RUC_INFO : RUC_WARN, "replica %s (%s, %s) %s",
                    one->id, one->name, one->url,
                    one->alive ? "is there" : "is gone: its lease is over");
        }
    }
    qsort(all, n, sizeof *all, by_id);
    if (is_doubtful(r, now_ms, all, n)) {
        ruc_log(RUC_LOG_MONITOR, RUC_WARN,
                "the database has lost replicas, or its clock was set: engines of other replicas "
                "are not taken over for %.1f s",
                (double)r->lease_ms / 1000);
        r->settled_at = ruc_clock_mono_ms() + (uint64_t)r->lease_ms;
    }
    free(r->all);
    r->all = all;
    r->count = n;
    ruc_metric_set(ruc_metrics_series(RUC_M_REPLICAS, "alive"), (double)alive);
    ruc_metric_set(ruc_metrics_series(RUC_M_REPLICAS, "gone"), (double)(n - alive));
    return 0;
}

/* Our lease was renewed, by a request that went out at sent_ms. */
static void take_lease(ruc_replicas_t *r)
{
    uint64_t now = ruc_clock_mono_ms(), lease = (uint64_t)r->lease_ms;
    uint64_t until = r->sent_ms + lease - lease / 6;
    bool first = r->held_until == 0, lost = !first && now >= r->held_until;
    if (now >= until) {
        return; /* the answer took longer than the lease */
    }
    if (first || lost) {
        /* Those whose leases are over may be just as late as we are. */
        r->settled_at = now + lease;
    }
    if (lost) {
        /* What others have decided meanwhile is read first: the feed is a fraction of a second. */
        r->held_from = now + (lease / 3 > 1000 ? 1000 : lease / 3);
        ruc_log(RUC_LOG_MONITOR, RUC_WARN,
                "the lease of this replica is renewed; engines of other replicas are not taken "
                "over for %.1f s",
                (double)lease / 1000);
    }
    r->held_until = until;
}

static void take_clock(const ruc_replicas_t *r, int64_t now_ms)
{
    static int64_t offset;
    int64_t wall = ruc_clock_wall_ms(), round = wall - r->sent_wall_ms;
    int64_t seen = now_ms - (r->sent_wall_ms + round / 2);
    /* Within what the way there and back can make of it, it is as it was. */
    if (round >= 0 && llabs(seen - offset) > round / 2 + 1) {
        offset = seen;
        ruc_id_set_offset(offset);
    }
}

static void log_trouble(ruc_replicas_t *r, int rc)
{
    ruc_metric_add(ruc_metrics_series(RUC_M_LEASE_RENEWALS, rc == 0 ? "done" : "failed"), 1);
    if (rc == r->trouble) {
        return;
    }
    r->trouble = rc;
    if (rc == RUC_ECONFLICT) {
        ruc_log(RUC_LOG_MONITOR, RUC_ERROR,
                "another process holds the lease of replica %s: this one decides nothing until "
                "that is over (is its state directory a copy?)",
                r->self.id);
    } else if (rc < 0) {
        ruc_log(RUC_LOG_MONITOR, RUC_WARN, "the lease of this replica was not renewed: %s",
                ruc_err_text(rc));
    }
}

/* How long until the next renewal: soon after the next lease of somebody else ends, too, so that a
 * dead one is known as such at once. */
static uint64_t pause_after(const ruc_replicas_t *r, int rc)
{
    int64_t third = r->lease_ms / 3;
    if (rc < 0) {
        return (uint64_t)(third / 2 > 1000 ? 1000 : third / 2 < 50 ? 50 : third / 2);
    }
    for (size_t i = 0; i < r->count; i++) {
        const ruc_replica_t *one = &r->all[i];
        if (one->alive && strcmp(one->id, r->self.id) != 0 && one->left_ms + 50 < third) {
            third = one->left_ms + 50;
        }
    }
    return (uint64_t)third;
}

static void free_if_over(ruc_replicas_t *r)
{
    if (r->closed && r->handles == 0 && r->calls == 0) {
        free(r->all);
        free(r);
    }
}

static void renewed(void *arg, int rc, int64_t now_ms, const ruc_store_replica_t *rows, size_t n)
{
    ruc_replicas_t *r = arg;
    r->calls--;
    r->renewing = false;
    if (r->closed) {
        free_if_over(r);
        return;
    }
    rc = rc == 0 ? take_all(r, now_ms, rows, n) : rc;
    if (rc == 0) {
        r->answered_ms = ruc_clock_mono_ms();
        r->database_ms = now_ms;
        take_lease(r);
        take_clock(r, now_ms);
    }
    log_trouble(r, rc);
    uv_timer_start(&r->timer, renew, pause_after(r, rc), 0);
    tell_if_changed(r);
    set_moment(r);
}

static void renew(uv_timer_t *timer)
{
    ruc_replicas_t *r = timer->data;
    char roles[ROLES_SIZE];
    if (r->renewing || r->leaving) {
        return;
    }
    snprintf(roles, sizeof roles, "%s%s%s", r->self.server ? "server" : "",
             r->self.server && r->self.monitor ? "," : "", r->self.monitor ? "monitor" : "");
    ruc_store_replica_t row = {.id = r->self.id,
                               .instance = r->instance,
                               .host = r->self.host,
                               .name = r->self.name,
                               .url = r->self.url,
                               .roles = roles,
                               .version = r->self.version};
    r->sent_ms = ruc_clock_mono_ms();
    r->sent_wall_ms = ruc_clock_wall_ms();
    int rc = ruc_store_renew(r->store, &row, r->lease_ms, renewed, r);
    if (rc < 0) {
        log_trouble(r, rc);
        uv_timer_start(&r->timer, renew, pause_after(r, rc), 0);
        return;
    }
    r->renewing = true;
    r->calls++;
}

/* ---- coming and going ---- */

static void left(void *arg, int rc)
{
    ruc_replicas_t *r = arg;
    (void)rc; /* its lease ends by itself then */
    r->calls--;
    free_if_over(r);
}

/* Ends the lease of a process of this replica; others need not wait for it then. */
static void end_lease(ruc_replicas_t *r, const char *instance)
{
    r->calls += ruc_store_leave(r->store, r->self.id, instance, left, r) == 0;
}

/* The lease of the process before us is ended, or ends by itself: then ours can begin. */
static void left_before(void *arg, int rc)
{
    ruc_replicas_t *r = arg;
    bool closed = r->closed;
    left(arg, rc);
    if (!closed) {
        renew(&r->timer);
    }
}

static int join(ruc_replicas_t *r, const ruc_replicas_config_t *config, ruc_why_t *why)
{
    ruc_replica_id_t id;
    int rc = ruc_replica_id_take(config->state_dir, config->instance, r->self.host, &id, why);
    if (rc < 0) {
        return rc;
    }
    snprintf(r->self.id, sizeof r->self.id, "%s", id.id);
    ruc_log(RUC_LOG_MONITOR, RUC_INFO, "replica %s at %s, on host %s", r->self.id, r->self.url,
            r->self.name);
    /* A process that has ended without a word cannot end its lease itself any more. */
    if (id.ended && ruc_store_leave(r->store, r->self.id, id.before, left_before, r) == 0) {
        r->calls++;
    } else {
        renew(&r->timer);
    }
    return 0;
}

int ruc_replicas_open(uv_loop_t *loop, ruc_store_t *store, const ruc_replicas_config_t *config,
                      ruc_replicas_cb cb, void *arg, ruc_replicas_t **out, ruc_why_t *why)
{
    ruc_replicas_t *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    *r = (ruc_replicas_t){.loop = loop,
                          .store = store,
                          .cb = cb,
                          .arg = arg,
                          .shared = ruc_store_shared(store),
                          .lease_ms = config->lease_ms};
    r->self.server = config->server;
    r->self.monitor = config->monitor;
    r->self.alive = true;
    copy_text(r->instance, sizeof r->instance, config->instance);
    copy_text(r->self.url, sizeof r->self.url, config->url);
    copy_text(r->self.version, sizeof r->self.version, RUCAT_VERSION);
    ruc_host_identify(r->self.host);
    ruc_host_name(r->self.name);
    uv_timer_init(loop, &r->timer); /* cannot fail */
    uv_timer_init(loop, &r->moment);
    r->timer.data = r->moment.data = r;
    r->handles = 2;
    return r->shared ? join(r, config, why) : 0;
}

void ruc_replicas_leave(ruc_replicas_t *r)
{
    if (r->shared && !r->leaving && r->self.id[0] != '\0') {
        r->leaving = true;
        uv_timer_stop(&r->timer);
        uv_timer_stop(&r->moment);
        end_lease(r, r->instance);
    }
}

static void handle_closed(uv_handle_t *handle)
{
    ruc_replicas_t *r = handle->data;
    r->handles--;
    free_if_over(r);
}

void ruc_replicas_close(ruc_replicas_t *r)
{
    if (r == NULL) {
        return;
    }
    RUC_MUST(!r->closed);
    r->closed = true;
    uv_close((uv_handle_t *)&r->timer, handle_closed);
    uv_close((uv_handle_t *)&r->moment, handle_closed);
}
