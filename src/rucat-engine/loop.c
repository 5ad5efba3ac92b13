/* loop.c - see loop.h. */
#include "rucat-engine/loop.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/clock.h"

/* Sets the timerfd to the earliest timer, or to never. */
static void aim(ruc_re_loop_t *loop)
{
    struct itimerspec when = {0};
    uint64_t first = 0;
    for (ruc_re_timer_t *t = loop->timers; t != NULL; t = t->next) {
        if (first == 0 || t->at_ms < first) {
            first = t->at_ms;
        }
    }
    when.it_value.tv_sec = (time_t)(first / 1000);
    when.it_value.tv_nsec = (long)(first % 1000) * 1000000;
    RUC_MUST(timerfd_settime(loop->clock.fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
}

/* Runs what is due. A callback may set and unset any timer, so the search starts afresh. */
static void clock_ready(void *arg, uint32_t events)
{
    (void)events;
    ruc_re_loop_t *loop = arg;
    uint64_t count;
    ssize_t got = read(loop->clock.fd, &count, sizeof count);
    (void)got; /* EAGAIN when it was set anew in between */
    uint64_t now = ruc_clock_mono_ms();
    for (ruc_re_timer_t *t = loop->timers; t != NULL;) {
        if (t->at_ms > now) {
            t = t->next;
            continue;
        }
        ruc_re_loop_unset(loop, t);
        t->due(t->arg);
        t = loop->timers;
    }
    aim(loop);
}

int ruc_re_loop_open(ruc_re_loop_t *loop)
{
    *loop = (ruc_re_loop_t){.clock = {.ready = clock_ready, .arg = loop}};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->clock.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll < 0 || loop->clock.fd < 0) {
        return -errno;
    }
    return ruc_re_loop_watch(loop, &loop->clock, EPOLLIN);
}

void ruc_re_loop_close(ruc_re_loop_t *loop)
{
    ruc_re_loop_drop(loop, &loop->clock);
    close(loop->epoll);
}

static int control(ruc_re_loop_t *loop, int what, ruc_re_source_t *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, what, source->fd, &event) == 0 ? 0 : -errno;
}

int ruc_re_loop_watch(ruc_re_loop_t *loop, ruc_re_source_t *source, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, source, events);
}

int ruc_re_loop_change(ruc_re_loop_t *loop, ruc_re_source_t *source, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, source, events);
}

void ruc_re_loop_drop(ruc_re_loop_t *loop, ruc_re_source_t *source)
{
    if (source->fd < 0) {
        return;
    }
    control(loop, EPOLL_CTL_DEL, source, 0); /* not watched (yet): fine too */
    close(source->fd);
    source->fd = -1;
}

void ruc_re_loop_set(ruc_re_loop_t *loop, ruc_re_timer_t *timer, int64_t ms)
{
    timer->at_ms = ruc_clock_mono_ms() + (ms > 0 ? (uint64_t)ms : 0);
    if (!timer->set) {
        timer->set = true;
        timer->next = loop->timers;
        loop->timers = timer;
    }
    aim(loop);
}

void ruc_re_loop_unset(ruc_re_loop_t *loop, ruc_re_timer_t *timer)
{
    for (ruc_re_timer_t **at = &loop->timers; *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->set = false;
    timer->next = NULL;
    aim(loop);
}

int ruc_re_loop_turn(ruc_re_loop_t *loop)
{
    struct epoll_event event;
    int count = epoll_wait(loop->epoll, &event, 1, -1);
    if (count < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    if (count == 1) {
        ruc_re_source_t *source = event.data.ptr;
        source->ready(source->arg, event.events);
    }
    return 0;
}
