/* helper.c - see helper.h. */
#include "engine/helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "proc/identity.h"

struct ruc_helper {
    uv_process_t process;
    char name[64]; /* of the engine, for the log */
    void (*gone)(void *arg);
    void *arg;
    ruc_helper_t *prev, *next; /* in `all` */
    bool is_left;              /* it was let go of */
};

static ruc_helper_t *all; /* that run; loop thread only, as all of this */

static void on_closed(uv_handle_t *handle)
{
    ruc_helper_t *h = handle->data;
    void (*gone)(void *arg) = h->gone;
    void *arg = h->arg;
    free(h);
    if (gone != NULL) {
        gone(arg);
    }
}

static void close_handle(ruc_helper_t *h)
{
    if (!uv_is_closing((uv_handle_t *)&h->process)) {
        if (h->prev != NULL) { /* in the list: it was spawned */
            DL_DELETE(all, h);
        }
        uv_close((uv_handle_t *)&h->process, on_closed);
    }
}

void ruc_helper_leave(ruc_helper_t *h)
{
    if (h == NULL) {
        return;
    }
    h->gone = NULL;
    if (!uv_is_closing((uv_handle_t *)&h->process)) {
        h->is_left = true;
        uv_unref((uv_handle_t *)&h->process);
    }
}

void ruc_helper_leave_all(uv_loop_t *loop)
{
    ruc_helper_t *h, *next;
    DL_FOREACH_SAFE(all, h, next)
    {
        if (h->process.loop == loop && h->is_left) {
            close_handle(h);
        }
    }
}

bool ruc_helper_is(int pid)
{
    ruc_helper_t *h;
    DL_FOREACH(all, h)
    {
        if (h->process.pid == pid) {
            return true;
        }
    }
    return false;
}

static void on_exit_of_helper(uv_process_t *process, int64_t code, int signal)
{
    ruc_helper_t *h = process->data;
    if (code != 0 || signal != 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%s: rucat-engine ended with code %d, signal %d", h->name,
                (int)code, signal);
    }
    close_handle(h);
}

static int spawn(ruc_helper_t *h, uv_loop_t *loop, const ruc_driver_spec_t *spec, uv_pipe_t *rpc,
                 int lock_fd, int log_fd, int server_fd)
{
    char path[4096 + 5];
    snprintf(path, sizeof path, "PATH=%s", getenv("PATH") == NULL ? "" : getenv("PATH"));
    char *args[] = {(char *)spec->helper, (char *)spec->run_dir, NULL};
    char *env[] = {path, NULL, NULL, NULL};
#ifdef RUC_TESTING
    char points[1024], seed[64];
    if (getenv("FAILPOINTS_ENGINE") != NULL) {
        snprintf(points, sizeof points, "FAILPOINTS=%s", getenv("FAILPOINTS_ENGINE"));
        env[1] = points;
    }
    if (getenv("FAILPOINTS_SEED") != NULL) {
        snprintf(seed, sizeof seed, "FAILPOINTS_SEED=%s", getenv("FAILPOINTS_SEED"));
        env[env[1] == NULL ? 1 : 2] = seed;
    }
#endif
    uv_stdio_container_t stdio[6] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
        {.flags = UV_INHERIT_FD, .data.fd = log_fd},
        {.flags = server_fd >= 0 ? UV_INHERIT_FD : UV_IGNORE, .data.fd = server_fd},
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)rpc},
        {.flags = UV_INHERIT_FD, .data.fd = lock_fd}};
    uv_process_options_t options = {.exit_cb = on_exit_of_helper,
                                    .file = spec->helper,
                                    .args = args,
                                    .env = env,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 6,
                                    .stdio = stdio};
    int rc = uv_spawn(loop, &h->process, &options);
    RUC_FAILPOINT("helper.spawned");
    return rc;
}

int ruc_helper_spawn(uv_loop_t *loop, const ruc_driver_spec_t *spec, uv_pipe_t *rpc, int lock_fd,
                     int log_fd, void (*gone)(void *arg), void *arg, ruc_helper_t **helper)
{
    *helper = NULL;
    int rc = RUC_FAILPOINT("helper.spawn");
    if (rc < 0) {
        return rc;
    }
    int server_fd = spec->embedded ? ruc_proc_pidfd(getpid()) : -1;
    if (spec->embedded && server_fd < 0) {
        return server_fd;
    }
    ruc_helper_t *h = calloc(1, sizeof *h);
    rc = h == NULL ? UV_ENOMEM : 0;
    if (h != NULL) {
        h->process.data = h;
        snprintf(h->name, sizeof h->name, "%s", spec->name);
        rc = spawn(h, loop, spec, rpc, lock_fd, log_fd, server_fd);
    }
    if (server_fd >= 0) {
        close(server_fd);
    }
    if (rc == 0) {
        h->gone = gone;
        h->arg = arg;
        DL_APPEND(all, h);
        *helper = h;
    } else if (h != NULL) {
        close_handle(h); /* a handle that did not spawn is to be closed all the same */
    }
    return rc;
}
