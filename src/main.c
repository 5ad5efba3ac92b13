/* main.c - rucat: from the command line to a command. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "store/store.h"

static const char usage[] =
    "usage: rucat COMMAND [ARGUMENTS]\n"
    "\n"
    "  serve      run the server                  check      check configuration and scripts\n"
    "  create     create an engine                reload     make a server reload them\n"
    "  list       list engines                    run        run a Lua script\n"
    "  get        show an engine                  version    print the version\n"
    "  start, stop, restart, delete   an engine   wait       wait for an engine\n"
    "  logs       print an engine's log           connect    print an engine's sc:// URL\n"
    "  events     print what happened             top        watch engines and what they take\n"
    "  console    a shell inside the server       try        try a policy on what happened\n"
    "  replicas   list the servers on one store     completion for bash or zsh\n"
    "  store      copy all from one store to another  schema  print SurrealDB's tables\n"
    "\n"
    "`rucat COMMAND -h` tells more. Client commands talk to --url or RUCAT_URL\n"
    "(default http://127.0.0.1:3000).\n";

static const char serve_usage[] =
    "usage: rucat serve [-c FILE] [--mode embedded|local|remote] [--listen HOST:PORT]\n"
    "                   [--state-dir DIR] [--role server,monitor]\n"
    "\n"
    "  -c, --config FILE    configuration (default etc/rucat.lua beside the program,\n"
    "                       else /etc/rucat/rucat.lua)\n"
    "      --mode MODE      embedded: engines end with the server, nothing is kept\n"
    "                       local: engines live on and are adopted by the next server\n"
    "                       remote: as local, many servers may share the store\n"
    "      --listen ADDR    HOST:PORT or [IPV6]:PORT; port 0 takes a free one\n"
    "      --state-dir DIR  where engines, logs and the store are kept\n"
    "      --role ROLES     mode remote: server (REST, console), monitor (reconcile), or\n"
    "                       both, which is the default\n"
    "\n"
    "SIGTERM and SIGINT end it gracefully, a second one hurries; SIGHUP reloads.\n";

static const char check_usage[] =
    "usage: rucat check [-c FILE] [--strict] [--try POLICY]\n"
    "\n"
    "Loads configuration, handlers, policies and templates, runs their self-tests;\n"
    "prints FILE:LINE: what for each thing that is wrong. Exit code 1 then. Names\n"
    "that are not known are warned of.\n"
    "\n"
    "  -c, --config FILE    configuration (default etc/rucat.lua beside the program,\n"
    "                       else /etc/rucat/rucat.lua)\n"
    "      --strict         exit code 1 for warnings too\n"
    "      --try POLICY     then ask restart, health, admission, auth or idle about\n"
    "                       samples, and show the answers\n";

static const char run_usage[] =
    "usage: rucat run SCRIPT [ARGUMENTS]\n"
    "\n"
    "Runs a Lua script with the standard library and the module `rucat`.\n";

static bool wants_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
}

static const char schema_usage[] =
    "usage: rucat schema\n"
    "\n"
    "Prints the tables that rucat makes in SurrealDB, as SurrealQL. A server makes them\n"
    "by itself when it starts; this is for reading, and for making them by hand where\n"
    "its user may not.\n";

static int print_schema(int argc, char **argv)
{
    if (wants_help(argc, argv)) {
        fputs(schema_usage, stdout);
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "rucat: unexpected argument '%s'; try `rucat schema -h`\n", argv[1]);
        return 2;
    }
    fputs(ruc_store_schema(), stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Reads the options of serve and check. -1: go on; else the exit code. */
static int read_flags(int argc, char **argv, ruc_flags_t *flags, bool serve)
{
    enum { MODE = 256, LISTEN, ROLE, STATE_DIR, STRICT, TRY };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"mode", required_argument, NULL, MODE},
                                            {"listen", required_argument, NULL, LISTEN},
                                            {"role", required_argument, NULL, ROLE},
                                            {"state-dir", required_argument, NULL, STATE_DIR},
                                            {"strict", no_argument, NULL, STRICT},
                                            {"try", required_argument, NULL, TRY},
                                            {NULL, 0, NULL, 0}};
    static const char *const paths[] = {"mode", "listen", "role", "state_dir"};
    const char *help = serve ? serve_usage : check_usage;
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (option == 'c') {
            flags->config_file = optarg;
        } else if (option == STRICT && !serve) {
            flags->strict = true;
        } else if (option == TRY && !serve) {
            flags->try_kind = optarg;
        } else if (option >= MODE && option < STRICT && serve && flags->count < RUC_FLAGS_MAX) {
            flags->keys[flags->count].path = paths[option - MODE];
            flags->keys[flags->count++].text = optarg;
        } else {
            fprintf(stderr, "rucat: try `rucat %s -h`\n", argv[0]);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "rucat: unexpected argument '%s'; try `rucat %s -h`\n", argv[optind],
                argv[0]);
        return 2;
    }
    return -1;
}

/* Options that all client commands take may come before the command: rucat --url URL list. */
static bool is_client_option(const char *word)
{
    return strncmp(word, "--url", 5) == 0 || strncmp(word, "--token-file", 12) == 0 ||
           strncmp(word, "--output", 8) == 0 || strncmp(word, "-o", 2) == 0;
}

static bool is_client_command(const char *name)
{
    static const char *const names[] = {
        "create",  "list",   "get",      "start",  "stop", "restart",    "delete", "wait", "logs",
        "connect", "reload", "replicas", "events", "top",  "completion", "try",    NULL};
    for (const char *const *at = names; *at != NULL; at++) {
        if (strcmp(*at, name) == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    ruc_flags_t flags = {0};
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    const char *command = argv[1];
    argc--;
    argv++;
    if (strcmp(command, "-h") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("rucat %s\n", RUCAT_VERSION);
        return 0;
    }
    bool serve = strcmp(command, "serve") == 0;
    if (serve || strcmp(command, "check") == 0) {
        int code = read_flags(argc, argv, &flags, serve);
        return code >= 0 ? code : serve ? ruc_cmd_serve(&flags) : ruc_cmd_check(&flags);
    }
    if (strcmp(command, "run") == 0) {
        if (argc < 2 || wants_help(argc, argv)) {
            fputs(run_usage, argc < 2 ? stderr : stdout);
            return argc < 2 ? 2 : 0;
        }
        return ruc_cmd_run(argc - 1, argv + 1);
    }
    if (strcmp(command, "schema") == 0) {
        return print_schema(argc, argv);
    }
    if (strcmp(command, "store") == 0) {
        return ruc_cmd_store(argc, argv);
    }
    if (strcmp(command, "console") == 0) {
        return ruc_cmd_console(argc, argv);
    }
    if (is_client_command(command) || is_client_option(command)) {
        return ruc_cmd_client(argc, argv);
    }
    fprintf(stderr, "rucat: unknown command '%s'; try `rucat -h`\n", command);
    return 2;
}
