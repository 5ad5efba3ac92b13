-- rucat/cli/replay.lua - what a server's events tell of the questions that its policies were asked, as
-- cases to ask again (see asking.lua). Only what was recorded can be: ends of drivers, creates, and
-- requests that were carried out. What was refused left no event.

local client = require("rucat.cli.client")
local text = require("rucat.cli.text")

local replay = {}

local HISTORY_MAX = 32

-- Without JSON's nulls, as policies see it.
local function plain(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, item in pairs(value) do
    if item ~= rucat.json.null then
      copy[key] = plain(item)
    end
  end
  return copy
end

-- All events, oldest first, of one engine or of all.
local function read_events(server, engine)
  local list, cursor = {}, nil
  local path = engine and client.path(engine, "/events") or "/v1/events"
  repeat
    local page = server:json("GET", path .. client.query({ { "limit", 1000 }, { "cursor", cursor } }))
    for _, event in ipairs(type(page.events) == "table" and page.events or {}) do
      list[#list + 1] = event
    end
    cursor = text.given(page.next_cursor)
  until not cursor
  return list
end

-- The engines that there are, by id.
local function read_engines(server, engine)
  local byid, cursor = {}, nil
  if engine then
    local one = server:json("GET", client.path(engine))
    return { [one.id] = plain(one) }
  end
  repeat
    local page = server:json("GET", "/v1/engines" .. client.query({ { "limit", 1000 }, { "cursor", cursor } }))
    for _, one in ipairs(type(page.engines) == "table" and page.engines or {}) do
      byid[one.id] = plain(one)
    end
    cursor = text.given(page.next_cursor)
  until not cursor
  return byid
end

-- The engine as the event kept it; what it did not keep is as the engine is now, if there still is one.
local function engine_at(event, engines)
  local engine = {}
  for _, source in ipairs({ engines[event.engine] or {}, plain(event.data.engine or {}) }) do
    for key, value in pairs(source) do
      engine[key] = value
    end
  end
  engine.id, engine.name, engine.epoch = event.engine, event.name, event.epoch
  for _, map in ipairs({ "config", "labels", "env" }) do
    engine[map] = engine[map] or {}
  end
  return engine
end

-- "exit 1, 20s", "SIGKILL (out of memory), 3m20s", "exit 1, never up"
function replay.exit_text(exit)
  local how = exit.signal and text.plain(exit.signal) or exit.code and "exit " .. exit.code or "not known"
  if exit.oom then
    how = how .. " (out of memory)"
  end
  return how .. ", " .. (exit.phase == "starting" and "never up" or "up " .. text.age(exit.uptime or 0))
end

-- Ends of drivers. The history of each is made of the ends before it: the event says how many counted.
local function restarts(events, engines, since)
  local ends, cases = {}, {}
  for _, event in ipairs(events) do
    local data = type(event.data) == "table" and event.data
    if event.kind == "policy" and data and data.policy == "restart" then
      local exit, at = plain(data.exit), rucat.clock.parse(event.at)
      local before = ends[event.engine] or {}
      ends[event.engine] = before
      local history = rucat.json.array {}
      for i = 1, math.min(data.history or 0, #before, HISTORY_MAX) do
        history[i] = before[i]
      end
      if at >= since then
        cases[#cases + 1] = {
          at = at, name = event.name, what = replay.exit_text(exit),
          args = { engine_at(event, engines), exit, history }, did = plain(data.decision),
          note = (data.history or 0) > #history and "older ends are not recorded any more"
            or data.shipped and "the shipped policy decided" or nil,
        }
      end
      table.insert(before, 1, { at = at, exit = exit, uptime = exit.uptime })
      before[HISTORY_MAX + 1] = nil
    end
  end
  return cases
end

local function creates(events, _, since)
  local cases = {}
  for _, event in ipairs(events) do
    local data, at = type(event.data) == "table" and event.data, rucat.clock.parse(event.at)
    if event.kind == "state" and data and data.request and at >= since then
      local user = plain(data.user)
      cases[#cases + 1] = {
        at = at, name = event.name, what = ("create by %s (%s)"):format(user.name, user.role),
        args = { plain(data.request), user, plain(data.counts) }, did = { admit = true },
      }
    end
  end
  return cases
end

local VERBS = { start = { "start" }, stop = { "stop" }, restart = { "stop", "start" }, delete = { "delete" } }

local function requests(events, engines, since)
  local cases = {}
  for _, event in ipairs(events) do
    local data, at = type(event.data) == "table" and event.data, rucat.clock.parse(event.at)
    local create = event.kind == "state" and data and data.request
    local verbs = create and { "create" } or event.kind == "request" and VERBS[event.reason]
    if verbs and data and data.user and at >= since then
      local user = plain(data.user)
      cases[#cases + 1] = {
        at = at, name = event.name, verbs = verbs,
        what = ("%s by %s (%s)"):format(create and "create" or event.reason, user.name, user.role),
        args = { user, not create and engine_at(event, engines) or nil }, did = { allow = true },
      }
    end
  end
  return cases
end

local kinds = { restart = restarts, admission = creates, auth = requests }

-- Why the others cannot be replayed.
replay.cannot = {
  health = "health.lua asks engines how they are now: nothing recorded can be asked again",
  idle = "how engines were used is not recorded, so idle.lua cannot be asked again",
}

-- What is not in what is replayed.
replay.left_out = {
  restart = "each end is asked by itself: what would have followed another answer is not guessed; "
    .. "rucat.state begins empty",
  admission = "creates that were refused are not recorded; secrets are \"***\"",
  auth = "requests that were refused, and reads, are not recorded",
}

-- The cases of that kind since then, oldest first.
function replay.cases(server, kind, since, engine)
  local engines = read_engines(server, engine)
  return kinds[kind](read_events(server, engine), engines, since)
end

return replay
