/* states.c - see states.h. */
#include "engine/states.h"

#include <stddef.h>
#include <string.h>

#define XX(name, text) text,
static const char *const state_names[] = {RUC_STATES(XX)};
static const char *const desired_names[] = {RUC_DESIRED(XX)};
static const char *const health_names[] = {RUC_HEALTHS(XX)};
#undef XX

static int index_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *ruc_state_name(ruc_state_t state)
{
    return state_names[state];
}

int ruc_state_of(const char *name)
{
    return index_of(state_names, RUC_STATE_COUNT, name);
}

int ruc_desired_of(const char *name)
{
    return index_of(desired_names, RUC_WANT_COUNT, name);
}

bool ruc_health_known(const char *name)
{
    return index_of(health_names, sizeof health_names / sizeof health_names[0], name) >= 0;
}

bool ruc_state_can(ruc_state_t from, ruc_state_t to)
{
    static const struct {
        ruc_state_t from, to;
    } moves[] = {
#define XX(before, after) {RUC_STATE_##before, RUC_STATE_##after},
        RUC_MOVES(XX)
#undef XX
    };
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        if (moves[i].from == from && moves[i].to == to) {
            return true;
        }
    }
    return from == to;
}
