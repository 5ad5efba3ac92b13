/* surreal_schema.c - the tables of rucat in SurrealDB, and the check that they are there.
 *
 * `meta:schema` is written last: it says which version of the tables the database has, and a uuid
 * that tells this database from any other (one that was restored, emptied, exchanged). Every
 * statement may be run twice and at the same time by two servers; of two that write meta:schema one
 * wins, and both read it afterwards.
 *
 * A check that finds no tables where there were some, or another uuid, says so loudly: what was
 * stored is gone, and the callers must tell it anew (ruc_store_emptied). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "store/surreal_backend.h"

#define LOOK_MS 3000  /* to read what is there */
#define MAKE_MS 10000 /* to make it */
#define ROUNDS_MAX 5

/* What goes before them for a person who makes the tables by hand. */
#define INTRO                                                                                      \
    "-- The tables of rucat in SurrealDB 3 (schema " RUC_TEXT(                                     \
        RUC__SURREAL_SCHEMA) "), made by "                                                         \
                             "the first server that starts.\n"                                     \
                             "-- The user of store.user may be one of the root, of the namespace " \
                             "or of the database (tried "                                          \
                             "in that order). It\n"                                                \
                             "-- needs the role EDITOR at least: it reads and writes records and " \
                             "defines tables. A user of "                                          \
                             "the database cannot\n"                                               \
                             "-- make the database itself; as root, once:\n"                       \
                             "--   DEFINE NAMESPACE rucat; USE NS rucat; DEFINE DATABASE rucat; "  \
                             "USE DB rucat;\n"                                                     \
                             "--   DEFINE USER rucat ON DATABASE PASSWORD \"...\" ROLES EDITOR;\n" \
                             "-- Other tables may be in the same database. `meta:schema`, with "   \
                             "the version and a uuid of this "                                     \
                             "database, is\n"                                                      \
                             "-- written last, by the server.\n\n"
#define RUC_TEXT_OF(number) #number
#define RUC_TEXT(number) RUC_TEXT_OF(number)

#define TABLES                                                                                     \
    "DEFINE TABLE IF NOT EXISTS engine SCHEMAFULL CHANGEFEED 1h;\n"                                \
    "DEFINE FIELD OVERWRITE name ON engine TYPE string;\n"                                         \
    "DEFINE FIELD OVERWRITE rev ON engine TYPE int;\n"                                             \
    "DEFINE FIELD OVERWRITE state ON engine TYPE \"Pending\" | \"Running\" | \"Stopped\";\n"       \
    "DEFINE FIELD OVERWRITE desired ON engine TYPE \"Running\" | \"Stopped\" | \"Deleted\";\n"     \
    "DEFINE FIELD OVERWRITE type ON engine TYPE string;\n"                                         \
    "DEFINE FIELD OVERWRITE platform ON engine TYPE string;\n"                                     \
    "DEFINE FIELD OVERWRITE owner ON engine TYPE string;\n"                                        \
    "DEFINE FIELD OVERWRITE keeper ON engine TYPE string;\n"                                       \
    "DEFINE FIELD OVERWRITE due ON engine TYPE int;\n"                                             \
    "DEFINE FIELD OVERWRITE labels ON engine TYPE array<string>;\n"                                \
    "DEFINE FIELD OVERWRITE doc ON engine TYPE string;\n"                                          \
    "DEFINE FIELD OVERWRITE attempt ON engine TYPE string;\n"                                      \
    "DEFINE FIELD OVERWRITE notes ON engine TYPE array<object>;\n"                                 \
    "DEFINE FIELD OVERWRITE notes.* ON engine TYPE object FLEXIBLE;\n"                             \
    "DEFINE INDEX IF NOT EXISTS engine_name ON engine FIELDS name UNIQUE;\n"                       \
    "DEFINE INDEX IF NOT EXISTS engine_state ON engine FIELDS state;\n"                            \
    "DEFINE INDEX IF NOT EXISTS engine_desired ON engine FIELDS desired;\n"                        \
    "DEFINE INDEX IF NOT EXISTS engine_type ON engine FIELDS type;\n"                              \
    "DEFINE INDEX IF NOT EXISTS engine_platform ON engine FIELDS platform;\n"                      \
    "DEFINE INDEX IF NOT EXISTS engine_owner ON engine FIELDS owner;\n"                            \
    "DEFINE INDEX IF NOT EXISTS engine_keeper ON engine FIELDS keeper;\n"                          \
    "DEFINE INDEX IF NOT EXISTS engine_due ON engine FIELDS due;\n"                                \
    "DEFINE INDEX IF NOT EXISTS engine_labels ON engine FIELDS labels.*;\n"                        \
    "DEFINE TABLE IF NOT EXISTS event SCHEMAFULL CHANGEFEED 1h;\n"                                 \
    "DEFINE FIELD OVERWRITE eid ON event TYPE string;\n"                                           \
    "DEFINE FIELD OVERWRITE engine ON event TYPE string;\n"                                        \
    "DEFINE FIELD OVERWRITE at ON event TYPE int;\n"                                               \
    "DEFINE FIELD OVERWRITE kind ON event TYPE \"state\" | \"policy\" | \"health\" | "             \
    "\"request\";\n"                                                                               \
    "DEFINE FIELD OVERWRITE doc ON event TYPE string;\n"                                           \
    "DEFINE INDEX IF NOT EXISTS event_engine ON event FIELDS engine, eid;\n"                       \
    "DEFINE EVENT OVERWRITE engine_notes ON engine\n"                                              \
    "  WHEN $event != \"DELETE\" AND $before.attempt != $after.attempt\n"                          \
    "  THEN { FOR $n IN $after.notes { CREATE type::record(\"event\", $n.id) SET eid = $n.id,\n"   \
    "    engine = $n.engine, at = $n.at, kind = $n.kind, doc = $n.doc RETURN NONE; }; };\n"        \
    "DEFINE TABLE IF NOT EXISTS beat SCHEMAFULL;\n"                                                \
    "DEFINE FIELD OVERWRITE at ON beat TYPE int;\n"                                                \
    "DEFINE TABLE IF NOT EXISTS replica SCHEMAFULL;\n"                                             \
    "DEFINE FIELD OVERWRITE instance ON replica TYPE string;\n"                                    \
    "DEFINE FIELD OVERWRITE host ON replica TYPE string;\n"                                        \
    "DEFINE FIELD OVERWRITE name ON replica TYPE string;\n"                                        \
    "DEFINE FIELD OVERWRITE url ON replica TYPE string;\n"                                         \
    "DEFINE FIELD OVERWRITE roles ON replica TYPE string;\n"                                       \
    "DEFINE FIELD OVERWRITE version ON replica TYPE string;\n"                                     \
    "DEFINE FIELD OVERWRITE until ON replica TYPE int;\n"                                          \
    "DEFINE TABLE IF NOT EXISTS meta SCHEMAFULL;\n"                                                \
    "DEFINE FIELD OVERWRITE version ON meta TYPE int;\n"                                           \
    "DEFINE FIELD OVERWRITE uuid ON meta TYPE string;\n"                                           \
    "DEFINE FIELD OVERWRITE made ON meta TYPE datetime;\n"                                         \
    "DEFINE FIELD OVERWRITE probed ON meta TYPE option<datetime>;\n"

