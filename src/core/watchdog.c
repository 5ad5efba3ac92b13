/* watchdog.c - see watchdog.h. */
#include "core/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "core/check.h"

#define IDLE_TICKS 3 /* without a slice, then it sleeps */
#define PATIENCE_TICKS                                                                             \
    (1000 / RUC_WATCHDOG_TICK_MS) /* for the handler to do something about a stall */

struct ruc__watchdog ruc__watchdog;

static struct {
    ruc_watchdog_calls_t calls;
    pthread_t loop_thread, thread;
    sem_t wake;
    uv_prepare_t prepare;
    atomic_bool closing;
    _Atomic uint64_t stall_ticks;
    _Atomic uint64_t stalled_since; /* `busy` of a stall: what the signal is for; 0 */
} own;

void ruc__watchdog_wake(void)
{
    if (atomic_exchange(&ruc__watchdog.asleep, false)) {
        sem_post(&own.wake);
    }
}

/* On the loop's thread, in the middle of anything. */
static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    uint64_t since = atomic_load(&own.stalled_since);
    if (since == 0) {
        own.calls.overstayed();
    } else if (since == atomic_load(&ruc__watchdog.busy)) { /* it has not come back since */
        own.calls.stalled(true);
        atomic_store(&own.stall_ticks, 0); /* still here: it cannot be helped */
    }
    atomic_store(&own.stalled_since, 0);
    errno = saved;
}

/* The loop is about to poll: whatever came is dealt with. */
static void on_prepare(uv_prepare_t *handle)
{
    (void)handle;
    atomic_store_explicit(&ruc__watchdog.busy, 0, memory_order_relaxed);
}

static void sleep_a_tick(void)
{
    struct timespec tick = {.tv_nsec = RUC_WATCHDOG_TICK_MS * 1000000};
    nanosleep(&tick, NULL);
}

/* Sleeps until a slice begins. */
static void sleep_long(uint64_t seen)
{
    atomic_store(&ruc__watchdog.asleep, true);
    if (atomic_load(&ruc__watchdog.slice) != seen || atomic_load(&own.closing)) {
        /* One has begun meanwhile; whoever takes the mark off has posted, or we need not wait. */
        if (atomic_exchange(&ruc__watchdog.asleep, false)) {
            return;
        }
    }
    while (sem_wait(&own.wake) < 0 && errno == EINTR) {
    }
}

/* The loop works since the slice `busy`: is that too long? Ticks are counted, not time: a process
 * that was stopped, or a machine that slept, has not stalled. */
static void look_for_stall(uint64_t busy)
{
    static uint64_t last, ticks;
    uint64_t most = atomic_load(&own.stall_ticks);
    ticks = busy != 0 && busy == last ? ticks + 1 : 0;
    last = busy;
    if (most == 0 || ticks < most || own.calls.stalled == NULL) {
        return;
    }
    if (ticks < most + PATIENCE_TICKS) {
        atomic_store(&own.stalled_since, busy);
        pthread_kill(own.loop_thread, SIGURG);
    } else {
        own.calls.stalled(false);
        atomic_store(&own.stall_ticks, 0);
    }
}

static void *watch(void *arg)
{
    (void)arg;
    uint64_t last = 0;
    int idle = 0;
    while (!atomic_load(&own.closing)) {
        sleep_a_tick();
        atomic_fetch_add_explicit(&ruc__watchdog.ticks, 1, memory_order_relaxed);
        uint64_t slice = atomic_load(&ruc__watchdog.slice);
        uint64_t busy = atomic_load(&ruc__watchdog.busy);
        if (slice == last && (slice & 1) != 0) {
            pthread_kill(own.loop_thread, SIGURG);
        }
        look_for_stall(busy);
        idle = slice == last && busy == 0 ? idle + 1 : 0;
        last = slice;
        if (idle >= IDLE_TICKS) {
            sleep_long(slice);
            idle = 0;
        }
    }
    return NULL;
}

static int start_thread(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* it inherits this: signals are the loop's */
    int rc = -pthread_create(&own.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int ruc_watchdog_open(uv_loop_t *loop, const ruc_watchdog_calls_t *calls)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    RUC_MUST(!ruc__watchdog.open);
    own.calls = *calls;
    own.loop_thread = pthread_self();
    atomic_store(&own.closing, false);
    atomic_store(&own.stalled_since, 0);
    atomic_store(&ruc__watchdog.asleep, false);
    if (sigaction(SIGURG, &action, NULL) < 0 || sem_init(&own.wake, 0, 0) < 0) {
        return -errno;
    }
    int rc = start_thread();
    if (rc < 0) {
        sem_destroy(&own.wake);
        return rc;
    }
    uv_prepare_init(loop, &own.prepare);
    uv_prepare_start(&own.prepare, on_prepare);
    uv_unref((uv_handle_t *)&own.prepare);
    ruc__watchdog.open = true;
    return 0;
}

void ruc_watchdog_stall(uint64_t ms)
{
    atomic_store(&own.stall_ticks, ms / RUC_WATCHDOG_TICK_MS);
}

void ruc_watchdog_rest(void)
{
    atomic_store_explicit(&ruc__watchdog.busy, 0, memory_order_relaxed);
}

void ruc_watchdog_close(void)
{
    if (!ruc__watchdog.open) {
        return;
    }
    ruc__watchdog.open = false;
    atomic_store(&own.closing, true);
    atomic_store(&ruc__watchdog.asleep, false);
    sem_post(&own.wake);
    pthread_join(own.thread, NULL);
    sem_destroy(&own.wake);
    signal(SIGURG, SIG_IGN); /* one that is still under way does nothing */
    uv_close((uv_handle_t *)&own.prepare, NULL);
}
