/* surreal_cbor.c - see surreal_cbor.h. libcbor encodes and decodes; what is here is bounds.
 *
 * libcbor takes memory for as many elements as an array claims to have before it has seen them, and
 * frees what is nested by recursion: so an answer is walked through once before it is decoded, and
 * one that claims more than it has bytes, or nests deep, is refused.
 *
 * libcbor up to 0.10 takes tags of one byte (0xc6 to 0xd4) for an error, and SurrealDB's own tags
 * are such: the walk writes them in two bytes, which mean the same. */
#include "store/surreal_cbor.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/err.h"

/* ---- writing ---- */

void ruc__cbor_init(ruc__cbor_t *out, size_t max)
{
    ruc_buf_init(&out->buf, max);
    out->rc = 0;
}

void ruc__cbor_free(ruc__cbor_t *out)
{
    ruc_buf_free(&out->buf);
}

void ruc__cbor_raw(ruc__cbor_t *out, const void *data, size_t len)
{
    if (out->rc == 0) {
        out->rc = ruc_buf_add(&out->buf, data, len);
    }
}

void ruc__cbor_map(ruc__cbor_t *out, size_t pairs)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head, cbor_encode_map_start(pairs, head, sizeof head));
}

void ruc__cbor_array(ruc__cbor_t *out, size_t items)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head, cbor_encode_array_start(items, head, sizeof head));
}

void ruc__cbor_tag(ruc__cbor_t *out, uint64_t tag)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head, cbor_encode_tag(tag, head, sizeof head));
}

void ruc__cbor_null(ruc__cbor_t *out)
{
    unsigned char head[1];
    ruc__cbor_raw(out, head, cbor_encode_null(head, sizeof head));
}

void ruc__cbor_int(ruc__cbor_t *out, int64_t value)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head,
                  value >= 0 ? cbor_encode_uint((uint64_t)value, head, sizeof head)
                             : cbor_encode_negint((uint64_t)(-1 - value), head, sizeof head));
}

void ruc__cbor_bytes(ruc__cbor_t *out, const void *data, size_t len)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head, cbor_encode_bytestring_start(len, head, sizeof head));
    ruc__cbor_raw(out, data, len);
}

void ruc__cbor_text(ruc__cbor_t *out, const char *text, size_t len)
{
    unsigned char head[9];
    ruc__cbor_raw(out, head, cbor_encode_string_start(len, head, sizeof head));
    ruc__cbor_raw(out, text, len);
}

void ruc__cbor_str(ruc__cbor_t *out, const char *text)
{
    ruc__cbor_text(out, text ? text : "", text ? strlen(text) : 0);
}

void ruc__cbor_rid(ruc__cbor_t *out, const char *table, const char *key)
{
    ruc__cbor_tag(out, RUC_CBOR_RECORD);
    ruc__cbor_array(out, 2);
    ruc__cbor_str(out, table);
    ruc__cbor_str(out, key);
}

void ruc__cbor_behind(ruc__cbor_t *out, const char *table, const char *after)
{
    ruc__cbor_tag(out, RUC_CBOR_RECORD);
    ruc__cbor_array(out, 2);
    ruc__cbor_str(out, table);
    ruc__cbor_tag(out, RUC_CBOR_RANGE);
    ruc__cbor_array(out, 2);
    if (after) {
        ruc__cbor_tag(out, 51);
        ruc__cbor_str(out, after);
    } else {
        ruc__cbor_null(out);
    }
    ruc__cbor_null(out);
}

/* ---- is an answer sound? ---- */

typedef struct level {
    uint64_t left;  /* items still to come; of a map: keys and values */
    bool open;      /* ends with a break, not by count */
    uint8_t chunks; /* a string in chunks: the major type they must have; else 0 */
    uint64_t seen;
} level_t;

typedef struct walk {
    const uint8_t *at, *end;
    size_t small_tags; /* seen */
    uint8_t *out;      /* NULL, or where the bytes go */
    level_t levels[RUC_CBOR_DEPTH];
    size_t depth;
} walk_t;

