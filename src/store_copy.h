/* store_copy.h - copies everything from one store to another, whatever they are kept in. */
#ifndef RUC_STORE_COPY_H
#define RUC_STORE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "store/store.h"

#define RUC_COPY_NAMED 20 /* differences that are told one by one; those beyond are counted */

/* What was done with one kind of thing. */
typedef struct ruc_copy_count {
    size_t copied;
    size_t there;     /* the same was there already */
    size_t replaced;  /* another was there, `overwrite` was said */
    size_t different; /* another is there and stays */
    size_t extra;     /* only there, not in the source: left as it is */
} ruc_copy_count_t;

typedef struct ruc_copy {
    uv_loop_t *loop;
    ruc_store_t *from, *to;
    bool overwrite;
    /* Told of each difference (a sentence), and now and then of how far it is; may be NULL. */
    void (*differs)(void *arg, const char *sentence);
    void (*progress)(void *arg, const struct ruc_copy *copy, const char *step);
    void *arg;
    ruc_copy_count_t engines, events;
    size_t beats;                           /* heartbeats written */
    size_t checked_engines, checked_events; /* the same in both, at the end */
    bool checked;                           /* everything of the source was found to be there */
} ruc_copy_t;

/* Copies rows, events and heartbeats in the order of their ids, then reads both again and compares.
 * Runs the loop. What is there and equal is passed over, so it can be begun again at any time. 0
 * also when there are differences (their counts say so; `checked` is then false); RUC_ESTORE and
 * the like with a sentence when a store failed: what was copied until then stays. */
int ruc_copy_run(ruc_copy_t *copy, ruc_why_t *why);

#endif
