/* handover.c - see handover.h.
 *
 * All that ruc_handover_stalled needs is made beforehand, as it may neither allocate nor lock nor
 * format by stdio. RUC_HANDOVER is lines of KEY=VALUE, begun by a version. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lua/fileset.h"
#include "lua/guard.h"

#define VARIABLE "RUC_HANDOVER"
#define VERSION "1"

static struct {
    const ruc_handover_t *handover;
    char exe[PATH_MAX];
    char *command, **argv; /* the text of all arguments, and where each begins */
    char **env;            /* as it was, and ours */
    char variable[4 * PATH_MAX];
} own;

extern char **environ;

/* ---- taking ---- */

/* Not for those that we start; -1: it is not there. */
static int take_fd(const char *value)
{
    int fd = atoi(value);
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

static void take_line(ruc_handover_t *h, const char *key, const char *value)
{
    const struct {
        const char *key;
        int *fd;
    } fds[] = {{"console", &h->console}, {"lock", &h->lock}, {"db_lock", &h->db_lock}};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (strcmp(key, fds[i].key) == 0) {
            *fds[i].fd = take_fd(value);
        }
    }
    if (strcmp(key, "http") == 0 && h->http_count < RUC_HANDOVER_SOCKETS) {
        int fd = take_fd(value);
        h->http[h->http_count] = fd;
        h->http_count += fd >= 0;
    }
    if (strcmp(key, "state_dir") == 0) {
        snprintf(h->state_dir, sizeof h->state_dir, "%s", value);
    } else if (strcmp(key, "db_dir") == 0) {
        snprintf(h->db_dir, sizeof h->db_dir, "%s", value);
    } else if (strcmp(key, "remove") == 0) {
        h->remove = value[0] == '1';
    } else if (strcmp(key, "count") == 0) {
        h->count = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(key, "time") == 0) { /* newest first */
        for (int i = 0; i < RUC_HANDOVER_MOST; i++) {
            if (h->times[i] == 0) {
                h->times[i] = strtoll(value, NULL, 10);
                break;
            }
        }
    } else if (strcmp(key, "digest") == 0) {
        for (int i = 0; i < RUC_STALLED_MAX; i++) {
            if (h->digests[i] == 0) {
                h->digests[i] = strtoull(value, NULL, 10);
                break;
            }
        }
    }
}

void ruc_handover_take(ruc_handover_t *handover)
{
    *handover = (ruc_handover_t){.console = -1, .lock = -1, .db_lock = -1};
    const char *value = getenv(VARIABLE);
    char *text = value == NULL ? NULL : strdup(value), *save = NULL;
    unsetenv(VARIABLE);
    char *line = text == NULL ? NULL : strtok_r(text, "\n", &save);
    if (line != NULL && strcmp(line, VERSION) == 0) {
        handover->given = true;
        while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
            char *equals = strchr(line, '=');
            if (equals != NULL) {
                *equals = '\0';
                take_line(handover, line, equals + 1);
            }
        }
    }
    free(text);
}

/* ---- preparing ---- */

