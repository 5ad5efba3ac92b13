/* configfile.c - see configfile.h. The file may compute (`os.getenv("HOME") .. "/x"`), but has no
 * way to touch anything. */
#include "lua/configfile.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/value.h"
#include "lua/view.h"
#include "lua/vm.h"

typedef struct run {
    const char *path;
    const char *text;
    size_t len;
    json_t *tree;
    ruc_why_t why;
} run_t;

static int run_file(lua_State *L)
{
    run_t *run = lua_touserdata(L, 1);
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},        {LUA_TABLIBNAME, luaopen_table},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_OSLIBNAME, luaopen_os},      {NULL, NULL}};
    for (const luaL_Reg *library = libraries; library->func != NULL; library++) {
        luaL_requiref(L, library->name, library->func, 1);
        lua_pop(L, 1);
    }
    static const char *const removed[] = {"dofile", "load", "loadfile", "require", NULL};
    for (const char *const *name = removed; *name != NULL; name++) {
        lua_pushnil(L);
        lua_setglobal(L, *name);
    }
    lua_newtable(L);
    lua_getglobal(L, "os");
    lua_getfield(L, -1, "getenv");
    lua_setfield(L, -3, "getenv");
    lua_pop(L, 1);
    lua_setglobal(L, "os");
    ruc_view_open(L);
    char name[4096];
    snprintf(name, sizeof name, "@%s", run->path);
    if (ruc_vm_compile(L, run->text, run->len, name, &run->why) < 0) {
        return luaL_error(L, "%s", run->why.text);
    }
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) {
        return luaL_error(L, "%s: the file must return a table", run->path);
    }
    run->tree = ruc_value_to_json(L, -1, false, &run->why);
    if (run->tree == NULL) {
        return luaL_error(L, "%s: %s", run->path, run->why.text);
    }
    return 0;
}

/* The line of the file where the last part of a key is set; 0 when it cannot be told. */
static int line_of(const char *text, const char *path)
{
    const char *dot = strrchr(path, '.');
    const char *word = dot == NULL ? path : dot + 1;
    size_t len = strlen(word);
    int line = 1;
    for (const char *at = text; len > 0 && *at != '\0'; at++) {
        line += *at == '\n';
        bool starts = at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        if (starts && strncmp(at, word, len) == 0 &&
            !(isalnum((unsigned char)at[len]) || at[len] == '_')) {
            const char *next = at + len + strspn(at + len, " \t\"']");
            const char *comment = at;
            while (comment > text && comment[-1] != '\n') {
                comment--;
            }
            const char *dashes = strstr(comment, "--");
            if (*next == '=' && (dashes == NULL || dashes > at)) {
                return line;
            }
        }
    }
    return 0;
}

int ruc_configfile_lay(ruc_config_t *config, const char *path, const char *text, size_t len,
                       ruc_config_report_t *lines)
{
    ruc_app_t nothing = {0};
    run_t run = {.path = path, .text = text, .len = len};
    ruc_why_t why;
    size_t before = lines->count;
    lua_State *L = luaL_newstate();
    ruc_vm_t vm = {.L = L, .kind = RUC_VM_OPERATOR, .app = &nothing};
    ruc_vm_t *self = &vm;
    if (L == NULL) {
        return UV_ENOMEM;
    }
    memcpy(lua_getextraspace(L), &self, sizeof self);
    if (ruc_vm_protect(&vm, run_file, &run, &why) < 0) {
        if (lines->count < RUC_CONFIG_PROBLEMS) {
            snprintf(lines->problems[lines->count].text, sizeof lines->problems[0].text, "%.511s",
                     why.text);
        }
        lines->count++;
    }
    lua_close(L);
    if (run.tree != NULL) {
        ruc_config_lay(config, run.tree, lines);
        for (size_t i = before; i < lines->count && i < RUC_CONFIG_PROBLEMS; i++) {
            ruc_config_problem_t *problem = &lines->problems[i];
            char text_only[sizeof problem->text];
            memcpy(text_only, problem->text, sizeof text_only);
            int line = line_of(text, problem->path);
            if (line > 0) {
                snprintf(problem->text, sizeof problem->text, "%s:%d: %.400s", path, line,
                         text_only);
            } else {
                snprintf(problem->text, sizeof problem->text, "%s: %.400s", path, text_only);
            }
        }
        json_decref(run.tree);
    }
    return lines->count > before ? RUC_EINVALID : 0;
}
