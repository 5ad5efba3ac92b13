/* store_cmd.c - rucat store copy: from a SQLite file or a SurrealDB to another, with nobody at work
 * on either. A SQLite file that a server has open is locked, and refused by the store itself. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "core/clock.h"
#include "core/log.h"
#include "http/client.h"
#include "setup.h"
#include "store_copy.h"

static const char usage[] =
    "usage: rucat store copy --from FILE|URL --to FILE|URL [OPTIONS]\n"
    "\n"
    "Copies all engines, events and heartbeats from one store to another: a SQLite file\n"
    "(STATE_DIR/rucat.db) or a SurrealDB, http[s]://HOST:PORT[/NAMESPACE/DATABASE]. Stop the\n"
    "servers first. At the end both are read again and compared. What is there and equal is\n"
    "passed over, so that it can be begun again at any time; what is there and differs is\n"
    "named and left as it is.\n"
    "\n"
    "  --overwrite           replace engines that differ\n"
    "  --user NAME           who asks SurrealDB (default: store.user of the configuration)\n"
    "  --password-file FILE  whose first line is the password (store.password_file)\n"
    "  --namespace NAME      where the URL names none (store.namespace)\n"
    "  --database NAME       (store.database)\n"
    "  --ca-file FILE        authorities to trust, PEM (store.ca_file)\n"
    "  -c, --config FILE     the configuration\n"
    "  -o, --output json     the summary as JSON\n"
    "\n"
    "Exit code 0: everything is there and was found to be the same. 1: it is not. 2: wrong\n"
    "usage. 3: there is nothing to copy from.\n";

/* One of the two. */
typedef struct side {
    const char *place; /* as it was given */
    const char *flag;
    char *url, *name_space, *database; /* of a URL: parts of one allocation, `url` */
    ruc_store_t *store;
} side_t;

typedef struct command {
    ruc_flags_t flags;
    ruc_config_t config;
    uv_loop_t loop;
    ruc_http_client_t *client;
    side_t from, to;
    const char *user, *password_file, *name_space, *database, *ca_file;
    char password[RUC_PASSWORD_SIZE];
    bool overwrite, json, terminal, drawn;
    int closing;
    bool unclean;
} command_t;