/* The command line as it was, which getopt may have put in another order. */
static int read_command(void)
{
    size_t len = 0, room = 4096, count = 0;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char *text = malloc(room);
    ssize_t got = fd < 0 || text == NULL ? -1 : 1;
    while (got > 0) {
        if (len + 1 >= room) {
            char *more = realloc(text, room *= 2);
            if (more == NULL) {
                got = -1;
                break;
            }
            text = more;
        }
        got = read(fd, text + len, room - len - 1);
        len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (got < 0 || len == 0) {
        free(text);
        return UV_ENOMEM;
    }
    text[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        count += text[i] == '\0';
    }
    own.command = text;
    own.argv = calloc(count + 2, sizeof *own.argv);
    for (size_t i = 0, at = 0; own.argv != NULL && at < len; at += strlen(text + at) + 1) {
        own.argv[i++] = text + at;
    }
    return own.argv == NULL ? UV_ENOMEM : 0;
}

int ruc_handover_prepare(const ruc_handover_t *handover, ruc_why_t *why)
{
    size_t count = 0;
    ssize_t len = readlink("/proc/self/exe", own.exe, sizeof own.exe - 1);
    own.exe[len < 0 ? 0 : len] = '\0';
    while (environ[count] != NULL) {
        count++;
    }
    own.env = calloc(count + 2, sizeof *own.env);
    if (own.env == NULL || read_command() < 0) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    memcpy(own.env, environ, count * sizeof *own.env);
    own.env[count] = own.variable;
    own.handover = handover;
    return 0;
}

/* ---- the stall: signal-safe from here on ---- */

typedef struct text {
    char *at;
    size_t len, size;
} text_t;

static void add(text_t *text, const char *what)
{
    while (*what != '\0' && text->len + 1 < text->size) {
        text->at[text->len++] = *what++;
    }
    text->at[text->len] = '\0';
}

static void add_number(text_t *text, uint64_t number)
{
    char digits[24];
    size_t first = sizeof digits - 1;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add(text, digits + first);
}

/* A text for JSON: what would need more than a backslash is a question mark. */
static void add_json(text_t *text, const char *what)
{
    add(text, "\"");
    for (; *what != '\0'; what++) {
        char one[3] = {*what, '\0', '\0'};
        if (*what == '"' || *what == '\\') {
            one[0] = '\\';
            one[1] = *what;
        } else if ((unsigned char)*what < 0x20) {
            one[0] = '?';
        }
        add(text, one);
    }
    add(text, "\"");
}

static void add_line(text_t *text, const char *key, const char *value)
{
    if (value[0] != '\0') {
        add(text, key);
        add(text, "=");
        add(text, value);
        add(text, "\n");
    }
}

static void add_line_number(text_t *text, const char *key, uint64_t number)
{
    add(text, key);
    add(text, "=");
    add_number(text, number);
    add(text, "\n");
}

/* A descriptor that lives on. */
static void add_fd(text_t *text, const char *key, int fd)
{
    if (fd >= 0 && fcntl(fd, F_SETFD, 0) == 0) {
        add_line_number(text, key, (uint64_t)fd);
    }
}

static void write_variable(int64_t now, uint64_t digest)
{
    const ruc_handover_t *h = own.handover;
    text_t text = {own.variable, 0, sizeof own.variable};
    add(&text, VARIABLE "=" VERSION "\n");
    for (int i = 0; i < h->http_count; i++) {
        add_fd(&text, "http", h->http[i]);
    }
    add_fd(&text, "console", h->console);
    add_fd(&text, "lock", h->lock);
    add_fd(&text, "db_lock", h->db_lock);
    add_line(&text, "state_dir", h->state_dir);
    add_line(&text, "db_dir", h->db_dir);
    add_line_number(&text, "remove", h->remove);
    add_line_number(&text, "count", h->count + 1);
    add_line_number(&text, "time", (uint64_t)now);
    for (int i = 0; i < RUC_HANDOVER_MOST - 1 && h->times[i] != 0; i++) {
        add_line_number(&text, "time", (uint64_t)h->times[i]);
    }
    if (digest != 0) {
        add_line_number(&text, "digest", digest);
    }
    for (int i = 0; i < RUC_STALLED_MAX - 1 && h->digests[i] != 0; i++) {
        if (h->digests[i] != digest) {
            add_line_number(&text, "digest", h->digests[i]);
        }
    }
}

static void write_report(const ruc_guard_who_t *who, int64_t now)
{
    char path[PATH_MAX], report[4096];
    text_t name = {path, 0, sizeof path}, text = {report, 0, sizeof report};
    add(&name, own.handover->state_dir);
    add(&name, "/stall.json");
    add(&text, "{\"at\":");
    add_number(&text, (uint64_t)now);
    add(&text, ",\"kind\":");
    add_json(&text, who->kind);
    add(&text, ",\"what\":");
    add_json(&text, who->what);
    add(&text, ",\"place\":");
    add_json(&text, who->place);
    add(&text, ",\"generation\":");
    add_number(&text, who->generation);
    add(&text, "}\n");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        ssize_t written = write(fd, report, text.len);
        (void)written; /* who did it is lost: the rest is worth more */
        close(fd);
    }
}

/* To standard error: the log's thread is about to be gone. */
static void say(const char *what)
{
    ssize_t written = write(STDERR_FILENO, what, strlen(what));
    (void)written;
}

static bool too_often(int64_t now)
{
    int64_t oldest = own.handover->times[RUC_HANDOVER_MOST - 1];
    return oldest != 0 && oldest <= now && now - oldest < RUC_HANDOVER_SPAN;
}

void ruc_handover_stalled(bool on_loop)
{
    ruc_guard_who_t who;
    struct timespec now, wall;
    sigset_t none;
    if (own.handover == NULL) {
        return;
    }
    clock_gettime(CLOCK_BOOTTIME, &now);
    clock_gettime(CLOCK_REALTIME, &wall);
    ruc_guard_who(&who, on_loop);
    write_report(&who, wall.tv_sec);
    if (too_often(now.tv_sec)) {
        say("rucat: the loop stood still for the fourth time within ten minutes "
            "(STATE_DIR/stall.json "
            "says where): the server ends\n");
        _exit(1);
    }
    write_variable(now.tv_sec, who.digest);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(own.exe, own.argv, own.env);
    execve("/proc/self/exe", own.argv, own.env); /* the file was replaced */
    say("rucat: the loop stands still and the server could not start itself again\n");
}

/* ---- afterwards ---- */

void ruc_handover_story(const ruc_handover_t *handover, const char *state_dir, char *out,
                        size_t size)
{
    char path[PATH_MAX];
    ruc_why_t why;
    size_t len = 0;
    out[0] = '\0';
    if (!handover->given) {
        return;
    }
    snprintf(path, sizeof path, "%.*s/stall.json", PATH_MAX - 16, state_dir);
    char *text = ruc_file_read(path, 65536, &len, &why);
    json_t *doc = text == NULL ? NULL : json_loadb(text, len, 0, NULL);
    const char *place = json_string_value(json_object_get(doc, "place"));
    const char *kind = json_string_value(json_object_get(doc, "kind"));
    const char *what = json_string_value(json_object_get(doc, "what"));
    json_int_t generation = json_integer_value(json_object_get(doc, "generation"));
    bool known = kind != NULL && what != NULL && place != NULL && kind[0] != '\0';
    int used =
        snprintf(out, size, "%s%s", known ? place : "", known && place[0] != '\0' ? ": " : "");
    if (known && used >= 0 && (size_t)used < size) {
        snprintf(out + used, size - (size_t)used,
                 "%s %s (script generation %lld) held the loop up for longer than limits.stall",
                 kind, what, (long long)generation);
    } else if (!known) {
        snprintf(out, size, "the loop stood still for longer than limits.stall");
    }
    json_decref(doc);
    free(text);
}
