/* generation.h - one generation of operator's scripts: a lua_State of its own with the handlers,
 * policies and templates of one set of files, checked and ready to serve. */
#ifndef RUC_LUA_GENERATION_H
#define RUC_LUA_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "http/router.h"
#include "lua/fileset.h"
#include "lua/vm.h"

#define RUC_POLICIES(XX)                                                                           \
    XX(RESTART, "restart")                                                                         \
    XX(HEALTH, "health")                                                                           \
    XX(ADMISSION, "admission")                                                                     \
    XX(AUTH, "auth")                                                                               \
    XX(IDLE, "idle")

typedef enum {
#define XX(name, text) RUC_POLICY_##name,
    RUC_POLICIES(XX)
#undef XX
        RUC_POLICY_COUNT
} ruc_policy_t;

const char *ruc_policy_name(ruc_policy_t policy);

typedef struct ruc_route {
    char *text; /* "GET /v1/engines" */
    char *file; /* that defines it */
    int ref;    /* its function */
    int value;  /* what the file has there: the function, or { handle =, doc = } */
    struct ruc_route *next;
} ruc_route_t;

typedef struct ruc_generation {
    uint64_t number;
    ruc_vm_t *vm;
    ruc_http_router_t *router;
    ruc_route_t *routes;
    ruc_fileset_t files;
    int policies[RUC_POLICY_COUNT];     /* refs: a function or a table; LUA_NOREF */
    int templates;                      /* ref: name -> { submit = } */
    struct ruc_generation *prev, *next; /* of all that are alive, oldest first */
} ruc_generation_t;

#define RUC_GENERATIONS_MAX 4 /* alive at once */

/* What was wrong with a set of files, one line each: "FILE:LINE: what". Warnings refuse nothing. */
typedef struct ruc_load_report {
    ruc_buf_t errors, warnings;
    size_t error_count, warning_count;
} ruc_load_report_t;

void ruc_load_report_init(ruc_load_report_t *report);
void ruc_load_report_free(ruc_load_report_t *report);

/* Builds a generation of `files` (taken over in every case; empty afterwards). NULL when anything
 * is wrong: all that was found is in `report`. */
ruc_generation_t *ruc_generation_new(ruc_app_t *app, ruc_fileset_t *files, uint64_t number,
                                     ruc_load_report_t *report);

/* Serves no new job; it goes when its last one has ended. Where more than RUC_GENERATIONS_MAX are
 * alive then, the jobs of the oldest are ended. Not from inside a job. */
void ruc_generation_retire(ruc_generation_t *generation);

/* Ends the jobs of all generations and closes them, retired ones too. */
void ruc_generation_close_all(void);

/* Pushes a field of the template for that type and platform on vm->L ("submit" is always a
 * function, "activity" one or nil): <type>_<platform>, else <platform>. False: there is no template
 * (nothing is pushed). */
bool ruc_generation_template(ruc_generation_t *generation, const char *type, const char *platform,
                             const char *field);

/* Appends the names of the templates there are: "sail_local, spark_local, external". */
void ruc_generation_templates(ruc_generation_t *generation, ruc_buf_t *out);

/* Makes `require` in L's scripts look into `files` (which must outlive the state). May raise. */
void ruc_generation_require(lua_State *L, ruc_fileset_t *files);

#endif
