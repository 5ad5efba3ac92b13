/* watchdog.h - a thread that looks at the loop's thread while it works and sleeps while it does
 * not.
 *
 * The loop says when a slice of a script's work begins and ends: two stores to memory, and a call
 * of the kernel only when the watchdog is asleep. The thread looks every RUC_WATCHDOG_TICK_MS. A
 * slice that it finds running at two looks has overstayed: from then on every look sends SIGURG to
 * the loop's thread, whose handler calls `overstayed`. When the loop has not come back to poll for
 * `stall_ms`, `stalled` is called: first in the handler, on the loop's thread; after another
 * second, if that had no effect (the thread hangs in the kernel), on the watchdog's own.
 *
 * Both are called where next to nothing is allowed: no lock, no memory, see signal-safety(7). One
 * watchdog in a process; all functions are for the loop's thread. */
#ifndef RUC_CORE_WATCHDOG_H
#define RUC_CORE_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define RUC_WATCHDOG_TICK_MS 10

typedef struct ruc_watchdog_calls {
    void (*overstayed)(void);
    void (*stalled)(bool on_loop); /* NULL: nothing is done about a stall */
} ruc_watchdog_calls_t;

/* Starts the thread, for the thread that calls and its loop. 0 or a negative code. */
int ruc_watchdog_open(uv_loop_t *loop, const ruc_watchdog_calls_t *calls);

/* The longest that the loop may work without polling; 0: for ever. */
void ruc_watchdog_stall(uint64_t ms);

/* The loop has nothing under way: for the time before it runs. */
void ruc_watchdog_rest(void);

/* Ends the thread; waits for it, a tick at most. Its handles close in the loop's next turn. */
void ruc_watchdog_close(void);

/* What the loop tells; for the two functions below. */
extern struct ruc__watchdog {
    bool open;
    uint64_t count;         /* of slices */
    _Atomic uint64_t slice; /* 2n + 1: the nth is running; 2n: it is over */
    _Atomic uint64_t busy; /* the first slice since the loop has polled; 0: it polls, or was idle */
    _Atomic uint64_t ticks; /* looks of the watchdog */
    atomic_bool asleep;
} ruc__watchdog;

void ruc__watchdog_wake(void);

/* How often the watchdog has looked: a slice that sees another number at its end than at its
 * beginning was looked at. */
static inline uint64_t ruc_watchdog_ticks(void)
{
    return atomic_load_explicit(&ruc__watchdog.ticks, memory_order_relaxed);
}

/* A slice begins. Slices do not nest. No clock is read. */
static inline void ruc_watchdog_begin(void)
{
    struct ruc__watchdog *dog = &ruc__watchdog;
    if (!dog->open) {
        return;
    }
    dog->count++;
    if (atomic_load_explicit(&dog->busy, memory_order_relaxed) == 0) {
        atomic_store_explicit(&dog->busy, dog->count, memory_order_relaxed);
    }
    /* Seen before we look whether it sleeps: it looks again after it has said that it will. */
    atomic_store(&dog->slice, 2 * dog->count + 1);
    if (atomic_load(&dog->asleep)) {
        ruc__watchdog_wake();
    }
}

static inline void ruc_watchdog_end(void)
{
    struct ruc__watchdog *dog = &ruc__watchdog;
    atomic_store_explicit(&dog->slice, 2 * dog->count, memory_order_release);
}

#endif
