/* driver_process.c - a driver on this machine, under a rucat-engine of its own.
 *
 *   start -> MAKING (pool: directories, files, plan, lock, rucat-engine itself) -> FOLLOWING
 *   adopt -> LOOKING (pool: is the lock held? what does status.json say?)
 *              held: CONNECTING to its socket -> FOLLOWING
 *              free: it is over; what is left of a killed helper's driver is killed, then OVER
 *   FOLLOWING, and the connection ends without "ended" -> LOOKING
 *
 * The helper holds the lock of its run directory as long as it lives (see run_dir.h), so "is there
 * one" has an answer at every moment, also between a fork and the first sign of life. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "engine/driver_ops.h"
#include "engine/helper.h"
#include "engine/plan.h"
#include "engine/reaper.h"
#include "engine/rescue.h"
#include "engine/rpc_client.h"
#include "engine/run_dir.h"
#include "proc/identity.h"
#include "proc/signame.h"

#define RETRY_MS 20              /* to connect, or to look again */
#define RETRY_SLOW_MS 1000       /* the same, after the patience is over */
#define CONNECT_PATIENCE_MS 5000 /* then what status.json says is reported */
#define HELLO_PATIENCE_MS 5000
#define KILL_PATIENCE_MS 10000 /* then kill_incomplete */

#define NEWEST 2 /* version of the conversation that we speak (rucat-engine/rpc.h) */

typedef enum { IDLE, MAKING, LOOKING, WAITING, CONNECTING, FOLLOWING, OVER } state_t;

typedef struct process {
    ruc_driver_t base;
    state_t state;
    ruc_rpc_t *client;    /* NULL: not connected */
    ruc_helper_t *helper; /* when this process started it and it was not reaped yet */
    uv_timer_t timer;
    bool ours;          /* a start was accepted: "none" is no answer any more */
    bool greeted;       /* on this connection */
    bool reattached;    /* the helper was there before */
    int version;        /* of the conversation; see rucat-engine/rpc.h */
    bool reported;      /* something was told since adopt */
    uint64_t since_ms;  /* of the present trouble (cannot connect, cannot kill); 0: none */
    json_t *last_known; /* status.json of the last look; or NULL */
    bool stop_wanted;   /* to be said on every connection */
    char stop_signal[16];
    int64_t stop_grace_ms;
    ruc_rescue_t *rescue; /* while an answer to a stop is waited for */
    bool gave_up;         /* rucat-engine did not answer, and was killed for that */
} process_t;

/* What the thread pool does. The strings of the spec are alive as long as the driver is held. */
typedef struct job {
    uv_work_t work;
    process_t *owner;
    json_t *files; /* make */
    char *plan;
    int rc;
    ruc_why_t why;
    ruc_helper_born_t born;
    ruc_run_look_t look; /* look */
    bool doubt, vacant;  /* look: is there anybody at all? nobody */
} job_t;

static void look_now(process_t *p);
static void take_status(process_t *p, const json_t *status);

static void beat(process_t *p, int64_t wall_ms)
{
    p->base.seen.beat_wall_ms = wall_ms;
    p->base.seen.beat_mono_ms = ruc_clock_mono_ms();
}

static void tell(process_t *p)
{
    p->reported = true;
    ruc_driver_tell(&p->base, false);
}

/* It is over, by what this side knows. */
static void over(process_t *p, const char *why)
{
    ruc_seen_t *seen = &p->base.seen;
    p->state = OVER;
    seen->phase = RUC_SEEN_ENDED;
    seen->kill_incomplete = false;
    seen->ended_ms = ruc_clock_wall_ms();
    seen->ended_mono_ms = (int64_t)ruc_clock_mono_ms();
    if (seen->why[0] == '\0') {
        snprintf(seen->why, sizeof seen->why, "%s", why);
    }
    tell(p);
}

/* ---- the conversation with the helper ---------------------------------------------------------*/

static void end_rescue(process_t *p)
{
    p->gave_up = p->gave_up || ruc_rescue_killed(p->rescue);
    ruc_rescue_end(p->rescue);
    p->rescue = NULL;
}

static void drop_client(process_t *p)
{
    end_rescue(p);
    ruc_rpc_close(p->client);
    p->client = NULL;
}

