/* surreal_box.h - a value of SurrealDB that Lua has no type for: a userdata with its kind and the
 * CBOR it is, in memory of the state. For surreal_value.c (what it has, how it is made) and
 * surreal_cross.c (from Lua and to Lua). */
#ifndef RUC_LUA_SURREAL_BOX_H
#define RUC_LUA_SURREAL_BOX_H

#include <cbor.h>
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define RUC__BOX_MAX (4u << 20) /* bytes of one value; SurrealDB takes no larger request */

#define RUC__BOX_KINDS(XX)                                                                         \
    XX(NONE, "none")                                                                               \
    XX(RECORD, "record")                                                                           \
    XX(DATETIME, "datetime")                                                                       \
    XX(DURATION, "duration")                                                                       \
    XX(DECIMAL, "decimal")                                                                         \
    XX(UUID, "uuid")                                                                               \
    XX(BYTES, "bytes")                                                                             \
    XX(SET, "set")                                                                                 \
    XX(RANGE, "range")                                                                             \
    XX(TABLE, "table")

typedef enum {
#define XX(id, name) RUC__BOX_##id,
    RUC__BOX_KINDS(XX)
#undef XX
} ruc__box_kind_t;

typedef struct ruc__box {
    ruc__box_kind_t kind;
    size_t len;
    unsigned char cbor[];
} ruc__box_t;

extern const char ruc__box_key; /* of the boxes' metatable in the registry */

/* "record", "datetime", ... Static memory. */
const char *ruc__box_name(ruc__box_kind_t kind);

/* Makes the metatable of holders. */
void ruc__box_open(lua_State *L);

/* The box at `index`; NULL. The other RAISES. */
ruc__box_t *ruc__box_test(lua_State *L, int index);
ruc__box_t *ruc__box_check(lua_State *L, int index);

/* Pushes a userdata that gives its item back when it is collected: for what is held while something
 * may raise. */
cbor_item_t **ruc__box_hold(lua_State *L);

/* Pushes a box of what the item is written as; of a datetime or duration in the one form; the one
 * box of none. RAISE. */
void ruc__box_push(lua_State *L, ruc__box_kind_t kind, const cbor_item_t *item);
void ruc__box_push_time(lua_State *L, ruc__box_kind_t kind, int64_t seconds, int64_t nanoseconds);
void ruc__box_push_none(lua_State *L);

/* Make CBOR: each takes what it is given, and gives NULL for NULL and without memory. */
cbor_item_t *ruc__box_tagged(uint64_t tag, cbor_item_t *item);
cbor_item_t *ruc__box_integer(int64_t value);
cbor_item_t *ruc__box_pair(cbor_item_t *a, cbor_item_t *b);
cbor_item_t *ruc__box_none(void);

/* The item that a box holds, the caller's. NULL without memory. */
cbor_item_t *ruc__box_load(const ruc__box_t *box);

/* surreal_cross.c: the value at `index` as CBOR, held on the stack (at the top). RAISES. */
cbor_item_t *ruc__box_read_held(lua_State *L, int index);

/* The first `n` elements of the list at `index`; NULL, and a reason in `why` or, without memory,
 * none. Does not raise. */
cbor_item_t *ruc__box_read_list(lua_State *L, int index, lua_Integer n, ruc_why_t *why);

#endif
