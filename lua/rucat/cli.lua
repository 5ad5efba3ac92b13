-- rucat/cli.lua - the command line client: `rucat list`, `rucat create team-a` and their like.
--
-- main.c runs `require("rucat.cli")(args)` as a job of its own, args[1] being the command; what it
-- returns is the exit code: 0 fine, 1 failed, 2 usage, 3 not found, 4 timed out. A command raises a
-- table { exit = CODE, text = "..." } to end early; anything else that is raised is a bug of ours
-- and is shown as it is.

local args = require("rucat.cli.args")
local client = require("rucat.cli.client")
local commands = require("rucat.cli.commands")

local function say_failure(failure)
  if failure.text then
    io.stderr:write("rucat: ", failure.text, "\n")
  end
  return failure.exit
end

local function overview()
  local lines = { "usage: rucat COMMAND [OPTIONS] [ARGUMENTS]", "" }
  for _, name in ipairs(commands.order) do
    lines[#lines + 1] = ("  %-10s %s"):format(name, commands[name].about)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "rucat COMMAND -h says more."
  return table.concat(lines, "\n") .. "\n"
end

-- The command's name may come after options of all commands: rucat --url U list.
local function take_command(list)
  local rest = table.move(list, 1, #list, 1, {})
  local i = 1
  while rest[i] and rest[i]:sub(1, 1) == "-" do
    if rest[i] == "-h" or rest[i] == "--help" then
      return nil, rest
    end
    i = i + (args.takes_value_alone(rest[i]) and 2 or 1)
  end
  return rest[i] and table.remove(rest, i), rest
end

local function run(list)
  local name, rest = take_command(list)
  if name == nil or name == "help" then
    local asked = name == "help" or #rest > 0
    local out = asked and io.stdout or io.stderr
    out:write(overview())
    return asked and 0 or 2
  end
  local command = commands[name]
  if type(command) ~= "table" or not command.about then
    error({ exit = 2, text = ("unknown command '%s'; rucat -h lists them"):format(name) })
  end
  local given = args.parse(name, command, rest)
  if given.help then
    io.stdout:write(args.help(name, command))
    return 0
  end
  return command.run(not command.local_only and client.new(given) or nil, given) or 0
end

return function(list)
  local function told(problem)
    return type(problem) == "table" and problem or debug.traceback(tostring(problem))
  end
  local ok, result = xpcall(run, told, list)
  if ok then
    return result
  end
  if type(result) == "table" and result.exit then
    return say_failure(result)
  end
  io.stderr:write("rucat: this is a bug of rucat: ", tostring(result), "\n")
  return 1
end