/* Tells it to stop, and begins to wait for a word. */
static int send_stop(process_t *p)
{
    ruc_rescue_spec_t spec = {.name = p->base.spec.name,
                              .run_dir = p->base.spec.run_dir,
                              .signal = p->stop_signal,
                              .grace_ms = p->stop_grace_ms};
    if (p->rescue == NULL) {
        p->rescue = ruc_rescue_begin(p->base.loop, &spec); /* without memory: without */
    }
    json_t *params = json_object();
    if (p->stop_signal[0] != '\0') {
        json_object_set_new(params, "signal", json_string(p->stop_signal));
    }
    if (p->stop_grace_ms >= 0) {
        json_object_set_new(params, "grace_ms", json_integer(p->stop_grace_ms));
    }
    return ruc_rpc_call(p->client, "stop", params);
}

/* What only newer rucat-engines know is told to those. */
static void send_settings(process_t *p)
{
    if (p->version >= 2 && p->state == FOLLOWING && p->base.spec.log_max > 0) {
        ruc_rpc_call(p->client, "set",
                     json_pack("{s:I}", "log_max", (json_int_t)p->base.spec.log_max));
    }
}

/* The answer to hello: up to which version both speak. */
static void take_hello(process_t *p, const json_t *result)
{
    const json_t *version = json_object_get(result, "v");
    p->version = json_is_integer(version) ? (int)json_integer_value(version) : 1;
    take_status(p, json_object_get(result, "status"));
    if (p->reattached) { /* it was born with another server's */
        send_settings(p);
    }
}

/* The helper says how things are. */
static void take_status(process_t *p, const json_t *status)
{
    int64_t dropped = p->base.seen.dropped;
    if (ruc_seen_from_status(&p->base.seen, status) < 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: a status that cannot be read", p->base.spec.name);
        return;
    }
    if (p->base.seen.dropped > 0 && dropped == 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: its log cannot be written, output is dropped",
                p->base.spec.name);
    }
    p->greeted = true;
    p->since_ms = 0;
    uv_timer_stop(&p->timer);
    beat(p, ruc_clock_wall_ms());
    if (p->base.seen.phase == RUC_SEEN_ENDED) {
        p->state = OVER;
    }
    tell(p);
}

static void on_message(void *arg, const json_t *json)
{
    process_t *p = arg;
    const char *event = json_string_value(json_object_get(json, "event"));
    json_t *result = json_object_get(json, "result");
    json_t *error = json_object_get(json, "error");
    end_rescue(p); /* it speaks */
    if (event != NULL && strcmp(event, "beat") == 0) {
        json_t *at = json_object_get(json, "at_ms");
        beat(p, json_is_integer(at) ? json_integer_value(at) : ruc_clock_wall_ms());
        ruc_driver_tell(&p->base, true);
    } else if (event != NULL && strcmp(event, "status") == 0) {
        take_status(p, json_object_get(json, "status"));
    } else if (json_object_get(result, "status") != NULL) {
        take_hello(p, result);
    } else if (error != NULL) {
        const char *message = json_string_value(json_object_get(error, "message"));
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: rucat-engine: %s", p->base.spec.name,
                message == NULL ? "an error" : message);
    }
}

/* The connection is no more. Only "ended" is a reason for that. */
static void on_lost(void *arg, int rc)
{
    process_t *p = arg;
    (void)rc; /* whatever it was, the lock and the file say what to do */
    drop_client(p);
    if (p->state != OVER) {
        look_now(p);
    }
}

static void on_client_closed(void *arg)
{
    ruc_driver_release(arg);
}

/* Says hello, and what had to wait. */
static void follow(process_t *p)
{
    p->state = FOLLOWING;
    int rc = ruc_rpc_read(p->client);
    if (rc == 0) {
        rc = ruc_rpc_call(p->client, "hello", json_pack("{s:i, s:i}", "v", NEWEST, "min", 1));
    }
    if (rc == 0 && p->stop_wanted) {
        rc = send_stop(p);
    }
    if (rc < 0) {
        on_lost(p, rc);
    }
}

/* ---- looking, connecting, clearing away -------------------------------------------------------*/

/* Reports what the file says about a helper that does not answer. */
static void report_last_known(process_t *p)
{
    if (p->last_known == NULL || ruc_seen_from_status(&p->base.seen, p->last_known) < 0) {
        p->base.seen.phase = RUC_SEEN_STARTING;
    }
    tell(p);
}

static void on_timer(uv_timer_t *timer)
{
    process_t *p = timer->data;
    if (p->state == WAITING) {
        look_now(p);
    } else if (p->state == FOLLOWING && !p->greeted && !p->reported) {
        report_last_known(p);
    }
}

