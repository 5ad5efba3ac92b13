-- Verbs that come in each other's way: whatever is asked for in whatever order, the last word counts,
-- one driver runs at most for each engine, and what a record says always fits together.

local server = require("support.server")

-- What no record may ever be (CONTRACT section 3).
local function consistent(e)
  local function must(fine, what)
    if not fine then error(what .. ": " .. rucat.json.encode(e), 3) end
  end
  local null = rucat.json.null
  must(e.desired ~= "Deleted" or e.reason == "Stopping" or e.state == "Stopped", "deleted, but not stopping")
  if e.reason == "BackOff" then
    must(e.state == "Stopped" and e.desired == "Running" and e.next_start_at ~= null, "BackOff")
  end
  if e.next_start_at ~= null then
    must(e.state == "Stopped" and e.desired == "Running", "next_start_at")
  end
  if e.state == "Running" then
    must(e.started_at ~= null, "started_at")
    must(e.reason == "Ready" or e.reason == "Stopping" or e.reason == "KillIncomplete", "a reason of Running")
  end
  if e.state == "Stopped" then
    must(e.endpoint == null and e.health == "unknown", "leftovers of a driver")
  end
end

local function workers(n, fn)
  local left, failed = n, nil
  for i = 1, n do
    rucat.timer.after(0, function()
      local fine, why = xpcall(fn, debug.traceback, i)
      left = left - 1
      failed = failed or not fine and why
    end)
  end
  server.eventually(function() return left == 0, left .. " left" end, 120, "the end of the workers")
  if failed then error(failed, 0) end
end

