-- kill -9 of two replicas on one database, again and again, at random points, some of them away for
-- longer than their lease, so that the other takes over what runs, and they come back. Whatever happens:
-- there never are two drivers of an engine at a time, no epoch is started twice, none is left over, and
-- what a record says is true.
--
-- Needs the testing build (fail points). SPEC_TORTURE multiplies its time; SPEC_SEED repeats a row of
-- decisions (not the races between processes), and is printed.

local server = require("support.server")
local replicas = require("support.replicas")

local TIMES = tonumber(os.getenv("SPEC_TORTURE")) or 1
local SEED = math.tointeger(tonumber(os.getenv("SPEC_SEED")) or rucat.clock.now() * 1000 // 1 % 2147483648)
local SECONDS, CALM, ENGINES, LEAST = 60 * TIMES, 12, 6, 15
local TRACED = server.build .. "/fixtures/traced"

local SCRIPTS = {
  ["templates/t_local.lua"] = [[
return { submit = function(engine, ctx)
  local c = engine.config
  return {
    argv = { c.program, "run", c.dir, engine.id, tostring(c.ms), "0" },
    ready = { log = "^ready", timeout = 20 }, stop = { signal = "TERM", grace = 3 },
  }
end }]],
  ["policies/restart.lua"] = "return function() return { restart = true, delay = 0 } end",
}

local POINTS = {
  "store.answer", "rpc.call", "rpc.message", "run_dir.lock.before", "run_dir.lock.after", "run_dir.plan.before",
  "run_dir.plan.after", "run_dir.look", "helper.spawn", "helper.spawned",
}

local row = SEED

local function random(n)
  row = (row * 1103515245 + 12345) % 2147483648
  return row // 8 % n + 1
end

local function one_of(list)
  return list[random(#list)]
end

local function fate()
  local env = { FAILPOINTS_SEED = tostring(random(1000000)) }
  if random(3) > 1 then
    env.FAILPOINTS = one_of(POINTS) .. "=crash@" .. random(6)
  end
  env.FAILPOINTS_ENGINE = one_of({ "re.*=crash~100", "re.*=crash~400", "re.*=delay:3~3" })
  return env
end

-- One request to a server that may die in the middle.
local function ask(s, method, path, body)
  local address = (server.read(s.state_dir .. "/address") or ""):match("%S+")
  if address then
    rucat.http.request({
      url = "http://" .. address .. path, method = method, timeout = 5,
      body = body and rucat.json.encode(body), headers = body and { ["content-type"] = "application/json" },
    })
  end
end

local function do_something(s, dir)
  local name = "e" .. random(ENGINES)
  local what = random(12)
  if what <= 4 then
    ask(s, "POST", "/v1/engines", { name = name, type = "t", config = { program = TRACED, dir = dir,
                                                                        ms = one_of({ 0, 0, 0, 150 }) } })
  elseif what == 5 then
    ask(s, "DELETE", "/v1/engines/" .. name)
  else
    ask(s, "POST", ("/v1/engines/%s/%s"):format(name, one_of({ "start", "start", "stop", "restart" })))
  end
end

-- id -> epoch, of the drivers that hold their engine's lock now
local function alive(dir)
  local _, out = server.run({ TRACED, "alive", dir })
  local list = {}
  for engine, epoch in out:gmatch("(%S+) (%d+) %d+\n") do
    list[engine] = math.tointeger(tonumber(epoch))
  end
  return list
end

local function check_trace(dir)
  local started = {}
  for what, engine, epoch, rest in (server.read(dir .. "/trace") or ""):gmatch("(%a+) (%S+) (%d+) ([^\n]+)\n") do
    local key = engine .. " " .. epoch
    assert(what ~= "double", "two drivers at a time: " .. key .. " " .. rest)
    if what == "start" then
      assert(not started[key], "started twice: " .. key .. " " .. rest)
      started[key] = true
    end
  end
end

local function compare(dir, engines)
  local live = alive(dir)
  for _, e in ipairs(engines) do
    local running = e.desired == "Running"
    if running and (e.state ~= "Running" or e.reason ~= "Ready") or not running and e.state ~= "Stopped" then
      return false, "not settled: " .. rucat.json.encode(e)
    elseif live[e.id] ~= (running and e.epoch or nil) then
      return false, ("epoch %s runs: %s"):format(tostring(live[e.id]), rucat.json.encode(e))
    end
    live[e.id] = nil
  end
  local engine, epoch = next(live)
  return engine == nil, engine and ("orphan: epoch %d of %s"):format(epoch, engine)
end

describe("kill -9 of replicas", function()
  it("leaves one driver for each engine and epoch, and true records", function()
    if replicas.missing then
      return pending(replicas.missing)
    end
    print(("# SPEC_SEED=%d"):format(SEED))
    local cluster <close> = replicas.start(0)
    local dir = cluster.dir
    for _ = 1, 2 do
      local s = cluster:add({ scripts = SCRIPTS })
      s:kill9()
      s.process:close()
    end
    local over, failed, kills, away, paused, resting = false, nil, 0, 0, false, 0
    -- The life of one server, over and over, until it is to rest.
    local function live(s)
      while not over do
        if paused then
          s.env = {}
          s:spawn()
          s:wait_ready(30)
          resting = resting + 1
          while paused do
            rucat.timer.sleep(0.05)
          end
          resting = resting - 1
        else
          s.env = fate()
          s:spawn()
        end
        local limit = rucat.clock.monotonic() + 0.1 + random(2500) / 1000
        local exit
        repeat
          exit = s.process:wait(0.005)
          if not exit then
            do_something(s, dir)
          end
        until exit or rucat.clock.monotonic() > limit
        if not exit then
          s.process:kill("KILL")
          exit = assert(s.process:wait(10))
        end
        if exit.signal ~= "SIGKILL" then
          error("the server ended by itself: " .. rucat.json.encode(exit) .. "\n" .. s:output(), 0)
        end
        s:check_output()
        s.process:close()
        kills = kills + 1
        if random(5) == 1 and not paused then
          away = away + 1
          rucat.timer.sleep(replicas.LEASE * 1.5)
        end
      end
    end
    local left = #cluster
    for _, s in ipairs(cluster) do
      rucat.timer.after(0, function()
        local fine, why = xpcall(live, debug.traceback, s)
        failed = failed or not fine and tostring(why)
        left = left - 1
      end)
    end
    local began, compared = rucat.clock.monotonic(), 0
    while rucat.clock.monotonic() - began < SECONDS and not failed do
      rucat.timer.sleep(CALM)
      paused = true
      server.eventually(function() return resting == #cluster or failed end, 60, "that both servers are there")
      if failed then
        break
      end
      for _, e in ipairs(cluster[1]:get("/v1/engines").engines) do
        if e.config.ms > 0 then -- those that end by themselves would never be at rest
          cluster[2]:json("POST", "/v1/engines/" .. e.id .. "/stop")
        end
      end
      local fine, why = pcall(server.eventually, function()
        local engines = cluster[1]:get("/v1/engines").engines
        local same, what = compare(dir, engines)
        compared = same and compared + #engines or compared
        return same, what
      end, 6 * replicas.LEASE + 20, "that records and drivers agree")
      fine, why = fine and pcall(check_trace, dir), why
      if not fine then
        failed = tostring(why) .. "\n" .. cluster[1]:output():sub(-4000) .. "\n---\n" .. cluster[2]:output():sub(-4000)
      end
      paused = false
    end
    over, paused = true, false
    server.eventually(function() return left == 0 end, 30, "the end of both")
    for _, s in ipairs(cluster) do
      s.env = {}
      s:spawn()
      s:wait_ready(30)
    end
    assert(not failed, failed and ("seed %d: %s"):format(SEED, failed))
    for _, e in ipairs(cluster[1]:get("/v1/engines").engines) do
      cluster[1]:json("DELETE", "/v1/engines/" .. e.id)
    end
    server.eventually(function() return #cluster[2]:get("/v1/engines").engines == 0 end, 6 * replicas.LEASE + 20,
      "that all engines are deleted")
    assert.is_nil((next(alive(dir)))) -- at once: an engine is removed when its driver has ended
    check_trace(dir)
    print(("# %d servers killed in %.0f s, %d of them away for longer than a lease; %d records compared at rest"):format(
      kills, rucat.clock.monotonic() - began, away, compared))
    assert(kills >= LEAST and compared > 0, "too little has happened to say anything")
  end)
end)
