/* port_owner.c - see port_owner.h. */
#include "lua/port_owner.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/job.h"
#include "proc/identity.h"
#include "proc/listener.h"

#define SOCKETS_MAX 16 /* of one port: more are not looked at */

typedef struct asking {
    uv_work_t work;
    ruc_ticket_t ticket;
    unsigned port;
    int driver;
    char instance[RUC_INSTANCE_SIZE];
    int stranger; /* pid; 0: none */
    char name[64];
    bool ours;
} asking_t;

static unsigned check_port(lua_State *L)
{
    lua_Integer port = luaL_checkinteger(L, 1);
    luaL_argcheck(L, port > 0 && port < 65536, 1, "a port is 1 to 65535");
    return (unsigned)port;
}

int ruc_port_listeners(lua_State *L)
{
    uint32_t inodes[SOCKETS_MAX];
    int count = ruc_proc_listeners(check_port(L), inodes, SOCKETS_MAX);
    if (count < 0) {
        return ruc_push_err(L, count, NULL);
    }
    lua_pushliteral(L, "");
    for (int i = 0; i < count; i++) {
        lua_pushfstring(L, "%I ", (LUAI_UACINT)inodes[i]);
        lua_concat(L, 2);
    }
    return 1;
}

static void read_name(asking_t *asking)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", asking->stranger);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(asking->name, sizeof asking->name, file) == NULL) {
        snprintf(asking->name, sizeof asking->name, "?");
    }
    asking->name[strcspn(asking->name, "\n")] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

static void ask_work(uv_work_t *work)
{
    asking_t *asking = work->data;
    uint32_t inodes[SOCKETS_MAX];
    int count = ruc_proc_listeners(asking->port, inodes, SOCKETS_MAX);
    for (int i = 0; i < count && !asking->ours; i++) {
        int pid;
        if (ruc_proc_socket_holder(inodes[i], &pid) == 0) {
            asking->ours = ruc_proc_is_of(pid, asking->driver, asking->instance);
            asking->stranger = asking->ours ? 0 : pid;
        }
    }
    if (asking->stranger != 0) {
        read_name(asking);
    }
}

static int push_owner(lua_State *L, void *arg)
{
    const asking_t *asking = arg;
    if (asking->ours || asking->stranger == 0) {
        asking->ours ? lua_pushboolean(L, 1) : lua_pushnil(L);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_pushfstring(L, "process %d (%s)", asking->stranger, asking->name);
    return 2;
}

static void asked(uv_work_t *work, int status)
{
    (void)status;
    asking_t *asking = work->data;
    ruc_job_wake(asking->ticket, push_owner, asking);
    free(asking);
}

int ruc_port_owner(lua_State *L)
{
    unsigned port = check_port(L);
    int driver = (int)luaL_checkinteger(L, 2);
    const char *instance = luaL_checkstring(L, 3);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.driver.owner");
    asking_t *asking = calloc(1, sizeof *asking);
    if (asking == NULL) {
        return luaL_error(L, "not enough memory");
    }
    *asking = (asking_t){.ticket = ticket, .port = port, .driver = driver};
    snprintf(asking->instance, sizeof asking->instance, "%s", instance);
    asking->work.data = asking;
    int rc = uv_queue_work(ruc_vm_of(L)->app->loop, &asking->work, ask_work, asked);
    if (rc < 0) {
        free(asking);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}