describe("engines that are pulled about", function()
  local s

  setup(function()
    s = server.start({ scripts = { ["policies/restart.lua"] = [[
return function(e, exit, history) return { restart = #history < 3, delay = 0.05 } end]] } })
  end)

  teardown(function() s:stop() end)

  it("end as was said last, with one driver each", function()
    local names = { "p1", "p2", "p3" }
    for i, name in ipairs(names) do
      s:create({ name = name, config = { run = i == 3 and "sleep 0.1; exit 1" or "exec sleep 1000", grace = 1 } })
    end
    local verbs = { "start", "stop", "restart", "restart", "stop", "start" }
    workers(6, function(k)
      local seed = k * 7919
      for _ = 1, 25 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        local name = names[seed // 65536 % 3 + 1]
        local verb = verbs[seed // 1024 % 6 + 1]
        local status, e = s:json("POST", ("/v1/engines/%s/%s%s"):format(name, verb, seed % 5 == 0 and "?wait=50ms" or ""))
        assert.are.equal(202, status)
        consistent(e)
        consistent(s:engine(name))
      end
    end)
    for _, name in ipairs(names) do
      local _, e = s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
      consistent(e)
      assert.are.equal("Stopped", e.state)
      assert.are.equal("Stopped", e.desired)
    end
    s:until_no_driver()
    for i = 1, 2 do
      local _, e = s:json("POST", "/v1/engines/" .. names[i] .. "/start?wait=20s")
      assert.are.equal("Running", e.state)
      assert.are.equal("Running", e.desired)
      assert.are.equal(0, e.restarts)
    end
    local sleeping = 0
    for _, pid in ipairs(s:drivers()) do
      local cmd = server.read("/proc/" .. pid .. "/cmdline") or ""
      if cmd:find("^sleep%z1000") then sleeping = sleeping + 1 end
    end
    assert.are.equal(2, sleeping)
    for _, name in ipairs(names) do
      local events, after = {}, nil
      repeat
        local page = s:get("/v1/engines/" .. name .. "/events?limit=1000" .. (after and "&cursor=" .. after or ""))
        table.move(page.events, 1, #page.events, #events + 1, events)
        after = page.next_cursor ~= rucat.json.null and page.next_cursor or nil
      until not after
      local state, epoch = "none", 0
      local legal = { Pending = { Running = 1, Stopped = 1 }, Running = { Stopped = 1 }, Stopped = { Pending = 1 } }
      for _, event in ipairs(events) do
        if event.kind == "state" then
          if event.from ~= rucat.json.null then
            assert(event.from == event.to or legal[event.from][event.to], event.from .. " to " .. event.to)
            assert.are.equal(state, event.from)
          end
          assert(event.epoch >= epoch)
          state, epoch = event.to, event.epoch
        end
      end
    end
    s:check_output()
  end)

  it("restart?wait waits for the new epoch", function()
    s:create({ name = "again" })
    local e = s:until_state("again", "Running")
    for _ = 1, 3 do
      local _, after = s:json("POST", "/v1/engines/again/restart?wait=20s")
      assert.are.equal("Running", after.state)
      assert.are.equal("Ready", after.reason)
      assert.are.equal(e.epoch + 1, after.epoch)
      e = after
    end
    s:json("POST", "/v1/engines/again/stop?wait=20s")
    local _, after = s:json("POST", "/v1/engines/again/restart?wait=20s")
    assert.are.equal("Running", after.state)
    assert.are.equal(e.epoch + 1, after.epoch)
  end)

  it("two restarts at once are one, one after the other are two", function()
    s:create({ name = "twice" })
    local e = s:until_state("twice", "Running")
    workers(4, function() s:json("POST", "/v1/engines/twice/restart?wait=20s") end)
    local after = s:engine("twice")
    assert.are.equal("Running", after.state)
    assert(after.epoch > e.epoch and after.epoch <= e.epoch + 4)
  end)

  it("start while it stops is a new epoch", function()
    s:create({ name = "slowly", config = { run = "trap '' TERM; sleep 1000 & wait; wait", grace = 0.4 } })
    local e = s:until_state("slowly", "Running")
    local _, stopping = s:json("POST", "/v1/engines/slowly/stop")
    consistent(stopping)
    local _, after = s:json("POST", "/v1/engines/slowly/start?wait=20s")
    assert.are.equal("Running", after.state)
    assert.are.equal(e.epoch + 1, after.epoch)
    -- and stopped again before that came true
    s:json("POST", "/v1/engines/slowly/restart")
    s:json("POST", "/v1/engines/slowly/start")
    _, after = s:json("POST", "/v1/engines/slowly/stop?wait=20s")
    assert.are.equal("Stopped", after.state)
    assert.are.equal("StoppedByUser", after.reason)
    assert.are.equal(e.epoch + 1, after.epoch)
  end)

  it("BackOff: stop, start and delete each end it at once", function()
    s:scripts({ ["policies/restart.lua"] = "return function() return { restart = true, delay = 1000 } end" })
    assert.are.equal(200, (s:reload()))
    for _, name in ipairs({ "b1", "b2", "b3", "b4" }) do
      s:create({ name = name, config = { run = "exit 1", ready = "never" } })
      consistent(s:until_state(name, "Stopped", "BackOff"))
    end
    local _, e = s:json("POST", "/v1/engines/b1/stop?wait=20s")
    consistent(e)
    assert.are.same({ "Stopped", "Stopped", "StoppedByUser", rucat.json.null },
      { e.state, e.desired, e.reason, e.next_start_at })
    _, e = s:json("POST", "/v1/engines/b2/start?wait=300ms")
    consistent(e)
    assert(e.epoch == 2, rucat.json.encode(e))
    _, e = s:json("POST", "/v1/engines/b4/restart?wait=300ms")
    consistent(e)
    assert(e.epoch == 2, rucat.json.encode(e))
    local status = s:json("DELETE", "/v1/engines/b3?wait=20s")
    assert.are.equal(202, status)
    assert.are.equal(404, (s:json("GET", "/v1/engines/b3")))
    -- a start that never comes up waits for the whole time, as a further start is due; then is refused
    s:scripts({ ["policies/restart.lua"] = "return function() return { restart = false, reason = 'Enough' } end" })
    assert.are.equal(200, (s:reload()))
    local began = rucat.clock.monotonic()
    _, e = s:json("POST", "/v1/engines/b2/start?wait=60s")
    assert(rucat.clock.monotonic() - began < 20)
    assert.are.same({ "Stopped", "Stopped", "Enough" }, { e.state, e.desired, e.reason })
    s:scripts({ ["policies/restart.lua"] = [[
return function(e, exit, history) return { restart = #history < 3, delay = 0.05 } end]] })
    assert.are.equal(200, (s:reload()))
  end)

  it("a waiter that goes away, and an engine that goes away under its waiters", function()
    s:create({ name = "gone", config = { run = "exec sleep 1000", ready = "never", timeout = 1000 } })
    for _ = 1, 5 do
      pcall(rucat.http.request, { url = s.url .. "/v1/engines/gone/start?wait=30s", method = "POST", timeout = 0.1 })
    end
    local answers = {}
    rucat.timer.after(0.2, function() s:json("DELETE", "/v1/engines/gone") end)
    workers(5, function(i)
      local verb = ({ "start", "stop", "start", "stop", "start" })[i]
      answers[i] = s:json("POST", "/v1/engines/gone/" .. (i % 2 == 0 and "start" or verb) .. "?wait=30s")
    end)
    for i = 1, 5 do
      assert(answers[i] == 202 or answers[i] == 409 or answers[i] == 404, tostring(answers[i]))
    end
    s:until_gone("gone")
    s:check_output()
  end)

  it("If-Match: of two that both know the same revision one wins", function()
    for round = 1, 5 do
      local name = "match" .. round
      s:create({ name = name })
      local e = s:until_engine(name, function(x) return x.state == "Running" and x.health == "healthy" end, 20)
      local tag = ('W/"%d"'):format(e.rev)
      local fine = 0
      workers(4, function()
        local status = s:json("POST", "/v1/engines/" .. name .. "/stop", nil, { ["if-match"] = tag })
        if status == 202 then fine = fine + 1 else assert.are.equal(412, status) end
      end)
      assert.are.equal(1, fine)
      s:json("DELETE", "/v1/engines/" .. name)
    end
  end)

  it("the server stops with jobs, waiters, asks and reloads under way", function()
    local s2 <close> = server.start({ scripts = { ["policies/health.lua"] = [[
return { interval = 0.1, timeout = 30, failures = 1, probe = function() rucat.timer.sleep(20) return true end,
  unhealthy = function() return "restart" end }]], ["handlers/slow.lua"] = [[
return { ["GET /slow"] = function() rucat.timer.sleep(20) return 200 end }]] },
      config = { limits = { drain = 0.2 } } })
    for i = 1, 4 do
      s2:create({ name = "x" .. i, config = i % 2 == 0 and { ready = "never", timeout = 1000 } or {} })
    end
    s2:until_state("x1", "Running")
    for i = 1, 4 do
      rucat.timer.after(0, function()
        pcall(rucat.http.request, { url = s2.url .. "/v1/engines/x" .. i .. "/restart?wait=60s", method = "POST", timeout = 20 })
      end)
      rucat.timer.after(0, function() pcall(rucat.http.request, { url = s2.url .. "/slow", timeout = 20 }) end)
    end
    rucat.timer.sleep(0.3)
    s2:signal("HUP")
    s2:signal("TERM")
    local exit = s2:wait_exit(20)
    s2:check_output()
    assert.are.equal(0, exit.code, s2:output())
    -- and the next one finds everything as it was wanted
    s2:start_again()
    for i = 1, 4 do
      s2:until_engine("x" .. i, function(e) return e.desired == "Running" and e.state == (i % 2 == 0 and "Pending" or "Running") end)
    end
  end)
end)