static void set_timer(process_t *p, uint64_t ms)
{
    int rc = uv_timer_start(&p->timer, on_timer, ms, 0);
    RUC_MUST(rc == 0);
}

/* Looks again in a moment; true when `patience_ms` of trouble are over. */
static bool try_again(process_t *p, uint64_t patience_ms)
{
    uint64_t now = ruc_clock_mono_ms();
    if (p->since_ms == 0) {
        p->since_ms = now;
    }
    bool slow = now - p->since_ms >= patience_ms;
    p->state = WAITING;
    set_timer(p, slow ? RETRY_SLOW_MS : RETRY_MS);
    return slow;
}

static void on_connected(void *arg, int rc)
{
    process_t *p = arg;
    if (rc == 0) {
        set_timer(p, HELLO_PATIENCE_MS);
        follow(p);
        return;
    }
    drop_client(p);
    if (try_again(p, CONNECT_PATIENCE_MS) && !p->reported) {
        report_last_known(p);
    }
}

static bool new_client(process_t *p)
{
    static const ruc_rpc_events_t events = {on_connected, on_message, on_lost, on_client_closed};
    p->client = ruc_rpc_new(p->base.loop, &events, p);
    if (p->client == NULL) {
        return false;
    }
    ruc_driver_hold(&p->base);
    p->greeted = false;
    return true;
}

static void connect_now(process_t *p)
{
    char path[RUC_RPC_PATH_MAX + 1];
    snprintf(path, sizeof path, "%s/rpc", p->base.spec.run_dir);
    p->state = CONNECTING;
    p->reattached = true;
    if (!new_client(p)) {
        on_connected(p, UV_ENOMEM);
        return;
    }
    ruc_rpc_connect(p->client, path);
}

/* Is the status of another boot of this machine? Its CLOCK_BOOTTIME then says nothing now. */
static bool of_another_boot(const json_t *status)
{
    char boot_id[RUC_BOOT_ID_SIZE];
    const char *booted = json_string_value(json_object_get(status, "boot_id"));
    return booted != NULL && ruc_proc_boot_id(boot_id) == 0 && strcmp(booted, boot_id) != 0;
}

/* What the file of a helper that is gone says. */
static int read_seen(ruc_seen_t *seen, const json_t *status)
{
    int rc = ruc_seen_from_status(seen, status);
    if (rc == 0 && of_another_boot(status)) {
        seen->ready_mono_ms = seen->ended_mono_ms = 0;
    }
    return rc;
}

/* There is no helper, and it did not say "ended". */
static void helper_is_gone(process_t *p, const ruc_run_look_t *look)
{
    ruc_seen_t *seen = &p->base.seen;
    if (look->left != 0) {
        if (try_again(p, KILL_PATIENCE_MS) && !seen->kill_incomplete) {
            seen->phase = RUC_SEEN_STOPPING;
            seen->kill_incomplete = true;
            tell(p);
        }
        return;
    }
    bool trace = look->status != NULL && read_seen(seen, look->status) == 0;
    if (!trace && !p->ours) {
        p->state = IDLE; /* a start may come */
        seen->phase = RUC_SEEN_NONE;
        tell(p);
        return;
    }
    over(p, of_another_boot(look->status) ? "the machine was restarted"
            : p->gave_up                  ? "rucat-engine did not answer and was killed"
                                          : "rucat-engine was killed");
}

/* A helper of an earlier life of this process (it executed itself anew) is still its child. */
static void see_to_reaping(process_t *p, const json_t *status)
{
    json_t *pid = json_object_get(json_object_get(status, "helper"), "pid");
    int number = json_is_integer(pid) ? (int)json_integer_value(pid) : 0;
    if (number > 1 && !ruc_helper_is(number)) {
        ruc_reaper_watch(p->base.loop, number); /* failing, it would be a zombie: no more */
    }
}

static void on_looked(uv_work_t *work, int status)
{
    job_t *job = work->data;
    process_t *p = job->owner;
    ruc_run_look_t look = job->look;
    bool vacant = job->vacant;
    (void)status; /* never cancelled */
    free(job);
    if (p->base.closed) {
        json_decref(look.status);
    } else {
        json_decref(p->last_known);
        p->last_known = look.status;
        const char *phase = json_string_value(json_object_get(look.status, "phase"));
        if (look.mtime_ms != 0) {
            beat(p, look.mtime_ms);
        }
        if (look.held && vacant) {
            /* Another server has the lock and stands still before its start: by its lease it must
             * not go on with that when it comes to itself. */
            p->state = IDLE;
            p->base.seen.phase = RUC_SEEN_NONE;
            tell(p);
        } else if (look.held) {
            see_to_reaping(p, look.status);
            connect_now(p);
        } else if (phase != NULL && strcmp(phase, "ended") == 0 &&
                   read_seen(&p->base.seen, look.status) == 0) {
            p->state = OVER;
            tell(p);
        } else {
            helper_is_gone(p, &look);
        }
    }
    ruc_driver_release(&p->base);
}

