/* rpc_client.c - see rpc_client.h. */
#include "engine/rpc_client.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/failpoint.h"
#include "core/frame.h"

#define UNSENT_MAX 65536

struct ruc_rpc {
    uv_pipe_t pipe;
    uv_connect_t connect;
    ruc_frame_reader_t reader;
    uint64_t last_id;
    const ruc_rpc_events_t *events;
    void *arg;
};

typedef struct request {
    uv_write_t write;
    ruc_buf_t bytes;
} request_t;

ruc_rpc_t *ruc_rpc_new(uv_loop_t *loop, const ruc_rpc_events_t *events, void *arg)
{
    ruc_rpc_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    uv_pipe_init(loop, &c->pipe, 0); /* cannot fail */
    c->pipe.data = c;
    c->connect.data = c;
    c->events = events;
    c->arg = arg;
    ruc_frame_reader_init(&c->reader);
    return c;
}

uv_pipe_t *ruc_rpc_pipe(ruc_rpc_t *c)
{
    return &c->pipe;
}

static void on_connect(uv_connect_t *connect, int status)
{
    ruc_rpc_t *c = connect->data;
    if (!uv_is_closing((uv_handle_t *)&c->pipe)) {
        c->events->connected(c->arg, status);
    }
}

void ruc_rpc_connect(ruc_rpc_t *c, const char *path)
{
    uv_pipe_connect(&c->connect, &c->pipe, path, on_connect);
}

/* One body. False: that is not our protocol. */
static bool take(ruc_rpc_t *c, const char *body, size_t len)
{
    json_t *json = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(json);
    if (good) {
        RUC_FAILPOINT("rpc.message");
        c->events->message(c->arg, json);
    }
    json_decref(json);
    return good;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char bytes[RUC_FRAME_FEED]; /* read and used within one callback */
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    ruc_rpc_t *c = stream->data;
    const char *body;
    size_t len;
    int rc = got < 0 ? (int)got : ruc_frame_feed(&c->reader, buf->base, (size_t)got);
    while (rc == 0 && (rc = ruc_frame_next(&c->reader, &body, &len)) == 1) {
        rc = take(c, body, len) ? 0 : RUC_EPROTO;
        if (uv_is_closing((uv_handle_t *)stream)) {
            return;
        }
    }
    if (rc < 0) {
        c->events->lost(c->arg, rc);
    }
}

int ruc_rpc_read(ruc_rpc_t *c)
{
    return uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

static void free_request(request_t *request)
{
    if (request != NULL) {
        ruc_buf_free(&request->bytes);
        free(request);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* a broken connection is found by its reader */
    free_request(write->data);
}

/* The frame of a request, ready to be sent; NULL without memory. */
static request_t *make_request(ruc_rpc_t *c, const char *method, json_t *params)
{
    json_t *json = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)++c->last_id, "method", method,
                             "params", params);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    request_t *request = text == NULL ? NULL : calloc(1, sizeof *request);
    json_decref(json);
    if (request != NULL) {
        request->write.data = request;
        ruc_buf_init(&request->bytes, RUC_FRAME_MAX + 4);
        if (ruc_frame_write(&request->bytes, text, strlen(text)) < 0) {
            free_request(request);
            request = NULL;
        }
    }
    free(text);
    return request;
}

int ruc_rpc_call(ruc_rpc_t *c, const char *method, json_t *params)
{
    uv_stream_t *stream = (uv_stream_t *)&c->pipe;
    RUC_FAILPOINT("rpc.call");
    request_t *request = make_request(c, method, params);
    if (request == NULL) {
        return UV_ENOMEM;
    }
    uv_buf_t bytes = uv_buf_init(request->bytes.data, (unsigned)request->bytes.len);
    int rc = uv_stream_get_write_queue_size(stream) > UNSENT_MAX
                 ? RUC_EFULL
                 : uv_write(&request->write, stream, &bytes, 1, on_written);
    if (rc < 0) {
        free_request(request);
    }
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    ruc_rpc_t *c = handle->data;
    const ruc_rpc_events_t *events = c->events;
    void *arg = c->arg;
    ruc_frame_reader_free(&c->reader);
    free(c);
    events->closed(arg);
}

void ruc_rpc_close(ruc_rpc_t *c)
{
    if (c != NULL && !uv_is_closing((uv_handle_t *)&c->pipe)) {
        uv_close((uv_handle_t *)&c->pipe, on_closed);
    }
}
