/* failpoint.c - see failpoint.h. Empty in a release. */
#include "core/failpoint.h"

#ifdef RUC_TESTING
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POINTS_MAX 32

typedef enum { CRASH, STOP, ERROR, DELAY } action_t;

typedef struct point {
    char name[64];
    size_t prefix; /* compare so many bytes; 0: all */
    action_t action;
    int number;      /* errno or milliseconds */
    unsigned nth;    /* 0: each time */
    unsigned chance; /* one in; 0: always */
    atomic_uint passed;
} point_t;

static point_t points[POINTS_MAX];
static size_t count;
static atomic_uint_fast64_t row;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A test that says nonsense is told so: it would pass for the wrong reason. */
_Noreturn static void nonsense(const char *text)
{
    fprintf(stderr, "FAILPOINTS: not understood: %s\n", text);
    abort();
}

static void parse_one(char *text)
{
    static const char *const actions[] = {"crash", "stop", "error", "delay"};
    char *equals = strchr(text, '=');
    if (equals == NULL || count == POINTS_MAX || (size_t)(equals - text) >= sizeof points->name) {
        nonsense(text);
    }
    point_t *p = &points[count++];
    *equals = '\0';
    snprintf(p->name, sizeof p->name, "%s", text);
    size_t len = strlen(p->name);
    bool star = len > 0 && p->name[len - 1] == '*';
    p->prefix = star ? len : 0; /* the star itself is not compared: see matches */
    char *at = equals + 1;
    size_t word = strcspn(at, ":@~");
    unsigned action = 0;
    while (action < 4 && (strlen(actions[action]) != word || strncmp(at, actions[action], word))) {
        action++;
    }
    if (action == 4) {
        nonsense(at);
    }
    p->action = (action_t)action;
    p->number = p->action == ERROR ? EIO : 0;
    for (at += word; *at != '\0';) {
        char what = *at;
        unsigned long value = strtoul(at + 1, &at, 10);
        if (what == ':') {
            p->number = (int)value;
        } else if (what == '@') {
            p->nth = (unsigned)value;
        } else if (what == '~') {
            p->chance = (unsigned)value;
        } else {
            nonsense(at);
        }
    }
}

static void parse(void)
{
    const char *text = getenv("FAILPOINTS");
    const char *seed = getenv("FAILPOINTS_SEED");
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t begin = seed == NULL ? (uint64_t)now.tv_nsec : strtoull(seed, NULL, 10);
    atomic_store(&row, (begin + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid() << 20);
    char *copy = text == NULL ? NULL : strdup(text);
    char *save = NULL;
    for (char *one = copy == NULL ? NULL : strtok_r(copy, ";", &save); one != NULL;
         one = strtok_r(NULL, ";", &save)) {
        parse_one(one);
    }
    free(copy);
}

/* splitmix64 */
static uint64_t random_number(void)
{
    uint64_t z = atomic_fetch_add(&row, 0x9e3779b97f4a7c15u) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool matches(const point_t *p, const char *name)
{
    return p->prefix > 0 ? strncmp(p->name, name, p->prefix - 1) == 0 : strcmp(p->name, name) == 0;
}

static int act(const point_t *p)
{
    switch (p->action) {
    case CRASH:
        kill(getpid(), SIGKILL);
        for (;;) {
            pause(); /* the signal is on its way */
        }
    case STOP:
        kill(getpid(), SIGSTOP);
        return 0;
    case DELAY:
        usleep((useconds_t)p->number * 1000);
        return 0;
    case ERROR:
    default:
        return -p->number;
    }
}

int ruc_failpoint(const char *name)
{
    int rc = 0;
    pthread_once(&once, parse);
    for (size_t i = 0; i < count && rc == 0; i++) {
        point_t *p = &points[i];
        if (!matches(p, name)) {
            continue;
        }
        unsigned passed = atomic_fetch_add(&p->passed, 1) + 1;
        if ((p->nth == 0 || p->nth == passed) &&
            (p->chance == 0 || random_number() % p->chance == 0)) {
            rc = act(p);
        }
    }
    return rc;
}
#endif
