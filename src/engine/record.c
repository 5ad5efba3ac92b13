/* record.c - see record.h. */
#include "engine/record.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/check.h"
#include "core/clock.h"

#define RECORD_MAX (16u * 1024u * 1024u)
#define BEAT_WIDTH (RUC_RFC3339_SIZE + 1) /* the time and its quotes */
#define MASK "***"

typedef struct field {
    const char *name;
    char type;
    bool shown;
} field_t;

static const field_t fields[] = {
#define XX(name, type, seen) {#name, type, (seen) == 'P'},
    RUC_RECORD_FIELDS(XX)
#undef XX
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const field_t *field_of(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static bool type_fits(char type, const json_t *value)
{
    switch (type) {
    case 's':
        return json_is_string(value);
    case 'S':
        return json_is_string(value) || json_is_null(value);
    case 'i':
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case 'n':
        return json_is_number(value) || json_is_null(value);
    case 'm':
        return json_is_object(value);
    case 'M':
        return json_is_object(value) || json_is_null(value);
    default:
        return json_is_array(value);
    }
}

static json_t *empty_of(char type)
{
    switch (type) {
    case 's':
        return json_string("");
    case 'i':
        return json_integer(0);
    case 'm':
        return json_object();
    case 'l':
        return json_array();
    default:
        return json_null();
    }
}

static int check_fields(json_t *doc, ruc_why_t *why)
{
    const char *key;
    json_t *value;
    json_object_foreach(doc, key, value)
    {
        const field_t *field = field_of(key);
        if (field == NULL) {
            return ruc_why_set(why, RUC_EINVALID, "unknown field '%s'", key);
        }
        if (!type_fits(field->type, value)) {
            return ruc_why_set(why, RUC_EINVALID, "field '%s' has the wrong type", key);
        }
    }
    return 0;
}

/* Fills in what is missing. */
static int complete(json_t *doc)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (json_object_get(doc, fields[i].name) == NULL &&
            json_object_set_new(doc, fields[i].name, empty_of(fields[i].type)) < 0) {
            return RUC_EFULL;
        }
    }
    /* Always the same three, in the same order; doc may share the old one with other snapshots. */
    json_t *exit = json_object();
    static const char *const parts[] = {"code", "signal", "oom"};
    for (size_t i = 0; i < 3; i++) {
        json_t *part = json_object_get(json_object_get(doc, "exit"), parts[i]);
        if (json_object_set_new(exit, parts[i], part == NULL ? json_null() : json_incref(part)) <
            0) {
            json_decref(exit);
            return RUC_EFULL;
        }
    }
    if (json_object_set_new(doc, "exit", exit) < 0) {
        return RUC_EFULL;
    }
    return 0;
}

static uint64_t number(const ruc_record_t *record, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(record->doc, name));
}

/* Reads the fields that C looks at; the enumerations must hold a value there is. */
static int read_hot(ruc_record_t *record, ruc_why_t *why)
{
    int state = ruc_state_of(ruc_record_text(record, "state"));
    int desired = ruc_desired_of(ruc_record_text(record, "desired"));
    if (state < 0 || desired < 0 || !ruc_health_known(ruc_record_text(record, "health"))) {
        return ruc_why_set(why, RUC_EINVALID, "field '%s' has a value that is not known",
                           state < 0     ? "state"
                           : desired < 0 ? "desired"
                                         : "health");
    }
    record->id = ruc_record_text(record, "id");
    record->name = ruc_record_text(record, "name");
    record->state = (ruc_state_t)state;
    record->desired = (ruc_desired_t)desired;
    record->rev = number(record, "rev");
    record->epoch = number(record, "epoch");
    record->wanted_epoch = number(record, "wanted_epoch");
    return 0;
}

ruc_record_t *ruc_record_make(json_t *doc, ruc_why_t *why)
{
    ruc_record_t *record = calloc(1, sizeof *record);
    if (record == NULL || doc == NULL) {
        free(record);
        json_decref(doc);
        ruc_why_set(why, RUC_EFULL, "out of memory");
        return NULL;
    }
    record->refs = 1;
    record->doc = doc;
    if (!json_is_object(doc)) {
        ruc_why_set(why, RUC_EINVALID, "a record is an object");
    } else if (check_fields(doc, why) == 0 && complete(doc) == 0 && read_hot(record, why) == 0) {
        return record;
    }
    ruc_record_unref(record);
    return NULL;
}

ruc_record_t *ruc_record_parse(const char *text, size_t len, ruc_why_t *why)
{
    json_error_t error;
    json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (doc == NULL) {
        ruc_why_set(why, RUC_EINVALID, "not JSON: %s", error.text);
        return NULL;
    }
    return ruc_record_make(doc, why);
}