const char *ruc_store_schema(void)
{
    return INTRO TABLES;
}

static void look(ruc__surreal_schema_t *schema);

static void end(ruc__surreal_schema_t *schema, int rc, const char *why)
{
    ruc__surreal_checked(schema->surreal, rc, why);
}

static void ask(ruc__surreal_schema_t *schema, const char *sql, const ruc__cbor_t *vars,
                int64_t timeout_ms, ruc_surreal_cb cb)
{
    ruc_why_t why = {""};
    if (!ruc__surreal_ask(schema->surreal, sql, vars, true, true, timeout_ms, cb, schema, &why)) {
        end(schema, RUC_ESTORE, why.text);
    }
}

/* ---- making ---- */

/* Two servers that make the same tables at once may meet: it is tried again. Rights that are
 * missing are not. */
static void on_made(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    ruc__surreal_schema_t *schema = arg;
    char text[320], why[640];
    for (size_t i = 0; rc == 0 && i < ruc__cbor_count(results); i++) {
        const char *failed = ruc__surreal_error(ruc__cbor_at(results, i), text, sizeof text);
        bool harmless = !failed || strstr(failed, "already exists") || i < 2; /* see make() */
        if (!harmless) {
            bool refused = strstr(failed, "permission") || strstr(failed, "IAM");
            snprintf(why, sizeof why, "the tables in SurrealDB at %s cannot be made: %s",
                     schema->surreal->url, failed);
            end(schema, refused ? RUC_EREFUSED : RUC_ESTORE, why);
            return;
        }
    }
    if (rc < 0) {
        end(schema, RUC_ESTORE, error);
    } else {
        look(schema);
    }
}

/* A name as SurrealQL quotes it. */
static int add_name(ruc_buf_t *sql, const char *name)
{
    int rc = ruc_buf_adds(sql, "`");
    for (; *name && rc == 0; name++) {
        rc = *name == '`' || *name == '\\' ? ruc_buf_adds(sql, "\\") : 0;
        rc = rc ? rc : ruc_buf_add(sql, name, 1);
    }
    return rc ? rc : ruc_buf_adds(sql, "`");
}

/* Namespace and database first: a user of the database may not, and need not where they are there.
 */
