/* load.c - the measuring half of bench/run.sh; libc only.
 *
 *   bench_load rate PORT PATH PER_SECOND SECONDS CONNECTIONS
 *       Asks at a fixed rate and measures each answer from the moment it was due to be asked, so
 *       that a server that stands still is charged for those who would have come meanwhile
 *       (closed-loop clients leave them out). Prints: p50_us p99_us max_us answers errors
 *   bench_load idle PORT PATH CONNECTIONS PID
 *       Opens connections, asks once on each and holds them. Prints what each added to the server's
 *       resident memory: bytes held
 *   bench_load ready PORT TIMES COMMAND...
 *       Starts the server, asks /readyz until it is 200, ends it by SIGTERM. Prints the median of
 * the milliseconds from fork to that answer. bench_load cpu PID Prints the CPU nanoseconds of a
 * process. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap(long ns)
{
    nanosleep(&(struct timespec){0, ns}, NULL);
}

/* A connected socket, or -1. */
static int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0) {
        die("socket");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static char question[512];
static size_t question_len;

static void ask_for(const char *path)
{
    question_len = (size_t)snprintf(question, sizeof question,
                                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
}

/* Length of the answer at the start of `text` when it is there whole, else 0. */
static size_t whole(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4), *at = text;
    while (end != NULL && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (strncasecmp(at, "content-length:", 15) == 0) {
            size_t total = (size_t)(end - text) + 4 + strtoul(at + 15, NULL, 10);
            return total <= len ? total : 0;
        }
    }
    return 0;
}

static bool is_ok(const char *text)
{
    return strncmp(text, "HTTP/1.1 200", 12) == 0 || strncmp(text, "HTTP/1.0 200", 12) == 0;
}

/* Asks on a blocking socket; true for 200. */
static bool ask(int fd)
{
    char text[8192];
    size_t len = 0;
    if (write(fd, question, question_len) != (ssize_t)question_len) {
        return false;
    }
    while (len < sizeof text) {
        ssize_t n = read(fd, text + len, sizeof text - len);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        if (whole(text, len) > 0) {
            return is_ok(text);
        }
    }
    return false;
}

/* ---- rate ---- */

typedef struct conn {
    int fd;
    uint64_t due; /* of the question under way; 0: idle */
    size_t len;
    char text[8192];
} conn_t;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void begin(conn_t *conn, uint64_t due)
{
    conn->due = due;
    conn->len = 0;
    if (write(conn->fd, question, question_len) != (ssize_t)question_len) {
        die("write");
    }
}

static void rate(int port, double per_second, double seconds, int conns)
{
    size_t total = (size_t)(per_second * seconds), asked = 0, done = 0, errors = 0, idle = 0;
    conn_t *all = calloc((size_t)conns, sizeof *all),
           **free_ones = calloc((size_t)conns, sizeof(void *));
    uint32_t *took = calloc(total, sizeof *took);
    int ep = epoll_create1(0);
    if (all == NULL || free_ones == NULL || took == NULL || ep < 0) {
        die("memory");
    }
    for (int i = 0; i < conns; i++) {
        all[i].fd = dial(port);
        if (all[i].fd < 0 || !ask(all[i].fd)) {
            die("connect");
        }
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &event);
        free_ones[idle++] = &all[i];
    }
    uint64_t start = now_ns() + 1000000, gap = (uint64_t)(1e9 / per_second), limit;
    limit = start + (uint64_t)(seconds * 1e9) + 10000000000u;
    while (done < total && now_ns() < limit) {
        while (asked < total && idle > 0 && start + asked * gap <= now_ns()) {
            begin(free_ones[--idle], start + asked * gap);
            asked++;
        }
        struct epoll_event events[64];
        int n = epoll_wait(ep, events, 64, 0); /* this core is ours: no sleep, no lateness */
        for (int i = 0; i < n; i++) {
            conn_t *conn = events[i].data.ptr;
            ssize_t got = read(conn->fd, conn->text + conn->len, sizeof conn->text - conn->len);
            if (got <= 0) {
                die("the server hung up");
            }
            conn->len += (size_t)got;
            if (whole(conn->text, conn->len) > 0) {
                errors += !is_ok(conn->text);
                took[done++] = (uint32_t)((now_ns() - conn->due) / 1000);
                free_ones[idle++] = conn;
            }
        }
    }
    qsort(took, done, sizeof *took, by_value);
    if (done == 0) {
        die("no answer");
    }
    printf("%u %u %u %zu %zu\n", took[done / 2], took[done * 99 / 100], took[done - 1], done,
           errors + (total - done));
}

/* ---- memory ---- */

static long resident(const char *pid)
{
    char path[64], line[256];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %ld", &kb) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kb;
}

static void idle(int port, int conns, const char *pid)
{
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
    int warm = dial(port); /* what one connection needs once is not what each needs */
    if (warm < 0 || !ask(warm)) {
        die("connect");
    }
    long before = resident(pid);
    int held = 0;
    for (; held < conns; held++) {
        int fd = dial(port);
        if (fd < 0 || !ask(fd)) {
            break;
        }
    }
    nap(200000000);
    printf("%ld %d\n", held == 0 ? 0 : (resident(pid) - before) * 1024 / held, held);
}

/* ---- start to ready ---- */

static double once(int port, char **command)
{
    uint64_t start = now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execv(command[0], command);
        _exit(127);
    }
    uint64_t took = 0;
    while (took == 0 && now_ns() - start < 10000000000u) {
        int fd = dial(port);
        if (fd >= 0 && ask(fd)) {
            took = now_ns() - start;
        }
        if (fd >= 0) {
            close(fd);
        }
        nap(200000);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return (double)took / 1e6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void ready(int port, int times, char **command)
{
    double all[100];
    times = times > 100 ? 100 : times;
    for (int i = 0; i < times; i++) {
        all[i] = once(port, command);
    }
    qsort(all, (size_t)times, sizeof *all, by_size);
    printf("%.1f\n", all[times / 2]);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0;
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(verb, "cpu") == 0 && argc == 3) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid((pid_t)port, &clock) != 0 || clock_gettime(clock, &t) != 0) {
            die("cpu clock");
        }
        printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    } else if (strcmp(verb, "rate") == 0 && argc == 7) {
        ask_for(argv[3]);
        rate(port, atof(argv[4]), atof(argv[5]), atoi(argv[6]));
    } else if (strcmp(verb, "idle") == 0 && argc == 6) {
        ask_for(argv[3]);
        idle(port, atoi(argv[4]), argv[5]);
    } else if (strcmp(verb, "ready") == 0 && argc > 4) {
        ask_for("/readyz");
        ready(port, atoi(argv[3]), argv + 4);
    } else {
        fprintf(stderr, "bench_load rate|idle|ready|cpu ...: see the head of bench/load.c\n");
        return 2;
    }
    return 0;
}
