/* surreal_cbor.h - CBOR as SurrealDB speaks it: questions are written piece by piece, answers are
 * checked before they are decoded. Only for files of this room and the Lua primitive's tests.
 *
 * Tags of SurrealDB: 6 is NONE (of null), 8 a record id [table, key], 37 a uuid in 16 bytes, 49 a
 * range [begin, end] whose ends are 50 (inclusive) or 51 (exclusive) of a value, or null. */
#ifndef RUC_STORE_SURREAL_CBOR_H
#define RUC_STORE_SURREAL_CBOR_H

#include <cbor.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

#define RUC_CBOR_DEPTH 64 /* of maps, arrays and tags in one another */

enum { RUC_CBOR_NONE = 6, RUC_CBOR_RECORD = 8, RUC_CBOR_UUID = 37, RUC_CBOR_RANGE = 49 };

/* ---- writing: the first failure is kept in `rc`, the rest is then skipped ---- */

typedef struct ruc__cbor {
    ruc_buf_t buf;
    int rc; /* 0, RUC_ETOOBIG or UV_ENOMEM */
} ruc__cbor_t;

void ruc__cbor_init(ruc__cbor_t *out, size_t max);
void ruc__cbor_free(ruc__cbor_t *out);
void ruc__cbor_map(ruc__cbor_t *out, size_t pairs);
void ruc__cbor_array(ruc__cbor_t *out, size_t items);
void ruc__cbor_tag(ruc__cbor_t *out, uint64_t tag);
void ruc__cbor_null(ruc__cbor_t *out);
void ruc__cbor_int(ruc__cbor_t *out, int64_t value);
void ruc__cbor_bytes(ruc__cbor_t *out, const void *data, size_t len);
void ruc__cbor_text(ruc__cbor_t *out, const char *text, size_t len);
void ruc__cbor_str(ruc__cbor_t *out, const char *text);
/* Bytes that are CBOR already. */
void ruc__cbor_raw(ruc__cbor_t *out, const void *data, size_t len);
/* A record id. */
void ruc__cbor_rid(ruc__cbor_t *out, const char *table, const char *key);
/* The records of a table behind the key `after` (NULL: all of them). */
void ruc__cbor_behind(ruc__cbor_t *out, const char *table, const char *after);

/* ---- reading ---- */

/* Decodes one item that fills all of the bytes. NULL when it is not well formed, nests deeper than
 * RUC_CBOR_DEPTH, claims more than is there, or memory is out. The caller's: cbor_decref. */
cbor_item_t *ruc__cbor_load(const void *data, size_t len);

/* Is it well formed, and within the bounds above? Looks at each byte once, takes no memory. */
bool ruc__cbor_sound(const void *data, size_t len);

/* The value of a text key of a map; NULL when there is none, or `map` is none (or NULL). */
const cbor_item_t *ruc__cbor_get(const cbor_item_t *map, const char *key);

/* A text that is whole (not in chunks): its bytes (no NUL behind them) and length. */
bool ruc__cbor_is_text(const cbor_item_t *item, const char **text, size_t *len);

/* Is it this text? */
bool ruc__cbor_equals(const cbor_item_t *item, const char *text);

/* Copies a text, cut at the size and always terminated; false when it is no text, holds a NUL, or
 * was cut. */
bool ruc__cbor_copy(const cbor_item_t *item, char *out, size_t size);

/* An integer that fits. */
bool ruc__cbor_is_int(const cbor_item_t *item, int64_t *value);

/* A record id: copies the key, which must be a text; `table` NULL: any. */
bool ruc__cbor_is_rid(const cbor_item_t *item, const char *table, char *key, size_t size);

/* NULL, null or SurrealDB's NONE. */
bool ruc__cbor_is_none(const cbor_item_t *item);

/* Elements of an array; 0 of anything else. */
size_t ruc__cbor_count(const cbor_item_t *item);
const cbor_item_t *ruc__cbor_at(const cbor_item_t *array, size_t at);

#endif
