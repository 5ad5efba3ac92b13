-- For luacheck, and editors that ask it: what a script may name. It is the list of src/lua/env.c; a
-- spec compares the two. Copy it beside your own scripts.
std = "none"
max_line_length = 120
unused_args = false -- handlers and policies document their arguments by naming them
read_globals = {
  "assert", "error", "getmetatable", "ipairs", "math", "next", "pairs", "pcall", "print",
  "rawequal", "rawget", "rawlen", "rawset", "require", "rucat", "select", "coroutine",
  "setmetatable", "string", "table", "tonumber", "tostring", "type", "utf8", "warn", "xpcall",
  "_VERSION", "_ENV", os = { fields = { "clock", "date", "difftime", "time" } },
}
