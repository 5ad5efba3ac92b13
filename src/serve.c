/* serve.c - rucat serve: opens the rooms in order, runs the loop, closes them in reverse.
 *
 * The end has steps, each of which waits for the one before: no new requests and those in flight
 * finish (and, embedded, the engines end) -> reconcile and scripts close -> the store closes -> the
 * loop runs out of handles. A second signal hurries the first step. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "commands.h"
#include "console/server.h"
#include "core/check.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/watchdog.h"
#include "handover.h"
#include "lua/dispatch.h"
#include "lua/follow.h"
#include "lua/guard.h"
#include "lua/hold.h"
#include "lua/job.h"
#include "lua/monitor.h"
#include "lua/proxy.h"
#include "lua/scripts.h"
#include "lua/state.h"
#include "proc/orphans.h"
#include "serve_store.h"
#include "service.h"
#include "statedir.h"

#define ENGINES_END_MS 60000 /* embedded: longer than any stop ladder's usual grace */
#define HURRY_MS 5000

typedef struct serve {
    ruc_app_t app;
    uv_loop_t loop;
    ruc_config_t config;
    ruc_places_t places;
    ruc_statedir_t dir;
    ruc_handover_t handover; /* from the server before us in this process, and to the next */
    char story[1024];        /* why there was one before */
    ruc_http_server_t *server;
    uv_signal_t term, interrupt, hup;
    uv_timer_t waiting; /* for the engines, while stopping */
    uv_timer_t alive;   /* tells the service manager that the loop runs */
    uint64_t engines_until;
    char instance[RUC_UUID_SIZE], listen[300], peer_url[RUC_REPLICA_URL_SIZE];
    bool signals, drained, engines_ended, stopping, finished;
    int exit_code;
    int sockets[RUC_HANDOVER_SOCKETS], socket_count; /* that were handed over */
} serve_t;

static void finish(serve_t *serve);

/* ---- the service manager ---- */

static void tell_manager(const char *lines)
{
    int rc = ruc_service_notify(lines);
    if (rc < 0) {
        ruc_log(RUC_LOG_MAIN, RUC_WARN, "the service manager could not be told: %s",
                uv_strerror(rc));
    }
}

static void still_alive(uv_timer_t *timer)
{
    (void)timer;
    tell_manager("WATCHDOG=1");
}

static void tell_ready(serve_t *serve)
{
    char lines[400];
    uint64_t gap = ruc_service_watchdog_ms();
    snprintf(lines, sizeof lines, "READY=1\nSTATUS=serving http://%s", serve->listen);
    tell_manager(lines);
    if (gap > 0) {
        uv_timer_start(&serve->alive, still_alive, 0, gap);
    }
}

/* ---- the end ---- */

static void store_closed(void *arg, int rc)
{
    serve_t *serve = arg;
    if (rc < 0) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR, "the store could not be closed cleanly");
        serve->exit_code = 1;
    }
    ruc_http_client_close(serve->app.client); /* the store may have asked by it until now */
    serve->app.client = NULL;
}

static void close_store(serve_t *serve)
{
    ruc_app_t *app = &serve->app;
    ruc_feed_close(app->feed);
    app->feed = NULL;
    if (app->store != NULL && ruc_store_close(app->store, store_closed, serve) < 0) {
        serve->exit_code = 1;
    } else if (app->store == NULL && app->client != NULL) {
        ruc_http_client_close(app->client);
        app->client = NULL;
    }
}

static void finish_again(uv_timer_t *timer)
{
    finish(timer->data);
}

/* The last request and the last engine are over. */
static void finish(serve_t *serve)
{
    if (!serve->drained || !serve->engines_ended || serve->finished) {
        return;
    }
    if (ruc_scripts_busy(serve->app.scripts)) { /* a reload is under way: it ends by itself */
        uv_timer_start(&serve->waiting, finish_again, 5, 0);
        return;
    }
    serve->finished = true;
    ruc_app_t *app = &serve->app;
    uv_close((uv_handle_t *)&serve->waiting, NULL);
    uv_close((uv_handle_t *)&serve->alive, NULL);
    uv_close((uv_handle_t *)&serve->term, NULL);
    uv_close((uv_handle_t *)&serve->interrupt, NULL);
    uv_close((uv_handle_t *)&serve->hup, NULL);
    ruc_monitor_close(app);
    ruc_scripts_close(app->scripts);
    app->scripts = NULL;
    ruc_replicas_close(app->replicas);
    app->replicas = NULL;
    close_store(serve);
}

