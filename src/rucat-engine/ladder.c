/* ladder.c - see ladder.h. */
#include "rucat-engine/ladder.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/failpoint.h"
#include "rucat-engine/say.h"
#include "rucat-engine/tree.h"

#define RETRY_FIRST_MS 20
#define RETRY_LAST_MS 1000
#define PATIENCE_MS 10000

/* SIGKILL to what there is. The driver's group only while the driver holds its number. */
static void kill_all(ruc_re_ladder_t *l)
{
    if (!l->gone) {
        kill(-l->driver->id.pid, SIGKILL); /* ESRCH: nothing there */
        kill(l->driver->id.pid, SIGKILL);
    }
    ruc_re_tree_kill_children();
}

/* One round of killing; sets the timer for the next. */
static void round_of_killing(ruc_re_ladder_t *l)
{
    kill_all(l);
    if (!l->incomplete && ruc_clock_mono_ms() - l->killing_ms >= PATIENCE_MS) {
        l->incomplete = true;
        l->stuck(l->arg);
    }
    ruc_re_loop_set(l->loop, &l->retry, l->retry_gap_ms);
    l->retry_gap_ms = l->retry_gap_ms * 2 < RETRY_LAST_MS ? l->retry_gap_ms * 2 : RETRY_LAST_MS;
}

static void start_killing(ruc_re_ladder_t *l)
{
    if (l->killing) {
        return;
    }
    l->killing = true;
    l->killing_ms = ruc_clock_mono_ms();
    l->retry_gap_ms = RETRY_FIRST_MS;
    ruc_re_loop_unset(l->loop, &l->grace);
    round_of_killing(l);
}

static void grace_due(void *arg)
{
    start_killing(arg);
}

static void retry_due(void *arg)
{
    ruc_re_ladder_t *l = arg;
    round_of_killing(l);
    ruc_re_ladder_reap(l);
}

void ruc_re_ladder_init(ruc_re_ladder_t *l)
{
    l->grace = (ruc_re_timer_t){.due = grace_due, .arg = l};
    l->retry = (ruc_re_timer_t){.due = retry_due, .arg = l};
}

static void send_signal(ruc_re_ladder_t *l, int signal)
{
    l->last_signal = signal;
    RUC_FAILPOINT("re.signal");
    if (syscall(SYS_pidfd_send_signal, l->driver->pidfd, signal, NULL, 0u) != 0 && errno != ESRCH) {
        ruc_re_say_once("cannot signal the driver: errno %d", errno);
    }
    /* A stopped process hears nothing but KILL. */
    syscall(SYS_pidfd_send_signal, l->driver->pidfd, SIGCONT, NULL, 0u);
}

void ruc_re_ladder_stop(ruc_re_ladder_t *l, int signal, int64_t grace_ms)
{
    if (l->killing || l->gone) {
        return; /* there is nothing faster */
    }
    if (!l->started || signal != l->last_signal) {
        send_signal(l, signal);
    }
    uint64_t end_ms = ruc_clock_mono_ms() + (uint64_t)grace_ms;
    if (!l->started || end_ms < l->grace.at_ms) {
        ruc_re_loop_set(l->loop, &l->grace, grace_ms);
    }
    l->started = true;
    if (signal == SIGKILL) {
        start_killing(l);
    }
}

/* The driver is a zombie: its number, and its group's, are still its own. */
static void driver_ended(ruc_re_ladder_t *l, const siginfo_t *how)
{
    kill(-how->si_pid, SIGKILL);
    l->gone = true;
    l->exited(l->arg, how);
}

void ruc_re_ladder_reap(ruc_re_ladder_t *l)
{
    siginfo_t info;
    int rc;
    bool ended = false;
    for (;;) {
        info.si_pid = 0;
        rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rc != 0 && errno == EINTR) {
            continue;
        }
        if (rc != 0 || info.si_pid == 0) {
            break;
        }
        RUC_FAILPOINT("re.reap");
        if (info.si_pid == l->driver->id.pid && !l->gone) {
            driver_ended(l, &info);
            ended = true;
        }
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
    bool empty = rc != 0 && errno == ECHILD;
    if (empty && l->gone) {
        ruc_re_loop_unset(l->loop, &l->grace);
        ruc_re_loop_unset(l->loop, &l->retry);
        l->incomplete = false;
        l->empty(l->arg);
    } else if (ended && !l->killing) {
        start_killing(l);
    } else if (l->killing && l->gone) {
        ruc_re_tree_kill_children(); /* those that the dead left to us */
    }
}
