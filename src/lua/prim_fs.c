/* prim_fs.c - rucat.fs: bounded reads of files, off the loop.
 *
 *     local text, why = rucat.fs.read("notes.txt")                    -- waits
 *
 * Scripts read below their script directories and the state directory's `shared` folder only; a
 * relative name is looked up in those in turn. A tool reads anything. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "lua/job.h"
#include "lua/prims.h"

#define READ_MAX (1024u * 1024u)
#define ROOTS_MAX 32

typedef struct reading {
    uv_work_t work;
    ruc_ticket_t ticket;
    char *name;
    char *roots[ROOTS_MAX]; /* none: anywhere */
    size_t root_count;
    bool bounded;
    ruc_buf_t text;
    int rc;
} reading_t;

/* Opens a regular file; a path that leads out of `root` (by .. or a link) is refused. */
static int open_below(const char *root, const char *name)
{
    char path[PATH_MAX], real[PATH_MAX], real_root[PATH_MAX];
    int len = root == NULL || name[0] == '/' ? snprintf(path, sizeof path, "%s", name)
                                             : snprintf(path, sizeof path, "%s/%s", root, name);
    if (len < 0 || (size_t)len >= sizeof path) {
        return UV_ENAMETOOLONG;
    }
    if (realpath(path, real) == NULL) {
        return -errno;
    }
    if (root != NULL) {
        if (realpath(root, real_root) == NULL) {
            return -errno;
        }
        size_t size = strlen(real_root);
        if (strncmp(real, real_root, size) != 0 || real[size] != '/') {
            return UV_EACCES;
        }
    }
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int read_all(int fd, ruc_buf_t *text)
{
    struct stat info;
    if (fstat(fd, &info) < 0) {
        return -errno;
    }
    if (!S_ISREG(info.st_mode)) {
        return UV_EINVAL;
    }
    for (;;) {
        char chunk[16384];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        int rc = got > 0 ? ruc_buf_add(text, chunk, (size_t)got) : 0;
        if (rc < 0) {
            return rc;
        }
    }
}

static void read_work(uv_work_t *work)
{
    reading_t *reading = work->data;
    int fd = UV_ENOENT;
    if (!reading->bounded) {
        fd = open_below(NULL, reading->name);
    }
    for (size_t i = 0; fd < 0 && i < reading->root_count; i++) {
        fd = open_below(reading->roots[i], reading->name);
    }
    reading->rc = fd;
    if (fd >= 0) {
        reading->rc = read_all(fd, &reading->text);
        close(fd);
    }
}

static int push_text(lua_State *L, void *arg)
{
    reading_t *reading = arg;
    if (reading->rc < 0) {
        lua_pushfstring(L, "%s: %s", reading->name, ruc_err_text(reading->rc));
        const char *why = lua_tostring(L, -1);
        return ruc_push_err(L, reading->rc, why);
    }
    lua_pushlstring(L, ruc_buf_str(&reading->text), reading->text.len);
    return 1;
}

static void reading_free(reading_t *reading)
{
    for (size_t i = 0; i < reading->root_count; i++) {
        free(reading->roots[i]);
    }
    ruc_buf_free(&reading->text);
    free(reading->name);
    free(reading);
}

static void read_done(uv_work_t *work, int status)
{
    (void)status;
    reading_t *reading = work->data;
    ruc_job_wake(reading->ticket, push_text, reading); /* late: nobody waits any more */
    reading_free(reading);
}

static bool add_roots(reading_t *reading, ruc_app_t *app)
{
    size_t i;
    json_t *dir;
    char shared[PATH_MAX];
    snprintf(shared, sizeof shared, "%s/shared", app->state_dir);
    json_array_foreach(ruc_config_value(app->config, "scripts"), i, dir)
    {
        if (reading->root_count < ROOTS_MAX - 2) {
            reading->roots[reading->root_count++] = strdup(json_string_value(dir));
        }
    }
    reading->roots[reading->root_count++] = strdup(app->lua_dir);
    reading->roots[reading->root_count++] = strdup(shared);
    for (i = 0; i < reading->root_count; i++) {
        if (reading->roots[i] == NULL) {
            return false;
        }
    }
    return true;
}

static int fs_read(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    ruc_ticket_t ticket = ruc_job_ticket(L, "rucat.fs.read");
    ruc_vm_t *vm = ruc_vm_of(L);
    reading_t *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        return luaL_error(L, "not enough memory");
    }
    reading->ticket = ticket;
    reading->name = strdup(name);
    reading->bounded = vm->kind != RUC_VM_TOOL;
    reading->work.data = reading;
    ruc_buf_init(&reading->text, READ_MAX);
    int rc = reading->name == NULL || (reading->bounded && !add_roots(reading, vm->app))
                 ? UV_ENOMEM
                 : uv_queue_work(vm->app->loop, &reading->work, read_work, read_done);
    if (rc < 0) {
        reading_free(reading);
        return ruc_push_err(L, rc, NULL);
    }
    return ruc_job_wait(L, NULL, NULL);
}

void ruc_prim_fs(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", fs_read}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
