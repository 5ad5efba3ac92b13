/* tcp_table.c - see tcp_table.h. The kernel's own table (proc(5): /proc/net/tcp and tcp6) is read
 * on the thread pool, line by line: on a busy machine it has very many. */
#include "lua/tcp_table.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/job.h"

#define ESTABLISHED 1 /* TCP_ESTABLISHED of <netinet/tcp.h> as the table writes it */

typedef struct counting {
    uv_work_t work;
    ruc_ticket_t ticket;
    unsigned port;
    lua_Integer found;
    int rc;
} counting_t;

/* "sl: LOCAL:PORT REMOTE:PORT STATE ...", all in hexadecimal. */
static int count_in(const char *path, unsigned port, lua_Integer *found)
{
    char line[512];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned local, state;
        if (sscanf(line, " %*u: %*32[0-9A-Fa-f]:%x %*32[0-9A-Fa-f]:%*x %x", &local, &state) == 2 &&
            local == port && state == ESTABLISHED) {
            (*found)++;
        }
    }
    int rc = ferror(file) ? UV_EIO : 0;
    fclose(file);
    return rc;
}

static void count_work(uv_work_t *work)
{
    counting_t *counting = work->data;
    counting->rc = count_in("/proc/net/tcp", counting->port, &counting->found);
    if (counting->rc == 0) {
        int rc = count_in("/proc/net/tcp6", counting->port, &counting->found);
        counting->rc = rc == UV_ENOENT ? 0 : rc; /* a kernel without IPv6 */
    }
}

static int push_count(lua_State *L, void *arg)
{
    const counting_t *counting = arg;
    if (counting->rc < 0) {
        return ruc_push_err(L, counting->rc, NULL);
    }
    lua_pushinteger(L, counting->found);
    return 1;
}

static void counted(uv_work_t *work, int status)
{
    (void)status;
    counting_t *counting = work->data;
    ruc_job_wake(counting->ticket, push_count, counting);
    free(counting);
}

int ruc_tcp_connections(lua_State *L)
{
    lua_Integer port = luaL_checkinteger(L, 1);
    luaL_argcheck(L, port > 0 && port < 65536, 1, "a port is 1 to 65535");
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.tcp.connections");
    counting_t *counting = calloc(1, sizeof *counting);
    if (counting == NULL) {
        return luaL_error(L, "not enough memory");
    }
    counting->ticket = ticket;
    counting->port = (unsigned)port;
    counting->work.data = counting;
    int rc = uv_queue_work(ruc_vm_of(L)->app->loop, &counting->work, count_work, counted);
    if (rc < 0) {
        free(counting);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}
