-- One list of globals for each kind of file; it is what src/lua/env.c lets it see.
std = "lua54"
max_line_length = 120
unused_args = false -- handlers and policies document their arguments by naming them

read_globals = {}

local scripts = {
  std = "none",
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "math", "next", "pairs", "pcall", "print",
    "rawequal", "rawget", "rawlen", "rawset", "require", "rucat", "select", "coroutine",
    "setmetatable", "string", "table", "tonumber", "tostring", "type", "utf8", "warn", "xpcall",
    "_VERSION", "_ENV", os = { fields = { "clock", "date", "difftime", "time" } },
  },
}

files["lua"] = scripts
files["lua/rucat/console.lua"] = { read_globals = { "_ENV" } }
files["lua/rucat/cli.lua"] = { std = "lua54", read_globals = { "rucat" } }
files["lua/rucat/cli"] = { std = "lua54", read_globals = { "rucat" } }
files["etc/rucat.lua"] = { std = "lua54" }
files["bench"] = { std = "lua54", read_globals = { "rucat" } }
files["spec"] = { std = "lua54+busted", read_globals = { "rucat" }, max_line_length = false }
