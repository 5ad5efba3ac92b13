-- console.lua - what a line in `rucat console` sees and what is printed of it. Each console has a
-- state and globals of its own. src/console/session.c calls the function below once, with `host`
-- (src/console/names.c), and keeps the three values: the environment of the lines, the formatter of
-- their results, the completion.
--
-- Here the world's failures raise, unlike in the primitives: a person sees them at once.

local help = require("rucat.help")
local inspect = require("rucat.inspect")
local show = require("rucat.cli.show")
local text = require("rucat.cli.text")

local PREVIEW <const> = 20 -- events and lines shown unless a number is given

local function fail(message)
  error(message, 0)
end

-- A text that is printed as it is, without quotes. Calling it gives more, where `more` is given.
local Text = { __name = "text" }
Text.__tostring = function(self)
  return self.text
end
Text.__call = function(self, ...)
  return (self.more or fail("this text is all there is"))(...)
end
Text.__index = function(_, name)
  fail(("a text has no field '%s'"):format(tostring(name)))
end

local function as_text(s, more)
  return setmetatable({ text = s:gsub("\n$", ""), more = more or false }, Text)
end

-- ---- engines ----

local Engine = { __name = "engine" }
local methods = {}
local fields = { events = true, logs = true }
local record_fields -- names, once an engine was seen

local function view(self)
  return rucat.store.engines.get(rawget(self, "_id")) or fail("engine " .. rawget(self, "_name") .. " is gone")
end

local function is_engine(value)
  return type(value) == "table" and getmetatable(value) == Engine
end

local function wrap(record)
  if not record_fields then
    record_fields = {}
    for name in pairs(record) do
      record_fields[name] = true
    end
  end
  return setmetatable({ _id = record.id, _name = record.name }, Engine)
end

local function find(name)
  if is_engine(name) then
    return name
  elseif type(name) ~= "string" then
    fail("which engine? its name or its id, as a text")
  end
  local record = rucat.store.engines.get(name) or fail(("there is no engine '%s'"):format(name))
  return wrap(record)
end

local function event_lines(events)
  local lines = {}
  for i, e in ipairs(events) do
    local moved = text.given(e.from) and text.given(e.to) and e.from ~= e.to
    lines[i] = text.plain(("%s %s %s%s%s%s"):format((e.at or ""):sub(1, 19):gsub("T", " "), e.name or "?",
      moved and e.from .. " -> " .. e.to .. ", " or "", e.reason or "",
      (text.given(e.message) or "") ~= "" and ": " .. e.message or "",
      text.given(e.by) and " (" .. e.by .. ")" or ""))
  end
  return #lines > 0 and table.concat(lines, "\n") or "no events"
end

local Events = { __name = "events" }
Events.__console = event_lines