ruc_record_t *ruc_record_with(const ruc_record_t *record, json_t *changes, ruc_why_t *why)
{
    json_t *doc = json_copy(record->doc);
    if (doc == NULL || json_object_update(doc, changes) < 0 ||
        json_object_set_new(doc, "rev", json_integer((json_int_t)record->rev + 1)) < 0) {
        json_decref(doc);
        ruc_why_set(why, RUC_EFULL, "out of memory");
        return NULL;
    }
    ruc_record_t *next = ruc_record_make(doc, why);
    if (next != NULL && !ruc_state_can(record->state, next->state)) {
        ruc_why_set(why, RUC_EREFUSED, "an engine does not go from %s to %s",
                    ruc_state_name(record->state), ruc_state_name(next->state));
        ruc_record_unref(next);
        return NULL;
    }
    return next;
}

ruc_record_t *ruc_record_ref(ruc_record_t *record)
{
    record->refs++;
    return record;
}

void ruc_record_unref(ruc_record_t *record)
{
    if (record == NULL) {
        return;
    }
    RUC_MUST(record->refs > 0);
    if (--record->refs == 0) {
        json_decref(record->doc);
        free(record->json);
        free(record);
    }
}

char *ruc_record_dump(const ruc_record_t *record)
{
    return json_dumps(record->doc, JSON_COMPACT);
}

bool ruc_record_secret(const char *key)
{
    static const char *const marks[] = {"password", "secret", "token", "credential"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (strcasestr(key, marks[i]) != NULL) {
            return true;
        }
    }
    return false;
}

json_t *ruc_record_mask(const json_t *map)
{
    json_t *masked = json_copy((json_t *)map);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        if (masked != NULL && ruc_record_secret(key)) {
            json_object_set_new(masked, key, json_string(MASK));
        }
    }
    return masked;
}

static int dump_into(const char *data, size_t len, void *out)
{
    return ruc_buf_add(out, data, len) == 0 ? 0 : -1;
}

static int render_field(ruc_buf_t *out, const ruc_record_t *record, const char *name)
{
    json_t *value = json_object_get(record->doc, name);
    bool masked = strcmp(name, "config") == 0 || strcmp(name, "env") == 0;
    json_t *shown = masked ? ruc_record_mask(value) : json_incref(value);
    int rc = shown == NULL ? RUC_EFULL : ruc_buf_addf(out, "\"%s\":", name);
    if (rc == 0 && json_dump_callback(shown, dump_into, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0) {
        rc = RUC_EFULL;
    }
    json_decref(shown);
    return rc;
}

static int render(ruc_record_t *record)
{
    ruc_buf_t out;
    ruc_buf_init(&out, RECORD_MAX);
    int rc = ruc_buf_adds(&out, "{");
    for (size_t i = 0; rc == 0 && i < FIELD_COUNT; i++) {
        if (fields[i].shown) {
            rc = render_field(&out, record, fields[i].name);
            rc = rc == 0 ? ruc_buf_adds(&out, ",") : rc;
        }
    }
    rc = rc == 0 ? ruc_buf_adds(&out, "\"heartbeat_at\":") : rc;
    record->beat_at = out.len;
    rc = rc == 0 ? ruc_buf_addf(&out, "%-*s}", (int)BEAT_WIDTH, "null") : rc;
    if (rc < 0) {
        ruc_buf_free(&out);
        return rc;
    }
    record->json = out.data;
    record->beat_shown = 0;
    record->json_len = out.len;
    return 0;
}

const char *ruc_record_render(ruc_record_t *record, int64_t beat_ms, size_t *len)
{
    if (record->json == NULL && render(record) < 0) {
        return NULL;
    }
    char *slot = record->json + record->beat_at;
    if (beat_ms == record->beat_shown) {
        /* as it was */
    } else if (beat_ms == 0) {
        memcpy(slot, "null", 4);
        memset(slot + 4, ' ', BEAT_WIDTH - 4);
    } else {
        char text[RUC_RFC3339_SIZE];
        ruc_clock_rfc3339(beat_ms, text);
        slot[0] = '"';
        memcpy(slot + 1, text, RUC_RFC3339_SIZE - 1);
        slot[BEAT_WIDTH - 1] = '"';
    }
    record->beat_shown = beat_ms;
    *len = record->json_len;
    return record->json;
}

json_t *ruc_record_field(const ruc_record_t *record, const char *name)
{
    return json_object_get(record->doc, name);
}

const char *ruc_record_text(const ruc_record_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record->doc, name));
    return text == NULL ? "" : text;
}

const char *ruc_record_place(const ruc_record_t *record, const char *part)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(record->doc, "place"), part));
    return text == NULL ? "" : text;
}

bool ruc_record_public(const char *name)
{
    const field_t *field = field_of(name);
    return field != NULL && field->shown;
}

const char *ruc_record_field_name(size_t index)
{
    return index < FIELD_COUNT ? fields[index].name : NULL;
}
