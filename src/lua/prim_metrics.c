/* prim_metrics.c - rucat.metrics: numbers for Prometheus.
 *
 *     local hits = rucat.metrics.counter("acme_hits_total", "Hits.", { "team" })
 *     hits:add(1, "red")
 */
#include <lauxlib.h>
#include <string.h>

#include "core/metrics.h"
#include "engine/table.h"
#include "lua/job.h"
#include "lua/prims.h"

#define FAMILY "rucat.metric"

static int define(lua_State *L, ruc_metric_type_t type)
{
    const char *labels[RUC_METRICS_LABELS_MAX];
    double buckets[RUC_METRICS_BUCKETS_MAX];
    size_t nlabels = 0, nbuckets = 0;
    const char *name = luaL_checkstring(L, 1), *help = luaL_optstring(L, 2, "");
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        nlabels = lua_rawlen(L, 3);
        luaL_argcheck(L, nlabels <= RUC_METRICS_LABELS_MAX, 3, "too many labels");
        for (size_t i = 0; i < nlabels; i++) {
            lua_rawgeti(L, 3, (lua_Integer)i + 1);
            labels[i] = luaL_checkstring(L, -1); /* anchored by the stack until the end */
        }
    }
    if (type == RUC_METRIC_HISTOGRAM && !lua_isnoneornil(L, 4)) {
        luaL_checktype(L, 4, LUA_TTABLE);
        nbuckets = lua_rawlen(L, 4);
        luaL_argcheck(L, nbuckets <= RUC_METRICS_BUCKETS_MAX, 4, "too many buckets");
        for (size_t i = 0; i < nbuckets; i++) {
            lua_rawgeti(L, 4, (lua_Integer)i + 1);
            buckets[i] = luaL_checknumber(L, -1);
            lua_pop(L, 1);
        }
    }
    ruc_why_t why = {""};
    ruc_metrics_family_t **box = lua_newuserdatauv(L, sizeof *box, 0);
    if (ruc_metrics_define(name, help, type, labels, nlabels, buckets, nbuckets, box, &why) < 0) {
        return luaL_error(L, "metric '%s': %s", name, why.text);
    }
    luaL_setmetatable(L, FAMILY);
    return 1;
}

static int metrics_counter(lua_State *L)
{
    return define(L, RUC_METRIC_COUNTER);
}

static int metrics_gauge(lua_State *L)
{
    return define(L, RUC_METRIC_GAUGE);
}

static int metrics_histogram(lua_State *L)
{
    return define(L, RUC_METRIC_HISTOGRAM);
}

/* family:verb(number, label...) */
static int count(lua_State *L, void (*verb)(ruc_metric_t *metric, double value))
{
    ruc_metrics_family_t **box = luaL_checkudata(L, 1, FAMILY);
    double value = luaL_checknumber(L, 2);
    const char *values[RUC_METRICS_LABELS_MAX];
    size_t n = ruc_metrics_labels(*box);
    if ((size_t)lua_gettop(L) - 2 != n) {
        return luaL_error(L, "%d label values expected, got %d", (int)n, lua_gettop(L) - 2);
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = luaL_checkstring(L, (int)i + 3);
    }
    verb(ruc_metrics_series_of(*box, values, n), value);
    return 0;
}

static int metric_add(lua_State *L)
{
    return count(L, ruc_metric_add);
}

static int metric_set(lua_State *L)
{
    return count(L, ruc_metric_set);
}

static int metric_observe(lua_State *L)
{
    return count(L, ruc_metric_observe);
}

/* Counts engines by state, type and platform; a combination that was there once and is not any more
 * is said to be 0. */
static void gauge_engines(ruc_table_t *table)
{
    static ruc_metric_t *known[256];
    static size_t known_count;
    for (size_t i = 0; i < known_count; i++) {
        ruc_metric_set(known[i], 0);
    }
    for (size_t i = 0; i < ruc_table_count(table); i++) {
        ruc_record_t *record = ruc_table_at(table, i);
        ruc_metric_t *metric = ruc_metrics_series(RUC_M_ENGINES, ruc_state_name(record->state),
                                                  ruc_record_text(record, "type"),
                                                  ruc_record_text(record, "platform"));
        size_t place = 0;
        while (place < known_count && known[place] != metric) {
            place++;
        }
        if (place == known_count && known_count < sizeof known / sizeof known[0]) {
            known[known_count++] = metric;
            ruc_metric_set(metric, 0);
        }
        ruc_metric_add(metric, 1);
    }
}

static int push_text(lua_State *L)
{
    const ruc_buf_t *text = lua_touserdata(L, 1);
    lua_pushlstring(L, ruc_buf_str(text), text->len);
    return 1;
}

static int metrics_render(lua_State *L)
{
    ruc_app_t *app = ruc_vm_of(L)->app;
    if (app->table != NULL) {
        gauge_engines(app->table);
        ruc_metric_set(ruc_metrics_series(RUC_M_STORE_STALE),
                       (double)ruc_feed_stale_ms(app->feed) / 1000);
    }
    ruc_buf_t text;
    ruc_buf_init(&text, 64u * 1024 * 1024);
    int rc = ruc_metrics_render(&text);
    if (rc < 0) {
        ruc_buf_free(&text);
        return ruc_push_err(L, rc, NULL);
    }
    /* Our memory must be freed however the pushing ends. */
    lua_pushcfunction(L, push_text);
    lua_pushlightuserdata(L, &text);
    rc = lua_pcall(L, 1, 1, 0);
    ruc_buf_free(&text);
    return rc == LUA_OK ? 1 : lua_error(L);
}

void ruc_prim_metrics(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"counter", metrics_counter},
        {"gauge", metrics_gauge},
        {"histogram", metrics_histogram},
        {"render", metrics_render},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"add", metric_add},
        {"set", metric_set},
        {"observe", metric_observe},
        {NULL, NULL},
    };
    luaL_newmetatable(L, FAMILY);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
