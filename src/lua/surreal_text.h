/* surreal_text.h - the text of a value, as SurrealDB writes it. For surreal_value.c only. */
#ifndef RUC_LUA_SURREAL_TEXT_H
#define RUC_LUA_SURREAL_TEXT_H

#include <cbor.h>
#include <stdbool.h>

#include "core/buf.h"

/* CBOR tags of SurrealDB. */
enum {
    RUC__TAG_NONE = 6,
    RUC__TAG_TABLE = 7,
    RUC__TAG_RECORD = 8,
    RUC__TAG_UUID_TEXT = 9,
    RUC__TAG_DECIMAL = 10,
    RUC__TAG_DATETIME = 12,
    RUC__TAG_DURATION_TEXT = 13,
    RUC__TAG_DURATION = 14,
    RUC__TAG_UUID = 37,
    RUC__TAG_RANGE = 49,
    RUC__TAG_INCLUDED = 50,
    RUC__TAG_EXCLUDED = 51,
    RUC__TAG_FILE = 55,
    RUC__TAG_SET = 56,
    RUC__TAG_GEOMETRY = 88, /* to 94 */
};

/* Appends the text of a value; texts inside of others are quoted. 0, RUC_ETOOBIG, UV_ENOMEM, or
 * RUC_EINVALID for what is not as SurrealDB writes it. */
int ruc__surreal_write(ruc_buf_t *out, const cbor_item_t *item, bool quoted);

/* The bytes of a whole text or byte string. */
bool ruc__surreal_string(const cbor_item_t *item, const char **text, size_t *len);

/* An integer that fits. */
bool ruc__surreal_int(const cbor_item_t *item, int64_t *value);

/* Seconds and nanoseconds of a datetime or duration (each may be left out where it is 0). */
bool ruc__surreal_time(const cbor_item_t *item, int64_t *seconds, int64_t *nanoseconds);

#endif
