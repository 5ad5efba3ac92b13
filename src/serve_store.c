/* serve_store.c - see serve_store.h. */
#include "serve_store.h"

#include <string.h>

#include "core/log.h"
#include "engine/recover.h"
#include "lua/monitor.h"
#include "setup.h"

/* What is waited for, by running the loop. */
typedef struct waiting {
    uv_loop_t *loop;
    bool over;
    int rc;
} waiting_t;

/* The loop goes on for one turn, and would sleep in it, when it is a timer that brings the answer.
 */
static void is_over(waiting_t *waiting, int rc)
{
    waiting->over = true;
    waiting->rc = rc;
    uv_stop(waiting->loop);
}

static int wait_for(ruc_app_t *app, waiting_t *waiting, int rc)
{
    while (rc == 0 && !waiting->over) {
        uv_run(app->loop, UV_RUN_ONCE);
    }
    return rc == 0 ? waiting->rc : rc;
}

static void on_loaded(void *arg, int rc)
{
    is_over(arg, rc);
}

static int open_backend(ruc_app_t *app, const char *path, ruc_why_t *why)
{
    char password[RUC_PASSWORD_SIZE] = "";
    const ruc_config_t *config = app->config;
    bool remote = strcmp(ruc_config_text(config, "mode"), "remote") == 0;
    ruc_store_config_t store = {
        .kind = remote ? "surreal" : "sqlite",
        .path = path,
        .url = ruc_config_text(config, "store.url"),
        .name_space = ruc_config_text(config, "store.namespace"),
        .database = ruc_config_text(config, "store.database"),
        .user = ruc_config_text(config, "store.user"),
        .password = password,
        .ca_file = ruc_config_text(config, "store.ca_file"),
        .connect_ms = (int64_t)(ruc_config_number(config, "store.connect_time") * 1000)};
    const char *file = ruc_config_text(config, "store.password_file");
    int rc =
        remote && file != NULL && file[0] != '\0' ? ruc_setup_password(file, password, why) : 0;
    rc = rc < 0 ? rc : ruc_store_open(app->loop, &store, &app->store, why);
    explicit_bzero(password, sizeof password);
    return rc;
}

static int load(ruc_app_t *app)
{
    waiting_t waiting = {.loop = app->loop};
    return wait_for(app, &waiting,
                    app->feed != NULL ? ruc_feed_open(app->feed, on_loaded, &waiting)
                                      : ruc_table_load(app->table, on_loaded, &waiting));
}

int ruc_serve_open_store(ruc_app_t *app, const char *path, ruc_why_t *why)
{
    int rc = open_backend(app, path, why);
    if (rc < 0) {
        return rc;
    }
    ruc_feed_config_t feed = {
        .poll_ms = (uint64_t)(ruc_config_number(app->config, "store.poll") * 1000),
        .resync_ms = (uint64_t)(ruc_config_number(app->config, "store.resync") * 1000),
        .changed = ruc_monitor_fresh,
        .arg = app};
    app->table =
        ruc_table_new(app->store, (size_t)ruc_config_number(app->config, "limits.engines"));
    if (app->table != NULL && ruc_store_shared(app->store)) {
        app->feed = ruc_feed_new(app->loop, app->table, &feed);
    }
    if (app->table == NULL || (app->feed == NULL && ruc_store_shared(app->store))) {
        return ruc_why_set(why, UV_ENOMEM, "not enough memory");
    }
    rc = load(app);
    if (rc < 0) {
        return ruc_why_set(why, rc, "the engines could not be read from the store: %s",
                           ruc_err_text(rc));
    }
    app->keys = ruc_idempotency_new(app->table);
    return app->keys == NULL ? ruc_why_set(why, UV_ENOMEM, "not enough memory") : 0;
}

static void on_recovered(void *arg, int rc, size_t recovered)
{
    is_over(arg, rc);
    if (recovered > 0) {
        ruc_log(RUC_LOG_ENGINE, RUC_WARN, "%zu engines were not in the store and are there again",
                recovered);
    }
}

int ruc_serve_recover(ruc_app_t *app, ruc_why_t *why)
{
    waiting_t waiting = {.loop = app->loop};
    if (app->embedded) {
        return 0; /* its state directory was emptied */
    }
    int rc = wait_for(app, &waiting,
                      ruc_recover(app->loop, app->table, app->state_dir, on_recovered, &waiting));
    return rc < 0 ? ruc_why_set(why, rc, "drivers without a record cannot be looked for: %s",
                                ruc_err_text(rc))
                  : 0;
}
