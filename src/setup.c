/* setup.c - see setup.h. */
#include "setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "lua/configfile.h"
#include "lua/fileset.h"

static ruc_flags_t kept; /* for reloads */

static bool join(char out[PATH_MAX], const char *dir, const char *rest)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", dir, rest);
    return len > 0 && (size_t)len < sizeof path && realpath(path, out) != NULL;
}

/* The path made absolute and nothing else: a link (Kubernetes makes one of a ConfigMap's file) may
 * be pointed elsewhere, and a reload then reads what it leads to. */
static bool absolute(const char *path, char out[PATH_MAX])
{
    char cwd[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(cwd, sizeof cwd) == NULL) {
        return false;
    }
    int len = snprintf(out, PATH_MAX, "%s%s%s", cwd, path[0] == '/' ? "" : "/", path);
    return len > 0 && len < PATH_MAX;
}

int ruc_setup_places(ruc_places_t *places, const char *config, ruc_why_t *why)
{
    char dir[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (len < 0) {
        return ruc_why_set(why, UV_ENOENT, "/proc is not mounted: rucat cannot find itself");
    }
    dir[len] = '\0';
    *strrchr(dir, '/') = '\0';
    bool tree = join(places->lua_dir, dir, "../lua");
    if (!tree && !join(places->lua_dir, dir, "../share/rucat/lua")) {
        return ruc_why_set(why, UV_ENOENT,
                           "the Lua directory is not there: neither %s/../lua nor "
                           "%s/../share/rucat/lua",
                           dir, dir);
    }
    if (!join(places->engine_binary, dir, "rucat-engine")) {
        return ruc_why_set(why, UV_ENOENT, "rucat-engine is not beside rucat in %s", dir);
    }
    places->config_file[0] = '\0';
    if (config != NULL) {
        if (access(config, F_OK) < 0 || !absolute(config, places->config_file)) {
            places->config_file[0] = '\0';
            return ruc_why_set(why, UV_ENOENT, "%s: no such file", config);
        }
    } else if (!tree || !join(places->config_file, dir, "../etc/rucat.lua")) {
        const char *installed = "/etc/rucat/rucat.lua";
        if (access(installed, R_OK) == 0) {
            snprintf(places->config_file, sizeof places->config_file, "%s", installed);
        }
    }
    return 0;
}

/* SPARK_HOME and JAVA_HOME stand in for keys that nothing else has set. */
static void lay_homes(ruc_config_t *config)
{
    static const char *const homes[][2] = {{"spark.home", "SPARK_HOME"},
                                           {"spark.java_home", "JAVA_HOME"}};
    for (size_t i = 0; i < 2; i++) {
        const char *home = getenv(homes[i][1]);
        if (home != NULL && home[0] != '\0' && ruc_config_text(config, homes[i][0]) == NULL) {
            ruc_config_set_text(config, homes[i][0], home, NULL);
        }
    }
}

void ruc_setup_lay_flags(ruc_config_t *config)
{
    for (size_t i = 0; i < kept.count; i++) {
        ruc_why_t why;
        if (ruc_config_set_text(config, kept.keys[i].path, kept.keys[i].text, &why) < 0) {
            ruc_log(RUC_LOG_CONFIG, RUC_ERROR, "%s", why.text); /* it was right at the start */
        }
    }
    lay_homes(config);
}

static int say(const ruc_config_report_t *report, const char *after)
{
    for (size_t i = 0; i < report->count && i < RUC_CONFIG_PROBLEMS; i++) {
        const char *text = report->problems[i].text; /* FILE:LINE: what, for editors, or a key */
        fprintf(stderr, "%s%s%s\n", text[0] == '/' ? "" : "rucat: ", text, after);
    }
    return report->count > 0 ? RUC_EINVALID : 0;
}

int ruc_setup_config(ruc_config_t *config, const ruc_places_t *places, const ruc_flags_t *flags)
{
    extern char **environ;
    ruc_why_t why;
    kept = *flags;
    ruc_config_report_t *reports = calloc(2, sizeof *reports);
    if (reports == NULL || ruc_config_init(config) < 0) {
        free(reports);
        fprintf(stderr, "rucat: not enough memory\n");
        return UV_ENOMEM;
    }
    ruc_config_report_t *problems = &reports[0], *warnings = &reports[1];
    if (places->config_file[0] != '\0') {
        size_t len;
        char *text = ruc_file_read(places->config_file, 1u << 20, &len, &why);
        if (text == NULL) {
            fprintf(stderr, "rucat: %s\n", why.text);
            problems->count++;
        } else {
            ruc_configfile_lay(config, places->config_file, text, len, problems);
            free(text);
        }
    }
    ruc_config_environment(config, environ, problems, warnings);
    for (size_t i = 0; i < flags->count; i++) {
        if (ruc_config_set_text(config, flags->keys[i].path, flags->keys[i].text, &why) < 0 &&
            problems->count < RUC_CONFIG_PROBLEMS) {
            snprintf(problems->problems[problems->count++].text, sizeof why.text / 2, "%.500s",
                     why.text);
        }
    }
    lay_homes(config);
    if (problems->count == 0) {
        ruc_config_check(config, problems);
    }
    say(warnings, " (ignored)");
    int rc = say(problems, "");
    free(reports);
    if (rc < 0) {
        ruc_config_free(config);
    }
    return rc < 0 ? RUC_EINVALID : 0;
}

int ruc_setup_password(const char *path, char out[RUC_PASSWORD_SIZE], ruc_why_t *why)
{
    struct stat info;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return ruc_why_set(why, -errno, "store.password_file %s: %s", path, strerror(errno));
    }
    bool read = fgets(out, RUC_PASSWORD_SIZE, file) != NULL && !ferror(file);
    bool open = fstat(fileno(file), &info) == 0 && (info.st_mode & 077) != 0;
    fclose(file);
    out[read ? strcspn(out, "\r\n") : 0] = '\0';
    if (out[0] == '\0' || strlen(out) == RUC_PASSWORD_SIZE - 1) {
        return ruc_why_set(why, RUC_EINVALID,
                           "store.password_file %s: its first line must be the password, of 1 to "
                           "%d bytes",
                           path, RUC_PASSWORD_SIZE - 2);
    }
    if (open) {
        ruc_log(RUC_LOG_STORE, RUC_WARN,
                "others may read the password in %s (mode %03o); mode 600 is better", path,
                (unsigned)info.st_mode & 0777);
    }
    return 0;
}
