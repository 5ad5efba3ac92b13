-- kill -9 anywhere: servers and rucat-engines are killed at random points, again and again, and each
-- is followed by a start. Whatever happens, there is exactly one driver for each engine and epoch,
-- none is lost, none is left over, what a record says is true, and no exit code is invented.
--
-- Needs the testing build (fail points). By default about a minute and a half, or 1,000 crashes,
-- whichever is first; SPEC_TORTURE multiplies both. SPEC_SEED repeats a row of decisions (not the
-- races between processes), and is printed.

local server = require("support.server")

local TIMES = tonumber(os.getenv("SPEC_TORTURE")) or 1
local SEED = math.tointeger(tonumber(os.getenv("SPEC_SEED")) or rucat.clock.now() * 1000 // 1 % 2147483648)
local WORLDS, ENGINES = 3, 5
local CRASHES, SECONDS = 1000 * TIMES, 90 * TIMES
local LEAST = 150 -- a machine that does not come to that many is broken
local TRACED = server.build .. "/fixtures/traced"
local null = rucat.json.null

local SCRIPTS = {
  ["templates/t_local.lua"] = [[
return { submit = function(engine, ctx)
  local c = engine.config
  return {
    argv = { c.program, "run", c.dir, engine.id, tostring(c.ms), tostring(c.mb) },
    ready = { log = "^ready", timeout = 20 }, stop = { signal = "TERM", grace = 3 },
  }
end }]],
  ["policies/restart.lua"] = "return function() return { restart = true, delay = 0 } end",
}

-- The points by name, so that each is met, also those that are passed seldom.
local SERVER_POINTS = {
  "store.write", "store.commit.before", "store.commit.after", "store.answer", "rpc.call", "rpc.message",
  "run_dir.lock.before", "run_dir.lock.after", "run_dir.plan.before", "run_dir.plan.after", "run_dir.look",
  "helper.spawn", "helper.spawned",
}

local world = {}
world.__index = world

-- A row of numbers of its own for each world.
function world:random(n)
  self.row = (self.row * 1103515245 + 12345) % 2147483648
  return self.row // 8 % n + 1
end

function world:one_of(list)
  return list[self:random(#list)]
end

-- What goes wrong in the next life of the server and of the rucat-engines it starts.
function world:fate()
  local env = { FAILPOINTS_SEED = tostring(self:random(1000000)) }
  local how = self:random(4)
  if how == 1 then
    env.FAILPOINTS = "*=crash@" .. self:random(80)
  elseif how <= 3 then
    env.FAILPOINTS = self:one_of(SERVER_POINTS) .. "=crash@" .. self:random(6)
  end
  env.FAILPOINTS_ENGINE = self:one_of({ "re.*=crash~40", "re.*=crash~15", "re.*=crash~100", "re.*=delay:3~3" })
  return env
end

-- One request to a server that may die in the middle.
function world:ask(method, path, body)
  local address = (server.read(self.s.state_dir .. "/address") or ""):match("%S+")
  if not address then
    return
  end
  self.listens = true
  local answer = rucat.http.request({
    url = "http://" .. address .. path, method = method, timeout = 5,
    body = body and rucat.json.encode(body), headers = body and { ["content-type"] = "application/json" },
  })
  return answer and answer.status, answer and rucat.json.decode(answer.body)
end

-- SIGKILL to one rucat-engine, at whatever it does just now.
function world:kill_helper()
  local _, out = server.run({ TRACED, "alive", self.dir })
  local pids = {}
  for pid in out:gmatch(" (%d+)\n") do
    pids[#pids + 1] = pid
  end
  local pid = #pids > 0 and self:one_of(pids)
  local parent = pid and (server.read("/proc/" .. pid .. "/stat") or ""):match("^%d+ %(.*%) %a (%d+)")
  if parent and (server.read("/proc/" .. parent .. "/comm") or "") == "rucat-engine\n" then
    server.run({ "kill", "-KILL", parent })
  end
end

function world:do_something()
  if self.listens and self:random(12) == 1 then
    return self:kill_helper()
  end
  local name = "e" .. self:random(ENGINES)
  local what = self:random(10)
  if what <= 3 then
    self:ask("POST", "/v1/engines", { name = name, type = "t", config = {
      program = TRACED, dir = self.dir, ms = self:one_of({ 0, 0, 0, 40, 150 }),
      mb = self:one_of({ 0, 0, 0, 0, 100 }) } })
  elseif what == 4 then
    self:ask("DELETE", "/v1/engines/" .. name)
  else
    self:ask("POST", ("/v1/engines/%s/%s"):format(name, self:one_of({ "start", "start", "stop", "restart" })))
  end
end

-- Starts a server, pulls engines about until it has died or its time is over, and kills it then.
function world:life()
  local s = self.s
  s.env = self:fate()
  s:spawn()
  self.listens = false
  local early = self:random(8) == 1 -- killed on its way up; else it gets some time to work
  local limit = rucat.clock.monotonic() + (early and self:random(60) / 1000 or 10)
  local time = self:random(250) / 1000
  local exit
  repeat
    exit = s.process:wait(0.003)
    if not exit then
      local listened = self.listens
      self:do_something()
      if self.listens and not listened and not early then
        limit = rucat.clock.monotonic() + time
      end
    end
  until exit or rucat.clock.monotonic() > limit
  if not exit then
    s.process:kill("KILL")
    exit = assert(s.process:wait(10))
  end
  assert(exit.signal == "SIGKILL", "the server ended by itself: " .. rucat.json.encode(exit) .. "\n" .. s:output())
  s.process:close()
  self.crashes = self.crashes + 1
end

-- id -> "EPOCH", of the drivers that hold their engine's lock now
function world:alive()
  local _, out = server.run({ TRACED, "alive", self.dir })
  local list = {}
  for engine, epoch in out:gmatch("(%S+) (%d+) %d+\n") do
    list[engine] = math.tointeger(tonumber(epoch))
  end
  return list
end

-- Reads the trace: started and ended, by "ENGINE EPOCH". There never were two of one.
function world:read_trace()
  local started, ended = {}, {}
  self.starts, self.ends = 0, 0
  for what, engine, epoch, rest in (server.read(self.dir .. "/trace") or ""):gmatch("(%a+) (%S+) (%d+) ([^\n]+)\n") do
    local key = engine .. " " .. epoch
    assert(what ~= "double", "two drivers at a time: " .. key .. " " .. rest)
    if what == "start" then
      assert(not started[key], "started twice: " .. key .. " " .. rest)
      started[key] = true
      self.starts = self.starts + 1
    else
      ended[key] = math.tointeger(tonumber(rest))
      self.ends = self.ends + 1
    end
  end
  return started, ended
end

local function settled(e)
  if e.desired == "Running" then
    return e.state == "Running" and e.reason == "Ready"
  end
  return e.state == "Stopped" and e.desired == "Stopped"
end

-- Each record against what is there; true, or what does not fit.
function world:compare(engines)
  local alive = self:alive()
  for _, e in ipairs(engines) do
    if not settled(e) then
      return false, "not settled: " .. rucat.json.encode(e)
    end
    local epoch = alive[e.id]
    if e.state == "Running" and epoch ~= e.epoch then
      return false, ("epoch %s runs: %s"):format(tostring(epoch), rucat.json.encode(e))
    elseif e.state == "Stopped" and epoch then
      return false, ("epoch %d runs: %s"):format(epoch, rucat.json.encode(e))
    end
    alive[e.id] = nil
  end
  local engine, epoch = next(alive)
  return engine == nil, engine and ("orphan: epoch %d of %s"):format(epoch, engine)
end

local function check_exits(engines, ended)
  for _, e in ipairs(engines) do
    local code = e.exit ~= null and e.exit.code
    if e.state == "Stopped" and code and code ~= null then
      local key = e.id .. " " .. e.epoch
      assert(ended[key] == code, ("exit code %s is invented, %s: %s"):format(
        code, tostring(ended[key]), rucat.json.encode(e)))
    end
  end
end

-- A server that nobody kills: everything becomes what was wanted.
function world:calm()
  local s = self.s
  s.env = {}
  s:spawn()
  s:wait_ready(20)
  for _, e in ipairs(s:get("/v1/engines").engines) do
    if e.config.ms > 0 then -- those that end by themselves would never be at rest
      s:json("POST", "/v1/engines/" .. e.id .. "/stop")
    end
  end
  local engines
  server.eventually(function()
    engines = s:get("/v1/engines").engines
    return self:compare(engines)
  end, 20, "that records and drivers agree")
  local _, ended = self:read_trace()
  check_exits(engines, ended)
  self.kept = (self.kept or 0) + #engines
  s:kill9()
  s.process:close()
  self.crashes = self.crashes + 1
end

function world:run(enough)
  local lives = 0
  while not enough() do
    lives = lives + 1
    if lives % 12 == 0 then
      self:calm()
    else
      self:life()
    end
  end
  self:calm()
  -- the last word: without engines nothing is left
  local s = self.s
  s.env = {}
  s:spawn()
  s:wait_ready(20)
  for _, e in ipairs(s:get("/v1/engines").engines) do
    s:json("DELETE", "/v1/engines/" .. e.id)
  end
  server.eventually(function() return #s:get("/v1/engines").engines == 0 end, 20, "that all engines are deleted")
  s:until_no_driver(10)
  assert.is_nil((next(self:alive())))
  self:read_trace()
end

function world.new(i)
  local s = server.start({ wait = false, scripts = SCRIPTS, config = { monitor = { interval = 1 } } })
  s.process:kill("KILL")
  assert(s.process:wait(10))
  s.process:close()
  return setmetatable({ s = s, dir = s.dir, row = (SEED + i * 7919) % 2147483648, crashes = 0 }, world)
end

describe("kill -9 anywhere", function()
  it("leaves one driver for each engine and epoch, and true records", function()
    print(("# SPEC_SEED=%d"):format(SEED))
    local worlds, left, failed = {}, WORLDS, nil
    local began = rucat.clock.monotonic()
    local function total()
      local crashes = 0
      for _, w in ipairs(worlds) do
        crashes = crashes + w.crashes + (w.starts or 0) - (w.ends or 0)
      end
      return crashes
    end
    local function enough()
      return failed or total() >= CRASHES or rucat.clock.monotonic() - began > SECONDS
    end
    for i = 1, WORLDS do
      worlds[i] = world.new(i)
    end
    for _, w in ipairs(worlds) do
      rucat.timer.after(0, function()
        local fine, why = xpcall(w.run, debug.traceback, w, enough)
        left = left - 1
        failed = failed or not fine and ("seed %d, in %s: %s"):format(SEED, w.dir, tostring(why))
      end)
    end
    server.eventually(function() return left == 0 end, SECONDS + 120, "the end of the torture")
    local lives, helpers, kept = 0, 0, 0
    for _, w in ipairs(worlds) do
      lives, helpers, kept = lives + w.crashes, helpers + (w.starts or 0) - (w.ends or 0), kept + (w.kept or 0)
      if failed and os.getenv("SPEC_KEEP") then
        print("# " .. w.dir)
      end
      w.s:stop()
    end
    print(("# %d servers and %d rucat-engines with a driver killed in %.0f s; %d records compared at rest"):format(
      lives, helpers, rucat.clock.monotonic() - began, kept))
    assert(not failed, failed)
    assert(total() >= math.min(LEAST, CRASHES), "too few crashes to say anything")
    assert(kept > 0)
  end)
end)
