/* rpc.c - see rpc.h. */
#include "rucat-engine/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/failpoint.h"
#include "rucat-engine/say.h"

static void drop(ruc_re_connection_t *c)
{
    ruc_re_loop_drop(c->rpc->loop, &c->source);
    ruc_frame_reader_free(&c->reader);
    ruc_buf_free(&c->unsent);
    c->writing = false;
}

/* Sends what is waiting, as far as the peer takes it. False: the connection is closed now. */
static bool send_some(ruc_re_connection_t *c)
{
    while (c->unsent.len > 0) {
        ssize_t sent =
            send(c->source.fd, c->unsent.data, c->unsent.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            ruc_buf_drop(&c->unsent, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            drop(c);
            return false;
        }
    }
    bool more = c->unsent.len > 0;
    if (more != c->writing) {
        c->writing = more;
        ruc_re_loop_change(c->rpc->loop, &c->source, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    return true;
}

/* False: the connection is closed now (the peer does not read). */
static bool queue(ruc_re_connection_t *c, const char *text)
{
    if (ruc_frame_write(&c->unsent, text, strlen(text)) < 0) {
        ruc_re_say("a connection that does not read is closed");
        drop(c);
        return false;
    }
    return send_some(c);
}

static bool answer(ruc_re_connection_t *c, json_t *request)
{
    ruc_re_rpc_error_t error = {0};
    const char *method = json_string_value(json_object_get(request, "method"));
    json_t *id = json_object_get(request, "id");
    if (method == NULL || id == NULL) {
        return false;
    }
    json_t *params = json_object_get(request, "params");
    RUC_FAILPOINT("re.rpc.request");
    json_t *result = c->rpc->request(c->rpc->arg, method, params, &error);
    json_t *reply = error.code == NULL ? json_pack("{s:O, s:o}", "id", id, "result",
                                                   result == NULL ? json_null() : result)
                                       : json_pack("{s:O, s:{s:s, s:s}}", "id", id, "error", "code",
                                                   error.code, "message", error.message);
    char *text = reply == NULL ? NULL : json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    bool open = text != NULL && queue(c, text);
    free(text);
    return open;
}

/* Handles what was read. False: the peer does not speak the protocol, or it is closed already. */
static bool handle(ruc_re_connection_t *c)
{
    const char *body;
    size_t len;
    int rc;
    while ((rc = ruc_frame_next(&c->reader, &body, &len)) == 1) {
        json_t *request = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
        bool good = json_is_object(request) && answer(c, request);
        json_decref(request);
        if (!good) {
            return false;
        }
    }
    return rc == 0;
}

static void connection_ready(void *arg, uint32_t events)
{
    ruc_re_connection_t *c = arg;
    static char data[8192];
    if ((events & EPOLLOUT) != 0 && !send_some(c)) {
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    ssize_t got = recv(c->source.fd, data, sizeof data, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0 || ruc_frame_feed(&c->reader, data, (size_t)got) < 0 || !handle(c)) {
        drop(c); /* twice does no harm */
    }
}

int ruc_re_rpc_adopt(ruc_re_rpc_t *rpc, int fd)
{
    for (int i = 0; i < RUC_RE_RPC_CONNECTIONS; i++) {
        ruc_re_connection_t *c = &rpc->connections[i];
        if (c->source.fd >= 0) {
            continue;
        }
        c->source = (ruc_re_source_t){.fd = fd, .ready = connection_ready, .arg = c};
        int rc = ruc_re_loop_watch(rpc->loop, &c->source, EPOLLIN);
        if (rc < 0) {
            drop(c);
        }
        return rc;
    }
    close(fd);
    return -EMFILE;
}

/* Only our own user and root may speak to us; the modes of file and directory say so too. */
static bool may_speak(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void listener_ready(void *arg, uint32_t events)
{
    (void)events;
    ruc_re_rpc_t *rpc = arg;
    int fd = accept4(rpc->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            ruc_re_say_once("cannot accept: %s", strerror(errno));
        }
        return;
    }
    if (!may_speak(fd)) {
        close(fd);
    } else if (ruc_re_rpc_adopt(rpc, fd) < 0) {
        ruc_re_say_once("more than %d connections: one is refused", RUC_RE_RPC_CONNECTIONS);
    }
}

int ruc_re_rpc_open(ruc_re_rpc_t *rpc)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "rpc"};
    rpc->listener = (ruc_re_source_t){.ready = listener_ready, .arg = rpc};
    for (int i = 0; i < RUC_RE_RPC_CONNECTIONS; i++) {
        ruc_re_connection_t *c = &rpc->connections[i];
        c->rpc = rpc;
        c->source.fd = -1;
        ruc_frame_reader_init(&c->reader);
        ruc_buf_init(&c->unsent, RUC_RE_RPC_UNSENT);
    }
    rpc->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (rpc->listener.fd < 0) {
        return -errno;
    }
    unlink("rpc"); /* we hold the lock: it is a dead one's */
    if (bind(rpc->listener.fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        chmod("rpc", 0600) != 0 || listen(rpc->listener.fd, RUC_RE_RPC_CONNECTIONS) != 0) {
        int error = errno;
        ruc_re_loop_drop(rpc->loop, &rpc->listener);
        return -error;
    }
    return ruc_re_loop_watch(rpc->loop, &rpc->listener, EPOLLIN);
}

void ruc_re_rpc_push(ruc_re_rpc_t *rpc, json_t *event)
{
    RUC_FAILPOINT("re.rpc.push");
    char *text = event == NULL ? NULL : json_dumps(event, JSON_COMPACT);
    json_decref(event);
    for (int i = 0; text != NULL && i < RUC_RE_RPC_CONNECTIONS; i++) {
        if (rpc->connections[i].source.fd >= 0) {
            queue(&rpc->connections[i], text);
        }
    }
    free(text);
}

bool ruc_re_rpc_flushed(const ruc_re_rpc_t *rpc)
{
    for (int i = 0; i < RUC_RE_RPC_CONNECTIONS; i++) {
        if (rpc->connections[i].unsent.len > 0) {
            return false;
        }
    }
    return true;
}

void ruc_re_rpc_close(ruc_re_rpc_t *rpc)
{
    for (int i = 0; i < RUC_RE_RPC_CONNECTIONS; i++) {
        drop(&rpc->connections[i]);
    }
    if (rpc->listener.fd >= 0) {
        unlink("rpc");
        ruc_re_loop_drop(rpc->loop, &rpc->listener);
    }
}
