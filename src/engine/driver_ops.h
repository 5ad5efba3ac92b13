/* driver_ops.h - inside engine/: what a kind of driver is, and what all kinds have in common. A new
 * kind (standalone, kubernetes) is one file with one of these tables, named in driver.c. */
#ifndef RUC_ENGINE_DRIVER_OPS_H
#define RUC_ENGINE_DRIVER_OPS_H

#include "engine/driver.h"

typedef struct ruc_driver_ops {
    const char *kind;
    size_t size;                 /* of its struct, which begins with a ruc_driver_t */
    int (*init)(ruc_driver_t *); /* the rest of the struct is zero; NULL: nothing to do */
    int (*start)(ruc_driver_t *, const json_t *plan, ruc_why_t *why);
    int (*adopt)(ruc_driver_t *);
    int (*stop)(ruc_driver_t *, const char *signal, int64_t grace_ms);
    void (*respec)(ruc_driver_t *);  /* spec.log_max has changed; NULL: it does not matter */
    void (*close)(ruc_driver_t *);   /* closes or abandons its handles; NULL: it has none */
    void (*destroy)(ruc_driver_t *); /* frees what it holds; the last call; NULL: nothing */
} ruc_driver_ops_t;

struct ruc_driver {
    const ruc_driver_ops_t *ops;
    uv_loop_t *loop;
    ruc_driver_spec_t spec; /* its strings are owned */
    ruc_seen_t seen;
    ruc_driver_cb cb;
    void *arg;
    bool closed;
    bool news;          /* something other than a beat is to be told */
    unsigned refs;      /* open handles and works under way */
    uv_timer_t telling; /* makes callbacks come from the loop */
};

/* Makes the callback come in this or the next turn of the loop. */
void ruc_driver_tell(ruc_driver_t *driver, bool beat_only);

/* A handle or work holds the driver; the last release of a closed one frees it. */
void ruc_driver_hold(ruc_driver_t *driver);
void ruc_driver_release(ruc_driver_t *driver);

extern const ruc_driver_ops_t ruc_driver_process, ruc_driver_external;

#endif
