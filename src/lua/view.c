/* view.c - see view.h. */
#include "lua/view.h"

#include <lauxlib.h>
#include <string.h>

#include "core/clock.h"
#include "lua/value.h"
#include "lua/vm.h"

static const char meta_key; /* of the metatable in the registry */

void ruc_view_push(lua_State *L, ruc_record_t *record)
{
    ruc_record_t **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
    lua_setmetatable(L, -2);
    *box = ruc_record_ref(record);
}

ruc_record_t *ruc_view_test(lua_State *L, int index)
{
    ruc_record_t **box = ruc_vm_box(L, index, &meta_key);
    return box == NULL ? NULL : *box;
}

ruc_record_t *ruc_view_check(lua_State *L, int index)
{
    ruc_record_t *record = ruc_view_test(L, index);
    if (record == NULL) {
        luaL_checkudata(L, index, RUC_VIEW); /* raises, but for one that is collected */
        luaL_error(L, "this engine is gone");
    }
    return record;
}

static void push_field(lua_State *L, const ruc_record_t *record, const char *name, bool secrets)
{
    json_t *value = ruc_record_field(record, name);
    bool masked = !secrets && (strcmp(name, "config") == 0 || strcmp(name, "env") == 0);
    if (masked) {
        lua_newtable(L);
        const char *key;
        json_t *item;
        json_object_foreach(value, key, item)
        {
            if (ruc_record_secret(key)) {
                lua_pushliteral(L, "***");
            } else {
                ruc_value_push_json(L, item, false);
            }
            lua_setfield(L, -2, key);
        }
        return;
    }
    ruc_value_push_json(L, value, false);
}

static void push_beat(lua_State *L, const ruc_record_t *record)
{
    ruc_table_t *table = ruc_vm_of(L)->app->table;
    int64_t at = table == NULL ? 0 : ruc_table_last_beat(table, record->id);
    char text[RUC_RFC3339_SIZE];
    if (at == 0) {
        lua_pushnil(L);
    } else {
        lua_pushstring(L, ruc_clock_rfc3339(at, text));
    }
}

void ruc_view_push_table(lua_State *L, const ruc_record_t *record, bool secrets, bool internal)
{
    const char *name;
    lua_newtable(L);
    for (size_t i = 0; (name = ruc_record_field_name(i)) != NULL; i++) {
        if (internal || ruc_record_public(name)) {
            push_field(L, record, name, secrets);
            lua_setfield(L, -2, name);
        }
    }
    push_beat(L, record);
    lua_setfield(L, -2, "heartbeat_at");
}

static int view_index(lua_State *L)
{
    ruc_record_t *record = ruc_view_check(L, 1);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    bool system = ruc_vm_of(L)->kind == RUC_VM_SYSTEM;
    if (strcmp(name, "heartbeat_at") == 0) {
        push_beat(L, record);
    } else if (ruc_record_field(record, name) != NULL && (system || ruc_record_public(name))) {
        push_field(L, record, name, false);
    } else {
        return luaL_error(L, "an engine has no field '%s'", luaL_tolstring(L, 2, NULL));
    }
    return 1;
}

static int view_newindex(lua_State *L)
{
    return luaL_error(L, "an engine's record is read-only here");
}

static int view_pairs(lua_State *L)
{
    ruc_record_t *record = ruc_view_check(L, 1);
    lua_getglobal(L, "next");
    ruc_view_push_table(L, record, false, false);
    lua_pushnil(L);
    return 3;
}

static int view_eq(lua_State *L)
{
    ruc_record_t *a = ruc_view_test(L, 1), *b = ruc_view_test(L, 2);
    lua_pushboolean(L, a != NULL && b != NULL && a->rev == b->rev && strcmp(a->id, b->id) == 0);
    return 1;
}

static int view_tostring(lua_State *L)
{
    ruc_record_t *record = ruc_view_check(L, 1);
    lua_pushfstring(L, "engine %s (%s, %s)", record->name, record->id,
                    ruc_state_name(record->state));
    return 1;
}

static int view_gc(lua_State *L)
{
    ruc_record_t **box = luaL_checkudata(L, 1, RUC_VIEW);
    ruc_record_unref(*box);
    *box = NULL;
    return 0;
}

void ruc_view_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", view_index},
        {"__newindex", view_newindex},
        {"__pairs", view_pairs},
        {"__eq", view_eq},
        {"__tostring", view_tostring},
        {"__gc", view_gc},
        {NULL, NULL},
    };
    if (luaL_newmetatable(L, RUC_VIEW)) {
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
        luaL_setfuncs(L, methods, 0);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}
