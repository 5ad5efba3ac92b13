/* states.h - the three states of an engine, what may be wanted of it, its health, and the one gate
 * that every move passes. Each list is written once, here. */
#ifndef RUC_ENGINE_STATES_H
#define RUC_ENGINE_STATES_H

#include <stdbool.h>

#define RUC_STATES(XX)                                                                             \
    XX(PENDING, "Pending")                                                                         \
    XX(RUNNING, "Running")                                                                         \
    XX(STOPPED, "Stopped")

/* The moves there are; a record may also stay where it is. */
#define RUC_MOVES(XX)                                                                              \
    XX(PENDING, RUNNING)                                                                           \
    XX(PENDING, STOPPED)                                                                           \
    XX(RUNNING, STOPPED)                                                                           \
    XX(STOPPED, PENDING)

#define RUC_DESIRED(XX)                                                                            \
    XX(RUNNING, "Running")                                                                         \
    XX(STOPPED, "Stopped")                                                                         \
    XX(DELETED, "Deleted")

#define RUC_HEALTHS(XX)                                                                            \
    XX(UNKNOWN, "unknown")                                                                         \
    XX(HEALTHY, "healthy")                                                                         \
    XX(UNHEALTHY, "unhealthy")

#define XX(name, text) RUC_STATE_##name,
typedef enum { RUC_STATES(XX) RUC_STATE_COUNT } ruc_state_t;
#undef XX
#define XX(name, text) RUC_WANT_##name,
typedef enum { RUC_DESIRED(XX) RUC_WANT_COUNT } ruc_desired_t;
#undef XX

/* The name as clients see it. Static memory. */
const char *ruc_state_name(ruc_state_t state);

/* The value of a name, or -1. */
int ruc_state_of(const char *name);
int ruc_desired_of(const char *name);
bool ruc_health_known(const char *name);

/* The gate: may an engine in `from` be written as `to`? */
bool ruc_state_can(ruc_state_t from, ruc_state_t to);

#endif
