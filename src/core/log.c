/* log.c - see log.h. One mutex guards the queue; the writer swaps the whole queue out and writes
 * it without the lock. */
#include "core/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"

#define QUEUE_MAX (1024u * 1024u)
#define LINE_MAX_BYTES 4096u
#define CLOSE_WAIT_MS 1000

static const char *const group_names[] = {
#define XX(name, text) text,
    RUC_LOG_GROUPS(XX)
#undef XX
};

static const char *const level_names[] = {
#define XX(name, text) text,
    RUC_LOG_LEVELS(XX)
#undef XX
};

static struct {
    uv_mutex_t lock;
    uv_cond_t more;
    uv_thread_t thread;
    ruc_buf_t queue;
    bool open;
    bool closing;
    bool json;
    unsigned long dropped;      /* since the start */
    unsigned long dropped_told; /* of those, already said */
    ruc_log_tap_cb tap;         /* while open only */
    void *tap_arg;
} state;

static _Atomic ruc_log_level_t levels[RUC_LOG_GROUP_COUNT] = {
#define XX(name, text) RUC_INFO,
    RUC_LOG_GROUPS(XX)
#undef XX
};

static _Thread_local const char *context;
static atomic_bool tapped; /* a look without the lock */

/* Writes all of it; waits for a reader at most `wait_ms` at a time (-1: as long as it takes). */
static void write_out(const char *data, size_t len, int wait_ms)
{
    while (len > 0) {
        struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (poll(&ready, 1, wait_ms) == 0) {
            return;
        }
        ssize_t done = write(STDERR_FILENO, data, len);
        if (done > 0) {
            data += done;
            len -= (size_t)done;
        } else if (done < 0 && errno != EINTR && errno != EAGAIN) {
            return; /* nobody is there to read */
        }
    }
}

static void writer(void *arg)
{
    (void)arg;
    ruc_buf_t batch;
    ruc_buf_init(&batch, QUEUE_MAX);
    uv_mutex_lock(&state.lock);
    while (!state.closing || state.queue.len > 0) {
        if (state.queue.len == 0) {
            uv_cond_wait(&state.more, &state.lock);
            continue;
        }
        ruc_buf_t full = state.queue;
        state.queue = batch;
        batch = full;
        bool last = state.closing;
        uv_mutex_unlock(&state.lock);
        write_out(batch.data, batch.len, last ? CLOSE_WAIT_MS : -1);
        ruc_buf_clear(&batch);
        uv_mutex_lock(&state.lock);
    }
    uv_mutex_unlock(&state.lock);
    ruc_buf_free(&batch);
}

int ruc_log_open(ruc_log_format_t format)
{
    state.json = format == RUC_LOG_JSON || (format == RUC_LOG_AUTO && !isatty(STDERR_FILENO));
    if (state.open) {
        return 0;
    }
    ruc_buf_init(&state.queue, QUEUE_MAX);
    int rc = uv_mutex_init(&state.lock);
    if (rc < 0) {
        return rc;
    }
    rc = uv_cond_init(&state.more);
    if (rc == 0) {
        state.closing = false;
        rc = uv_thread_create(&state.thread, writer, NULL);
        if (rc < 0) {
            uv_cond_destroy(&state.more);
        }
    }
    if (rc < 0) {
        uv_mutex_destroy(&state.lock);
        return rc;
    }
    state.open = true;
    return 0;
}

void ruc_log_close(void)
{
    if (!state.open) {
        return;
    }
    uv_mutex_lock(&state.lock);
    state.closing = true;
    uv_cond_signal(&state.more);
    uv_mutex_unlock(&state.lock);
    uv_thread_join(&state.thread);
    state.open = false;
    state.tap = NULL;
    uv_cond_destroy(&state.more);
    uv_mutex_destroy(&state.lock);
    ruc_buf_free(&state.queue);
}

