/* edit.c - the line editor of `rucat console`: libedit by its callback interface, so that what is
 * followed can be printed while a line is typed. While a line runs the terminal is its usual self
 * and keys wait in it; Ctrl-C is then a signal as always.
 *
 * libedit does not know that others write on the screen: before that the prompt and the line are
 * taken off it, from the row that prompt and line begin in, and drawn anew afterwards. */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "console/client.h"

/* After histedit.h, with which it shares names. */
#include <editline/readline.h>

#define PROMPT "rucat> "
#define PROMPT_MORE "    -> "
#define HISTORY_LINES 1000
#define HISTORY_LINE ((size_t)16 * 1024) /* longer ones are not kept */
#define TAB_WAIT_MS 2000

static struct {
    ruc_client_t *client;
    bool line_ended; /* the callback was called */
    char *line;      /* what it was given; NULL: Ctrl-D */
    char history[4200];
} edit;

/* ---- the screen ---- */

/* Both prompts are equally wide. */
static const char *prompt_of(const ruc_client_t *client)
{
    return client->pending.len > 0 ? PROMPT_MORE : PROMPT;
}

/* Columns that the first `len` bytes take. */
static size_t width_of(const char *text, size_t len)
{
    mbstate_t state = {0};
    size_t width = 0;
    for (size_t at = 0; at < len;) {
        wchar_t c;
        size_t size = mbrtowc(&c, text + at, len - at, &state);
        if (size == 0 || size > len - at) {
            return width + (len - at);
        }
        int columns = wcwidth(c);
        width += columns > 0 ? (size_t)columns : 0;
        at += size;
    }
    return width;
}

void ruc_edit_hide(ruc_client_t *client)
{
    if (!client->prompting) {
        return;
    }
    size_t before =
        rl_point > 0 && rl_line_buffer != NULL ? width_of(rl_line_buffer, (size_t)rl_point) : 0;
    size_t row = client->columns > 0 ? (sizeof PROMPT - 1 + before) / (size_t)client->columns : 0;
    if (row > 0) {
        printf("\r\033[%zuA\033[J", row);
    } else {
        printf("\r\033[J");
    }
    fflush(stdout);
}

void ruc_edit_show(ruc_client_t *client)
{
    if (client->prompting) {
        rl_forced_update_display();
    }
}

static void on_line(char *line)
{
    edit.line_ended = true;
    edit.line = line;
}

static void begin_prompt(ruc_client_t *client)
{
    edit.line_ended = false;
    edit.line = NULL;
    rl_point = 0;
    client->prompting = true;
    rl_callback_handler_install(prompt_of(client), on_line);
}

static void end_prompt(ruc_client_t *client)
{
    if (client->prompting) {
        client->prompting = false;
        rl_callback_handler_remove();
        fflush(stdout);
    }
}

void ruc_edit_interrupt(ruc_client_t *client)
{
    end_prompt(client);
    printf("^C\n");
    ruc_buf_clear(&client->pending);
    client->incomplete = false;
    begin_prompt(client);
}

void ruc_edit_resume(ruc_client_t *client)
{
    if (client->prompting) {
        rl_deprep_terminal(); /* the shell has changed the terminal behind libedit's back */
        rl_prep_terminal(1);
        printf("\r\033[J");
        fflush(stdout);
        ruc_edit_show(client);
    }
}

void ruc_edit_resize(ruc_client_t *client)
{
    if (client->prompting) {
        rl_resize_terminal();
        ruc_edit_hide(client);
        ruc_edit_show(client);
    }
}

/* ---- completion ---- */

static size_t common_length(const json_t *words)
{
    const char *first = json_string_value(json_array_get(words, 0));
    size_t len = first == NULL ? 0 : strlen(first);
    for (size_t i = 1; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        size_t same = 0;
        while (word != NULL && same < len && word[same] == first[same]) {
            same++;
        }
        len = same;
    }
    return len;
}

static void list_words(const ruc_client_t *client, const json_t *words)
{
    size_t widest = 1, count = json_array_size(words);
    for (size_t i = 0; i < count; i++) {
        size_t len = json_string_length(json_array_get(words, i));
        widest = len > widest ? len : widest;
    }
    size_t each = (size_t)client->columns / (widest + 2);
    each = each == 0 ? 1 : each;
    for (size_t i = 0; i < count; i++) {
        bool last = i % each == each - 1 || i == count - 1;
        printf("%-*s%s", last ? 0 : (int)widest, json_string_value(json_array_get(words, i)),
               last ? "\n" : "  ");
    }
}

