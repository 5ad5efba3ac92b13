/* near.h - the word that was probably meant: "did you mean 'engine'?". */
#ifndef RUC_CORE_NEAR_H
#define RUC_CORE_NEAR_H

#include <stddef.h>

#define RUC_NEAR_MAX 63 /* bytes of a word; longer ones are like nothing */

/* The best of the candidates that were offered. */
typedef struct ruc_near {
    const char *word;            /* as it was written; the caller's */
    char best[RUC_NEAR_MAX + 1]; /* "" none is near */
    size_t least;
} ruc_near_t;

/* How many letters differ, are missing, too many or swapped with their neighbour. */
size_t ruc_near_distance(const char *a, const char *b);

/* Begins with no candidate. Short words must be nearer than long ones: one slip in up to four
 * letters, two in more, none in one or two. */
void ruc_near_init(ruc_near_t *near, const char *word);

/* Offers a candidate (copied when it is the best so far). */
void ruc_near_offer(ruc_near_t *near, const char *candidate);

#endif
