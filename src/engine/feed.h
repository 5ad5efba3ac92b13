/* feed.h - keeps the table in step with a store that other servers write to as well.
 *
 * Asks the store every `poll_ms` what was committed since the last time (ruc_store_changes), and
 * every `resync_ms` compares all revisions, in case something was missed. What others wrote reaches
 * the table's watchers as this server's own changes do. Events come by here only, also one's own,
 * so that followers on every server see the same: they are held back for one poll and handed on in
 * the order of their ids, for two servers may commit in another order than they numbered.
 *
 * A feed is fresh as long as the table is as new as the last poll: no decision is made on one that
 * is not (the database is away). A database that comes back empty gets back what is in memory. Over
 * a store that nobody else writes to there is no feed, and NULL is always fresh. Loop thread only.
 */
#ifndef RUC_ENGINE_FEED_H
#define RUC_ENGINE_FEED_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "engine/table.h"

typedef struct ruc_feed ruc_feed_t;

typedef struct ruc_feed_config {
    uint64_t poll_ms, resync_ms;
    uint64_t stale_ms; /* longer without an answer is not fresh; 0: 2 s or eight polls */
    /* The feed has become fresh, or is not any more. May be NULL. */
    void (*changed)(void *arg, bool fresh);
    void *arg;
} ruc_feed_config_t;

/* NULL: no memory. */
ruc_feed_t *ruc_feed_new(uv_loop_t *loop, ruc_table_t *table, const ruc_feed_config_t *config);

/* Reads all records into the (empty) table, calls `loaded`, then follows. Returns as
 * ruc_table_load; ask once more after a failure. */
int ruc_feed_open(ruc_feed_t *feed, ruc_store_cb loaded, void *arg);

/* May be decided on what the table says? */
bool ruc_feed_fresh(const ruc_feed_t *feed);

/* Milliseconds since the table was known to be as the store; 0 while the feed is fresh. */
uint64_t ruc_feed_stale_ms(const ruc_feed_t *feed);

/* Ends the following: call it before the store is closed. The memory goes when the last answer has
 * come and the handles are closed. */
void ruc_feed_close(ruc_feed_t *feed);

#endif
