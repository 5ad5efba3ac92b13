-- rucat/cli/args.lua - the words of a command line, checked against what a command takes.
--
-- A command says
--   positional = { "ENGINE" }          one that may be left out is "[ENGINE]"
--   options = { { "--tail", short = "-n", value = "LINES", about = "...", kind = "count" }, ... }
-- and gets { ENGINE = "x", tail = 20 }. An option without `value` is a switch; `many` collects a
-- list. Options and positional arguments may be mixed; `--` ends the options. Wrong usage raises
-- { exit = 2, text = one line }.

local args = {}

-- The options of all commands.
local common = {
  { "--url", value = "URL", about = "the server (RUCAT_URL, else http://127.0.0.1:3000)" },
  { "--token-file", value = "FILE", about = "a file with the token (else RUCAT_TOKEN)" },
  { "--output", short = "-o", value = "json", about = "JSON instead of text" },
  { "--help", short = "-h", about = "this text" },
}

args.common = common

local function key_of(option)
  return (option[1]:gsub("^%-%-", ""):gsub("%-", "_"))
end

local function usage(name, text, ...)
  error({ exit = 2, text = text:format(...) .. ("; rucat %s -h says how"):format(name) }, 0)
end
args.usage = usage

local function find(command, word)
  for _, list in ipairs({ command.options or {}, common }) do
    for _, option in ipairs(list) do
      if option[1] == word or option.short == word then
        return option
      end
    end
  end
end

-- Is this word an option of all commands whose value is the next word?
function args.takes_value_alone(word)
  local option = find({}, word)
  return option ~= nil and option.value ~= nil
end

-- A value by the option's kind, or a refusal that names the option.
local kinds = {}

function kinds.count(name, option, text)
  local number = text:match("^%d+$") and math.tointeger(tonumber(text))
  return number or usage(name, "%s takes a number, not '%s'", option[1], text)
end

function kinds.duration(name, option, text)
  local seconds = rucat.clock.duration(text)
  return seconds or usage(name, "%s takes a time such as 120, 30s or 5m, not '%s'", option[1], text)
end

function kinds.pair(name, option, text)
  local key, value = text:match("^([^=]+)=(.*)$")
  if not key then
    usage(name, "%s takes %s, not '%s'", option[1], option.value, text)
  end
  return { key, value }
end

local function set(name, option, given, text)
  local key = key_of(option)
  local value = text
  if option.value == nil then
    value = true
  elseif option.kind then
    value = kinds[option.kind](name, option, text)
  elseif text == "" then
    usage(name, "%s takes a value (%s), not an empty one", option[1], option.value)
  end
  if option.one_of then
    local found
    for _, word in ipairs(option.one_of) do
      found = word:lower() == text:lower() and word or found
    end
    value = found or usage(name, "%s takes %s, not '%s'", option[1],
                           table.concat(option.one_of, ", "), text)
  end
  if option.many then
    given[key] = given[key] or {}
    table.insert(given[key], value)
  else
    given[key] = value
  end
end

-- "--opt=value", "-ovalue" and "-o=..." split; the option itself and its value so far (or nil).
local function split(name, command, word)
  local long, text = word:match("^(%-%-[^=]+)=(.*)$")
  if not long and word:sub(1, 2) ~= "--" and #word > 2 then
    long, text = word:sub(1, 2), word:sub(3)
  end
  local option = find(command, long or word)
  if not option then
    usage(name, "unknown option '%s'", long or word)
  end
  if text and not option.value then
    usage(name, "%s takes no value", option[1])
  end
  return option, text
end

local function positional(name, command, given, words)
  local wanted = command.positional or {}
  for i, slot in ipairs(wanted) do
    local optional = slot:match("^%[(.*)%]$")
    if words[i] == "" then
      usage(name, "%s must not be empty", optional or slot)
    elseif words[i] == nil and not optional then
      usage(name, "%s is missing", slot)
    end
    given[optional or slot] = words[i]
  end
  if #words > #wanted then
    usage(name, "unexpected argument '%s'", words[#wanted + 1])
  end
end

-- The table of what was given; `help` is true when that was asked for, and nothing else is checked.
function args.parse(name, command, list)
  local given, words, i = {}, {}, 1
  for _, word in ipairs(list) do
    if word == "--" then
      break
    elseif word == "-h" or word == "--help" then
      return { help = true }
    end
  end
  while list[i] do
    local word = list[i]
    if word == "--" then
      table.move(list, i + 1, #list, #words + 1, words)
      break
    elseif word:sub(1, 1) == "-" and word ~= "-" then
      local option, text = split(name, command, word)
      if option.value and text == nil then
        i = i + 1
        text = list[i] or usage(name, "%s takes a value (%s)", option[1], option.value)
      end
      set(name, option, given, text)
    else
      words[#words + 1] = word
    end
    i = i + 1
  end
  positional(name, command, given, words)
  if given.output and given.output ~= "json" then
    usage(name, "-o takes json, not '%s'", given.output)
  end
  return given
end

local function option_line(option)
  local left = (option.short and option.short .. ", " or "    ") .. option[1]
  if option.value then
    left = left .. " " .. option.value
  end
  return ("  %-28s %s"):format(left, option.about)
end

function args.help(name, command)
  local words = { "usage: rucat " .. name }
  for _, slot in ipairs(command.positional or {}) do
    words[#words + 1] = slot
  end
  local lines = { table.concat(words, " ") .. " [OPTIONS]", "", command.about:gsub("^%l", string.upper)
    .. "." }
  for line in (command.more or ""):gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = ""
  for _, list in ipairs({ command.options or {}, common }) do
    for _, option in ipairs(list) do
      lines[#lines + 1] = option_line(option)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

return args
