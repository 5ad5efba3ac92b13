/* prim_tty.c - rucat.tty: what a tool's output goes to, and what ends it.
 *
 *     if rucat.tty.isatty(1) then local columns, lines = rucat.tty.size() ... end
 *     rucat.tty.interruptible()   -- Ctrl-C ends this job wherever it waits: what it has to close
 * is
 *                                 -- closed, and the exit code is 130
 */
#include <lauxlib.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/check.h"
#include "lua/job.h"
#include "lua/prims.h"
#include "lua/tty.h"

static struct {
    uv_signal_t interrupt, term;
    uint64_t job;
    int signal;
    bool on;
} catcher; /* of the one tool of this process; its loop ends with it */

int ruc_tty_interrupted(void)
{
    return catcher.signal;
}

static void interrupted(uv_signal_t *handle, int signal)
{
    (void)handle;
    ruc_job_t *job = ruc_job_find(catcher.job);
    if (job != NULL && catcher.signal == 0) {
        catcher.signal = signal;
        ruc_job_cancel(job); /* it waits: this is the loop */
    }
}

static void catch_signal(uv_loop_t *loop, uv_signal_t *handle, int signal)
{
    int rc = uv_signal_init(loop, handle);
    if (rc == 0) {
        rc = uv_signal_start(handle, interrupted, signal);
        uv_unref((uv_handle_t *)handle);
    }
    (void)RUC_FAILS(rc < 0); /* the signal then ends the process as ever */
}

static int tty_interruptible(lua_State *L)
{
    (void)ruc_job_ticket(L,
                         "rucat.tty.interruptible"); /* raises in a coroutine of the script's own */
    ruc_job_need(L, RUC_PHASE_TOOL, "rucat.tty.interruptible");
    catcher.job = ruc_job_id(ruc_job_of(L));
    if (!catcher.on) {
        catcher.on = true;
        catch_signal(ruc_vm_of(L)->app->loop, &catcher.interrupt, SIGINT);
        catch_signal(ruc_vm_of(L)->app->loop, &catcher.term, SIGTERM);
    }
    return 0;
}

static int tty_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, 1)));
    return 1;
}

/* Columns and lines of the terminal at output, complaints or input; nil where there is none. */
static int tty_size(lua_State *L)
{
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO};
    for (int i = 0; i < 3; i++) {
        struct winsize size;
        if (ioctl(fds[i], TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
            lua_pushinteger(L, size.ws_col);
            lua_pushinteger(L, size.ws_row);
            return 2;
        }
    }
    lua_pushnil(L);
    return 1;
}

void ruc_prim_tty(lua_State *L)
{
    static const luaL_Reg functions[] = {{"isatty", tty_isatty},
                                         {"size", tty_size},
                                         {"interruptible", tty_interruptible},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
}
