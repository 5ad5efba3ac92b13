/* ladder.c - see ladder.h. */
#include "rucat-engine/ladder.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/failpoint.h"
#include "proc/cgroup.h"
#include "rucat-engine/say.h"
#include "rucat-engine/tree.h"

#define RETRY_FIRST_MS 20 /* for the first second */
#define RETRY_LAST_MS 1000
#define HURRY_MS 1000
#define PATIENCE_MS 10000
#define REAP_MAX 128 /* in one turn of the loop */
#define FIGHT_MS 30
#define ROUNDS_OF_CHILDREN 16 /* for each look at all processes, which is slow */

/* The driver is a zombie: its number, and its group's, are still its own. */
static void driver_ended(ruc_re_ladder_t *l, const siginfo_t *how)
{
    kill(-how->si_pid, SIGKILL);
    l->gone = true;
    l->exited(l->arg, how);
}

/* Reaps one child. 1; 0 when there is none to be reaped now, -1 when there is none at all. */
static int reap_one(ruc_re_ladder_t *l)
{
    siginfo_t info = {0};
    int rc;
    do {
        rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 || info.si_pid == 0) {
        return rc != 0 ? -1 : 0;
    }
    RUC_FAILPOINT("re.reap");
    if (info.si_pid == l->driver->id.pid && !l->gone) {
        driver_ended(l, &info);
    }
    waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    return 1;
}

/* Where nothing ends them in one go: each child is killed and reaped, its children become ours, and
 * so on, faster than they can multiply; what still has a living parent is met by the look at all
 * processes. Some milliseconds, then others have their turn. */
static void fight(ruc_re_ladder_t *l)
{
    uint64_t end = ruc_clock_mono_ms() + FIGHT_MS;
    int rc = 0;
    do {
        for (int i = 0; i < ROUNDS_OF_CHILDREN && rc != -1; i++) {
            int children = ruc_re_tree_kill_children();
            for (int left = children + REAP_MAX; left > 0 && (rc = reap_one(l)) == 1; left--) {
            }
        }
    } while (rc != -1 && ruc_re_tree_kill_all() > 0 && ruc_clock_mono_ms() < end);
}

/* SIGKILL to what there is. The driver's group only while the driver holds its number. What the
 * cgroup did not get (it was moved to another one) is met by the tree in a later round. */
static void kill_all(ruc_re_ladder_t *l)
{
    if (!l->gone) {
        kill(-l->driver->id.pid, SIGKILL); /* ESRCH: nothing there */
        kill(l->driver->id.pid, SIGKILL);
    }
    if (l->cgroup < 0 || ruc_cgroup_kill(l->cgroup) < 0 || l->retry_gap_ms > RETRY_FIRST_MS) {
        fight(l);
    } else {
        ruc_re_tree_kill_children();
    }
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
    int64_t longer = l->retry_gap_ms * 2 < RETRY_LAST_MS ? l->retry_gap_ms * 2 : RETRY_LAST_MS;
    if (ruc_clock_mono_ms() - l->killing_ms >= HURRY_MS) {
        l->retry_gap_ms = longer;
    }
}

static void start_killing(ruc_re_ladder_t *l)
{
    if (l->killing) {
        return;
    }
    l->killing = true;
    setpriority(PRIO_PROCESS, 0, -20); /* if we may: among many that fork we are one */
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

static void more_due(void *arg)
{
    ruc_re_ladder_reap(arg);
}

void ruc_re_ladder_init(ruc_re_ladder_t *l)
{
    l->took_ms = -1;
    l->more = (ruc_re_timer_t){.due = more_due, .arg = l};
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

static void is_empty(ruc_re_ladder_t *l)
{
    ruc_re_loop_unset(l->loop, &l->grace);
    ruc_re_loop_unset(l->loop, &l->retry);
    ruc_re_loop_unset(l->loop, &l->more);
    l->incomplete = false;
    l->took_ms = l->killing ? (int64_t)(ruc_clock_mono_ms() - l->killing_ms) : -1;
    l->empty(l->arg);
}

void ruc_re_ladder_reap(ruc_re_ladder_t *l)
{
    int rc = 1;
    for (int i = 0; rc == 1 && i < REAP_MAX; i++) {
        rc = reap_one(l);
    }
    if (rc == 1) {
        ruc_re_loop_set(l->loop, &l->more, 0);
    }
    if (rc == -1 && l->gone && (l->cgroup < 0 || ruc_cgroup_populated(l->cgroup) != 1)) {
        is_empty(l);
    } else if (l->gone && !l->killing) {
        start_killing(l);
    } else if (l->gone) {
        ruc_re_tree_kill_children(); /* those that the dead left to us */
    }
}