static void do_look(uv_work_t *work)
{
    job_t *job = work->data;
    const ruc_driver_spec_t *spec = &job->owner->base.spec;
    ruc_run_dir_look(spec->run_dir, spec->instance, &job->look);
    job->vacant = job->doubt && job->look.held && job->look.status == NULL &&
                  ruc_run_dir_vacant(spec->run_dir);
}

/* Gives the job to the pool; the job is freed when that fails. */
static int queue_job(process_t *p, job_t *job, uv_work_cb work, uv_after_work_cb after)
{
    job->work.data = job;
    job->owner = p;
    int rc = uv_queue_work(p->base.loop, &job->work, work, after);
    if (rc == 0) {
        ruc_driver_hold(&p->base);
    }
    return rc;
}

static void look_now(process_t *p)
{
    job_t *job = calloc(1, sizeof *job);
    p->state = LOOKING;
    if (job != NULL) {
        job->doubt = !p->ours && p->since_ms != 0 &&
                     ruc_clock_mono_ms() - p->since_ms >= CONNECT_PATIENCE_MS;
    }
    if (job == NULL || queue_job(p, job, do_look, on_looked) < 0) {
        free(job);
        try_again(p, 0); /* no memory now; in a second */
    }
}

/* ---- starting ---------------------------------------------------------------------------------*/

static void on_timer_closed(uv_handle_t *handle)
{
    process_t *p = handle->data;
    ruc_driver_release(&p->base);
}

/* The helper was reaped. */
static void on_helper_gone(void *arg)
{
    process_t *p = arg;
    p->helper = NULL;
    ruc_driver_release(&p->base);
}

/* The helper runs: follows it, or, when the driver was let go of meanwhile, has it reaped only.
 * Where one of both cannot be done the lock says what is there: as after a crash. */
static void take_helper(process_t *p, const ruc_helper_born_t *born)
{
    int rc = ruc_helper_watch(p->base.loop, p->base.spec.name, born, on_helper_gone, p, &p->helper);
    if (rc == 0) {
        ruc_driver_hold(&p->base);
    }
    if (p->base.closed) {
        close(born->rpc);
        if (rc == 0) {
            ruc_helper_leave(p->helper);
            p->helper = NULL;
            ruc_driver_release(&p->base);
        }
        return;
    }
    if (rc == 0) {
        rc = new_client(p) ? uv_pipe_open(ruc_rpc_pipe(p->client), born->rpc) : UV_ENOMEM;
    }
    if (rc == 0) {
        follow(p);
        return;
    }
    close(born->rpc);
    drop_client(p);
    look_now(p);
}

static void free_make(job_t *job)
{
    json_decref(job->files);
    free(job->plan);
    free(job);
}

static void do_make(uv_work_t *work)
{
    job_t *job = work->data;
    const ruc_driver_spec_t *spec = &job->owner->base.spec;
    int lock_fd, log_fd;
    job->rc = ruc_run_dir_make(spec->run_dir, spec->data_dir, job->files, job->plan, &lock_fd,
                               &log_fd, &job->why);
    if (job->rc < 0) {
        return;
    }
    /* The last moment: whoever has lost the right to start it meanwhile (this process was stopped)
     * does not. */
    if (spec->until_ms != 0 && ruc_clock_mono_ms() >= spec->until_ms) {
        job->rc = RUC_EREFUSED;
        close(lock_fd);
        close(log_fd);
        return;
    }
    job->rc = ruc_helper_start(spec, lock_fd, log_fd, &job->born);
    if (job->rc < 0) {
        ruc_why_set(&job->why, job->rc, "cannot run %s: %s", spec->helper, ruc_err_text(job->rc));
    }
    close(lock_fd); /* the helper has its own */
    close(log_fd);
}