static void on_drained(void *arg)
{
    serve_t *serve = arg;
    serve->drained = true;
    finish(serve);
}

static void check_engines(uv_timer_t *timer)
{
    serve_t *serve = timer->data;
    size_t alive = ruc_fleet_alive(serve->app.fleet);
    if (alive > 0 && uv_now(&serve->loop) < serve->engines_until) {
        return;
    }
    if (alive > 0) {
        ruc_log(RUC_LOG_MAIN, RUC_ERROR, "%zu engines have not ended in time", alive);
        serve->exit_code = 1;
    }
    uv_timer_stop(timer);
    serve->engines_ended = true;
    finish(serve);
}

static void stop(serve_t *serve)
{
    ruc_app_t *app = &serve->app;
    bool again = serve->stopping;
    uint64_t drain_ms = (uint64_t)(ruc_config_number(app->config, "limits.drain") * 1000);
    serve->stopping = true;
    app->closing = true;
    ruc_log(RUC_LOG_MAIN, RUC_INFO, again ? "hurrying" : "stopping");
    tell_manager("STOPPING=1\nSTATUS=stopping");
    ruc_replicas_leave(app->replicas);
    ruc_hold_end_all();
    ruc_follow_end_all();
    ruc_proxy_end_all();
    ruc_console_close();
    if (serve->server != NULL && !serve->drained) {
        ruc_http_server_drain(serve->server, again ? 0 : drain_ms, on_drained, serve);
    }
    if (serve->engines_ended) {
        return;
    }
    if (!app->embedded) {
        serve->engines_ended = true;
        finish(serve);
        return;
    }
    ruc_fleet_stop_all(app->fleet, again ? 0 : -1);
    serve->engines_until = uv_now(&serve->loop) + (again ? HURRY_MS : ENGINES_END_MS);
    uv_timer_start(&serve->waiting, check_engines, 0, 10);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    (void)number;
    stop(handle->data);
}

static void on_hup(uv_signal_t *handle, int number)
{
    (void)number;
    serve_t *serve = handle->data;
    if (!serve->stopping) {
        ruc_scripts_reload(serve->app.scripts, NULL, NULL); /* the outcome is logged */
    }
}

/* ---- the start ---- */

static void set_levels(const ruc_config_t *config)
{
    const char *group;
    json_t *level;
    ruc_log_set_level(NULL, ruc_config_text(config, "log.level"));
    json_object_foreach(ruc_config_value(config, "log.groups"), group, level)
    {
        if (ruc_log_set_level(group, json_string_value(level)) < 0) {
            ruc_log(RUC_LOG_CONFIG, RUC_WARN, "log.groups.%s: unknown group or level", group);
        }
    }
}

static void config_changed(ruc_app_t *app)
{
    set_levels(app->config);
    ruc_guard_configure(app->config);
    ruc_job_bound((unsigned)ruc_config_number(app->config, "limits.jobs"));
    if (app->fleet != NULL) {
        ruc_fleet_set_log_max(app->fleet,
                              (int64_t)ruc_config_number(app->config, "limits.log_file"));
    }
}

static ruc_log_format_t log_format(const ruc_config_t *config)
{
    const char *name = ruc_config_text(config, "log.format");
    return strcmp(name, "text") == 0   ? RUC_LOG_TEXT
           : strcmp(name, "json") == 0 ? RUC_LOG_JSON
                                       : RUC_LOG_AUTO;
}

static int open_scripts(serve_t *serve, ruc_why_t *why)
{
    ruc_load_report_t report;
    ruc_load_report_init(&report);
    int rc = ruc_scripts_open(&serve->app, &report);
    if (rc < 0) {
        ruc_log_close(); /* plain lines, as `rucat check` writes them */
        fprintf(stderr, "%s\n", ruc_buf_str(&report.errors));
        ruc_why_set(why, rc,
                    "the scripts are broken and there is no good generation to fall back on");
    }
    ruc_load_report_free(&report);
    return rc;
}

