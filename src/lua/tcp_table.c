/* tcp_table.c - see tcp_table.h. The kernel's own table (proc(5): /proc/net/tcp and tcp6) is read
 * on the thread pool, line by line: on a busy machine it has very many, and going through the
 * kernel's hash costs 10 ms even where it is empty. So one reading answers all who had asked before
 * it began, and those who ask meanwhile get the next one. */
#include "lua/tcp_table.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/job.h"

#define ESTABLISHED 1 /* TCP_ESTABLISHED of <netinet/tcp.h> as the table writes it */

#define PORTS 65536

/* Who waits for a count. */
typedef struct waiter {
    struct waiter *next;
    ruc_ticket_t ticket;
    unsigned port;
} waiter_t;

typedef struct reading {
    uv_work_t work;
    waiter_t *waiters;
    int rc;
    unsigned counts[PORTS]; /* established connections by local port */
} reading_t;

/* Loop thread only. */
static reading_t *under_way;
static waiter_t *asked; /* since it began */

/* "sl: LOCAL:PORT REMOTE:PORT STATE ...", all in hexadecimal. */
static int count_in(const char *path, unsigned *counts)
{
    char line[512];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned local, state;
        if (sscanf(line, " %*u: %*32[0-9A-Fa-f]:%x %*32[0-9A-Fa-f]:%*x %x", &local, &state) == 2 &&
            local < PORTS && state == ESTABLISHED) {
            counts[local]++;
        }
    }
    int rc = ferror(file) ? UV_EIO : 0;
    fclose(file);
    return rc;
}

static void read_table(uv_work_t *work)
{
    reading_t *reading = work->data;
    reading->rc = count_in("/proc/net/tcp", reading->counts);
    if (reading->rc == 0) {
        int rc = count_in("/proc/net/tcp6", reading->counts);
        reading->rc = rc == UV_ENOENT ? 0 : rc; /* a kernel without IPv6 */
    }
}

typedef struct answer {
    int rc;
    lua_Integer count;
} answer_t;

static int push_count(lua_State *L, void *arg)
{
    const answer_t *answer = arg;
    if (answer->rc < 0) {
        return ruc_push_err(L, answer->rc, NULL);
    }
    lua_pushinteger(L, answer->count);
    return 1;
}

/* Wakes them; `reading` NULL: they get `rc`. */
static void wake_all(waiter_t *waiters, const reading_t *reading, int rc)
{
    while (waiters != NULL) {
        waiter_t *waiter = waiters;
        answer_t answer = {rc, reading == NULL ? 0 : reading->counts[waiter->port]};
        waiters = waiter->next;
        ruc_job_wake(waiter->ticket, push_count, &answer);
        free(waiter);
    }
}

static int begin(uv_loop_t *loop);

static void table_read(uv_work_t *work, int status)
{
    reading_t *reading = work->data;
    uv_loop_t *loop = work->loop;
    under_way = NULL; /* who is woken may ask again */
    wake_all(reading->waiters, reading, status < 0 ? status : reading->rc);
    free(reading);
    if (under_way == NULL && asked != NULL) {
        int rc = begin(loop);
        if (rc < 0) {
            waiter_t *waiters = asked;
            asked = NULL;
            wake_all(waiters, NULL, rc);
        }
    }
}

/* Begins a reading for all who have asked. 0, or a code: they still wait. */
static int begin(uv_loop_t *loop)
{
    reading_t *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        return UV_ENOMEM;
    }
    reading->work.data = reading;
    int rc = uv_queue_work(loop, &reading->work, read_table, table_read);
    if (rc < 0) {
        free(reading);
        return rc;
    }
    reading->waiters = asked;
    asked = NULL;
    under_way = reading;
    return 0;
}

int ruc_tcp_connections(lua_State *L)
{
    lua_Integer port = luaL_checkinteger(L, 1);
    luaL_argcheck(L, port > 0 && port < PORTS, 1, "a port is 1 to 65535");
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.tcp.connections");
    waiter_t *waiter = malloc(sizeof *waiter);
    if (waiter == NULL) {
        return luaL_error(L, "not enough memory");
    }
    *waiter = (waiter_t){.next = asked, .ticket = ticket, .port = (unsigned)port};
    asked = waiter;
    int rc = under_way == NULL ? begin(ruc_vm_of(L)->app->loop) : 0;
    if (rc < 0) {
        asked = waiter->next;
        free(waiter);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}
