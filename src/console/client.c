/* client.c - see client.h. */
#include "console/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <uv.h>

#include "core/utf8.h"
#include "lua/fileset.h"

/* ---- what the server says ---- */

/* Text of others (logs, messages): what could play with the terminal is shown as "?". */
static void put_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        putchar((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f ? '?' : byte);
    }
}

static void end_with(ruc_client_t *client, const char *text)
{
    ruc_edit_hide(client);
    fflush(stdout);
    fprintf(stderr, "rucat: %s\n", text);
    client->over = client->failed = true;
}

static void take_result(ruc_client_t *client, const json_t *message, const char *text, size_t len)
{
    bool ok = json_is_true(json_object_get(message, "ok"));
    if (json_integer_value(json_object_get(message, "id")) != client->running) {
        return;
    }
    client->running = 0;
    client->incomplete = json_is_true(json_object_get(message, "incomplete"));
    if (client->incomplete) {
        return;
    }
    FILE *to = ok ? stdout : stderr;
    if (len > 0) {
        fflush(stdout);
        fwrite(text, 1, len, to);
        putc('\n', to);
        fflush(to);
    }
    client->failed = client->failed || !ok;
}

static void take_message(ruc_client_t *client, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    json_t *value = json_object_get(message, "text");
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = json_string_length(value);
    if (type == NULL) {
        return;
    }
    if (strcmp(type, "out") == 0 || strcmp(type, "push") == 0) {
        ruc_edit_hide(client);
        if (type[0] == 'p') {
            put_plain(text, len);
            putchar('\n');
        } else {
            fwrite(text, 1, len, stdout);
        }
        fflush(stdout);
        ruc_edit_show(client);
    } else if (strcmp(type, "result") == 0) {
        take_result(client, message, text, len);
    } else if (strcmp(type, "bye") == 0 || strcmp(type, "error") == 0) {
        end_with(client, text);
    }
}

static void take_all(ruc_client_t *client)
{
    json_t *message;
    while (!client->over && (message = ruc_link_next(&client->link)) != NULL) {
        take_message(client, message);
        json_decref(message);
    }
}

/* ---- signals ---- */

static void measure(ruc_client_t *client)
{
    struct winsize size;
    bool terminal = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    client->columns = !terminal ? 0 : size.ws_col > 0 ? size.ws_col : 80;
}

