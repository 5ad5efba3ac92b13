/* console.c - rucat console: from the command line and the configuration to a server's socket. */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "console/client.h"
#include "console/server.h"
#include "statedir.h"

static const char usage[] =
    "usage: rucat console [-s SOCKET] [-e CODE] [FILE]\n"
    "\n"
    "A shell inside the running server: Lua lines that see its engines.\n"
    "\n"
    "  -s SOCKET   the server's console socket (default: what the configuration says,\n"
    "              else STATE_DIR/console, else that of the one embedded server there is)\n"
    "  -e CODE     run CODE, print its result; exit code 1 when it fails\n"
    "  FILE        run a file the same way\n"
    "\n"
    "Without either: what is typed, or the lines of standard input. In it, help().\n";

static bool answers(const char *path)
{
    ruc_link_t link;
    if (ruc_link_open(&link, path, NULL) < 0) {
        return false;
    }
    ruc_link_close(&link);
    return true;
}

/* The socket of the embedded server of this user, when there is exactly one. */
static bool find_embedded(char *out, size_t size)
{
    const char *base = getenv("TMPDIR");
    char prefix[32], path[PATH_MAX];
    int found = 0;
    base = base != NULL && base[0] == '/' ? base : "/tmp";
    snprintf(prefix, sizeof prefix, "rucat-%u-", (unsigned)getuid());
    DIR *dir = opendir(base);
    for (struct dirent *item; dir != NULL && (item = readdir(dir)) != NULL;) {
        if (strncmp(item->d_name, prefix, strlen(prefix)) == 0 &&
            snprintf(path, sizeof path, "%s/%s/console", base, item->d_name) < (int)size &&
            access(path, W_OK) == 0 && answers(path)) {
            snprintf(out, size, "%s", path);
            found++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found == 1;
}

/* Where the server's socket should be, by the configuration that `rucat serve` would have. */
static int find_socket(char *out, size_t size)
{
    ruc_places_t places;
    ruc_config_t config;
    ruc_flags_t flags = {0};
    ruc_why_t why = {""};
    char state_dir[PATH_MAX] = "", found[PATH_MAX];
    int rc = ruc_setup_places(&places, NULL, &why);
    if (rc == 0 && ruc_setup_config(&config, &places, &flags) < 0) {
        return RUC_EINVALID; /* it has said why */
    }
    if (rc == 0) {
        const char *named = ruc_config_text(&config, "console");
        rc = ruc_statedir_choose(state_dir, ruc_config_text(&config, "state_dir"), &why);
        rc = rc < 0 ? rc : ruc_console_path(named, state_dir, out, size, &why);
        if (rc == 0 && named == NULL && access(out, F_OK) != 0 &&
            find_embedded(found, sizeof found)) {
            snprintf(out, size, "%s", found);
        }
        ruc_config_free(&config);
    }
    if (rc < 0) {
        fprintf(stderr, "rucat: %s\n", why.text);
    }
    return rc;
}

int ruc_cmd_console(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *socket = NULL, *code = NULL, *file = NULL;
    char path[PATH_MAX];
    int option;
    while ((option = getopt_long(argc, argv, "s:e:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        } else if (option == 's') {
            socket = optarg;
        } else if (option == 'e') {
            code = optarg;
        } else {
            fprintf(stderr, "rucat: try `rucat console -h`\n");
            return 2;
        }
    }
    if (optind < argc) {
        file = argv[optind++];
    }
    if (optind < argc || (code != NULL && file != NULL)) {
        fprintf(stderr, "rucat: one of -e CODE and FILE; try `rucat console -h`\n");
        return 2;
    }
    if (socket == NULL) {
        if (find_socket(path, sizeof path) < 0) {
            return 1;
        }
        socket = path;
    }
    return ruc_console_client(socket, code, file);
}
