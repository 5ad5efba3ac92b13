/* surreal_feed.c - what was committed behind a place.
 *
 * SurrealDB's change feed has an entry for each commit, with a versionstamp: the milliseconds of
 * the database's clock, shifted by 16 bits, and a count. A commit takes its stamp before it can be
 * seen: over a store on a disk one that waits for its fsync is seen after others with a later stamp
 * (tried with surrealkv: of 1,920 commits by 48 writers some were passed over). So a reader reads
 * the last second again each time, and remembers what it was told of it. Changes of one record
 * still come in their order: a revision can only be written when the one before it is seen.
 *
 * A place is "UUID.AT.LOW.FEED": the first eight characters of the database's uuid, the stamp to
 * read from, the stamp to begin from again when a reading in several pages has come to its end (0:
 * none is under way), and who reads. A reader that is not known any more (this server was started
 * anew) is told the last second twice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/surreal_backend.h"

#define KEEPS_MS (50 * 60 * 1000) /* of its hour of changes, what is surely still there */
#define TOLD_MAX 65536u           /* stamps that are remembered; beyond it they are forgotten */

struct ruc__surreal_stamp {
    int64_t stamp;
    UT_hash_handle hh;
};

static void forget(ruc__surreal_stamp_t **told, int64_t below)
{
    ruc__surreal_stamp_t *one, *next;
    HASH_ITER(hh, *told, one, next)
    {
        if (one->stamp < below) {
            HASH_DEL(*told, one);
            free(one);
        }
    }
}

void ruc__surreal_feeds_free(ruc__surreal_feeds_t *feeds)
{
    for (size_t i = 0; i < RUC__SURREAL_FEEDS; i++) {
        forget(&feeds->list[i].told, INT64_MAX);
    }
}

/* What a reader was told; a new reader takes the place of the oldest. */
static ruc__surreal_stamp_t **told_to(ruc__surreal_feeds_t *feeds, uint32_t id)
{
    for (size_t i = 0; i < RUC__SURREAL_FEEDS; i++) {
        if (id != 0 && feeds->list[i].id == id) {
            return &feeds->list[i].told;
        }
    }
    feeds->last++;
    size_t at = feeds->last % RUC__SURREAL_FEEDS;
    forget(&feeds->list[at].told, INT64_MAX);
    feeds->list[at].id = id;
    return &feeds->list[at].told;
}

/* Without memory a stamp is not remembered, and told once more. */
static bool was_told(ruc__surreal_stamp_t **told, int64_t stamp)
{
    ruc__surreal_stamp_t *one = NULL;
    HASH_FIND(hh, *told, &stamp, sizeof stamp, one);
    if (one) {
        return true;
    }
    if (HASH_COUNT(*told) >= TOLD_MAX) {
        forget(told, INT64_MAX);
    }
    one = calloc(1, sizeof *one);
    if (one) {
        one->stamp = stamp;
        HASH_ADD(hh, *told, stamp, sizeof one->stamp, one);
        if (!one->hh.tbl) {
            free(one);
        }
    }
    return false;
}

bool ruc__surreal_place(const char *text, const char *uuid, ruc__surreal_place_t *place)
{
    int end = 0;
    return strlen(text) > 9 && strncmp(text, uuid, 8) == 0 && text[8] == '.' &&
           sscanf(text + 9, "%" SCNd64 ".%" SCNd64 ".%" SCNu32 "%n", &place->at, &place->low,
                  &place->feed, &end) == 3 &&
           text[9 + end] == '\0' && place->at > 0 && place->low >= 0;
}

/* One commit: all of its changes or none, so that a place is between commits. */
static int take_commit(ruc__store_op_t *op, const cbor_item_t *changes)
{
    size_t limit = op->limit, bytes = op->answer_bytes;
    int rc = 0;
    op->limit = SIZE_MAX;
    for (size_t i = 0; i < ruc__cbor_count(changes) && rc == 0; i++) {
        op->answer_bytes = 0; /* nor may its bytes cut it */
        rc = ruc__surreal_take_change(op, ruc__cbor_at(changes, i));
        bytes += op->answer_bytes;
    }
    op->answer_bytes = bytes;
    op->limit = limit;
    return rc < 0 ? rc : 0;
}

/* LIMIT counts what a commit changed of one table as one, so the last commit of an answer may be
 * cut: it is read again with the next, unless there are surely fewer. */
static bool is_cut(const ruc__store_op_t *op, const cbor_item_t *commits)
{
    size_t n = ruc__cbor_count(commits), changes = 0;
    for (size_t i = 0; i < n; i++) {
        changes += ruc__cbor_count(ruc__cbor_get(ruc__cbor_at(commits, i), "changes"));
    }
    return n > 1 && changes >= op->limit;
}

/* Reads the commits until the answer is full; true when all of them were read. */
static bool take_commits(ruc__store_op_t *op, const cbor_item_t *commits,
                         ruc__surreal_place_t *place, ruc__surreal_stamp_t **told)
{
    bool cut = is_cut(op, commits);
    size_t n = ruc__cbor_count(commits) - cut, i;
    int64_t stamp;
    for (i = 0; i < n && op->rc == 0 && op->answer_bytes < RUC_STORE_ANSWER_MAX; i++) {
        const cbor_item_t *commit = ruc__cbor_at(commits, i);
        if (!ruc__cbor_is_int(ruc__cbor_get(commit, "versionstamp"), &stamp) || stamp < 0) {
            op->rc = RUC_ESTORE;
        } else if (!was_told(told, stamp)) {
            op->rc = take_commit(op, ruc__cbor_get(commit, "changes"));
        }
        place->at = stamp + 1;
    }
    return i == n && !cut;
}

void ruc__surreal_take_changes(ruc__store_op_t *op, const cbor_item_t *results, const char *uuid,
                               ruc__surreal_feeds_t *feeds)
{
    ruc__surreal_place_t place = {0};
    int64_t now = 0;
    op->rc = 0;
    if (!ruc__cbor_is_int(ruc__cbor_get(ruc__cbor_at(results, 1), "result"), &now) || now <= 0) {
        op->rc = RUC_ESTORE;
        return;
    }
    int64_t low = (now - RUC__SURREAL_LATE_MS) << 16;
    if (!op->after) {
        place = (ruc__surreal_place_t){.at = low, .feed = feeds->last + 1};
        (void)told_to(feeds, place.feed);
    } else if (!ruc__surreal_place(op->after, uuid, &place) || place.at >> 16 < now - KEEPS_MS) {
        op->rc = RUC_ENOTFOUND;
        return;
    } else {
        ruc__surreal_stamp_t **told = told_to(feeds, place.feed);
        const cbor_item_t *commits = ruc__cbor_get(ruc__cbor_at(results, 0), "result");
        low = place.low > 0 ? place.low : low > place.at ? low : place.at;
        op->more = !take_commits(op, commits, &place, told);
        if (op->more) {
            place.low = low;
        } else {
            place = (ruc__surreal_place_t){.at = low, .feed = place.feed};
            forget(told, low);
        }
    }
    snprintf(op->place_next, sizeof op->place_next, "%.8s.%" PRId64 ".%" PRId64 ".%" PRIu32, uuid,
             place.at, place.low, place.feed);
}
