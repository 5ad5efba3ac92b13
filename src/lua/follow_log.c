/* follow_log.c - follows the log of an engine over its restarts, until it is deleted. The file is
 * looked at a few times a second on the thread pool; rucat-engine writes it and knows nothing of
 * followers. */
#include <string.h>

#include "lua/follow_room.h"

#define LOOK_MS 150
#define PIECE ((size_t)128 * 1024)
#define TAIL_MAX ((size_t)4 * 1024 * 1024)

static void look(uv_timer_t *timer);

static void next_look(ruc__follower_t *f, uint64_t ms)
{
    if (f->stream != NULL && !f->full) {
        uv_timer_start(&f->timer, look, ms, 0);
    }
}

static void have_read(void *arg, int rc, const char *data, size_t len, const ruc_logs_mark_t *mark)
{
    ruc__follower_t *f = arg;
    if (f->stream != NULL && rc == 0) {
        f->mark = *mark;
        if (len == 0 || ruc__follow_write(f, data, len)) {
            next_look(f, len >= PIECE ? 0 : LOOK_MS);
        }
    } else {
        next_look(f, LOOK_MS);
    }
    ruc__follow_settle(f);
}

/* Where its log is. RUC_ENOTFOUND: it is gone, or moved to where we cannot read it. */
static int log_dir(const ruc__follower_t *f, char *dir, size_t size)
{
    ruc_record_t *record = ruc_table_find(f->app->table, f->what.engine);
    if (record == NULL || !ruc_replicas_has_files(f->app->replicas, record)) {
        return RUC_ENOTFOUND;
    }
    return ruc_fleet_dir(f->app->fleet, ruc_record_place(record, "dir"), record->id, dir, size);
}

static void look(uv_timer_t *timer)
{
    ruc__follower_t *f = timer->data;
    char dir[4096];
    int rc = log_dir(f, dir, sizeof dir);
    if (rc == RUC_ENOTFOUND) {
        ruc__follow_end(f, "the engine's log is on another host now");
        return;
    }
    if (rc == 0) {
        f->pending++;
        rc = ruc_logs_since(f->app->loop, dir, &f->mark, PIECE, have_read, f);
        f->pending -= rc < 0;
    }
    if (rc < 0) {
        next_look(f, LOOK_MS);
    }
}

void ruc__follow_log_drained(ruc__follower_t *f)
{
    next_look(f, 0);
}

static void changed(ruc_watcher_t *watcher, ruc_record_t *before, ruc_record_t *after)
{
    ruc__follower_t *f = (ruc__follower_t *)((char *)watcher - offsetof(ruc__follower_t, watcher));
    if (after == NULL && strcmp(before->id, f->what.engine) == 0) {
        ruc__follow_end(f, "the engine is deleted");
    }
}

void ruc__follow_log_begin(ruc__follower_t *f)
{
    char dir[4096];
    f->watcher.changed = changed;
    ruc_table_watch(f->app->table, &f->watcher);
    if (log_dir(f, dir, sizeof dir) < 0) {
        ruc__follow_end(f, ruc_table_find(f->app->table, f->what.engine) == NULL
                               ? "the engine is deleted"
                               : "the engine's log is on another host");
        return;
    }
    f->pending++;
    if (ruc_logs_tail(f->app->loop, dir, f->what.lines, TAIL_MAX, have_read, f) < 0) {
        f->pending--;
        ruc__follow_end(f, "the log cannot be read");
    }
}
