/* surreal_text.c - see surreal_text.h. */
#include "lua/surreal_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "core/err.h"

bool ruc__surreal_string(const cbor_item_t *item, const char **text, size_t *len)
{
    if (cbor_isa_string(item) && cbor_string_is_definite(item)) {
        *text = (const char *)cbor_string_handle(item);
        *len = cbor_string_length(item);
    } else if (cbor_isa_bytestring(item) && cbor_bytestring_is_definite(item)) {
        *text = (const char *)cbor_bytestring_handle(item);
        *len = cbor_bytestring_length(item);
    } else {
        return false;
    }
    *text = *text == NULL ? "" : *text; /* an empty one has no memory */
    return true;
}

bool ruc__surreal_int(const cbor_item_t *item, int64_t *value)
{
    if (!cbor_is_int(item) || cbor_get_int(item) > INT64_MAX) {
        return false;
    }
    int64_t number = (int64_t)cbor_get_int(item);
    *value = cbor_isa_negint(item) ? -1 - number : number;
    return true;
}

bool ruc__surreal_time(const cbor_item_t *item, int64_t *seconds, int64_t *nanoseconds)
{
    *seconds = *nanoseconds = 0;
    if (!cbor_isa_array(item) || cbor_array_size(item) > 2) {
        return false;
    }
    size_t n = cbor_array_size(item);
    cbor_item_t **parts = cbor_array_handle(item);
    return (n < 1 || ruc__surreal_int(parts[0], seconds)) &&
           (n < 2 || (ruc__surreal_int(parts[1], nanoseconds) && *nanoseconds >= 0 &&
                      *nanoseconds < 1000000000));
}

/* ---- names, texts ---- */

/* A name as it is, or in backticks where it could be taken for something else. */
static int write_name(ruc_buf_t *out, const char *name, size_t len)
{
    bool plain = false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        plain = plain || isalpha(c);
        if (!isalnum(c) && c != '_') {
            plain = false;
            break;
        }
    }
    if (plain) {
        return ruc_buf_add(out, name, len);
    }
    int rc = ruc_buf_add(out, "`", 1);
    for (size_t i = 0; i < len && rc == 0; i++) {
        rc = name[i] == '`' || name[i] == '\\' ? ruc_buf_add(out, "\\", 1) : 0;
        rc = rc == 0 ? ruc_buf_add(out, name + i, 1) : rc;
    }
    return rc == 0 ? ruc_buf_add(out, "`", 1) : rc;
}

static int write_quoted(ruc_buf_t *out, const char *text, size_t len)
{
    int rc = ruc_buf_add(out, "'", 1);
    for (size_t i = 0; i < len && rc == 0; i++) {
        rc = text[i] == '\'' || text[i] == '\\' ? ruc_buf_add(out, "\\", 1) : 0;
        rc = rc == 0 ? ruc_buf_add(out, text + i, 1) : rc;
    }
    return rc == 0 ? ruc_buf_add(out, "'", 1) : rc;
}

static int write_text(ruc_buf_t *out, const cbor_item_t *item, bool quoted)
{
    const char *text;
    size_t len;
    if (!ruc__surreal_string(item, &text, &len)) {
        return RUC_EINVALID;
    }
    return quoted ? write_quoted(out, text, len) : ruc_buf_add(out, text, len);
}

/* ---- time ---- */

