/* child.c - see child.h. libuv reaps it: nobody else in this process waits for children. */
#include "proc/child.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

typedef struct side {
    ruc_child_t *child;
    uv_pipe_t pipe;
    bool open;
    ruc_buf_t kept;
} side_t;

struct ruc_child {
    uv_process_t process;
    side_t in, out, err;
    uv_write_t write;
    char *input;
    size_t keep;
    ruc_child_cb cb;
    void *arg;
    bool held;  /* the caller's reference */
    bool ended; /* the process */
    bool done;
    int handles; /* not closed yet */
    int64_t code;
    int signal;
    char chunk[8192];
};

static void child_free(ruc_child_t *child)
{
    if (child->handles == 0 && !child->held) {
        ruc_buf_free(&child->out.kept);
        ruc_buf_free(&child->err.kept);
        free(child->input);
        free(child);
    }
}

static void handle_closed(uv_handle_t *handle)
{
    ruc_child_t *child = handle->data;
    child->handles--;
    child_free(child);
}

static void check_done(ruc_child_t *child)
{
    if (child->done || !child->ended || child->out.open || child->err.open) {
        return;
    }
    child->done = true;
    if (child->cb != NULL) {
        child->cb(child->arg, child);
    }
}

static void side_close(side_t *side)
{
    if (side->open) {
        side->open = false;
        uv_close((uv_handle_t *)&side->pipe, handle_closed);
    }
}

static void on_exit_(uv_process_t *process, int64_t code, int signal)
{
    ruc_child_t *child = process->data;
    child->ended = true;
    child->code = signal == 0 ? code : -1;
    child->signal = signal;
    uv_close((uv_handle_t *)process, handle_closed);
    side_close(&child->in);
    check_done(child);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    ruc_child_t *child = handle->data;
    *buf = uv_buf_init(child->chunk, sizeof child->chunk);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    ruc_child_t *child = stream->data;
    side_t *side = stream == (uv_stream_t *)&child->out.pipe ? &child->out : &child->err;
    if (n < 0) {
        side_close(side);
        check_done(child);
        return;
    }
    /* The newest part stays, of a piece that is larger than the bound too. */
    size_t len = (size_t)n > child->keep ? child->keep : (size_t)n;
    if (side->kept.len + len > child->keep) {
        ruc_buf_drop(&side->kept, side->kept.len + len - child->keep);
    }
    if (ruc_buf_add(&side->kept, buf->base + ((size_t)n - len), len) < 0) {
        ruc_buf_clear(&side->kept);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* a child that does not read its input is its own affair */
    ruc_child_t *child = write->handle->data;
    side_close(&child->in);
}

static void set_io(ruc_child_t *child, uv_stdio_container_t *io, side_t *side, ruc_child_io_t how,
                   int fd)
{
    if (how == RUC_CHILD_INHERIT) {
        io->flags = UV_INHERIT_FD;
        io->data.fd = fd;
    } else if (how == RUC_CHILD_COLLECT) {
        uv_pipe_init(child->process.loop, &side->pipe, 0);
        side->pipe.data = child;
        side->open = true;
        child->handles++;
        io->flags = UV_CREATE_PIPE | (fd == 0 ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
        io->data.stream = (uv_stream_t *)&side->pipe;
    } else {
        io->flags = UV_IGNORE;
    }
}

/* Starts the reading and writing of a child that runs. */
static int begin_io(ruc_child_t *child, const ruc_child_spec_t *spec)
{
    int rc = 0;
    if (child->out.open) {
        rc = uv_read_start((uv_stream_t *)&child->out.pipe, on_alloc, on_output);
    }
    if (rc == 0 && child->err.open) {
        rc = uv_read_start((uv_stream_t *)&child->err.pipe, on_alloc, on_output);
    }
    if (rc == 0 && child->in.open) {
        uv_buf_t buf = uv_buf_init(child->input, (unsigned)spec->input_len);
        rc = uv_write(&child->write, (uv_stream_t *)&child->in.pipe, &buf, 1, on_written);
    }
    return rc;
}

static ruc_child_t *child_new(uv_loop_t *loop, const ruc_child_spec_t *spec, ruc_child_cb cb,
                              void *arg)
{
    ruc_child_t *child = calloc(1, sizeof *child);
    if (child == NULL) {
        return NULL;
    }
    child->process.loop = loop; /* set_io needs it before uv_spawn */
    child->process.data = child;
    child->keep = spec->keep;
    child->cb = cb;
    child->arg = arg;
    child->held = true;
    ruc_buf_init(&child->out.kept, spec->keep + sizeof child->chunk);
    ruc_buf_init(&child->err.kept, spec->keep + sizeof child->chunk);
    if (spec->input != NULL) {
        child->input = malloc(spec->input_len + 1);
        if (child->input == NULL) {
            free(child);
            return NULL;
        }
        memcpy(child->input, spec->input, spec->input_len);
    }
    return child;
}

ruc_child_t *ruc_child_spawn(uv_loop_t *loop, const ruc_child_spec_t *spec, ruc_child_cb cb,
                             void *arg, ruc_why_t *why)
{
    ruc_child_t *child = child_new(loop, spec, cb, arg);
    if (child == NULL) {
        ruc_why_set(why, UV_ENOMEM, "not enough memory");
        return NULL;
    }
    uv_stdio_container_t io[3];
    set_io(child, &io[0], &child->in, spec->input != NULL ? RUC_CHILD_COLLECT : RUC_CHILD_NULL, 0);
    set_io(child, &io[1], &child->out, spec->out, 1);
    set_io(child, &io[2], &child->err, spec->err, 2);
    uv_process_options_t options = {.exit_cb = on_exit_,
                                    .file = spec->argv[0],
                                    .args = (char **)spec->argv,
                                    .env = (char **)spec->env,
                                    .cwd = spec->cwd,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 3,
                                    .stdio = io};
    int rc = uv_spawn(loop, &child->process, &options);
    child->process.data = child;
    child->handles++;
    if (rc == 0) {
        rc = begin_io(child, spec);
        if (rc < 0) {
            uv_process_kill(&child->process, SIGKILL);
            ruc_child_release(child);
        }
    } else {
        uv_close((uv_handle_t *)&child->process, handle_closed);
        side_close(&child->in);
        side_close(&child->out);
        side_close(&child->err);
        child->held = false;
    }
    if (rc < 0) {
        ruc_why_set(why, rc, "cannot run %s: %s", spec->argv[0], uv_strerror(rc));
        return NULL;
    }
    return child;
}

void ruc_child_release(ruc_child_t *child)
{
    child->held = false;
    child->cb = NULL;
    child_free(child);
}

int ruc_child_pid(const ruc_child_t *child)
{
    return child->process.pid;
}

bool ruc_child_done(const ruc_child_t *child)
{
    return child->done;
}

void ruc_child_exit(const ruc_child_t *child, int64_t *code, int *signal)
{
    *code = child->code;
    *signal = child->signal;
}

const char *ruc_child_output(const ruc_child_t *child, int which, size_t *len)
{
    const ruc_buf_t *kept = which == 1 ? &child->out.kept : &child->err.kept;
    *len = kept->len;
    return ruc_buf_str(kept);
}

int ruc_child_kill(ruc_child_t *child, int signal)
{
    return child->ended ? UV_ESRCH : uv_process_kill(&child->process, signal);
}
