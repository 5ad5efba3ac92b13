/* h1_work.c - what a request needs while it is under way: the parser with its callbacks, the
 * buffers, and the pool they come from, so that keep-alive requests allocate nothing. */
#include <stdlib.h>

#include "http/h1.h"

#define FIRST_IN 8192  /* bytes of a new input buffer */
#define POOL 64        /* spare works kept */
#define OVERHEAD 16384 /* bytes of chunk extensions and trailers in one request */

/* ---- what the parser reports ---- */

static int on_target(llhttp_t *parser, const char *at, size_t len)
{
    ruc__h1_work_t *work = parser->data;
    if (work->target_len == 0) {
        work->target = (size_t)(at - work->in);
    }
    work->target_len += len;
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    ruc__h1_work_t *work = parser->data;
    if (work->after_head) {
        work->overhead += len + 4;
        work->too_big = work->overhead > OVERHEAD;
        return work->too_big ? HPE_USER : 0;
    }
    if (work->in_value || work->header_count == 0) {
        if (work->header_count == work->conn->server->limits.headers) {
            work->too_many = true;
            return HPE_USER;
        }
        work->slots[work->header_count++] = (ruc__h1_slot_t){.name = (uint32_t)(at - work->in)};
        work->in_value = false;
    }
    work->slots[work->header_count - 1].name_len += (uint32_t)len;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    ruc__h1_work_t *work = parser->data;
    if (work->after_head) {
        work->overhead += len;
        work->too_big = work->overhead > OVERHEAD;
        return work->too_big ? HPE_USER : 0;
    }
    ruc__h1_slot_t *slot = &work->slots[work->header_count - 1];
    uint32_t offset = (uint32_t)(at - work->in);
    if (slot->value_len == 0) {
        slot->value = offset;
    } else if (slot->value + slot->value_len != offset) {
        work->fold = true;
    }
    slot->value_len += (uint32_t)len;
    work->in_value = true;
    return 0;
}

static int on_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    ruc__h1_work_t *work = parser->data;
    work->overhead += len;
    work->too_big = work->overhead > OVERHEAD;
    return work->too_big ? HPE_USER : 0;
}

static int on_piece(llhttp_t *parser, const char *at, size_t len)
{
    ruc__h1_work_t *work = parser->data;
    size_t bound = work->conn->server->limits.body;
    work->too_big = !work->streamed && (len > bound || work->body.len > bound - len);
    work->no_memory = !work->too_big && ruc_buf_add(&work->body, at, len) < 0;
    work->body_seen += len;
    return work->too_big || work->no_memory ? HPE_USER : 0;
}

static int stop_here(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_headers_complete = stop_here,
    .on_body = on_piece,
    .on_message_complete = stop_here,
};

/* ---- works and their pool ---- */

void ruc__h1_begin(ruc__h1_work_t *work)
{
    llhttp_init(&work->parser, HTTP_REQUEST, &settings);
    work->parser.data = work;
    work->stream = (ruc_http_stream_t){.ops = &ruc__h1_ops, .body = ""};
    work->phase = RUC__H1_HEAD;
    work->head_end = work->target = work->target_len = work->header_count = 0;
    work->overhead = work->body_seen = work->body_mark = 0;
    work->in_value = work->fold = work->after_head = work->too_many = work->too_big = false;
    work->no_memory = work->minor0 = work->keep = work->head_only = work->streamed = false;
    work->paused = work->handed = work->body_done = work->body_told = work->started = false;
    work->chunked = work->answered = work->aborted = work->want_drain = false;
}

static void destroy(ruc__h1_work_t *work)
{
    free(work->in);
    ruc_buf_free(&work->text);
    ruc_buf_free(&work->body);
    ruc_buf_free(&work->out);
    free(work);
}

ruc__h1_work_t *ruc__h1_take(ruc__http_conn_t *conn)
{
    ruc_http_server_t *server = conn->server;
    ruc__h1_work_t *work = server->pool;
    if (work != NULL) {
        server->pool = work->next;
        server->pool_size--;
    } else {
        size_t headers = server->limits.headers;
        work = calloc(1, sizeof *work + headers * (sizeof *work->headers + sizeof *work->slots));
        if (work == NULL) {
            return NULL;
        }
        work->headers = (ruc_http_header_t *)(work + 1);
        work->slots = (ruc__h1_slot_t *)(work->headers + headers);
        work->in = malloc(FIRST_IN);
        if (work->in == NULL) {
            free(work);
            return NULL;
        }
        work->cap = FIRST_IN;
        ruc_buf_init(&work->text, 3 * server->limits.target + 64);
        ruc_buf_init(&work->body, SIZE_MAX / 4); /* on_piece knows the bound */
        ruc_buf_init(&work->out, (size_t)1 << 20);
    }
    work->conn = conn;
    work->start = work->pos = work->end = 0;
    ruc__h1_begin(work);
    conn->work = work;
    return work;
}

void ruc__h1_drop(ruc__http_conn_t *conn)
{
    ruc__h1_work_t *work = conn->work;
    ruc_http_server_t *server = conn->server;
    if (work == NULL) {
        return;
    }
    conn->work = NULL;
    ruc_buf_clear(&work->out);
    ruc_buf_clear(&work->body);
    if (server->pool_size >= POOL || server->closing || work->cap > 2 * FIRST_IN ||
        work->body.cap > 65536 || work->out.cap > 65536) {
        destroy(work);
        return;
    }
    work->next = server->pool;
    server->pool = work;
    server->pool_size++;
}

void ruc__h1_empty_pool(ruc_http_server_t *server)
{
    while (server->pool != NULL) {
        ruc__h1_work_t *work = server->pool;
        server->pool = work->next;
        destroy(work);
    }
    server->pool_size = 0;
}