static int write_datetime(ruc_buf_t *out, const cbor_item_t *item)
{
    int64_t seconds, nanoseconds;
    struct tm parts;
    char text[64];
    time_t at;
    if (!ruc__surreal_time(item, &seconds, &nanoseconds)) {
        return RUC_EINVALID;
    }
    at = (time_t)seconds;
    if (gmtime_r(&at, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        return RUC_EINVALID;
    }
    int rc = ruc_buf_adds(out, text);
    if (rc == 0 && nanoseconds % 1000000 != 0) {
        rc = nanoseconds % 1000 != 0 ? ruc_buf_addf(out, ".%09" PRId64, nanoseconds)
                                     : ruc_buf_addf(out, ".%06" PRId64, nanoseconds / 1000);
    } else if (rc == 0 && nanoseconds != 0) {
        rc = ruc_buf_addf(out, ".%03" PRId64, nanoseconds / 1000000);
    }
    return rc == 0 ? ruc_buf_add(out, "Z", 1) : rc;
}

static int write_duration(ruc_buf_t *out, const cbor_item_t *item)
{
    static const struct {
        const char *unit;
        int64_t size;
    } wholes[] = {{"y", 365 * 86400}, {"w", 7 * 86400}, {"d", 86400},
                  {"h", 3600},        {"m", 60},        {"s", 1}},
      parts[] = {{"ms", 1000000}, {"us", 1000}, {"ns", 1}};
    int64_t seconds, nanoseconds;
    if (!ruc__surreal_time(item, &seconds, &nanoseconds) || seconds < 0) {
        return RUC_EINVALID;
    }
    int rc = seconds == 0 && nanoseconds == 0 ? ruc_buf_adds(out, "0ns") : 0;
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0] && rc == 0; i++) {
        if (seconds >= wholes[i].size) {
            rc = ruc_buf_addf(out, "%" PRId64 "%s", seconds / wholes[i].size, wholes[i].unit);
            seconds %= wholes[i].size;
        }
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && rc == 0; i++) {
        if (nanoseconds >= parts[i].size) {
            rc = ruc_buf_addf(out, "%" PRId64 "%s", nanoseconds / parts[i].size, parts[i].unit);
            nanoseconds %= parts[i].size;
        }
    }
    return rc;
}

/* ---- the rest ---- */

static int write_uuid(ruc_buf_t *out, const cbor_item_t *item)
{
    const char *bytes;
    size_t len;
    if (!ruc__surreal_string(item, &bytes, &len) || len != 16) {
        return RUC_EINVALID;
    }
    int rc = 0;
    for (size_t i = 0; i < len && rc == 0; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        rc = ruc_buf_addf(out, "%s%02x", dash ? "-" : "", (unsigned char)bytes[i]);
    }
    return rc;
}

static int write_record(ruc_buf_t *out, const cbor_item_t *item)
{
    const char *text;
    size_t len;
    if (!cbor_isa_array(item) || cbor_array_size(item) != 2 ||
        !ruc__surreal_string(cbor_array_handle(item)[0], &text, &len)) {
        return RUC_EINVALID;
    }
    int rc = write_name(out, text, len);
    rc = rc == 0 ? ruc_buf_add(out, ":", 1) : rc;
    const cbor_item_t *key = cbor_array_handle(item)[1];
    if (rc == 0 && cbor_isa_string(key)) {
        return ruc__surreal_string(key, &text, &len) ? write_name(out, text, len) : RUC_EINVALID;
    }
    return rc == 0 ? ruc__surreal_write(out, key, true) : rc;
}

/* One end of a range: what it is, and whether it is excluded. Null: open. */
static const cbor_item_t *end_of(const cbor_item_t *end, bool *excluded)
{
    if (!cbor_isa_tag(end)) {
        return NULL;
    }
    *excluded = cbor_tag_value(end) == RUC__TAG_EXCLUDED;
    cbor_item_t *value = cbor_tag_item(end);
    cbor_decref(&value); /* the tag keeps it */
    return value;
}

static int write_range(ruc_buf_t *out, const cbor_item_t *item)
{
    if (!cbor_isa_array(item) || cbor_array_size(item) != 2) {
        return RUC_EINVALID;
    }
    bool after = false, before = false;
    const cbor_item_t *first = end_of(cbor_array_handle(item)[0], &after);
    const cbor_item_t *last = end_of(cbor_array_handle(item)[1], &before);
    int rc = first == NULL ? 0 : ruc__surreal_write(out, first, true);
    rc = rc == 0 && first != NULL && after ? ruc_buf_add(out, ">", 1) : rc;
    rc = rc == 0 ? ruc_buf_add(out, "..", 2) : rc;
    rc = rc == 0 && last != NULL && !before ? ruc_buf_add(out, "=", 1) : rc;
    return rc == 0 && last != NULL ? ruc__surreal_write(out, last, true) : rc;
}

static int write_list(ruc_buf_t *out, const cbor_item_t *item, char open, char close)
{
    if (!cbor_isa_array(item)) {
        return RUC_EINVALID;
    }
    int rc = ruc_buf_add(out, &open, 1);
    for (size_t i = 0; i < cbor_array_size(item) && rc == 0; i++) {
        rc = i > 0 ? ruc_buf_add(out, ", ", 2) : 0;
        rc = rc == 0 ? ruc__surreal_write(out, cbor_array_handle(item)[i], true) : rc;
    }
    return rc == 0 ? ruc_buf_add(out, &close, 1) : rc;
}