static void take_signal(ruc_client_t *client)
{
    struct signalfd_siginfo info;
    if (read(client->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGCONT) {
        ruc_edit_resume(client);
    } else if (info.ssi_signo == SIGWINCH) {
        measure(client);
        ruc_edit_resize(client);
    } else if (info.ssi_signo != SIGINT || (client->running != 0 && client->cancels++ > 0)) {
        ruc_edit_hide(client);
        client->over = client->failed = true;
    } else {
        json_t *cancel = json_pack("{s:s}", "type", "cancel");
        if (cancel == NULL || ruc_link_send(&client->link, cancel) < 0) {
            end_with(client, "the server is gone");
        } else if (client->prompting) {
            ruc_edit_interrupt(client);
        } else if (client->running == 0) { /* reading a pipe: nothing to end but ourselves */
            client->over = client->failed = true;
        }
    }
}

static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- turns ---- */

bool ruc_client_turn(ruc_client_t *client, bool input)
{
    struct pollfd waits[] = {{.fd = client->link.fd, .events = POLLIN},
                             {.fd = client->signals, .events = POLLIN},
                             {.fd = input ? STDIN_FILENO : -1, .events = POLLIN}};
    take_all(client); /* what came while something else was waited for */
    if (client->over || (!input && client->running == 0)) {
        return false;
    }
    if (poll(waits, 3, -1) < 0) {
        if (errno != EINTR) {
            end_with(client, strerror(errno));
        }
        return false;
    }
    if (waits[1].revents != 0) {
        take_signal(client);
    }
    if (waits[0].revents != 0) {
        int rc = ruc_link_receive(&client->link);
        take_all(client);
        if (rc < 0 && !client->over) {
            end_with(client, rc == UV_EOF ? "the server is gone" : ruc_err_text(rc));
        }
    }
    return !client->over && waits[2].revents != 0;
}

bool ruc_client_eval(ruc_client_t *client, const char *name)
{
    const ruc_buf_t *code = &client->pending;
    const char *wrong = code->len > RUC_WIRE_LINE ? "the code is too long: at most 1 MiB"
                        : !ruc_utf8_valid(ruc_buf_str(code), code->len)
                            ? "the code is not valid UTF-8"
                            : NULL;
    if (wrong != NULL) {
        fprintf(stderr, "rucat: %s\n", wrong);
        client->failed = true;
        client->incomplete = false;
        return false;
    }
    json_t *message = json_pack("{s:s, s:s%, s:s, s:i}", "type", "eval", "code", ruc_buf_str(code),
                                code->len, "name", name, "columns", client->columns);
    int64_t id = message == NULL ? UV_ENOMEM : ruc_link_send(&client->link, message);
    if (id < 0) {
        take_all(client); /* why, perhaps */
        if (!client->over) {
            end_with(client, "the server is gone");
        }
        return false;
    }
    client->running = id;
    client->cancels = 0;
    return true;
}

/* Runs what is pending to its end. */
static void run_pending(ruc_client_t *client, const char *name)
{
    if (ruc_client_eval(client, name)) {
        while (client->running != 0 && !client->over) {
            ruc_client_turn(client, false);
        }
    }
}

/* ---- the ways in ---- */

static void say_unfinished(ruc_client_t *client, const char *name)
{
    fprintf(stderr, "%s: the code ends too early\n", name);
    client->failed = true;
}

static void run_code(ruc_client_t *client, const char *code)
{
    if (ruc_buf_adds(&client->pending, code) < 0) {
        fprintf(stderr, "rucat: the code is too long: at most 1 MiB\n");
        client->failed = true;
        return;
    }
    run_pending(client, "=-e");
    if (client->incomplete) {
        say_unfinished(client, "-e");
    }
}

static void run_file(ruc_client_t *client, const char *path)
{
    ruc_why_t why;
    size_t len;
    char name[4200];
    char *text = ruc_file_read(path, RUC_WIRE_LINE, &len, &why);
    if (text == NULL || ruc_buf_add(&client->pending, text, len) < 0) {
        fprintf(stderr, "rucat: %s\n", text == NULL ? why.text : "not enough memory");
        free(text);
        client->failed = true;
        return;
    }
    free(text);
    if (len >= 2 && memcmp(client->pending.data, "#!", 2) == 0) {
        memcpy(client->pending.data, "--", 2);
    }
    snprintf(name, sizeof name, "@%s", path);
    run_pending(client, name);
    if (client->incomplete) {
        say_unfinished(client, path);
    }
}

/* One line of standard input, without its end. */
static void run_line(ruc_client_t *client, const char *line, size_t len)
{
    int rc = client->pending.len > 0 ? ruc_buf_adds(&client->pending, "\n") : 0;
    if (rc < 0 || ruc_buf_add(&client->pending, line, len) < 0) {
        fprintf(stderr, "rucat: the code is too long: at most 1 MiB; it is passed over\n");
        client->failed = true;
        ruc_buf_clear(&client->pending);
        return;
    }
    run_pending(client, "=stdin");
    if (!client->incomplete) {
        ruc_buf_clear(&client->pending);
    }
}

static void run_input(ruc_client_t *client)
{
    ruc_buf_t in;
    bool skipping = false; /* the rest of a line that is too long */
    ruc_buf_init(&in, RUC_WIRE_LINE + 65536);
    for (bool end = false; !client->over && !end;) {
        char chunk[65536], *newline;
        if (!ruc_client_turn(client, true)) {
            continue;
        }
        ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);
        end = got <= 0 && errno != EINTR;
        if (got > 0) {
            ruc_buf_add(&in, chunk, (size_t)got); /* fits: see below */
        } else if (end && in.len > 0) {
            ruc_buf_adds(&in, "\n");
        }
        while (!client->over && in.len > 0 && (newline = memchr(in.data, '\n', in.len)) != NULL) {
            size_t len = (size_t)(newline - in.data);
            if (!skipping) {
                run_line(client, in.data, len);
            }
            skipping = false;
            ruc_buf_drop(&in, len + 1);
        }
        if (in.len > RUC_WIRE_LINE - 65536) {
            if (!skipping) {
                fprintf(stderr, "rucat: a line is too long: at most 1 MiB; it is passed over\n");
            }
            skipping = client->failed = true;
            ruc_buf_clear(&in);
        }
    }
    ruc_buf_free(&in);
    if (client->incomplete && !client->over) {
        say_unfinished(client, "stdin");
    }
}

/* Waits for the server's greeting; false with a word on standard error when there is none. */
static bool meet(ruc_client_t *client, char *greeting, size_t size)
{
    json_t *hello = ruc_link_await(&client->link, "hello", 0, 10000);
    if (hello == NULL) {
        take_all(client);
        if (!client->over) {
            end_with(client, "the server does not answer");
        }
        return false;
    }
    const char *version = json_string_value(json_object_get(hello, "version"));
    const char *listen = json_string_value(json_object_get(hello, "listen"));
    snprintf(greeting, size, "rucat %s at %s; help() tells what there is, Ctrl-D leaves",
             version == NULL ? "?" : version, listen == NULL ? "?" : listen);
    json_decref(hello);
    return true;
}

int ruc_console_client(const char *socket, const char *code, const char *file)
{
    static ruc_client_t client;
    ruc_why_t why = {""};
    char greeting[200];
    if (ruc_link_open(&client.link, socket, &why) < 0) {
        fprintf(stderr, "rucat: %s\n", why.text);
        return 1;
    }
    client.signals = catch_signals();
    ruc_buf_init(&client.pending, RUC_WIRE_LINE + 65536);
    measure(&client);
    if (client.signals < 0) {
        end_with(&client, strerror(errno));
    } else if (meet(&client, greeting, sizeof greeting)) {
        bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        if (code != NULL) {
            run_code(&client, code);
        } else if (file != NULL) {
            run_file(&client, file);
        } else if (terminal) {
            ruc_edit_run(&client, greeting);
        } else {
            run_input(&client);
        }
    }
    ruc_link_close(&client.link);
    ruc_buf_free(&client.pending);
    if (client.signals >= 0) {
        close(client.signals);
    }
    return client.failed ? 1 : 0;
}