static void make(ruc__surreal_schema_t *schema)
{
    ruc_buf_t sql;
    ruc__cbor_t vars;
    ruc_buf_init(&sql, 65536);
    ruc__cbor_init(&vars, 256);
    int rc = ruc_buf_adds(&sql, "DEFINE NAMESPACE IF NOT EXISTS ");
    rc = rc ? rc : add_name(&sql, schema->surreal->name_space);
    rc = rc ? rc : ruc_buf_adds(&sql, "; DEFINE DATABASE IF NOT EXISTS ");
    rc = rc ? rc : add_name(&sql, schema->surreal->database);
    rc = rc ? rc
            : ruc_buf_addf(&sql,
                           ";\n%sCREATE meta:schema SET version = %d, uuid = $uuid, "
                           "made = time::now() RETURN NONE;",
                           TABLES, RUC__SURREAL_SCHEMA);
    ruc_id_uuid(schema->mine);
    ruc__cbor_map(&vars, 1);
    ruc__cbor_str(&vars, "uuid");
    ruc__cbor_str(&vars, schema->mine);
    if (rc == 0) {
        ask(schema, ruc_buf_str(&sql), &vars, MAKE_MS, on_made);
    } else {
        end(schema, RUC_ESTORE, "no memory");
    }
    ruc_buf_free(&sql);
    ruc__cbor_free(&vars);
}

/* ---- looking ---- */

static void found(ruc__surreal_schema_t *schema, int64_t version, const char *uuid)
{
    char why[400];
    if (version > RUC__SURREAL_SCHEMA) {
        snprintf(why, sizeof why,
                 "the tables in SurrealDB at %s (%s/%s) were written by a newer rucat (schema "
                 "%" PRId64 ", this one knows up to %d)",
                 schema->surreal->url, schema->surreal->name_space, schema->surreal->database,
                 version, RUC__SURREAL_SCHEMA);
        end(schema, RUC_EREFUSED, why);
        return;
    }
    bool made = strcmp(uuid, schema->mine) == 0;
    bool other = schema->uuid[0] != '\0' && strcmp(uuid, schema->uuid) != 0;
    if (other || (made && schema->uuid[0] == '\0')) {
        schema->emptied++;
    }
    if (other) {
        ruc_log(RUC_LOG_STORE, RUC_ERROR,
                "the database %s/%s at %s is not the one it was: it came back %s, what was stored "
                "in it is gone",
                schema->surreal->name_space, schema->surreal->database, schema->surreal->url,
                made ? "empty, and the tables were made anew" : "as another one");
    } else if (made && schema->uuid[0] == '\0') {
        ruc_log(RUC_LOG_STORE, RUC_INFO, "made the tables in SurrealDB at %s (%s/%s)",
                schema->surreal->url, schema->surreal->name_space, schema->surreal->database);
    }
    snprintf(schema->uuid, sizeof schema->uuid, "%s", uuid);
    end(schema, 0, "");
}

static void on_looked(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    ruc__surreal_schema_t *schema = arg;
    char text[320], uuid[RUC_UUID_SIZE];
    const cbor_item_t *entry = ruc__cbor_at(results, 0), *pair = ruc__cbor_get(entry, "result");
    int64_t version = 0;
    if (rc < 0) {
        end(schema, RUC_ESTORE, error);
        return;
    }
    const char *failed = ruc__surreal_error(entry, text, sizeof text);
    bool missing = failed ? strstr(failed, "does not exist") != NULL : ruc__cbor_is_none(pair);
    if (missing && schema->rounds++ < ROUNDS_MAX) {
        make(schema);
    } else if (failed || missing) {
        char why[640];
        snprintf(why, sizeof why, "the tables in SurrealDB at %s (%s/%s) cannot be read: %s",
                 schema->surreal->url, schema->surreal->name_space, schema->surreal->database,
                 failed ? failed : "they are not there");
        /* In a light check any refusal leads to a whole one: SurrealDB 3.0.5 says of a database
         * that was removed that it cannot write to a read only transaction, until it is used again.
         */
        bool refused = schema->surreal->light ||
                       (failed && (strstr(failed, "permission") || strstr(failed, "IAM")));
        end(schema, refused ? RUC_EREFUSED : RUC_ESTORE, why);
    } else if (!ruc__cbor_is_int(ruc__cbor_at(pair, 0), &version) || version < 1 ||
               !ruc__cbor_copy(ruc__cbor_at(pair, 1), uuid, sizeof uuid) || strlen(uuid) < 8) {
        end(schema, RUC_EREFUSED,
            "the record meta:schema in SurrealDB is not as rucat writes it: expected its version "
            "and its uuid");
    } else {
        found(schema, version, uuid);
    }
}

static void look(ruc__surreal_schema_t *schema)
{
    ask(schema, "SELECT VALUE [version, uuid] FROM ONLY meta:schema", NULL, LOOK_MS, on_looked);
}

void ruc__surreal_check_schema(ruc__surreal_schema_t *schema)
{
    schema->rounds = 0;
    look(schema);
}