static int write_object(ruc_buf_t *out, const cbor_item_t *item)
{
    struct cbor_pair *pairs = cbor_map_handle(item);
    size_t n = cbor_map_size(item);
    int rc = ruc_buf_adds(out, n == 0 ? "{" : "{ ");
    for (size_t i = 0; i < n && rc == 0; i++) {
        const char *key;
        size_t len;
        if (!ruc__surreal_string(pairs[i].key, &key, &len)) {
            return RUC_EINVALID;
        }
        rc = i > 0 ? ruc_buf_add(out, ", ", 2) : 0;
        rc = rc == 0 ? write_name(out, key, len) : rc;
        rc = rc == 0 ? ruc_buf_add(out, ": ", 2) : rc;
        rc = rc == 0 ? ruc__surreal_write(out, pairs[i].value, true) : rc;
    }
    return rc == 0 ? ruc_buf_adds(out, n == 0 ? "}" : " }") : rc;
}

static int write_float(ruc_buf_t *out, double number)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    return isfinite(number) ? ruc_buf_addf(out, "%sf", text) : ruc_buf_adds(out, "NaN");
}

static int write_simple(ruc_buf_t *out, const cbor_item_t *item)
{
    if (!cbor_float_ctrl_is_ctrl(item)) {
        return write_float(out, cbor_float_get_float(item));
    }
    return cbor_is_bool(item) ? ruc_buf_adds(out, cbor_get_bool(item) ? "true" : "false")
                              : ruc_buf_adds(out, cbor_is_null(item) ? "NULL" : "NONE");
}

/* A letter before and quotes around, where it stands inside of another value. */
static int write_marked(ruc_buf_t *out, const cbor_item_t *item, const char *mark, bool quoted,
                        int (*write)(ruc_buf_t *out, const cbor_item_t *item))
{
    int rc = quoted ? ruc_buf_adds(out, mark) : 0;
    rc = rc == 0 ? write(out, item) : rc;
    return rc == 0 && quoted ? ruc_buf_add(out, "'", 1) : rc;
}

static int write_table(ruc_buf_t *out, const cbor_item_t *item)
{
    const char *text;
    size_t len;
    return ruc__surreal_string(item, &text, &len) ? write_name(out, text, len) : RUC_EINVALID;
}

static int write_tagged(ruc_buf_t *out, const cbor_item_t *tag, bool quoted)
{
    cbor_item_t *item = cbor_tag_item(tag);
    cbor_decref(&item); /* the tag keeps it */
    int rc;
    switch (cbor_tag_value(tag)) {
    case RUC__TAG_NONE:
        return ruc_buf_adds(out, "NONE");
    case RUC__TAG_TABLE:
        return write_table(out, item);
    case RUC__TAG_RECORD:
        return write_record(out, item);
    case RUC__TAG_DECIMAL:
        rc = write_text(out, item, false);
        return rc == 0 && quoted ? ruc_buf_adds(out, "dec") : rc;
    case RUC__TAG_DATETIME:
        return write_marked(out, item, "d'", quoted, write_datetime);
    case RUC__TAG_DURATION:
        return write_duration(out, item);
    case RUC__TAG_UUID:
        return write_marked(out, item, "u'", quoted, write_uuid);
    case RUC__TAG_RANGE:
        return write_range(out, item);
    case RUC__TAG_SET:
        return write_list(out, item, '{', '}');
    default:
        return RUC_EINVALID;
    }
}

int ruc__surreal_write(ruc_buf_t *out, const cbor_item_t *item, bool quoted)
{
    int64_t number;
    switch (cbor_typeof(item)) {
    case CBOR_TYPE_UINT:
    case CBOR_TYPE_NEGINT:
        return ruc__surreal_int(item, &number) ? ruc_buf_addf(out, "%" PRId64, number)
                                               : RUC_EINVALID;
    case CBOR_TYPE_BYTESTRING:
    case CBOR_TYPE_STRING:
        return write_text(out, item, quoted);
    case CBOR_TYPE_ARRAY:
        return write_list(out, item, '[', ']');
    case CBOR_TYPE_MAP:
        return write_object(out, item);
    case CBOR_TYPE_TAG:
        return write_tagged(out, item, quoted);
    default:
        return write_simple(out, item);
    }
}
