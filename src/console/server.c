/* server.c - see server.h. */
#include "console/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "console/conn.h"
#include "core/log.h"
#include "lua/fileset.h"

static struct {
    ruc_app_t *app;
    uv_pipe_t listener;
    ruc_fileset_t files;
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    bool open;
} server;

int ruc_console_path(const char *configured, const char *state_dir, char *out, size_t size,
                     ruc_why_t *why)
{
    struct sockaddr_un address;
    int len = configured != NULL && configured[0] == '/'
                  ? snprintf(out, size, "%s", configured)
                  : snprintf(out, size, "%s/%s", state_dir,
                             configured == NULL || configured[0] == '\0' ? "console" : configured);
    if (len < 0 || (size_t)len >= size || (size_t)len >= sizeof address.sun_path) {
        return ruc_why_set(why, RUC_ETOOBIG,
                           "the console's socket path is too long: at most %zu bytes",
                           sizeof address.sun_path - 1);
    }
    return 0;
}

/* Removes a socket that nobody listens on; anything else that is there stays. */
static int clear_stale(const struct sockaddr_un *address, ruc_why_t *why)
{
    struct stat info;
    const char *path = address->sun_path;
    if (lstat(path, &info) < 0) {
        return 0; /* nothing there, or bind will say why */
    }
    if (!S_ISSOCK(info.st_mode)) {
        return ruc_why_set(why, UV_EEXIST, "console %s: it is there and is no socket", path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return ruc_why_set(why, -errno, "console: %s", strerror(errno));
    }
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    bool dead = rc < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!dead) {
        return ruc_why_set(why, UV_EADDRINUSE, "console %s: somebody listens there", path);
    }
    return unlink(path) < 0 && errno != ENOENT
               ? ruc_why_set(why, -errno, "console %s: %s", path, strerror(errno))
               : 0;
}

/* A bound socket of mode 0600 from its first moment: Linux makes the file with the mode that the
 * unbound socket has. The descriptor, or a negative code. */
static int bind_socket(const struct sockaddr_un *address, ruc_why_t *why)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && fchmod(fd, 0600) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof *address) == 0) {
        if (chmod(address->sun_path, 0600) == 0) {
            return fd;
        }
        unlink(address->sun_path);
    }
    int rc = -errno;
    if (fd >= 0) {
        close(fd);
    }
    return ruc_why_set(why, rc, "console %s: %s", address->sun_path, strerror(-rc));
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0) {
        ruc_log(RUC_LOG_CONSOLE, RUC_WARN, "a console was not accepted: %s", uv_strerror(status));
        return;
    }
    ruc_conn_accept(server.app, listener, &server.files);
}

static int listen_on(int fd, ruc_why_t *why)
{
    uv_pipe_init(server.app->loop, &server.listener, 0);
    int rc = uv_pipe_open(&server.listener, fd);
    if (rc < 0) {
        close(fd);
    } else {
        rc = uv_listen((uv_stream_t *)&server.listener, 8, on_connection);
    }
    if (rc < 0) {
        uv_close((uv_handle_t *)&server.listener, NULL);
        return ruc_why_set(why, rc, "console %s: %s", server.path, uv_strerror(rc));
    }
    return 0;
}

int ruc_console_fd(void)
{
    uv_os_fd_t fd = -1;
    return server.open && uv_fileno((uv_handle_t *)&server.listener, &fd) == 0 ? fd : -1;
}

int ruc_console_open(ruc_app_t *app, int fd, ruc_why_t *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *root = app->lua_dir;
    server.app = app;
    int rc = ruc_console_path(ruc_config_text(app->config, "console"), app->state_dir, server.path,
                              sizeof server.path, why);
    if (rc < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    memcpy(address.sun_path, server.path, sizeof address.sun_path);
    rc = fd >= 0 ? 0 : clear_stale(&address, why);
    rc = rc < 0 ? rc : ruc_fileset_read(&server.files, &root, 1, why);
    if (rc == 0 && fd < 0) {
        fd = rc = bind_socket(&address, why);
    }
    if (rc < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    rc = listen_on(fd, why);
    if (rc == 0) {
        rc = ruc_console_follow_open(app->loop);
        if (rc < 0) {
            uv_close((uv_handle_t *)&server.listener, NULL);
            ruc_why_set(why, rc, "console: %s", uv_strerror(rc));
        }
    }
    if (rc < 0) {
        unlink(server.path);
        return rc;
    }
    server.open = true;
    return 0;
}

void ruc_console_close(void)
{
    if (!server.open) {
        return;
    }
    server.open = false;
    while (ruc__consoles != NULL) {
        ruc_conn_end(ruc__consoles, "bye", "the server is stopping");
    }
    ruc_console_follow_close();
    unlink(server.path);
    uv_close((uv_handle_t *)&server.listener, NULL);
}

void ruc_console_free(void)
{
    ruc_fileset_free(&server.files);
}