/* Reads the argument of a head. False when bytes are missing or the head is reserved. */
static bool take_argument(walk_t *walk, uint8_t low, uint64_t *value)
{
    if (low < 24) {
        *value = low;
        return true;
    }
    size_t bytes = (size_t)1 << (low - 24);
    if (low > 27 || (size_t)(walk->end - walk->at) < bytes) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < bytes; i++) {
        *value = *value << 8 | *walk->at++;
    }
    return true;
}

static bool push(walk_t *walk, uint64_t left, bool open, uint8_t chunks)
{
    if (walk->depth == RUC_CBOR_DEPTH) {
        return false;
    }
    walk->levels[walk->depth++] = (level_t){.left = left, .open = open, .chunks = chunks};
    return true;
}

/* An item ended: so may have those that it was the last of. */
static void ended(walk_t *walk)
{
    while (walk->depth > 0) {
        level_t *level = &walk->levels[walk->depth - 1];
        level->seen++;
        if (level->open || --level->left > 0) {
            return;
        }
        walk->depth--;
    }
}

/* The end of an array, map or string that was begun without a count. */
static bool take_break(walk_t *walk, bool *whole)
{
    if (walk->depth == 0 || !walk->levels[walk->depth - 1].open) {
        return false;
    }
    level_t *level = &walk->levels[walk->depth - 1];
    bool even = level->left == 0 || level->seen % 2 == 0; /* left 1 marks a map */
    walk->depth--;
    *whole = true;
    return even;
}

static bool take_string(walk_t *walk, uint8_t major, uint8_t low, bool *whole)
{
    uint64_t len;
    if (low == 31) {
        return push(walk, 0, true, major);
    }
    if (!take_argument(walk, low, &len) || len > (uint64_t)(walk->end - walk->at)) {
        return false;
    }
    walk->at += len;
    *whole = true;
    return true;
}

static bool take_list(walk_t *walk, uint8_t major, uint8_t low, bool *whole)
{
    uint64_t count;
    if (low == 31) {
        return push(walk, major == 5, true, 0);
    }
    if (!take_argument(walk, low, &count) || count > (uint64_t)(walk->end - walk->at)) {
        return false; /* each element is at least a byte */
    }
    if (count == 0) {
        *whole = true;
        return true;
    }
    return push(walk, major == 5 ? count * 2 : count, false, 0);
}

/* Takes one head with what belongs to it; `whole` when the item is complete with it. */
static bool take_head(walk_t *walk, bool *whole)
{
    uint8_t head = *walk->at++, major = head >> 5, low = head & 31;
    uint64_t value;
    uint8_t chunks = walk->depth > 0 ? walk->levels[walk->depth - 1].chunks : 0;
    if (head == 0xff) {
        return take_break(walk, whole);
    }
    if (chunks != 0 && (major != chunks || low == 31)) {
        return false;
    }
    switch (major) {
    case 0:
    case 1:
        *whole = true;
        return take_argument(walk, low, &value);
    case 2:
    case 3:
        return take_string(walk, major, low, whole);
    case 4:
    case 5:
        return take_list(walk, major, low, whole);
    case 6:
        return take_argument(walk, low, &value) && push(walk, 1, false, 0);
    default: /* simple values and floats */
        *whole = true;
        return take_argument(walk, low, &value) && low != 24;
    }
}

/* One head with what belongs to it, counted or copied. */
static bool take(walk_t *walk, bool *whole)
{
    const uint8_t *from = walk->at;
    if (walk->at == walk->end || !take_head(walk, whole)) {
        return false;
    }
    bool small = *from >= 0xc0 && *from < 0xd8;
    walk->small_tags += small;
    if (walk->out && small) {
        *walk->out++ = 0xd8;
        *walk->out++ = *from & 31;
    } else if (walk->out) {
        memcpy(walk->out, from, (size_t)(walk->at - from));
        walk->out += walk->at - from;
    }
    return true;
}

static bool walk_through(walk_t *walk)
{
    bool whole = false;
    do {
        whole = false;
        if (!take(walk, &whole)) {
            return false;
        }
        if (whole) {
            ended(walk);
        }
    } while (!whole || walk->depth > 0);
    return walk->at == walk->end;
}