/* TAB: asks the server what the line could go on with. */
static int on_tab(int count, int key)
{
    (void)count;
    (void)key;
    ruc_client_t *client = edit.client;
    json_t *ask =
        json_pack("{s:s, s:s%}", "type", "complete", "text", rl_line_buffer, (size_t)rl_point);
    int64_t id = ask == NULL ? -1 : ruc_link_send(&client->link, ask);
    json_t *answer = id < 0 ? NULL : ruc_link_await(&client->link, "words", id, TAB_WAIT_MS);
    json_t *words = json_object_get(answer, "words");
    json_int_t from = json_integer_value(json_object_get(answer, "from"));
    if (json_array_size(words) > 0 && from >= 0 && from <= rl_point) {
        size_t typed = (size_t)rl_point - (size_t)from, common = common_length(words);
        const char *first = json_string_value(json_array_get(words, 0));
        char more[256];
        ruc_edit_hide(client);
        if (common > typed && common - typed < sizeof more) {
            snprintf(more, sizeof more, "%.*s", (int)(common - typed), first + typed);
            rl_insert_text(more);
        } else if (json_array_size(words) > 1) {
            printf("%s%s\n", prompt_of(client), rl_line_buffer);
            list_words(client, words);
            fflush(stdout);
        }
        rl_forced_update_display();
    }
    json_decref(answer);
    return 0;
}

/* ---- history ---- */

static void make_dirs(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            *slash = '/';
            return; /* then there is no history, which is fine */
        }
        *slash = '/';
    }
}

static void open_history(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int len = state != NULL && state[0] == '/'
                  ? snprintf(edit.history, sizeof edit.history, "%s/rucat/console_history", state)
              : home != NULL && home[0] == '/'
                  ? snprintf(edit.history, sizeof edit.history,
                             "%s/.local/state/rucat/console_history", home)
                  : 0;
    using_history();
    stifle_history(HISTORY_LINES);
    if (len <= 0 || (size_t)len >= sizeof edit.history) {
        edit.history[0] = '\0';
        return;
    }
    make_dirs(edit.history);
    read_history(edit.history);
}

static void close_history(void)
{
    if (edit.history[0] != '\0' && write_history(edit.history) == 0) {
        chmod(edit.history, 0600);
    }
}

static void remember(const char *line, size_t len)
{
    HIST_ENTRY *last = history_length > 0 ? history_get(history_base + history_length - 1) : NULL;
    if (len > 0 && len <= HISTORY_LINE && (last == NULL || strcmp(last->line, line) != 0)) {
        add_history(line);
    }
}

/* ---- lines ---- */

/* Runs what was typed; returns when the next prompt is due. */
static void run_typed(ruc_client_t *client)
{
    bool room = (client->pending.len == 0 || ruc_buf_adds(&client->pending, "\n") == 0) &&
                ruc_buf_adds(&client->pending, edit.line) == 0;
    if (!room) {
        fprintf(stderr, "rucat: the code is too long: at most 1 MiB\n");
        ruc_buf_clear(&client->pending);
        return;
    }
    if (strspn(ruc_buf_str(&client->pending), " \t\n") == client->pending.len) {
        ruc_buf_clear(&client->pending);
        return;
    }
    if (ruc_client_eval(client, "=console")) {
        while (client->running != 0 && !client->over) {
            ruc_client_turn(client, false);
        }
    }
    if (!client->incomplete) {
        remember(ruc_buf_str(&client->pending), client->pending.len);
        ruc_buf_clear(&client->pending);
    }
}

static void type_line(ruc_client_t *client)
{
    begin_prompt(client);
    while (!client->over && !edit.line_ended) {
        if (ruc_client_turn(client, true)) {
            rl_callback_read_char();
        }
    }
    end_prompt(client);
}

void ruc_edit_run(ruc_client_t *client, const char *greeting)
{
    setlocale(LC_CTYPE, "");
    umask(077);
    edit.client = client;
    rl_readline_name = "rucat";
    rl_catch_signals = 0;
    rl_initialize();
    rl_add_defun("rucat-complete", on_tab, '\t');
    open_history();
    printf("%s\n", greeting);
    while (!client->over) {
        type_line(client);
        if (client->over) {
            break;
        }
        if (edit.line == NULL) { /* Ctrl-D */
            printf("\n");
            break;
        }
        run_typed(client);
        free(edit.line);
        edit.line = NULL;
    }
    free(edit.line);
    close_history();
    if (!client->over) {
        client->failed = false; /* a line that failed is no failure of a conversation */
    }
}
