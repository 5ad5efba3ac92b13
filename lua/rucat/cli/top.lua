-- rucat/cli/top.lua - `rucat top`: the engines with what they take, redrawn in place on a terminal.

local client = require("rucat.cli.client")
local colour = require("rucat.cli.colour")
local json = require("rucat.cli.json")
local show = require("rucat.cli.show")
local text = require("rucat.cli.text")

local DELAY = 2 -- seconds between two looks

-- All pages of a list: path, and the member that holds it.
local function all(server, path, member)
  local list, cursor = {}, nil
  repeat
    local page = server:json("GET", path .. client.query({ { "limit", 1000 }, { "cursor", cursor } }))
    if type(page[member]) ~= "table" then
      client.fail(1, "%s did not answer as rucat does", server.url)
    end
    table.move(page[member], 1, #page[member], #list + 1, list)
    cursor = text.given(page.next_cursor)
  until not cursor
  return list
end

local function uptime_of(engine)
  return engine.state == "Running" and text.since(engine.started_at) or nil
end

-- Per cent of one processor: since the look before where that saw the same driver, else since the
-- start.
local function cpu_of(engine, stats, before, now)
  local seconds = text.given(stats.cpu_seconds)
  local then_ = before[engine.id]
  if not seconds then
    return nil
  elseif then_ and then_.pid == stats.pid and seconds >= then_.seconds and now > then_.at then
    return 100 * (seconds - then_.seconds) / (now - then_.at)
  end
  local since = text.since(engine.started_at) or text.since(engine.created_at)
  return since and since > 0 and 100 * seconds / since or nil
end

-- One look: the engines, those that take most first, and what is to be known of them at the next.
local function look(server, before)
  local engines, stats, seen = all(server, "/v1/engines", "engines"), {}, {}
  for _, item in ipairs(all(server, "/v1/stats", "stats")) do
    stats[item.id] = item
  end
  local now = rucat.clock.monotonic()
  for _, engine in ipairs(engines) do
    local mine = stats[engine.id] or {}
    engine.cpu, engine.stats = cpu_of(engine, mine, before, now), mine
    if text.given(mine.cpu_seconds) then
      seen[engine.id] = { pid = mine.pid, seconds = mine.cpu_seconds, at = now }
    end
  end
  local place = { Running = 1, Pending = 2, Stopped = 3 }
  table.sort(engines, function(a, b)
    local x, y = place[a.state] or 4, place[b.state] or 4
    if x ~= y then
      return x < y
    end
    x, y = a.cpu or -1, b.cpu or -1
    if math.abs(x - y) >= 0.05 then
      return x > y
    end
    return a.name < b.name
  end)
  return engines, seen
end

local function word(value)
  value = text.given(value)
  return value ~= nil and value ~= "" and text.plain(value) or "-"
end

local function right(value, width)
  return (" "):rep(width - #value) .. value
end

local function row(engine)
  local up, memory = uptime_of(engine), text.given(engine.stats.memory_bytes)
  return {
    word(engine.name), word(engine.type), word(engine.state), word(engine.health),
    up and text.age(up) or "-", right(word(engine.restarts), 8),
    right(engine.cpu and ("%.1f"):format(engine.cpu) or "-", 6),
    right(memory and text.bytes(memory) or "-", 6), right(word(engine.stats.processes), 5),
    right(word(engine.stats.pid), 7), word(engine.reason),
  }
end

local HEADER = { "NAME", "TYPE", "STATE", "HEALTH", "UPTIME", "RESTARTS", "  %CPU", "MEMORY", "PROCS",
  "    PID", "REASON" }

local function summary(server, engines)
  local count, memory, cpu = { Running = 0, Pending = 0, Stopped = 0 }, 0, 0
  for _, engine in ipairs(engines) do
    count[engine.state] = (count[engine.state] or 0) + 1
    memory = memory + (text.given(engine.stats.memory_bytes) or 0)
    cpu = cpu + (engine.cpu or 0)
  end
  return ("%s  %d running, %d pending, %d stopped  %.1f %%CPU  %s"):format(
    text.plain(server.url), count.Running, count.Pending, count.Stopped, cpu, text.bytes(memory))
end

local function rows_of(engines, most)
  local rows = { HEADER }
  for i = 1, math.min(#engines, most or #engines) do
    rows[#rows + 1] = row(engines[i])
  end
  return rows
end

-- The beginning of each line that fits; colours are outside the count, so they are laid on after.
local function cut_rows(rows, columns)
  local used = 0
  for i = 1, #HEADER do
    local widest = 0
    for _, cells in ipairs(rows) do
      widest = math.max(widest, text.width(cells[i]))
    end
    if used + widest > columns then
      for _, cells in ipairs(rows) do
        for j = #cells, i + 1, -1 do
          cells[j] = nil
        end
        cells[i] = text.cut(cells[i], math.max(0, columns - used))
      end
      return rows
    end
    used = used + widest + 2
  end
  return rows
end

-- The screen that was there before comes back, however this ends.
local function take_screen()
  io.write("\27[?1049h\27[?25l")
  return setmetatable({}, { __close = function()
    io.write("\27[?25h\27[?1049l")
    io.flush()
  end })
end

local function draw(server, engines, trouble)
  local columns, lines = rucat.tty.size()
  columns, lines = columns or 80, lines or 24
  local copy = rows_of(engines, lines - 4)
  copy[1] = table.move(HEADER, 1, #HEADER, 1, {})
  local rows = cut_rows(copy, columns - 1)
  local body = text.table(rows, show.painter(rows)):gsub("\n", "\27[K\n")
  local first = trouble and colour.paint(text.cut(trouble, columns - 1), "red")
    or text.cut(summary(server, engines), columns - 1)
  local rest = #engines - (#rows - 1)
  io.write("\27[H", first, "\27[K\n\27[K\n", body, rest > 0 and ("%d more"):format(rest) or "", "\27[J")
  io.flush()
end

-- A look that may fail: what was seen last stays, with what is wrong above it.
local function look_again(server, engines, before)
  local ok, now, seen = pcall(look, server, before)
  if ok then
    return now, seen
  elseif type(now) == "table" and now.text then
    return engines, before, now.text:match("^[^\n]*")
  end
  error(now, 0)
end

local function live(server, given)
  local engines, before = look(server, {})
  local screen <close> = take_screen() -- luacheck: ignore 211
  local trouble
  local count = 1
  while true do
    draw(server, engines, trouble)
    if given.number and count >= given.number then
      break
    end
    rucat.timer.sleep(given.delay or DELAY)
    engines, before, trouble = look_again(server, engines, before)
    count = count + 1
  end
end

local function print_once(server, given, engines)
  if given.output then
    local list = rucat.json.array({})
    for i, engine in ipairs(engines) do
      local stats = engine.stats
      list[i] = {
        id = engine.id, name = engine.name, state = engine.state, health = engine.health,
        reason = engine.reason, restarts = engine.restarts,
        uptime = uptime_of(engine) or rucat.json.null, cpu_percent = engine.cpu or rucat.json.null,
        cpu_seconds = stats.cpu_seconds or rucat.json.null,
        memory_bytes = stats.memory_bytes or rucat.json.null, processes = stats.processes or 0,
        pid = stats.pid or rucat.json.null,
      }
    end
    io.write(json.text(list))
  else
    io.write(summary(server, engines), "\n\n", text.table(rows_of(engines)))
  end
  io.flush()
end

return function(server, given)
  if given.number == 0 then
    client.fail(2, "-n takes at least 1")
  elseif given.delay and given.delay < 0.1 then
    client.fail(2, "-d takes at least 100ms")
  end
  rucat.tty.interruptible()
  if rucat.tty.isatty(1) and not given.output and given.number ~= 1 then
    return live(server, given)
  end
  local before = {}
  for i = 1, given.number or 1 do
    if i > 1 then
      rucat.timer.sleep(given.delay or DELAY)
    end
    local engines
    engines, before = look(server, before)
    print_once(server, given, engines)
  end
end