static ruc_http_limits_t limits_of(const ruc_config_t *config)
{
    ruc_http_limits_t limits = ruc_http_limits_default();
    limits.head = (size_t)ruc_config_number(config, "limits.head");
    limits.body = (size_t)ruc_config_number(config, "limits.body");
    limits.connections = (size_t)ruc_config_number(config, "limits.connections");
    limits.head_ms = (uint64_t)(ruc_config_number(config, "limits.head_time") * 1000);
    limits.body_ms = (uint64_t)(ruc_config_number(config, "limits.body_time") * 1000);
    limits.idle_ms = (uint64_t)(ruc_config_number(config, "limits.idle_time") * 1000);
    return limits;
}

/* A socket that was handed over is held to the rule that `listen` is held to (config.c). */
static int take_socket(serve_t *serve, int fd, ruc_why_t *why)
{
    char host[256];
    int port, number = ruc_http_server_take(serve->server, fd, why);
    if (number < 0) {
        return number;
    }
    const char *address = ruc_http_server_address(serve->server, number);
    if (ruc_config_text(&serve->config, "auth") == NULL &&
        (ruc_config_address(address, host, &port) < 0 || !ruc_config_loopback(host))) {
        return ruc_why_set(why, RUC_EINVALID,
                           "the socket that was handed over listens on %s, which is not a loopback "
                           "address: without authentication that needs auth = \"none\" written out",
                           address);
    }
    return 0;
}

/* On the socket of the server before, or those of the service manager, where there are some; else
 * where the configuration says. */
static int listen_all(serve_t *serve, ruc_why_t *why)
{
    int rc = 0;
    const ruc_handover_t *before = &serve->handover;
    for (int i = 0; i < before->http_count && rc >= 0; i++) {
        rc = ruc_http_server_take(serve->server, before->http[i], why);
    }
    for (int i = 0; i < serve->socket_count && rc == 0; i++) {
        rc = take_socket(serve, serve->sockets[i], why);
    }
    if (before->http_count == 0 && serve->socket_count == 0) {
        rc = ruc_http_server_listen(serve->server, ruc_config_text(&serve->config, "listen"), why);
    }
    return rc < 0 ? rc : 0;
}

