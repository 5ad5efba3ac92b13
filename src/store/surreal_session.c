/* surreal_session.c - the first half of a check: is it a SurrealDB 3, our session, the sign-in.
 *
 *     GET /version -> attach SESSION -> signin -> use NAMESPACE, DATABASE -> the owner's check
 *
 * A user may belong to the root, to the namespace or to the
 * database, which the configuration does not say: they are tried in that order, and what worked is
 * tried first the next time (a password is checked against a slow hash). */
#include <stdio.h>
#include <string.h>

#include "store/surreal_in.h"

#define STEP_MS 4000

static void sign_in(ruc_surreal_t *surreal);

static void lost(ruc_surreal_t *surreal, int rc, const char *says, const char *what)
{
    ruc_why_t why;
    ruc_why_set(&why, rc, "SurrealDB at %s %s%s", surreal->url, says, what);
    ruc__surreal_checked(surreal, rc, why.text);
}

static void step(ruc_surreal_t *surreal, const char *method, ruc__cbor_t *params, ruc_surreal_cb cb)
{
    ruc_why_t why = {""};
    if (!ruc__surreal_method(surreal, method, params, STEP_MS, cb, surreal, &why)) {
        ruc__surreal_checked(surreal, RUC_ESTORE, why.text);
    }
    ruc__cbor_free(params);
}

/* ---- use, and the end ---- */

static void on_used(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    (void)results;
    ruc_surreal_t *surreal = arg;
    if (rc < 0) {
        lost(surreal, RUC_ESTORE, "does not take its namespace and database: ", error);
    } else if (surreal->config.check) {
        surreal->config.check(surreal->config.arg);
    } else {
        ruc__surreal_checked(surreal, 0, "");
    }
}

static void use(ruc_surreal_t *surreal)
{
    ruc__cbor_t params;
    ruc__cbor_init(&params, 4096);
    ruc__cbor_array(&params, 2);
    ruc__cbor_str(&params, surreal->name_space);
    ruc__cbor_str(&params, surreal->database);
    step(surreal, "use", &params, on_used);
}

/* ---- signing in ---- */

static void refused_everywhere(ruc_surreal_t *surreal)
{
    ruc_why_t why;
    ruc_why_set(&why, 0,
                "SurrealDB at %s refuses the user \"%s\" (as one of the root, of the namespace "
                "\"%s\" and of its database \"%s\"): the name or the password is wrong",
                surreal->url, surreal->user, surreal->name_space, surreal->database);
    surreal->level = -1;
    ruc__surreal_checked(surreal, RUC_EREFUSED, why.text);
}

static void on_signed_in(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    (void)results;
    ruc_surreal_t *surreal = arg;
    if (rc == 0) {
        surreal->level = surreal->level_tried;
        use(surreal);
    } else if (rc != RUC_ESTORE || !strstr(error, "problem with authentication")) {
        lost(surreal, RUC_ESTORE, "does not let us sign in: ", error);
    } else if (surreal->level >= 0) {
        surreal->level = -1; /* what worked does not any more: all of them */
        surreal->level_tried = 0;
        sign_in(surreal);
    } else if (++surreal->level_tried > 2) {
        refused_everywhere(surreal);
    } else {
        sign_in(surreal);
    }
}

static void sign_in(ruc_surreal_t *surreal)
{
    ruc__cbor_t params;
    int level = surreal->level_tried;
    ruc__cbor_init(&params, 8192);
    ruc__cbor_array(&params, 1);
    ruc__cbor_map(&params, (size_t)(2 + level));
    ruc__cbor_str(&params, "user");
    ruc__cbor_str(&params, surreal->user);
    ruc__cbor_str(&params, "pass");
    ruc__cbor_str(&params, surreal->password);
    if (level > 0) {
        ruc__cbor_str(&params, "NS");
        ruc__cbor_str(&params, surreal->name_space);
    }
    if (level > 1) {
        ruc__cbor_str(&params, "DB");
        ruc__cbor_str(&params, surreal->database);
    }
    step(surreal, "signin", &params, on_signed_in);
}

static void on_attached(void *arg, int rc, const cbor_item_t *results, const char *error)
{
    (void)results;
    ruc_surreal_t *surreal = arg;
    surreal->has_fresh = rc == 0;
    if (rc < 0) {
        lost(surreal, RUC_ESTORE, "does not give us a session: ", error);
    } else if (!surreal->user) {
        use(surreal);
    } else {
        surreal->level_tried = surreal->level >= 0 ? surreal->level : 0;
        sign_in(surreal);
    }
}

/* ---- the version ---- */

/* Is it one that we speak to? */
static bool judge_version(ruc_surreal_t *surreal, const ruc_http_answer_t *answer)
{
    int major = 0;
    snprintf(surreal->version, sizeof surreal->version, "%.*s", (int)strcspn(answer->body, "\r\n"),
             answer->body);
    if (answer->status != 200 || sscanf(surreal->version, "surrealdb-%d.", &major) != 1) {
        lost(surreal, RUC_EREFUSED, "is none: what answers there is another program", "");
    } else if (major < 3) {
        char what[120];
        snprintf(what, sizeof what, "%s; rucat needs version 3 or newer", surreal->version);
        lost(surreal, RUC_EREFUSED, "is ", what);
    } else {
        return true;
    }
    return false;
}

static void on_version(void *arg, int rc, const ruc_http_answer_t *answer, const char *error)
{
    ruc_surreal_t *surreal = arg;
    surreal->asks_version = NULL;
    if (rc == RUC_EPROTO || rc == RUC_EINVALID || rc == RUC_ETOOBIG) {
        /* A certificate that is not trusted, or no HTTP at all: waiting does not help. */
        lost(surreal, RUC_EREFUSED, "cannot be spoken to: ", error);
    } else if (rc < 0) {
        lost(surreal, RUC_ESTORE, "is not reached: ", error);
    } else if (answer->status >= 500) {
        char status[64];
        snprintf(status, sizeof status, "HTTP status %d", answer->status);
        lost(surreal, RUC_ESTORE, "is not ready: ", status);
    } else if (judge_version(surreal, answer)) {
        ruc__cbor_t params;
        ruc__cbor_init(&params, 64);
        ruc__cbor_array(&params, 0);
        ruc__surreal_fresh(surreal);
        step(surreal, "attach", &params, on_attached);
    }
}

void ruc__surreal_connect(ruc_surreal_t *surreal)
{
    if (surreal->has_session && !surreal->light_failed && surreal->config.check) {
        surreal->light = true;
        memcpy(surreal->fresh, surreal->session, sizeof surreal->fresh);
        surreal->config.check(surreal->config.arg);
        return;
    }
    ruc_http_call_spec_t spec = {.url = surreal->version_url,
                                 .timeout_ms = STEP_MS / 2,
                                 .connect_timeout_ms = STEP_MS / 2,
                                 .max_body = 4096,
                                 .ca_file = surreal->ca_file};
    ruc_why_t why = {""};
    surreal->asks_version = ruc_http_client_send(surreal->http, &spec, on_version, surreal, &why);
    if (!surreal->asks_version) {
        ruc__surreal_checked(surreal, RUC_ESTORE, why.text);
    }
}