int ruc_log_level_of(const char *name)
{
    for (int i = 0; i < RUC_LEVEL_COUNT; i++) {
        if (strcmp(level_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static int group_of(const char *name)
{
    for (int i = 0; i < RUC_LOG_GROUP_COUNT; i++) {
        if (strcmp(group_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

bool ruc_log_group_known(const char *group)
{
    return group_of(group) >= 0;
}

int ruc_log_set_level(const char *group, const char *level)
{
    int value = ruc_log_level_of(level);
    int only = group == NULL ? -1 : group_of(group);
    if (value < 0 || (group != NULL && only < 0)) {
        return RUC_ENOTFOUND;
    }
    for (int i = 0; i < RUC_LOG_GROUP_COUNT; i++) {
        if (group == NULL || i == only) {
            levels[i] = (ruc_log_level_t)value;
        }
    }
    return 0;
}

void ruc_log_mute(void)
{
    for (int i = 0; i < RUC_LOG_GROUP_COUNT; i++) {
        levels[i] = RUC_LEVEL_COUNT; /* above all */
    }
}

bool ruc_log_wants(ruc_log_group_t group, ruc_log_level_t level)
{
    return level >= levels[group];
}

const char *ruc_log_context(const char *request_id)
{
    const char *before = context;
    context = request_id;
    return before;
}

/* One finished line into `out`, which holds LINE_MAX_BYTES of text with room to spare. */
static void render(ruc_buf_t *out, bool json, const char *group, ruc_log_level_t level,
                   const char *text, size_t len)
{
    char time[RUC_RFC3339_SIZE];
    ruc_clock_rfc3339(ruc_clock_wall_ms(), time);
    bool cut = len > LINE_MAX_BYTES;
    len = cut ? LINE_MAX_BYTES : len;
    if (json) {
        ruc_buf_addf(out, "{\"at\":\"%s\",\"level\":\"%s\",\"group\":\"%s\",\"msg\":", time,
                     level_names[level], group);
        ruc_buf_add_json(out, text, len);
        if (context != NULL) {
            ruc_buf_adds(out, ",\"request\":");
            ruc_buf_add_json(out, context, strlen(context));
        }
        ruc_buf_adds(out, cut ? ",\"cut\":true}\n" : "}\n");
        return;
    }
    ruc_buf_addf(out, "%s %-5s %-7s ", time, level_names[level], group);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '\n') {
            ruc_buf_adds(out, "\n    ");
        } else if (byte < 0x20 || byte == 0x7f) {
            ruc_buf_addf(out, byte == '\t' ? "\t" : "\\x%02x", byte);
        } else {
            ruc_buf_add(out, &text[i], 1);
        }
    }
    ruc_buf_addf(out, "%s%s%s%s\n", cut ? " (cut)" : "", context ? " [" : "",
                 context ? context : "", context ? "]" : "");
}

static void put(const ruc_buf_t *line)
{
    if (!state.open) {
        write_out(line->data, line->len, CLOSE_WAIT_MS);
        return;
    }
    uv_mutex_lock(&state.lock);
    if (state.dropped > state.dropped_told && state.queue.len < QUEUE_MAX / 2) {
        if (ruc_buf_addf(&state.queue,
                         state.json ? "{\"level\":\"warn\",\"group\":\"main\","
                                      "\"msg\":\"%lu log lines were dropped\"}\n"
                                    : "... %lu log lines were dropped\n",
                         state.dropped - state.dropped_told) == 0) {
            state.dropped_told = state.dropped;
        }
    }
    if (ruc_buf_add(&state.queue, line->data, line->len) < 0) {
        state.dropped++;
    }
    uv_cond_signal(&state.more);
    uv_mutex_unlock(&state.lock);
}

static void log_text(const char *group, ruc_log_level_t level, const char *text, size_t len)
{
    ruc_buf_t line;
    ruc_buf_init(&line, 8 * LINE_MAX_BYTES);
    render(&line, state.json, group, level, text, len);
    if (line.len > 0) {
        put(&line);
    }
    if (state.open && atomic_load(&tapped)) {
        ruc_buf_clear(&line);
        render(&line, false, group, level, text, len);
        uv_mutex_lock(&state.lock);
        if (state.tap != NULL && line.len > 0) {
            state.tap(state.tap_arg, level, line.data, line.len - 1);
        }
        uv_mutex_unlock(&state.lock);
    }
    ruc_buf_free(&line);
}

void ruc_log_tap(ruc_log_tap_cb tap, void *arg)
{
    if (!state.open) {
        return;
    }
    uv_mutex_lock(&state.lock);
    state.tap = tap;
    state.tap_arg = arg;
    uv_mutex_unlock(&state.lock);
    atomic_store(&tapped, tap != NULL);
}

void ruc_log(ruc_log_group_t group, ruc_log_level_t level, const char *format, ...)
{
    if (!ruc_log_wants(group, level)) {
        return;
    }
    char text[LINE_MAX_BYTES + 1];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    log_text(group_names[group], level, text,
             (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

void ruc_log_audit(ruc_log_group_t group, const char *format, ...)
{
    char text[LINE_MAX_BYTES + 1];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= 0) {
        log_text(group_names[group], RUC_INFO, text,
                 (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
    }
}

void ruc_log_line(const char *group, ruc_log_level_t level, const char *text, size_t len)
{
    int known = group_of(group);
    if (ruc_log_wants(known < 0 ? RUC_LOG_SCRIPT : (ruc_log_group_t)known, level)) {
        log_text(known < 0 ? "script" : group_names[known], level, text, len);
    }
}

unsigned long ruc_log_dropped(void)
{
    if (!state.open) {
        return state.dropped;
    }
    uv_mutex_lock(&state.lock);
    unsigned long dropped = state.dropped;
    uv_mutex_unlock(&state.lock);
    return dropped;
}