static int open_server(serve_t *serve, ruc_why_t *why)
{
    ruc_http_handlers_t handlers = {
        .on_request = ruc_dispatch_request, .on_done = ruc_dispatch_done, .arg = &serve->app};
    ruc_http_limits_t limits = limits_of(&serve->config);
    serve->server = ruc_http_server_new(&serve->loop, &handlers, &limits);
    if (serve->server == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    int rc = listen_all(serve, why);
    if (rc < 0) {
        return rc;
    }
    ruc_handover_t *next = &serve->handover;
    int fd;
    for (next->http_count = 0; next->http_count < RUC_HANDOVER_SOCKETS &&
                               (fd = ruc_http_server_fd(serve->server, next->http_count)) >= 0;) {
        next->http[next->http_count++] = fd;
    }
    snprintf(serve->listen, sizeof serve->listen, "%s", ruc_http_server_address(serve->server, 0));
    serve->app.listen = serve->listen;
    return ruc_statedir_address(&serve->dir, serve->listen, why);
}

/* Each connection and each local engine takes a descriptor: as many as we may have. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            ruc_log(RUC_LOG_MAIN, RUC_WARN, "the bound on open files stays as it is");
        }
    }
}

static void open_signals(serve_t *serve)
{
    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(&serve->loop, &serve->term);
    uv_signal_init(&serve->loop, &serve->interrupt);
    uv_signal_init(&serve->loop, &serve->hup);
    uv_timer_init(&serve->loop, &serve->waiting);
    uv_timer_init(&serve->loop, &serve->alive);
    serve->term.data = serve->interrupt.data = serve->hup.data = serve->waiting.data = serve;
    uv_signal_start(&serve->term, on_stop_signal, SIGTERM);
    uv_signal_start(&serve->interrupt, on_stop_signal, SIGINT);
    uv_signal_start(&serve->hup, on_hup, SIGHUP);
    serve->signals = true;
}

/* The directories: our own, or those that the server before us has left. */
static int open_dirs(serve_t *serve, ruc_why_t *why)
{
    ruc_handover_t *handover = &serve->handover;
    ruc_statedir_t left = {
        .remove = handover->remove, .lock = handover->lock, .db_lock = handover->db_lock};
    bool adopts = handover->given && handover->lock >= 0 && handover->state_dir[0] != '\0';
    snprintf(left.path, sizeof left.path, "%s", handover->state_dir);
    snprintf(left.db_dir, sizeof left.db_dir, "%s", handover->db_dir);
    int rc = adopts ? ruc_statedir_adopt(&serve->dir, &left, &serve->config, why)
                    : ruc_statedir_open(&serve->dir, &serve->config, why);
    if (rc < 0) {
        return rc;
    }
    handover->lock = serve->dir.lock;
    handover->db_lock = serve->dir.db_lock;
    handover->remove = serve->dir.remove;
    snprintf(handover->state_dir, sizeof handover->state_dir, "%s", serve->dir.path);
    snprintf(handover->db_dir, sizeof handover->db_dir, "%s", serve->dir.db_dir);
    serve->app.state_dir = serve->dir.path;
    return 0;
}

/* The watchdog; and what there is to say when it has ended the one before us. */
static int open_watchdog(serve_t *serve, ruc_why_t *why)
{
    const ruc_handover_t *handover = &serve->handover;
    int rc = ruc_handover_prepare(handover, why);
    if (rc < 0) {
        return rc;
    }
    rc = ruc_guard_open(&serve->loop, ruc_handover_stalled);
    if (rc < 0) {
        return ruc_why_set(why, rc, "the watchdog cannot be started: %s", uv_strerror(rc));
    }
    if (handover->given) {
        ruc_handover_story(handover, handover->state_dir, serve->story, sizeof serve->story);
        ruc_log(RUC_LOG_MAIN, RUC_ERROR, "started again in the same process: %s", serve->story);
        ruc_metric_add(ruc_metrics_series(RUC_M_STALLS), handover->count);
        serve->app.stalled = handover->digests;
        rc = ruc_proc_orphans_open(&serve->loop);
    }
    serve->app.stall_story = serve->story;
    return rc < 0 ? ruc_why_set(why, rc, "%s", uv_strerror(rc)) : 0;
}

static void replicas_changed(void *arg)
{
    ruc_monitor_replicas_changed(arg);
}

/* Where the others reach us: as configured, else where we listen, by the machine's name where that
 * is every address. */
static void find_peer_url(serve_t *serve)
{
    char host[256], name[RUC_HOST_NAME_SIZE];
    int port = 0;
    const char *url = ruc_config_text(&serve->config, "peer_url");
    snprintf(serve->peer_url, sizeof serve->peer_url, "%s%s", url == NULL ? "http://" : url,
             url == NULL ? serve->listen : "");
    if (url == NULL && ruc_config_address(serve->listen, host, &port) == 0 &&
        (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)) {
        ruc_host_name(name);
        snprintf(serve->peer_url, sizeof serve->peer_url, "http://%s:%d", name, port);
    }
    serve->app.peer_url = serve->peer_url;
}

static int open_replicas(serve_t *serve, ruc_why_t *why)
{
    ruc_app_t *app = &serve->app;
    find_peer_url(serve);
    ruc_replicas_config_t config = {
        .state_dir = serve->dir.path,
        .instance = app->instance,
        .url = serve->peer_url,
        .server = app->server,
        .monitor = app->monitor,
        .lease_ms = (int64_t)(ruc_config_number(&serve->config, "monitor.lease") * 1000)};
    return ruc_replicas_open(&serve->loop, app->store, &config, replicas_changed, app,
                             &app->replicas, why);
}

/* Opens everything; what is open is closed by `close_all`, also after a failure in the middle. */
static int open_all(serve_t *serve, ruc_why_t *why)
{
    ruc_app_t *app = &serve->app;
    int rc = open_watchdog(serve, why);
    rc = rc < 0 ? rc : open_dirs(serve, why);
    if (rc < 0) {
        return rc;
    }
    app->client = ruc_http_client_new(&serve->loop);
    if (app->client == NULL) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    rc = ruc_serve_open_store(app, serve->dir.db_path, why);
    rc = rc < 0 ? rc : ruc_serve_recover(app, why);
    rc = rc < 0 ? rc : open_scripts(serve, why);
    ruc_watchdog_rest();
    rc = rc < 0 ? rc : open_server(serve, why);
    rc = rc < 0 ? rc : open_replicas(serve, why);
    rc = rc < 0 ? rc : ruc_monitor_prepare(app, why);
    rc = rc < 0 ? rc : ruc_monitor_open(app, why);
    rc = rc < 0 ? rc : ruc_console_open(app, serve->handover.console, why);
    serve->handover.console = ruc_console_fd();
    ruc_watchdog_rest();
    return rc;
}

/* After a start that failed: everything that is open, at once. */
static void abandon(serve_t *serve)
{
    ruc_app_t *app = &serve->app;
    app->closing = true;
    ruc_console_close();
    if (app->agenda != NULL || app->fleet != NULL) {
        ruc_monitor_close(app);
    }
    if (app->scripts != NULL) {
        ruc_scripts_close(app->scripts);
    }
    if (app->replicas != NULL) {
        ruc_replicas_leave(app->replicas);
    }
    ruc_replicas_close(app->replicas);
    app->replicas = NULL;
    if (serve->server != NULL) {
        ruc_http_server_drain(serve->server, 0, on_drained, serve);
    }
    close_store(serve);
}

static void close_rest(serve_t *serve)
{
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    ruc_dispatch_close();
    ruc_job_close();
    ruc_guard_close();
    ruc_proc_orphans_close();
    uv_run(&serve->loop, UV_RUN_DEFAULT);
    ruc_idempotency_free(serve->app.keys);
    ruc_console_free();
    ruc_table_free(serve->app.table);
    if (RUC_FAILS(uv_loop_close(&serve->loop) != 0)) {
        serve->exit_code = 1;
    }
    ruc_statedir_close(&serve->dir);
    ruc_state_close();
    ruc_metrics_close();
    ruc_config_free(&serve->config);
    ruc_log_close();
}

/* A process has both roles unless the configuration names some. */
static bool has_role(const ruc_config_t *config, const char *name)
{
    const json_t *roles = ruc_config_value(config, "role");
    size_t i;
    json_t *role;
    json_array_foreach((json_t *)roles, i, role)
    {
        if (strcmp(json_string_value(role), name) == 0) {
            return true;
        }
    }
    return json_array_size(roles) == 0;
}

int ruc_cmd_serve(const ruc_flags_t *flags)
{
    static serve_t serve;
    ruc_why_t why = {""};
    ruc_handover_take(&serve.handover);
    serve.dir = (ruc_statedir_t){.lock = -1, .db_lock = -1};
    /* Before any descriptor of our own could be taken for one of them. */
    serve.socket_count = ruc_service_sockets(serve.sockets, RUC_HANDOVER_SOCKETS);
    if (ruc_setup_places(&serve.places, flags->config_file, &why) < 0) {
        fprintf(stderr, "rucat: %s\n", why.text);
        return 1;
    }
    if (ruc_setup_config(&serve.config, &serve.places, flags) < 0) {
        return 1;
    }
    const char *mode = ruc_config_text(&serve.config, "mode");
    serve.app = (ruc_app_t){.loop = &serve.loop,
                            .config = &serve.config,
                            .config_file = serve.places.config_file,
                            .state_dir = "",
                            .lua_dir = serve.places.lua_dir,
                            .engine_binary = serve.places.engine_binary,
                            .instance = ruc_id_uuid(serve.instance),
                            .listen = "",
                            .embedded = strcmp(mode, "embedded") == 0,
                            .server = has_role(&serve.config, "server"),
                            .monitor = has_role(&serve.config, "monitor"),
                            .peer_url = "",
                            .lay_flags = ruc_setup_lay_flags,
                            .config_changed = config_changed};
    if (uv_loop_init(&serve.loop) < 0 || ruc_log_open(log_format(&serve.config)) < 0) {
        fprintf(stderr, "rucat: not enough memory or descriptors to start\n");
        return 1;
    }
    raise_descriptors();
    config_changed(&serve.app);
    int rc = open_all(&serve, &why);
    if (rc < 0) {
        ruc_log_close();
        fprintf(stderr, "rucat: %s\n", why.text);
        serve.exit_code = 1;
        abandon(&serve);
    } else {
        open_signals(&serve);
        ruc_scripts_keep(serve.app.scripts);
        tell_ready(&serve);
        ruc_log(RUC_LOG_MAIN, RUC_INFO, "rucat %s serves http://%s, mode %s, state in %s, pid %d",
                RUCAT_VERSION, serve.listen, mode, serve.dir.path, (int)uv_os_getpid());
    }
    close_rest(&serve);
    return serve.exit_code;
}
