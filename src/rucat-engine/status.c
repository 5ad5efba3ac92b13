/* status.c - see status.h. */
#include "rucat-engine/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/failpoint.h"
#include "core/utf8.h"
#include "rucat-engine/rpc.h"
#include "rucat-engine/say.h"

static const char *const phase_names[] = {
#define XX(name, text) text,
    RUC_RE_PHASES(XX)
#undef XX
};

/* Text as JSON, each bad byte replaced by '?'. */
static json_t *text_json(const char *text)
{
    char clean[sizeof((ruc_re_status_t *)0)->tail];
    size_t len = strnlen(text, sizeof clean - 1);
    for (size_t i = 0; i < len;) {
        size_t wide = ruc_utf8_length(text + i, len - i);
        if (wide == 0) {
            clean[i++] = '?';
            continue;
        }
        memcpy(clean + i, text + i, wide);
        i += wide;
    }
    return json_stringn(clean, len);
}

static json_t *process_json(const ruc_proc_id_t *id)
{
    return json_pack("{s:i, s:I, s:I}", "pid", id->pid, "start", (json_int_t)id->start, "pidfd_ino",
                     (json_int_t)id->pidfd_ino);
}

static json_t *exit_json(const ruc_re_status_t *s)
{
    if (!s->has_exit) {
        return json_null();
    }
    json_t *code = s->exit_code >= 0 ? json_integer(s->exit_code) : json_null();
    json_t *signal = s->exit_signal[0] != '\0' ? json_string(s->exit_signal) : json_null();
    json_t *oom = s->exit_oom >= 0 ? json_boolean(s->exit_oom) : json_null();
    return json_pack("{s:o, s:o, s:o}", "code", code, "signal", signal, "oom", oom);
}

json_t *ruc_re_status_json(const ruc_re_status_t *s)
{
    json_t *json = json_pack(
        "{s:i, s:o, s:I, s:o, s:s, s:o, s:o, s:s, s:i, s:i, s:I, s:I, s:I, s:o, s:b, s:b, s:o, "
        "s:o, s:I, s:I}",
        "v", 1, "engine", text_json(s->plan->engine), "epoch", (json_int_t)s->plan->epoch,
        "instance", text_json(s->plan->instance), "boot_id", s->helper.boot_id, "helper",
        process_json(&s->helper), "driver",
        s->driver.pid == 0 ? json_null() : process_json(&s->driver), "phase", phase_names[s->phase],
        "port", s->port, "ui_port", s->ui_port, "started_ms", (json_int_t)s->started_ms, "ready_ms",
        (json_int_t)s->ready_ms, "ended_ms", (json_int_t)s->ended_ms, "exit", exit_json(s),
        "timed_out", s->timed_out, "kill_incomplete", s->kill_incomplete, "why", text_json(s->why),
        "tail", text_json(s->tail), "log_bytes", (json_int_t)s->log_bytes, "dropped",
        (json_int_t)s->dropped);
#if RUC_RE_PROTOCOL >= 2
    if (json != NULL &&
        (json_object_set_new(json, "cgroup",
                             s->cgroup[0] == '\0' ? json_null() : text_json(s->cgroup)) != 0 ||
         json_object_set_new(json, "kill_took_ms", json_integer(s->kill_took_ms)) != 0 ||
         json_object_set_new(json, "ready_mono_ms", json_integer(s->ready_mono_ms)) != 0 ||
         json_object_set_new(json, "ended_mono_ms", json_integer(s->ended_mono_ms)) != 0)) {
        json_decref(json);
        json = NULL;
    }
#endif
    return json;
}

/* Writes all of it to the file beside. */
static int write_beside(const char *text, size_t len, bool durable)
{
    int fd = open("status.json.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < len;) {
        ssize_t wrote = write(fd, text + done, len - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote == 0 || errno != EINTR) {
            rc = wrote == 0 ? -EIO : -errno;
        }
    }
    if (rc == 0 && durable && fsync(fd) != 0) {
        rc = -errno;
    }
    close(fd);
    return rc;
}

int ruc_re_status_save(ruc_re_status_t *s, bool durable)
{
    json_t *json = ruc_re_status_json(s);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    int rc = RUC_FAILPOINT("re.status.before");
    if (rc == 0) {
        rc = text == NULL ? -ENOMEM : write_beside(text, strlen(text), durable);
    }
    free(text);
    RUC_FAILPOINT("re.status.written");
    if (rc == 0 && rename("status.json.tmp", "status.json") != 0) {
        rc = -errno;
    }
    RUC_FAILPOINT("re.status.after");
    s->unsaved = rc != 0;
    if (rc != 0) {
        ruc_re_say_once("cannot write status.json: %s", strerror(-rc));
    }
    return rc;
}

void ruc_re_status_touch(ruc_re_status_t *s)
{
    if (s->unsaved) {
        ruc_re_status_save(s, false);
    } else if (utimensat(AT_FDCWD, "status.json", NULL, 0) != 0) {
        ruc_re_say_once("cannot touch status.json: %s", strerror(errno));
    }
}
