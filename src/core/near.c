/* near.c - see near.h. Optimal string alignment: Levenshtein's distance and swaps of neighbours. */
#include "core/near.h"

#include <string.h>

#define FAR 99

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t ruc_near_distance(const char *a, const char *b)
{
    size_t rows[3][RUC_NEAR_MAX + 2], alen = strlen(a), blen = strlen(b);
    if (alen > RUC_NEAR_MAX || blen > RUC_NEAR_MAX) {
        return FAR;
    }
    for (size_t j = 0; j <= blen; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= alen; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= blen; j++) {
            size_t cost = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least_of(cost, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least_of(row[j], higher[j - 2] + 1);
            }
        }
    }
    return rows[alen % 3][blen];
}

void ruc_near_init(ruc_near_t *near, const char *word)
{
    size_t len = strlen(word);
    *near = (ruc_near_t){.word = word, .least = len <= 2 ? 1 : len <= 4 ? 2 : 3};
}

void ruc_near_offer(ruc_near_t *near, const char *candidate)
{
    size_t len = strlen(candidate);
    size_t far = len > RUC_NEAR_MAX ? FAR : ruc_near_distance(near->word, candidate);
    if (far < near->least) {
        near->least = far;
        memcpy(near->best, candidate, len + 1);
    }
}
