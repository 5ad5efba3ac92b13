/* surreal_backend.h - inside the room: what the files of the SurrealDB backend share.
 *
 *   surreal.c         calls become tasks: their order, their tries, what came of them
 *   surreal_order.c   who waits for whom (surreal_task.h)
 *   surreal_ask.c     a call as SurrealQL with its variables
 *   surreal_take.c    the answers
 *   surreal_feed.c    what was committed behind a place
 *   surreal_schema.c  the tables, and the check that they are there
 *   surreal_tidy.c    the bounds of events */
#ifndef RUC_STORE_SURREAL_BACKEND_H
#define RUC_STORE_SURREAL_BACKEND_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "core/id.h"
#include "store/op.h"
#include "store/surreal_in.h"

#define RUC__SURREAL_SCHEMA 1 /* version of the tables */

/* ---- surreal_schema.c ---- */

typedef struct ruc__surreal_schema {
    ruc_surreal_t *surreal;
    char uuid[RUC_UUID_SIZE]; /* of the database, made with its tables; "" while not known */
    char mine[RUC_UUID_SIZE]; /* the one that is being written */
    unsigned emptied;         /* see store.h */
    unsigned rounds;          /* of this check */
} ruc__surreal_schema_t;

/* Looks whether the tables are there, of a version that is known; makes them when there are none.
 * Ends by ruc__surreal_checked. */
void ruc__surreal_check_schema(ruc__surreal_schema_t *schema);

/* ---- surreal_tidy.c ---- */

typedef struct ruc__surreal_tally ruc__surreal_tally_t;

typedef struct ruc__surreal_tidy {
    size_t per_engine, total;
    ruc__surreal_tally_t *tallies; /* events that this server added, by engine */
    size_t added;                  /* of all since the last look */
    bool looked;                   /* at all of them, since the opening */
} ruc__surreal_tidy_t;

/* Counts events that were written. True when those of `engine` are to be looked at. */
bool ruc__surreal_count_event(ruc__surreal_tidy_t *tidy, const char *engine);
/* Are all of them to be looked at? Then they are counted anew. */
bool ruc__surreal_count_all(ruc__surreal_tidy_t *tidy);
/* The statement that drops the oldest, of one engine or (NULL) of all. It answers how many it left
 * for another time. */
const char *ruc__surreal_tidy_sql(const ruc__surreal_tidy_t *tidy, const char *engine,
                                  ruc__cbor_t *vars);
void ruc__surreal_tidy_free(ruc__surreal_tidy_t *tidy);

/* ---- surreal_feed.c ---- */

#define RUC__SURREAL_FEEDS 4u
#define RUC__SURREAL_LATE_MS 1000 /* so much later than its stamp may a commit be seen */

typedef struct ruc__surreal_stamp ruc__surreal_stamp_t;

/* Readers of changes, each with what it was told of the last moment. */
typedef struct ruc__surreal_feeds {
    struct {
        uint32_t id; /* 0: nobody's */
        ruc__surreal_stamp_t *told;
    } list[RUC__SURREAL_FEEDS];
    uint32_t last;
} ruc__surreal_feeds_t;

/* What the text of a place says: where to read on, and where to begin anew when that has come to
 * the end (0: no reading is under way). */
typedef struct ruc__surreal_place {
    int64_t at, low;
    uint32_t feed;
} ruc__surreal_place_t;

/* False: it is not a place of this database. */
bool ruc__surreal_place(const char *text, const char *uuid, ruc__surreal_place_t *place);
/* Reads the commits into the answer, and sets its next place. */
void ruc__surreal_take_changes(ruc__store_op_t *op, const cbor_item_t *results, const char *uuid,
                               ruc__surreal_feeds_t *feeds);
void ruc__surreal_feeds_free(ruc__surreal_feeds_t *feeds);

/* ---- surreal_ask.c ---- */

/* Writes the question of a call into `sql` and `vars`; `attempt` names this call in the record. 0,
 * RUC_ETOOBIG, RUC_EINVALID, UV_ENOMEM, RUC_ENOTFOUND (a place that is another database's). */
int ruc__surreal_question(const ruc__store_op_t *op, const char *attempt, const char *uuid,
                          ruc_buf_t *sql, ruc__cbor_t *vars);

/* The question that tells what became of a change: `RETURN [[rev, attempt], [engine, doc]]` of its
 * record and its first event. */
int ruc__surreal_whatis(const ruc__store_op_t *op, ruc_buf_t *sql, ruc__cbor_t *vars);

/* ---- surreal_take.c ---- */

typedef enum {
    RUC__TAKEN,  /* op->rc and the answer are set */
    RUC__LOST,   /* a change that met nothing: why must be found out */
    RUC__FURTHER /* nothing sound was in this piece: op->place is where to go on */
} ruc__surreal_taken_t;

/* Reads the answer of a call; no statement of it failed. */
ruc__surreal_taken_t ruc__surreal_take(ruc__store_op_t *op, const cbor_item_t *results);

/* Adds one {update: record} or {delete: record} of the feed to the answer. 0, 1, negative. */
int ruc__surreal_take_change(ruc__store_op_t *op, const cbor_item_t *item);

/* What became of a change, told by the answer to ruc__surreal_whatis: 0 (it was made), or
 * RUC_ECONFLICT, RUC_ENOTFOUND, RUC_EEXISTS. `unsure`: an answer was lost before. */
int ruc__surreal_became(const ruc__store_op_t *op, const char *attempt, bool unsure,
                        const cbor_item_t *answer);

/* Says once for each record that it is not as rucat writes them. */
void ruc__surreal_report(const char *table, const char *id, const char *what);

#endif
