-- rucat/cli/json.lua - JSON for people and scripts: indented, the members of an engine in the
-- order of its documentation, others after them by name.

local json = {}

local ORDER = {
  "id", "name", "type", "platform", "version", "state", "desired", "reason", "message", "health",
  "endpoint", "ui", "config", "labels", "epoch", "rev", "restarts", "next_start_at", "exit", "code",
  "signal", "oom", "owner", "app", "env", "idle_timeout", "ttl", "created_at", "started_at",
  "stopped_at", "heartbeat_at", "generation", "changed", "errors",
}
local place = {}
for i, name in ipairs(ORDER) do
  place[name] = i
end

local function members(object)
  local names = {}
  for name in pairs(object) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    local x, y = place[a] or 1000, place[b] or 1000
    if x ~= y then
      return x < y
    end
    return a < b
  end)
  return names
end

local function is_list(value)
  return #value > 0 or (next(value) == nil and rucat.json.encode(value) == "[]")
end

-- What is in a user's own map is in the order of names, whatever the names are.
local FREE = { config = true, labels = true, env = true }

local function write(value, indent, out, free)
  if type(value) ~= "table" then
    out[#out + 1] = rucat.json.encode(value)
    return
  end
  local list = is_list(value)
  if next(value) == nil then
    out[#out + 1] = list and "[]" or "{}"
    return
  end
  local inner = indent .. "  "
  out[#out + 1] = list and "[" or "{"
  local names = list and {} or members(value)
  if free then
    table.sort(names)
  end
  for i = 1, list and #value or #names do
    out[#out + 1] = (i > 1 and ",\n" or "\n") .. inner
    if list then
      write(value[i], inner, out)
    else
      out[#out + 1] = rucat.json.encode(names[i]) .. ": "
      write(value[names[i]], inner, out, FREE[names[i]])
    end
  end
  out[#out + 1] = "\n" .. indent .. (list and "]" or "}")
end

-- The text of a value that came from rucat.json.decode, with a line break at its end.
function json.text(value)
  local out = {}
  write(value, "", out)
  out[#out + 1] = "\n"
  return table.concat(out)
end

return json
