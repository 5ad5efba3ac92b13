-- rucat/cli/show.lua - engines as text: the table of `list`, the fields of `get`.

local colour = require("rucat.cli.colour")
local text = require("rucat.cli.text")

local show = {}

local function cell(value)
  local given = text.given(value)
  return given ~= nil and given ~= "" and text.plain(given) or "-"
end

-- Which columns of a table are states, healths and reasons, by the names in its first row.
local PAINT = { STATE = colour.of_state, HEALTH = colour.of_health, REASON = colour.of_reason }

-- A painter for text.table, of rows whose first is the header.
function show.painter(rows)
  return function(value, column, row)
    if row == 1 then
      return colour.paint(value, "bold")
    end
    local of = PAINT[rows[1][column]]
    return of and colour.paint(value, of(value)) or value
  end
end

-- The table of engines. Its columns are named in docs/cli.md; scripts had better use -o json.
function show.list(engines)
  local rows = {
    { "NAME", "TYPE", "PLATFORM", "STATE", "HEALTH", "REASON", "RESTARTS", "AGE", "ENDPOINT" },
  }
  for _, engine in ipairs(engines) do
    local age = text.since(engine.created_at)
    rows[#rows + 1] = {
      cell(engine.name), cell(engine.type), cell(engine.platform), cell(engine.state),
      cell(engine.health), cell(engine.reason), cell(engine.restarts), age and text.age(age) or "-",
      cell(engine.endpoint),
    }
  end
  return text.table(rows, show.painter(rows))
end

-- The servers on a store. LEASE is how long it still holds, or since when it is over.
function show.replicas(replicas)
  local rows = { { "REPLICA", "HOST", "URL", "ROLES", "VERSION", "ENGINES", "LEASE" } }
  for _, one in ipairs(type(replicas) == "table" and replicas or {}) do
    local left, roles = text.given(one.left), type(one.roles) == "table" and one.roles or {}
    rows[#rows + 1] = {
      cell(one.id), cell(one.name), cell(one.url), cell(table.concat(roles, ",")), cell(one.version),
      cell(one.engines),
      not left and "-" or one.alive and ("%.0fs"):format(math.max(0, left)) or "over for " .. text.age(-left),
    }
  end
  return text.table(rows, show.painter(rows))
end

-- "2026-11-23T01:02:03.456Z (5m ago)"
local function moment(at)
  local since = text.since(at)
  if not since then
    return nil
  end
  return since >= 0 and ("%s (%s ago)"):format(text.plain(at), text.age(since))
    or ("%s (in %s)"):format(text.plain(at), text.age(-since + 0.5))
end

local function exit_text(exit)
  if type(exit) ~= "table" then
    return nil
  end
  local parts = {}
  if text.given(exit.code) then
    parts[#parts + 1] = "code " .. exit.code
  end
  if text.given(exit.signal) then
    parts[#parts + 1] = "signal " .. text.plain(exit.signal)
  end
  if text.given(exit.oom) then
    parts[#parts + 1] = exit.oom and "out of memory" or nil
  end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

-- A map as lines "key = value", by name.
local function map_lines(map)
  local names, lines = {}, {}
  for name in pairs(type(map) == "table" and map or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    lines[#lines + 1] = ("%s = %s"):format(text.plain(name), text.plain(map[name]))
  end
  return lines
end

local function app_lines(app)
  if type(app) ~= "table" then
    return nil
  end
  local lines = { text.plain(app.resource) }
  if text.given(app.class) then
    lines[2] = "class " .. text.plain(app.class)
  end
  for _, arg in ipairs(text.given(app.args) or {}) do
    lines[#lines + 1] = "arg " .. text.plain(arg)
  end
  return lines
end

local function state_text(engine)
  local wanted = engine.desired ~= engine.state and (", wanted %s"):format(engine.desired) or ""
  return text.plain(engine.state) .. text.plain(wanted)
end

-- What happens next if nobody does anything; nil when nothing does.
local function next_text(engine)
  local wanted, state = engine.desired, engine.state
  local due = text.since(engine.next_start_at)
  if wanted == "Deleted" then
    return "it is removed as soon as its processes have ended"
  elseif state == "Stopped" and wanted == "Running" then
    return due and due < 0 and ("it starts again in %s"):format(text.age(-due + 0.5)) or "it starts again now"
  elseif state == "Stopped" then
    return ("nothing, until somebody starts it: rucat start %s"):format(text.plain(engine.name))
  elseif engine.reason == "Stopping" or engine.reason == "KillIncomplete" then
    return wanted == "Running" and "it starts anew when its processes have ended"
      or "it is Stopped when its processes have ended"
  end
  local parts = {}
  if state == "Pending" then
    parts[1] = "it is Running as soon as it is ready"
  end
  if text.given(engine.idle_timeout) then
    parts[#parts + 1] = ("it is stopped when nobody has used it for %s"):format(text.age(engine.idle_timeout))
  end
  if text.given(engine.ttl) then
    parts[#parts + 1] = ("it is stopped %s after its start was asked for"):format(text.age(engine.ttl))
  end
  return #parts > 0 and parts or nil
end

-- One engine, field by field; what is not set is left out.
-- `events`: its last ones, as lines; or nil.
function show.engine(engine, events)
  local lines = {}
  local function line(label, value)
    if type(value) ~= "table" then
      value = text.given(value) ~= nil and value ~= "" and { text.plain(value) } or {}
    end
    for i, part in ipairs(value) do
      lines[#lines + 1] = ("%-12s %s\n"):format(i == 1 and label .. ":" or "", part)
    end
  end
  line("Name", engine.name)
  line("Id", engine.id)
  line("Type", engine.type)
  line("Platform", engine.platform)
  line("Version", engine.version)
  line("State", state_text(engine))
  line("Reason", engine.reason)
  line("Message", text.given(engine.message) and engine.message ~= "" and text.lines(engine.message) or nil)
  line("Health", engine.health)
  line("Endpoint", engine.endpoint)
  line("UI", engine.ui)
  line("Owner", engine.owner)
  line("Keeper", engine.keeper)
  line("Epoch", engine.epoch)
  line("Restarts", engine.restarts)
  line("Next start", moment(engine.next_start_at))
  line("Exit", exit_text(text.given(engine.exit)))
  line("Created", moment(engine.created_at))
  line("Started", moment(engine.started_at))
  line("Stopped", moment(engine.stopped_at))
  line("Heartbeat", moment(engine.heartbeat_at))
  line("Config", map_lines(engine.config))
  line("Labels", map_lines(engine.labels))
  line("Env", map_lines(engine.env))
  line("App", app_lines(text.given(engine.app)))
  line("Next", next_text(engine))
  if events and #events > 0 then
    lines[#lines + 1] = "Events:\n  " .. table.concat(events, "  ")
  end
  return table.concat(lines)
end

return show
