-- luacheck: what the Lua of this tree may use. Scripts of operators have names of their own.
std = "lua54"
max_line_length = 110
read_globals = { "rucat" }
files["spec"] = { std = "+busted" }
