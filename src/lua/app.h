/* app.h - what the primitives work on: the open rooms of this process, by pointer. main.c fills it
 * in order and empties it in reverse; a tool (`rucat run`) has only some of them, the others are
 * NULL and the primitives that need them say so. */
#ifndef RUC_LUA_APP_H
#define RUC_LUA_APP_H

#include <stdbool.h>
#include <uv.h>

#include "core/config.h"
#include "engine/agenda.h"
#include "engine/feed.h"
#include "engine/fleet.h"
#include "engine/idempotency.h"
#include "engine/replicas.h"
#include "engine/table.h"
#include "http/client.h"
#include "http/server.h"

struct ruc_vm;
struct ruc_scripts;

#define RUC_STALLED_MAX 4

typedef struct ruc_app {
    uv_loop_t *loop;
    ruc_config_t *config;
    const char *config_file;   /* "" when there is none */
    const char *state_dir;     /* "" in a tool */
    const char *lua_dir;       /* the shipped scripts */
    const char *engine_binary; /* path of rucat-engine */
    const char *instance;      /* uuid of this server process */
    const char *listen;        /* where it really listens, HOST:PORT */
    const uint64_t *stalled;   /* digests of script generations that have held the loop up, at most
                                  RUC_STALLED_MAX, 0 is none; NULL: none */
    const char *stall_story;   /* how it was; "" */
    bool embedded;
    bool server, monitor; /* the roles of this process */
    const char *peer_url; /* where other replicas reach it */
    bool closing;         /* no new work */
    ruc_store_t *store;
    ruc_table_t *table;
    ruc_feed_t *feed; /* NULL: nobody else writes to the store */
    ruc_idempotency_t *keys;
    ruc_fleet_t *fleet;
    ruc_replicas_t *replicas;
    ruc_agenda_t *agenda;
    ruc_http_client_t *client;
    struct ruc_vm *system;                       /* the state of reconcile */
    struct ruc_scripts *scripts;                 /* the operator's generations */
    void (*lay_flags)(ruc_config_t *config);     /* lays the command line over a new config */
    void (*config_changed)(struct ruc_app *app); /* live keys have new values */
} ruc_app_t;

#endif
