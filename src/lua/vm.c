/* vm.c - see vm.h. */
#include "lua/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/check.h"
#include "core/log.h"
#include "lua/env.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/prims.h"

#define TRIM_BYTES ((size_t)8 << 20) /* pages of a state after which the system gets them back */

/* The allocator with a cap. Lua runs a full collection and tries again when it says no, then raises
 * "not enough memory". Shrinking and freeing never fail. */
static void *allocate(void *ud, void *block, size_t old, size_t size)
{
    ruc_vm_t *vm = ud;
    if (block == NULL) {
        old = 0; /* then it is a type tag, not a size */
    }
    if (size == 0) {
        ruc_slab_free(&vm->slab, block, old);
        vm->used -= old;
        return NULL;
    }
    if (size > old && vm->used + (size - old) > vm->limit && !ruc_guard_more(vm, old, size)) {
        return NULL;
    }
    void *fresh = ruc_slab_resize(&vm->slab, block, old, size);
    if (fresh != NULL) {
        vm->used = vm->used - old + size;
    } else if (size <= old) {
        return block;
    }
    return fresh;
}

static int on_panic(lua_State *L)
{
    ruc_log(RUC_LOG_LUA, RUC_ERROR, "unprotected error in Lua: %s",
            lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    RUC_MUST(!"unprotected error in Lua");
    return 0;
}

ruc_vm_t *ruc_vm_of(lua_State *L)
{
    ruc_vm_t *vm;
    memcpy(&vm, lua_getextraspace(L), sizeof vm); /* every coroutine has a copy */
    return (ruc_vm_t *)((uintptr_t)vm & ~(uintptr_t)1);
}

void ruc_vm_mark_own(lua_State *co)
{
    uintptr_t tagged = (uintptr_t)ruc_vm_of(co) | 1;
    memcpy(lua_getextraspace(co), &tagged, sizeof tagged);
}

bool ruc_vm_is_own(lua_State *co)
{
    uintptr_t tagged;
    memcpy(&tagged, lua_getextraspace(co), sizeof tagged);
    return (tagged & 1) != 0;
}

void *ruc_vm_box(lua_State *L, int index, const void *key)
{
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) {
        return NULL;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? lua_touserdata(L, index) : NULL;
}

int ruc_vm_protect(ruc_vm_t *vm, lua_CFunction fn, void *arg, ruc_why_t *why)
{
    lua_State *L = vm->L;
    if (!lua_checkstack(L, 16)) {
        return ruc_why_set(why, RUC_ESCRIPT, "not enough memory");
    }
    int top = lua_gettop(L);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    if (lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK) {
        return 0;
    }
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "(no text)";
    ruc_why_set(why, RUC_ESCRIPT, "%s", text);
    lua_settop(L, top);
    return RUC_ESCRIPT;
}

typedef struct chunk {
    const char *text;
    size_t len;
} chunk_t;

static const char *read_chunk(lua_State *L, void *ud, size_t *len)
{
    (void)L;
    chunk_t *chunk = ud;
    *len = chunk->len;
    chunk->len = 0;
    return *len > 0 ? chunk->text : NULL;
}

/* "[string ...]:3: what" is "FILE:3: what" already, as names start with '@'. */
int ruc_vm_compile(lua_State *L, const char *text, size_t len, const char *name, ruc_why_t *why)
{
    if (len >= 2 && text[0] == '#') { /* the first line of a program, #!/... */
        const char *end = memchr(text, '\n', len);
        size_t skip = end == NULL ? len : (size_t)(end - text);
        text += skip;
        len -= skip;
    }
    chunk_t chunk = {text, len};
    if (lua_load(L, read_chunk, &chunk, name, "t") != LUA_OK) {
        ruc_why_set(why, RUC_ESCRIPT, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        return RUC_ESCRIPT;
    }
    return 0;
}

static int set_up(lua_State *L)
{
    ruc_vm_t *vm = lua_touserdata(L, 1);
    ruc_env_open(L, vm->kind);
    return 0;
}

ruc_vm_t *ruc_vm_new(ruc_app_t *app, ruc_vm_kind_t kind, size_t cap, ruc_why_t *why)
{
    ruc_vm_t *vm = calloc(1, sizeof *vm);
    if (vm != NULL) {
        cap = cap == 0 ? SIZE_MAX : cap;
        *vm = (ruc_vm_t){.app = app, .kind = kind, .cap = cap, .limit = cap};
        vm->L = lua_newstate(allocate, vm);
    }
    if (vm == NULL || vm->L == NULL) {
        free(vm);
        ruc_why_set(why, UV_ENOMEM, "not enough memory for a Lua state");
        return NULL;
    }
    memcpy(lua_getextraspace(vm->L), &vm, sizeof vm);
    /* Nearly all that a request makes is dead when it ends. A full collection at 40 % of growth,
     * not at 100: what is under way at a minor one grows old, and pages are not given back. */
    lua_gc(vm->L, LUA_GCGEN, 20, 40);
    lua_atpanic(vm->L, on_panic);
    if (ruc_vm_protect(vm, set_up, vm, why) < 0) {
        ruc_vm_close(vm);
        return NULL;
    }
    return vm;
}

void ruc_vm_retire(ruc_vm_t *vm)
{
    vm->retired = true;
    ruc_timers_stop(vm);
    if (vm->job_count == 0) {
        ruc_vm_close(vm);
    }
}

void ruc_vm_close(ruc_vm_t *vm)
{
    if (vm == NULL) {
        return;
    }
    RUC_MUST(vm->current == NULL);
    vm->retired = false;
    /* Each may have something to close (__close), and there may be thousands of them. */
    ruc_account_t closer;
    ruc_account_init(&closer, RUC_BUDGET_HANDLER, "what is ended", vm);
    vm->closer = &closer;
    while (vm->jobs != NULL) {
        ruc_job_cancel(vm->jobs);
    }
    vm->closer = NULL;
    ruc_timers_stop(vm);
    ruc__job_drop_idle(vm);
    vm->closing = true; /* finalizers run now, and may call what they like */
    lua_close(vm->L);
    bool large = vm->hoarded || vm->slab.bytes > TRIM_BYTES;
    ruc_slab_close(&vm->slab);
    if (large) {
        malloc_trim(0); /* else the C library keeps what was freed below what is in use */
    }
    void (*closed)(void *arg) = vm->closed;
    void *arg = vm->arg;
    free(vm);
    if (closed != NULL) {
        closed(arg);
    }
}