/* One line on standard error; the exit code. */
static int say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int say(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("rucat: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

/* ---- what was asked for ---- */

static const char *config_text(const command_t *command, const char *flag, const char *path)
{
    const char *text = flag != NULL ? flag : ruc_config_text(&command->config, path);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* Reads the options. -1: go on; else the exit code. */
static int read_options(command_t *command, int argc, char **argv)
{
    enum { FROM = 256, TO, OVERWRITE, USER, PASSWORD, NAMESPACE, DATABASE, CA };
    static const struct option options[] = {{"from", required_argument, NULL, FROM},
                                            {"to", required_argument, NULL, TO},
                                            {"overwrite", no_argument, NULL, OVERWRITE},
                                            {"user", required_argument, NULL, USER},
                                            {"password-file", required_argument, NULL, PASSWORD},
                                            {"namespace", required_argument, NULL, NAMESPACE},
                                            {"database", required_argument, NULL, DATABASE},
                                            {"ca-file", required_argument, NULL, CA},
                                            {"config", required_argument, NULL, 'c'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char **const texts[] = {[FROM - FROM] = &command->from.place,
                                  [TO - FROM] = &command->to.place,
                                  [USER - FROM] = &command->user,
                                  [PASSWORD - FROM] = &command->password_file,
                                  [NAMESPACE - FROM] = &command->name_space,
                                  [DATABASE - FROM] = &command->database,
                                  [CA - FROM] = &command->ca_file};
    int option;
    while ((option = getopt_long(argc, argv, "c:o:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (option == 'c') {
            command->flags.config_file = optarg;
        } else if (option == 'o' && strcmp(optarg, "json") == 0) {
            command->json = true;
        } else if (option == OVERWRITE) {
            command->overwrite = true;
        } else if (option >= FROM && option <= CA) {
            *texts[option - FROM] = optarg;
        } else {
            return option == 'o' ? say(2, "-o %s: the one other output is json", optarg)
                                 : say(2, "try `rucat store copy -h`");
        }
    }
    if (optind < argc) {
        return say(2, "unexpected argument '%s'; try `rucat store copy -h`", argv[optind]);
    }
    if (command->from.place == NULL || command->to.place == NULL) {
        return say(2, "%s is missing; try `rucat store copy -h`",
                   command->from.place == NULL ? "--from" : "--to");
    }
    return -1;
}

static bool is_url(const char *place)
{
    return strstr(place, "://") != NULL;
}

/* Takes http://HOST:PORT/NAMESPACE/DATABASE apart. */
static int read_url(command_t *command, side_t *side)
{
    if (strncmp(side->place, "http://", 7) != 0 && strncmp(side->place, "https://", 8) != 0) {
        return say(2, "%s %s: expected a file, or http:// or https://", side->flag, side->place);
    }
    side->url = strdup(side->place);
    if (side->url == NULL) {
        return say(1, "not enough memory");
    }
    char *path = strchr(strstr(side->url, "://") + 3, '/');
    if (path != NULL && path[1] != '\0') {
        char *second = strchr(path + 1, '/');
        if (second == NULL || second == path + 1 || second[1] == '\0' || strchr(second + 1, '/')) {
            return say(2, "%s %s: expected http://HOST:PORT or http://HOST:PORT/NAMESPACE/DATABASE",
                       side->flag, side->place);
        }
        *second = '\0';
        side->name_space = path + 1;
        side->database = second + 1;
    }
    if (path != NULL) {
        *path = '\0';
    }
    if (side->name_space == NULL) {
        side->name_space = (char *)config_text(command, command->name_space, "store.namespace");
        side->database = (char *)config_text(command, command->database, "store.database");
    }
    return -1;
}

static int read_password(command_t *command)
{
    ruc_why_t why = {""};
    const char *name = config_text(command, command->password_file, "store.password_file");
    return name == NULL || ruc_setup_password(name, command->password, &why) == 0
               ? -1
               : say(1, "%s", why.text);
}

/* Is it the same place twice? Its lock would only say that it is in use. */
static bool same_place(const side_t *a, const side_t *b)
{
    struct stat one, two;
    if (a->url != NULL && b->url != NULL) {
        return strcmp(a->url, b->url) == 0 && strcmp(a->name_space, b->name_space) == 0 &&
               strcmp(a->database, b->database) == 0;
    }
    return a->url == NULL && b->url == NULL && stat(a->place, &one) == 0 &&
           stat(b->place, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* What can be told before anything is opened. -1: go on; else the exit code. */
static int check_places(command_t *command)
{
    side_t *sides[] = {&command->from, &command->to};
    int code = -1;
    for (size_t i = 0; i < 2 && code < 0; i++) {
        if (is_url(sides[i]->place)) {
            code = read_url(command, sides[i]);
        }
    }
    if (code < 0 && command->from.url == NULL && access(command->from.place, F_OK) != 0) {
        code = say(3, "--from %s: no such file", command->from.place);
    }
    if (code < 0 && same_place(&command->from, &command->to)) {
        code = say(2, "--from and --to are the same: %s", command->from.place);
    }
    if (code < 0 && (command->from.url != NULL || command->to.url != NULL)) {
        code = read_password(command);
    }
    return code;
}

/* ---- opening, closing ---- */

/* The exit code, or -1. */
static int open_side(command_t *command, side_t *side)
{
    ruc_why_t why = {""};
    ruc_store_config_t config = {
        .kind = side->url != NULL ? "surreal" : "sqlite",
        .path = side->place,
        .url = side->url,
        .name_space = side->name_space,
        .database = side->database,
        .user = config_text(command, command->user, "store.user"),
        .password = command->password,
        .ca_file = config_text(command, command->ca_file, "store.ca_file"),
        .client = command->client,
        .connect_ms = (int64_t)(ruc_config_number(&command->config, "store.connect_time") * 1000),
        /* No event is dropped while they are copied: the next server does it by its own bounds. */
        .events_per_engine = SIZE_MAX / 4,
        .events_total = SIZE_MAX / 4,
    };
    if (ruc_store_open(&command->loop, &config, &side->store, &why) < 0) {
        return say(1, "%s: %s", side->flag, why.text);
    }
    if (side == &command->from && side->url != NULL && ruc_store_emptied(side->store) > 0) {
        return say(3, "--from %s: there was no rucat in that namespace and database", side->place);
    }
    return -1;
}

static void on_closed(void *arg, int rc)
{
    command_t *command = arg;
    uv_stop(&command->loop);
    command->closing--;
    command->unclean = command->unclean || rc < 0;
}

static int close_all(command_t *command)
{
    side_t *sides[] = {&command->from, &command->to};
    for (size_t i = 0; i < 2; i++) {
        if (sides[i]->store != NULL && ruc_store_close(sides[i]->store, on_closed, command) == 0) {
            command->closing++;
        }
    }
    while (command->closing > 0 && uv_run(&command->loop, UV_RUN_ONCE) != 0) {
    }
    if (command->client != NULL) {
        ruc_http_client_close(command->client);
    }
    uv_run(&command->loop, UV_RUN_DEFAULT);
    uv_loop_close(&command->loop);
    free(command->from.url);
    free(command->to.url);
    ruc_config_free(&command->config);
    explicit_bzero(command->password, sizeof command->password);
    return command->unclean ? say(1, "a store could not be closed cleanly") : -1;
}

/* ---- what is told ---- */

static void erase(command_t *command)
{
    if (command->drawn) {
        fputs("\r\033[K", stderr);
        command->drawn = false;
    }
}

static void on_difference(void *arg, const char *sentence)
{
    erase(arg);
    fprintf(stderr, "rucat: %s\n", sentence);
}

static size_t done(const ruc_copy_count_t *count)
{
    return count->copied + count->there + count->replaced + count->different;
}

/* On a terminal only, and not more often than it can be read. */
static void on_progress(void *arg, const ruc_copy_t *copy, const char *step)
{
    static uint64_t last;
    command_t *command = arg;
    uint64_t now = ruc_clock_mono_ms();
    if (command->terminal && (now - last >= 100 || !command->drawn)) {
        last = now;
        erase(command);
        fprintf(stderr, "%s: %zu engines, %zu events", step, done(&copy->engines),
                done(&copy->events));
        fflush(stderr);
        command->drawn = true;
    }
}

static void print_count(const char *name, const ruc_copy_count_t *count)
{
    printf("%-11s %zu copied, %zu there already", name, count->copied, count->there);
    if (count->replaced > 0) {
        printf(", %zu replaced", count->replaced);
    }
    if (count->different > 0) {
        printf(", %zu differ", count->different);
    }
    if (count->extra > 0) {
        printf(", %zu that only the target has", count->extra);
    }
    putchar('\n');
}

static json_t *count_json(const ruc_copy_count_t *count, size_t checked)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "copied", (json_int_t)count->copied, "there",
                     (json_int_t)count->there, "replaced", (json_int_t)count->replaced, "different",
                     (json_int_t)count->different, "extra", (json_int_t)count->extra, "checked",
                     (json_int_t)checked);
}

static void print_summary(const command_t *command, const ruc_copy_t *copy)
{
    if (command->json) {
        json_t *all = json_pack("{s:o,s:o,s:I,s:b}", "engines",
                                count_json(&copy->engines, copy->checked_engines), "events",
                                count_json(&copy->events, copy->checked_events), "heartbeats",
                                (json_int_t)copy->beats, "same", copy->checked ? 1 : 0);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
        return;
    }
    print_count("engines:", &copy->engines);
    print_count("events:", &copy->events);
    printf("%-11s %zu written\n", "heartbeats:", copy->beats);
    if (copy->checked) {
        printf("checked: %zu engines and %zu events are the same in both\n", copy->checked_engines,
               copy->checked_events);
    }
}

/* ---- the command ---- */

static int copy_all(command_t *command)
{
    ruc_why_t why = {""};
    ruc_copy_t copy = {.loop = &command->loop,
                       .from = command->from.store,
                       .to = command->to.store,
                       .overwrite = command->overwrite,
                       .differs = on_difference,
                       .progress = on_progress,
                       .arg = command};
    int rc = ruc_copy_run(&copy, &why);
    erase(command);
    print_summary(command, &copy);
    size_t different = copy.engines.different + copy.events.different;
    if (rc < 0) {
        return say(1, "%s; what was copied is there, begin again to go on", why.text);
    }
    if (different > 0) {
        return say(1, "%zu things are there and differ: they were left as they are%s", different,
                   copy.engines.different > 0 && !command->overwrite
                       ? " (--overwrite replaces engines)"
                       : "");
    }
    return copy.checked ? 0 : say(1, "the stores are not the same: was a server at work?");
}

static int run(command_t *command)
{
    command->client = ruc_http_client_new(&command->loop);
    if (command->client == NULL) {
        return say(1, "not enough memory");
    }
    int code = check_places(command);
    code = code < 0 ? open_side(command, &command->from) : code;
    code = code < 0 ? open_side(command, &command->to) : code;
    return code < 0 ? copy_all(command) : code;
}

static int copy_command(int argc, char **argv)
{
    static command_t command;
    static ruc_places_t places;
    ruc_why_t why = {""};
    command = (command_t){.from.flag = "--from", .to.flag = "--to"};
    int code = read_options(&command, argc, argv);
    if (code >= 0) {
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    command.terminal = isatty(STDERR_FILENO) && !command.json;
    if (ruc_setup_places(&places, command.flags.config_file, &why) < 0) {
        return say(1, "%s", why.text);
    }
    if (ruc_setup_config(&command.config, &places, &command.flags) < 0) {
        return 1;
    }
    ruc_log_set_level(NULL, "error"); /* what there is to say of stores is said here */
    if (uv_loop_init(&command.loop) < 0) {
        return say(1, "not enough memory");
    }
    code = run(&command);
    int closed = close_all(&command);
    return code == 0 && closed >= 0 ? closed : code;
}

int ruc_cmd_store(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "copy") == 0) {
        return copy_command(argc - 1, argv + 1);
    }
    if (argc >= 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    return argc < 2 ? say(2, "expected `rucat store copy`; try `rucat store -h`")
                    : say(2, "unknown command 'store %s'; there is: store copy", argv[1]);
}
