/* surreal_tidy.c - the bounds of events in SurrealDB.
 *
 * Counting at each write would be dear, and other servers write too. So this server counts what it
 * added itself, and looks at the table when that is a sixteenth of an engine's bound (a
 * sixty-fourth of the whole): a cheap statement then drops the oldest down to the bound less that
 * part. With N servers there may be N such parts more than the bound for a while. One look drops at
 * most 5,000 of them all, and is repeated while there are more. */
#include <stdlib.h>
#include <string.h>

#include "store/surreal_backend.h"

#define TALLIES_MAX 20000u

struct ruc__surreal_tally {
    char engine[32];
    size_t added;
    UT_hash_handle hh;
};

static size_t part(size_t bound, size_t of)
{
    return bound / of > 0 ? bound / of : 1;
}

bool ruc__surreal_count_event(ruc__surreal_tidy_t *tidy, const char *engine)
{
    ruc__surreal_tally_t *tally = NULL;
    tidy->added++;
    HASH_FIND_STR(tidy->tallies, engine, tally);
    if (!tally) {
        if (HASH_COUNT(tidy->tallies) >= TALLIES_MAX) {
            ruc__surreal_tidy_free(tidy);
        }
        tally = calloc(1, sizeof *tally);
        if (!tally || strlen(engine) >= sizeof tally->engine) {
            free(tally);
            return true; /* it is looked at now, since it cannot be counted */
        }
        memcpy(tally->engine, engine, strlen(engine) + 1);
        HASH_ADD_STR(tidy->tallies, engine, tally);
        if (!tally->hh.tbl) {
            free(tally);
            return true;
        }
    }
    if (++tally->added < part(tidy->per_engine, 16)) {
        return false;
    }
    tally->added = 0;
    return true;
}

bool ruc__surreal_count_all(ruc__surreal_tidy_t *tidy)
{
    if (tidy->looked && tidy->added < part(tidy->total, 64)) {
        return false;
    }
    tidy->looked = true;
    tidy->added = 0;
    return true;
}

const char *ruc__surreal_tidy_sql(const ruc__surreal_tidy_t *tidy, const char *engine,
                                  ruc__cbor_t *vars)
{
    size_t bound = engine ? tidy->per_engine : tidy->total;
    size_t keep = bound - (bound > 1 ? part(bound, engine ? 16 : 64) : 0);
    ruc__cbor_map(vars, 2);
    ruc__cbor_str(vars, "keep");
    ruc__cbor_int(vars, (int64_t)keep);
    if (engine) {
        ruc__cbor_str(vars, "engine");
        ruc__cbor_str(vars, engine);
        return "{ LET $cut = (SELECT VALUE eid FROM event WHERE engine = $engine ORDER BY eid DESC "
               "LIMIT 1 START $keep)[0]; IF $cut != NONE { DELETE event WHERE engine = $engine AND "
               "eid <= $cut RETURN NONE; }; RETURN 0; }";
    }
    ruc__cbor_str(vars, "most");
    ruc__cbor_int(vars, 5000);
    return "{ LET $n = (SELECT VALUE count FROM (SELECT count() FROM event GROUP ALL))[0] ?? 0; "
           "LET $over = $n - $keep; IF $over <= 0 { RETURN 0; }; "
           "LET $go = math::min([$over, $most]); "
           "LET $old = (SELECT VALUE id FROM event LIMIT $go); DELETE $old RETURN NONE; "
           "RETURN $over - $go; }";
}

void ruc__surreal_tidy_free(ruc__surreal_tidy_t *tidy)
{
    ruc__surreal_tally_t *tally, *next;
    HASH_ITER(hh, tidy->tallies, tally, next)
    {
        HASH_DEL(tidy->tallies, tally);
        free(tally);
    }
    tidy->tallies = NULL;
}