static void on_made(uv_work_t *work, int status)
{
    job_t *job = work->data;
    process_t *p = job->owner;
    (void)status; /* never cancelled */
    if (!p->base.closed && job->rc == RUC_EEXISTS) {
        look_now(p); /* this epoch has its driver: adopt it */
    } else if (!p->base.closed && job->rc == RUC_EREFUSED) {
        p->state = IDLE;
        p->ours = false;
        p->base.seen.phase = RUC_SEEN_NONE;
        tell(p);
    } else if (!p->base.closed && job->rc < 0) {
        over(p, job->why.text);
    } else if (job->rc == 0) {
        take_helper(p, &job->born);
    }
    free_make(job);
    ruc_driver_release(&p->base);
}

/* ---- the table --------------------------------------------------------------------------------*/

static int process_init(ruc_driver_t *d)
{
    process_t *p = (process_t *)d;
    uv_timer_init(d->loop, &p->timer); /* cannot fail */
    p->timer.data = p;
    ruc_driver_hold(d);
    return 0;
}

static int check_path(const process_t *p, ruc_why_t *why)
{
    size_t len = strlen(p->base.spec.run_dir) + strlen("/rpc");
    return len <= RUC_RPC_PATH_MAX
               ? 0
               : ruc_why_set(why, RUC_ETOOBIG, "the path %s/rpc is longer than %d bytes",
                             p->base.spec.run_dir, RUC_RPC_PATH_MAX);
}

static int process_start(ruc_driver_t *d, const json_t *plan, ruc_why_t *why)
{
    process_t *p = (process_t *)d;
    if (p->state != IDLE) {
        return ruc_why_set(why, RUC_EEXISTS, "it was started or adopted before");
    }
    int rc = check_path(p, why);
    if (rc == 0) {
        rc = ruc_plan_check(plan, why);
    }
    if (rc < 0) {
        return rc;
    }
    char *text = ruc_plan_make(plan, &d->spec, why);
    json_t *files = json_object_get(plan, "files");
    job_t *job = text == NULL ? NULL : calloc(1, sizeof *job);
    if (job == NULL) {
        free(text);
        return text == NULL ? RUC_EINVALID : ruc_why_set(why, UV_ENOMEM, "no memory");
    }
    job->plan = text;
    job->files = files == NULL ? json_object() : json_deep_copy(files);
    if (job->files == NULL ||
        (d->spec.record != NULL &&
         json_object_set_new(job->files, "record.json", json_string(d->spec.record)) < 0)) {
        rc = ruc_why_set(why, UV_ENOMEM, "no memory");
    } else {
        rc = queue_job(p, job, do_make, on_made);
    }
    if (rc < 0) {
        free_make(job);
        return rc;
    }
    p->state = MAKING;
    p->ours = true;
    ruc_seen_init(&d->seen, d->spec.epoch);
    d->seen.phase = RUC_SEEN_STARTING;
    beat(p, ruc_clock_wall_ms());
    return 0;
}

static int process_adopt(ruc_driver_t *d)
{
    process_t *p = (process_t *)d;
    if (p->state != IDLE) {
        return RUC_EEXISTS;
    }
    int rc = check_path(p, NULL);
    if (rc == 0) {
        p->reported = false;
        p->since_ms = 0;
        look_now(p);
    }
    return rc;
}

static int process_stop(ruc_driver_t *d, const char *signal, int64_t grace_ms)
{
    process_t *p = (process_t *)d;
    if (signal != NULL && ruc_proc_stop_signal(signal) < 0) {
        return RUC_EINVALID;
    }
    if (p->state == OVER) {
        return 0;
    }
    if (p->state == IDLE) {
        return RUC_ENOTFOUND;
    }
    snprintf(p->stop_signal, sizeof p->stop_signal, "%s", signal == NULL ? "" : signal);
    p->stop_grace_ms = grace_ms;
    p->stop_wanted = true; /* to be said again on a new connection: it does no harm */
    return p->state == FOLLOWING ? send_stop(p) : 0;
}

static void process_respec(ruc_driver_t *d)
{
    send_settings((process_t *)d);
}

static void process_close(ruc_driver_t *d)
{
    process_t *p = (process_t *)d;
    drop_client(p);
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    if (p->helper != NULL) {
        ruc_helper_leave(p->helper); /* helper.c waits for it, however long that is */
        p->helper = NULL;
        ruc_driver_release(d);
    }
}

static void process_destroy(ruc_driver_t *d)
{
    json_decref(((process_t *)d)->last_known);
}

const ruc_driver_ops_t ruc_driver_process = {
    .kind = "process",
    .size = sizeof(process_t),
    .init = process_init,
    .start = process_start,
    .adopt = process_adopt,
    .stop = process_stop,
    .respec = process_respec,
    .close = process_close,
    .destroy = process_destroy,
};