bool ruc__cbor_sound(const void *data, size_t len)
{
    walk_t walk = {.at = data, .end = (const uint8_t *)data + len};
    return walk_through(&walk);
}

cbor_item_t *ruc__cbor_load(const void *data, size_t len)
{
    struct cbor_load_result result;
    walk_t walk = {.at = data, .end = (const uint8_t *)data + len};
    if (!walk_through(&walk)) {
        return NULL;
    }
    size_t size = len + walk.small_tags;
    uint8_t *wide = malloc(size);
    if (!wide) {
        return NULL;
    }
    walk = (walk_t){.at = data, .end = (const uint8_t *)data + len, .out = wide};
    cbor_item_t *item = walk_through(&walk) ? cbor_load(wide, size, &result) : NULL;
    free(wide);
    return item;
}

/* ---- reading ---- */

bool ruc__cbor_is_text(const cbor_item_t *item, const char **text, size_t *len)
{
    if (!item || !cbor_isa_string(item) || !cbor_string_is_definite(item)) {
        return false;
    }
    *text = (const char *)cbor_string_handle(item);
    *len = cbor_string_length(item);
    if (!*text) {
        *text = "";
    }
    return true;
}

bool ruc__cbor_equals(const cbor_item_t *item, const char *text)
{
    const char *at;
    size_t len;
    return ruc__cbor_is_text(item, &at, &len) && len == strlen(text) && memcmp(at, text, len) == 0;
}

const cbor_item_t *ruc__cbor_get(const cbor_item_t *map, const char *key)
{
    if (!map || !cbor_isa_map(map)) {
        return NULL;
    }
    const struct cbor_pair *pairs = cbor_map_handle(map);
    for (size_t i = 0; i < cbor_map_size(map); i++) {
        if (ruc__cbor_equals(pairs[i].key, key)) {
            return pairs[i].value;
        }
    }
    return NULL;
}

bool ruc__cbor_copy(const cbor_item_t *item, char *out, size_t size)
{
    const char *text;
    size_t len;
    out[0] = '\0';
    if (!ruc__cbor_is_text(item, &text, &len)) {
        return false;
    }
    size_t take = len < size ? len : size - 1;
    memcpy(out, text, take);
    out[take] = '\0';
    return take == len && !memchr(text, '\0', len);
}

bool ruc__cbor_is_int(const cbor_item_t *item, int64_t *value)
{
    if (!item || !cbor_is_int(item) || cbor_get_int(item) > INT64_MAX) {
        return false;
    }
    *value = (int64_t)cbor_get_int(item);
    if (cbor_isa_negint(item)) {
        *value = -1 - *value;
    }
    return true;
}

size_t ruc__cbor_count(const cbor_item_t *item)
{
    return item && cbor_isa_array(item) ? cbor_array_size(item) : 0;
}

const cbor_item_t *ruc__cbor_at(const cbor_item_t *array, size_t at)
{
    return at < ruc__cbor_count(array) ? cbor_array_handle(array)[at] : NULL;
}

/* What a tag is of; borrowed. NULL when it is not that tag. */
static const cbor_item_t *tagged(const cbor_item_t *item, uint64_t tag)
{
    if (!item || !cbor_isa_tag(item) || cbor_tag_value(item) != tag) {
        return NULL;
    }
    cbor_item_t *inner = cbor_tag_item(item); /* one reference more, the tag keeps its own */
    return inner ? cbor_move(inner) : NULL;
}

bool ruc__cbor_is_rid(const cbor_item_t *item, const char *table, char *key, size_t size)
{
    const cbor_item_t *pair = tagged(item, RUC_CBOR_RECORD);
    key[0] = '\0';
    return ruc__cbor_count(pair) == 2 &&
           (!table || ruc__cbor_equals(ruc__cbor_at(pair, 0), table)) &&
           ruc__cbor_copy(ruc__cbor_at(pair, 1), key, size);
}

bool ruc__cbor_is_none(const cbor_item_t *item)
{
    const cbor_item_t *inner = tagged(item, RUC_CBOR_NONE);
    item = inner ? inner : item;
    return !item ||
           (cbor_isa_float_ctrl(item) && cbor_float_ctrl_is_ctrl(item) && cbor_is_null(item));
}
