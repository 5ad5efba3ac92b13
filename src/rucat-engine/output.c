/* output.c - see output.h. */
#include "rucat-engine/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/utf8.h"
#include "rucat-engine/say.h"

#define PIPE_SIZE (1 << 20)
#define DRAIN_MAX (4 << 20) /* a pipe that somebody still fills is not followed for ever */

static void log_open(ruc_re_output_t *o)
{
    struct stat st;
    o->log = open("log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    o->log_size = o->log >= 0 && fstat(o->log, &st) == 0 ? st.st_size : 0;
}

static void rotate(ruc_re_output_t *o)
{
    if (rename("log", "log.1") != 0) {
        ruc_re_say_once("cannot rename the log: %s", strerror(errno));
        return;
    }
    close(o->log);
    log_open(o);
}

/* Appends to the log what it takes; counts the rest as dropped. */
static void keep(ruc_re_output_t *o, const char *data, size_t len)
{
    if (o->log >= 0 && o->log_size > 0 && o->log_size + (int64_t)len > o->log_max) {
        rotate(o);
    }
    if (o->log < 0) {
        log_open(o);
    }
    size_t done = 0;
    while (o->log >= 0 && done < len) {
        ssize_t wrote = write(o->log, data + done, len - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote == 0 || errno != EINTR) {
            ruc_re_say_once("cannot write the log: %s", strerror(errno));
            break;
        }
    }
    o->log_size += (int64_t)done;
    o->written += (int64_t)done;
    o->dropped += (int64_t)(len - done);
}

/* Removes escape sequences (CSI: colours and the like) in place; the new length. */
static size_t strip_escapes(char *text, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] == '\x1b' && i + 1 < len && text[i + 1] == '[') {
            i += 2;
            while (i < len && (text[i] < 0x40 || text[i] > 0x7e)) {
                i++;
            }
            i++;
        } else {
            text[out++] = text[i++];
        }
    }
    return out;
}

static void end_line(ruc_re_output_t *o)
{
    size_t len = strip_escapes(o->line_text, o->line_len);
    if (len > 0 && o->line_text[len - 1] == '\r') {
        len--;
    }
    o->line_len = 0;
    o->line(o->arg, o->line_text, len);
}

/* Cuts the bytes into lines. The listener may go away at any of them. */
static void scan(ruc_re_output_t *o, const char *data, size_t len)
{
    while (o->line != NULL && len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t run = newline == NULL ? len : (size_t)(newline - data);
        size_t room = sizeof o->line_text - o->line_len;
        memcpy(o->line_text + o->line_len, data, run < room ? run : room);
        o->line_len += run < room ? run : room;
        if (newline == NULL) {
            return;
        }
        end_line(o);
        data += run + 1;
        len -= run + 1;
    }
}

static void remember(ruc_re_output_t *o, const char *data, size_t len)
{
    if (len >= sizeof o->recent) {
        memcpy(o->recent, data + len - sizeof o->recent, sizeof o->recent);
        o->recent_len = sizeof o->recent;
        return;
    }
    size_t stay = sizeof o->recent - len;
    stay = o->recent_len < stay ? o->recent_len : stay;
    memmove(o->recent, o->recent + o->recent_len - stay, stay);
    memcpy(o->recent + stay, data, len);
    o->recent_len = stay + len;
}

/* Reads once. The number of bytes, 0 when there are none for now, -1 at the end. */
static ssize_t take(ruc_re_output_t *o)
{
    static char data[32768];
    ssize_t got = read(o->pipe.fd, data, sizeof data);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (got == 0) {
        return -1;
    }
    keep(o, data, (size_t)got);
    remember(o, data, (size_t)got);
    scan(o, data, (size_t)got);
    return got;
}

static void pipe_ready(void *arg, uint32_t events)
{
    (void)events;
    ruc_re_output_t *o = arg;
    if (take(o) < 0) { /* all writers are gone, or closed their output */
        ruc_re_loop_drop(o->loop, &o->pipe);
        if (o->line != NULL && o->line_len > 0) {
            end_line(o);
        }
    }
}

int ruc_re_output_open(ruc_re_output_t *o, ruc_re_loop_t *loop, int64_t log_max, int *write_end)
{
    int ends[2];
    o->loop = loop;
    o->log_max = log_max;
    o->pipe = (ruc_re_source_t){.fd = -1, .ready = pipe_ready, .arg = o};
    log_open(o);
    if (o->log < 0) {
        ruc_re_say_once("cannot open the log: %s", strerror(errno));
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -errno;
    }
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE); /* best effort: a limit may refuse it */
    o->pipe.fd = ends[0];
    *write_end = ends[1];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return -errno;
    }
    return ruc_re_loop_watch(loop, &o->pipe, EPOLLIN);
}

void ruc_re_output_finish(ruc_re_output_t *o)
{
    ssize_t all = 0;
    while (o->pipe.fd >= 0 && all < DRAIN_MAX) {
        ssize_t got = take(o);
        if (got <= 0) {
            break;
        }
        all += got;
    }
    ruc_re_loop_drop(o->loop, &o->pipe);
    if (o->line != NULL && o->line_len > 0) {
        end_line(o);
    }
    if (o->log >= 0) {
        close(o->log);
        o->log = -1;
    }
}

/* Copies one character, or what stands for a bad one; control characters but tab and newline are
 * left out. The bytes taken. */
static size_t clean_one(const char *text, size_t len, char *out, size_t *out_len)
{
    size_t wide = ruc_utf8_length(text, len);
    if (wide == 0) {
        memcpy(out + *out_len, "\xef\xbf\xbd", 3);
        *out_len += 3;
        return 1;
    }
    bool control = wide == 1 && (unsigned char)*text < 0x20 && *text != '\n' && *text != '\t';
    if (!control && *text != 0x7f) {
        memcpy(out + *out_len, text, wide);
        *out_len += wide;
    }
    return wide;
}

void ruc_re_output_tail(const ruc_re_output_t *o, char out[RUC_RE_TAIL + 1])
{
    char text[RUC_RE_RECENT];
    char clean[RUC_RE_RECENT * 3];
    size_t clean_len = 0;
    bool cut = o->recent_len == sizeof o->recent;
    memcpy(text, o->recent, o->recent_len);
    size_t len = strip_escapes(text, o->recent_len);
    for (size_t i = 0; i < len;) {
        i += clean_one(text + i, len - i, clean, &clean_len);
    }
    size_t from = 0;
    if (clean_len > RUC_RE_TAIL) {
        from = clean_len - RUC_RE_TAIL;
        cut = clean[from - 1] != '\n';
    }
    if (cut) {
        const char *newline = memchr(clean + from, '\n', clean_len - from);
        size_t whole = newline == NULL ? clean_len : (size_t)(newline - clean) + 1;
        if (whole < clean_len) {
            from = whole;
        }
    }
    while (from < clean_len && ((unsigned char)clean[from] & 0xc0) == 0x80) {
        from++; /* in the middle of a character of one long line */
    }
    size_t size = clean_len - from;
    memcpy(out, clean + from, size);
    out[size] = '\0';
}