-- The newest events, oldest first; a table of them that prints as lines.
local function newest_events(id, n)
  local events, why = rucat.store.events.list({ engine = id, limit = n or PREVIEW, newest_first = true })
  if not events then
    fail(why)
  end
  local list = {}
  for i = #events, 1, -1 do
    list[#list + 1] = events[i]
  end
  return setmetatable(list, Events)
end

local function log_text(id, n)
  local log, why = rucat.store.engines.logs(id, n or PREVIEW)
  if not log then
    fail(why)
  end
  return as_text(log == "" and "no output yet" or table.concat(text.lines(log), "\n"), function(_, lines)
    return log_text(id, lines)
  end)
end

Engine.__index = function(self, name)
  if methods[name] then
    return methods[name]
  elseif name == "events" then
    return newest_events(rawget(self, "_id"))
  elseif name == "logs" then
    return log_text(rawget(self, "_id"))
  end
  return view(self)[name]
end
Engine.__newindex = function()
  fail("an engine's fields are read-only: use its methods")
end
Engine.__tostring = function(self)
  local record = rucat.store.engines.get(rawget(self, "_id"))
  return record and ("<engine %s: %s, %s>"):format(record.name, record.state, record.reason)
    or ("<engine %s: gone>"):format(rawget(self, "_name"))
end
Engine.__console = function(self)
  return show.engine(view(self))
end
Engine.__pairs = function(self)
  return pairs(view(self))
end
Engine.__eq = function(a, b)
  return rawget(a, "_id") == rawget(b, "_id")
end

local function fits(lines, width)
  for line in lines:gmatch("[^\n]+") do
    if text.width(line) > width then
      return false
    end
  end
  return true
end

-- The table of `rucat list` where it fits, else its most wanted columns, else a line for each.
local List = { __name = "engines" }
List.__console = function(list, width)
  local rows, lines = { { "NAME", "STATE", "HEALTH", "REASON" } }, {}
  for i, e in ipairs(list) do
    rows[i + 1] = { text.plain(e.name), e.state, e.health, text.plain(e.reason) }
    lines[i] = text.plain(("%s %s %s"):format(e.name, e.state, e.reason))
  end
  local whole, short = show.list(list), text.table(rows)
  return #list == 0 and "no engines" or fits(whole, width) and whole or fits(short, width) and short
    or table.concat(lines, "\n")
end

-- ---- the names of a console ----

return function(host)
  local shared = getmetatable(_ENV).__index -- what every script sees
  local env = setmetatable({}, { __index = shared })
  local by = "console:" .. host.user

  for _, verb in ipairs({ "start", "stop", "restart", "delete" }) do
    methods[verb] = function(self)
      local record, why = rucat.store.engines.verb(view(self).id, verb, by)
      return record and self or fail(why)
    end
  end

  local ends = { Running = "start", Stopped = "stop", Deleted = "delete" }
  local wanted = { start = "Running", stop = "Stopped", restart = "Running", delete = "Deleted" }

  -- Waits until it is so: "start", "stop", "restart", "delete" or the state; without one, what is
  -- wanted of the engine already.
  function methods.wait(self, verb, seconds)
    if type(verb) == "number" then
      verb, seconds = nil, verb
    end
    verb = ends[verb] or verb or ends[view(self).desired]
    if not wanted[verb] then
      fail("wait(verb, seconds): verb is start, stop, restart or delete")
    end
    seconds = seconds == nil and 120 or tonumber(seconds) or fail("wait(verb, seconds): seconds is a number")
    local limit = rucat.clock.monotonic() + seconds
    while true do
      local settled = host.settled(rawget(self, "_id"), verb)
      if settled == nil then
        return verb == "delete" or fail("engine " .. rawget(self, "_name") .. " is gone")
      end
      local e = view(self)
      if settled and e.state == wanted[verb] then
        return self
      elseif settled and verb ~= "delete" then
        fail(("%s is %s: %s%s"):format(e.name, e.state, e.reason, e.message ~= "" and ": " .. e.message or ""))
      elseif rucat.clock.monotonic() >= limit then
        fail(("after %g s %s is %s (%s)"):format(seconds, e.name, e.state, e.reason))
      end
      rucat.timer.sleep(0.05)
    end
  end

  function env.engines(filter)
    if type(filter) == "string" then
      filter = { state = filter }
    end
    local list = {}
    for i, record in ipairs((rucat.store.engines.list(filter))) do
      list[i] = wrap(record)
    end
    return setmetatable(list, List)
  end

  function env.engine(name)
    return find(name)
  end

  env.events = setmetatable({
    follow = function(name)
      host.follow_events(name ~= nil and find(name).id or nil)
      return as_text("following; unfollow() or Ctrl-C ends it")
    end,
    list = function(name, n)
      return newest_events(name ~= nil and find(name).id or nil, n)
    end,
  }, {
    __call = function(_, n)
      return newest_events(nil, n)
    end,
  })

  env.log = {
    follow = function(level)
      host.follow_log(level or "debug")
      return as_text("following; unfollow() or Ctrl-C ends it")
    end,
    -- level(): all; level(group): one; level(level): sets all; level(group, level): sets one.
    level = function(group, level)
      local levels = host.levels()
      if type(group) == "table" then
        group, level = group.group, group.level
      end
      if level ~= nil or (group ~= nil and not levels[group]) then
        host.set_level(level and group, level or group)
        return nil
      end
      return group and as_text(levels[group]) or levels
    end,
  }

  function env.unfollow()
    local n = host.unfollow()
    return as_text(n == 0 and "nothing was followed" or "no longer following")
  end

  function env.reload()
    local report, bad = rucat.server.reload()
    if not report then
      local errors = type(bad) == "table" and bad.errors
      fail("nothing changed: " .. (type(errors) == "table" and table.concat(errors, "\n")
        or type(errors) == "string" and errors or inspect(bad)))
    end
    return report
  end

  function env.scripts()
    return rucat.server.scripts()
  end

  function env.metrics(pattern)
    local lines = {}
    for line in rucat.metrics.render():gmatch("[^\n]+") do
      if pattern == nil or (line:sub(1, 1) ~= "#" and line:find(pattern)) then
        lines[#lines + 1] = line
      end
    end
    return as_text(#lines > 0 and table.concat(lines, "\n") or "no such metric")
  end

  function env.jobs()
    local list, total = host.jobs()
    local rows = { { "ID", "STATE", "WHAT", "WHERE" } }
    for _, job in ipairs(list) do
      rows[#rows + 1] = { tostring(job.id), job.waiting and "waits" or "runs", text.plain(job.what), job.where }
    end
    return as_text(text.table(rows) .. (total > #list and ("... %d in all"):format(total) or ""))
  end

  function env.help(name)
    return as_text(help.of(name) or fail(("there is no help for '%s'; help() tells what there is"):format(
      tostring(name))))
  end

  function env.print(...)
    local parts = table.pack(...)
    for i = 1, parts.n do
      parts[i] = tostring(parts[i])
    end
    host.write(table.concat(parts, "\t") .. "\n")
  end

  -- ---- what is printed of results ----

  local function format(columns, ...)
    local values, parts = table.pack(...), {}
    local width = columns > 0 and columns or 80
    for i = 1, values.n do
      local value = values[i]
      local meta = type(value) == "table" and getmetatable(value)
      local own = type(meta) == "table" and rawget(meta, "__console")
      if own then
        parts[i] = own(value, columns > 0 and columns or math.huge):gsub("\n$", "")
      elseif meta == Text then
        parts[i] = value.text
      elseif type(value) == "userdata" and pcall(pairs, value) and tostring(value):find("^engine ") then
        parts[i] = show.engine(value):gsub("\n$", "")
      else
        parts[i] = inspect(value, width)
      end
      if #parts[i] > 65536 then
        parts[i] = parts[i]:sub(1, (utf8.offset(parts[i], 0, 65536) or 65536) - 1) .. "\n... (cut at 64 KiB)"
      end
    end
    return table.concat(parts, "\n")
  end

  -- ---- completion ----

  -- What `name` is in `value`, without running anybody's code.
  local function raw(value, name)
    while type(value) == "table" do
      local found = rawget(value, name)
      if found ~= nil then
        return found
      end
      local meta = getmetatable(value)
      value = type(meta) == "table" and rawget(meta, "__index")
    end
  end

  local function names_of(value)
    local names = {}
    if is_engine(value) then
      for _, set in ipairs({ methods, fields, record_fields or {} }) do
        for name in pairs(set) do
          names[name] = true
        end
      end
    end
    if type(value) == "string" then
      value = string
    end
    while type(value) == "table" and not is_engine(value) do
      for name in next, value do
        if type(name) == "string" and name:match("^[%a_][%w_]*$") then
          names[name] = true
        end
      end
      local meta = getmetatable(value)
      value = type(meta) == "table" and rawget(meta, "__index")
    end
    return names
  end

  -- Words that `line` could end with, and where (0-based) the word begins.
  local function candidates(line)
    local start, typed = line:match("engine%s*%(%s*[\"']()([%w-]*)$")
    if start then
      local names = {}
      for _, record in ipairs((rucat.store.engines.list())) do
        names[record.name] = true
      end
      return names, typed
    end
    local name, sep
    name, sep, typed = line:match("engine%s*%(%s*[\"']([%w-]+)[\"']%s*%)%s*([.:])([%w_]*)$")
    if name then
      local record = rucat.store.engines.get(name)
      local names = record and names_of(wrap(record)) or {}
      if sep == ":" then
        names = methods
      end
      return names, typed
    end
    local path
    path, typed = line:match("([%a_][%w_%.:]*[.:])([%w_]*)$")
    local value = env
    if path then
      for part in path:gmatch("[^.:]+") do
        value = raw(value, part)
      end
      if is_engine(value) and path:sub(-1) == ":" then
        return methods, typed
      end
      return names_of(value), typed
    end
    return names_of(env), line:match("[%a_][%w_]*$") or ""
  end

  local function complete(line)
    local names, typed = candidates(line)
    local words = {}
    for name in pairs(names) do
      if name:sub(1, #typed) == typed and (typed ~= "" or name:sub(1, 1) ~= "_") then
        words[#words + 1] = name
      end
    end
    table.sort(words)
    return #line - #typed, rucat.json.encode(rucat.json.array(table.move(words, 1, 500, 1, {})))
  end

  return env, format, complete
end
