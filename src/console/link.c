/* link.c - see link.h. */
#include "console/link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "core/clock.h"

int ruc_link_open(ruc_link_t *link, const char *path, ruc_why_t *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *link = (ruc_link_t){.fd = -1};
    ruc_wire_init(&link->wire);
    if (strlen(path) >= sizeof address.sun_path) {
        return ruc_why_set(why, RUC_ETOOBIG, "%s: a socket's path has at most %zu bytes", path,
                           sizeof address.sun_path - 1);
    }
    strcpy(address.sun_path, path);
    link->queue = json_array();
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->queue == NULL || link->fd < 0) {
        ruc_link_close(link);
        return ruc_why_set(why, UV_ENOMEM, "not enough memory or descriptors");
    }
    if (connect(link->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int rc = -errno;
        ruc_link_close(link);
        return rc == UV_ENOENT || rc == UV_ECONNREFUSED
                   ? ruc_why_set(why, rc, "no server has its console at %s", path)
                   : ruc_why_set(why, rc, "%s: %s", path, strerror(-rc));
    }
    return 0;
}

void ruc_link_close(ruc_link_t *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    json_decref(link->queue);
    link->queue = NULL;
    ruc_wire_free(&link->wire);
}

int ruc_link_receive(ruc_link_t *link)
{
    char chunk[RUC_WIRE_FEED];
    const char *body;
    size_t len;
    ssize_t got = recv(link->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got == 0) {
        return UV_EOF;
    }
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : errno == ECONNRESET ? UV_EOF : -errno;
    }
    int rc = ruc_wire_feed(&link->wire, chunk, (size_t)got);
    while (rc == 0 && (rc = ruc_wire_next(&link->wire, &body, &len)) == 1) {
        json_t *message = json_loadb(body, len, JSON_ALLOW_NUL, NULL);
        rc = message == NULL                                    ? RUC_EPROTO
             : json_array_append_new(link->queue, message) != 0 ? UV_ENOMEM
                                                                : 0;
    }
    return rc;
}

static int send_all(ruc_link_t *link, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t done = send(link->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done > 0) {
            data += done;
            len -= (size_t)done;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        struct pollfd wait = {.fd = link->fd, .events = POLLIN | POLLOUT};
        if (poll(&wait, 1, -1) > 0 && (wait.revents & POLLIN) != 0) {
            int rc = ruc_link_receive(link);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

int64_t ruc_link_send(ruc_link_t *link, json_t *message)
{
    ruc_buf_t out;
    size_t at;
    int64_t id = ++link->last_id;
    ruc_buf_init(&out, RUC_WIRE_FRAME + 64);
    json_object_set_new(message, "id", json_integer(id));
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    int rc = text == NULL ? RUC_EINVALID : ruc_wire_begin(&out, &at);
    rc = rc < 0 ? rc : ruc_buf_adds(&out, text);
    rc = rc < 0 ? rc : ruc_wire_end(&out, at);
    rc = rc < 0 ? rc : send_all(link, out.data, out.len);
    free(text);
    ruc_buf_free(&out);
    return rc < 0 ? rc : id;
}

json_t *ruc_link_next(ruc_link_t *link)
{
    json_t *message = json_incref(json_array_get(link->queue, 0));
    if (message != NULL) {
        json_array_remove(link->queue, 0);
    }
    return message;
}

static json_t *take(ruc_link_t *link, const char *type, int64_t id)
{
    size_t i;
    json_t *message;
    json_array_foreach(link->queue, i, message)
    {
        const char *is = json_string_value(json_object_get(message, "type"));
        if (is != NULL && strcmp(is, type) == 0 &&
            json_integer_value(json_object_get(message, "id")) == id) {
            json_incref(message);
            json_array_remove(link->queue, i);
            return message;
        }
    }
    return NULL;
}

json_t *ruc_link_await(ruc_link_t *link, const char *type, int64_t id, int ms)
{
    uint64_t limit = ruc_clock_mono_ms() + (uint64_t)ms;
    for (;;) {
        json_t *message = take(link, type, id);
        uint64_t now = ruc_clock_mono_ms();
        struct pollfd wait = {.fd = link->fd, .events = POLLIN};
        if (message != NULL || now >= limit) {
            return message;
        }
        if (poll(&wait, 1, (int)(limit - now)) > 0 && ruc_link_receive(link) < 0) {
            return NULL;
        }
    }
}
