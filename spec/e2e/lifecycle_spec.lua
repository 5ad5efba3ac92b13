-- What becomes of an engine: started, stopped, restarted, crashed, never up, gone.

local support = require("support.server")

-- Restarts at once, twice.
local TWICE = [[
return function(engine, exit, history)
  return { restart = #history < 2, delay = 0 }
end
]]

describe("an engine", function()
  local s

  setup(function()
    s = support.start({ scripts = { ["policies/restart.lua"] = TWICE } })
  end)

  teardown(function()
    s:stop()
  end)

  -- A new engine of that config, deleted at the end of the test.
  local count = 0
  local function engine(config)
    count = count + 1
    local name = "e" .. count
    s:create({ name = name, config = config })
    return name
  end

  local function events(name)
    local list = s:get("/v1/engines/" .. name .. "/events?limit=1000").events
    local reasons = {}
    for i, event in ipairs(list) do
      reasons[i] = event.reason
    end
    return list, " " .. table.concat(reasons, " ") .. " "
  end

  it("starts, stops, starts again, restarts and is deleted", function()
    local name = engine({ run = "echo ready on 1234; exec sleep 1000", ready = "ready on (%d+)" })
    local e = s:until_state(name, "Running", "Ready")
    assert.are.equal(1, e.epoch)
    assert.are.equal("Running", e.desired)
    assert.matches(":1234", e.endpoint)
    assert.is_string(e.started_at)
    assert.are.equal(rucat.json.null, e.stopped_at)

    local status, answer = s:json("POST", "/v1/engines/" .. name .. "/stop")
    assert.are.equal(202, status)
    assert.are.equal("Stopped", answer.desired)
    e = s:until_state(name, "Stopped", "StoppedByUser")
    assert.are.equal("Stopped", e.desired)
    assert.are.equal(rucat.json.null, e.endpoint)
    assert.is_string(e.stopped_at)
    assert.are.equal("SIGTERM", e.exit.signal)
    assert.are.equal(202, (s:json("POST", "/v1/engines/" .. name .. "/stop"))) -- again is fine

    assert.are.equal(202, (s:json("POST", "/v1/engines/" .. name .. "/start")))
    e = s:until_state(name, "Running", "Ready")
    assert.are.equal(2, e.epoch)
    assert.are.equal(202, (s:json("POST", "/v1/engines/" .. name .. "/start"))) -- again is fine
    assert.are.equal(2, s:engine(name).epoch)

    assert.are.equal(202, (s:json("POST", "/v1/engines/" .. name .. "/restart")))
    e = s:until_engine(name, function(now)
      return now.state == "Running" and now.reason == "Ready" and now.epoch == 3
    end)
    assert.are.equal(0, e.restarts)

    s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    assert.are.equal(202, (s:json("POST", "/v1/engines/" .. name .. "/restart"))) -- is a start
    s:until_engine(name, function(now)
      return now.state == "Running" and now.epoch == 4
    end)
    assert.are.equal(202, (s:json("DELETE", "/v1/engines/" .. name)))
    s:until_gone(name)
    assert.is_false(support.exists(s.state_dir .. "/engines/" .. e.id))
  end)

  it("is answered for with ?wait when it is so", function()
    local name = engine({ run = "sleep 0.3; echo up; exec sleep 1000", ready = "up" })
    local status, e = s:json("POST", "/v1/engines/" .. name .. "/start?wait=20s")
    assert.are.equal(202, status)
    assert.are.equal("Running", e.state)
    e = select(2, s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s"))
    assert.are.equal("Stopped", e.state)
    e = select(2, s:json("POST", "/v1/engines/" .. name .. "/restart?wait=20s"))
    assert.are.equal("Running", e.state)
    assert.are.equal(2, e.epoch)
  end)

  it("is answered for with ?wait when the time is over, or nothing more will come", function()
    local slow = engine({ run = "exec sleep 1000", ready = "never" })
    local began = rucat.clock.monotonic()
    local status, e = s:json("POST", "/v1/engines/" .. slow .. "/start?wait=300ms")
    local took = rucat.clock.monotonic() - began
    assert.are.equal(202, status)
    assert.are.equal("Pending", e.state)
    assert.is_true(took >= 0.29 and took < 10, took)
    s:json("POST", "/v1/engines/" .. slow .. "/stop")

    local bad = engine({ run = "exit 1", ready = "never" })
    began = rucat.clock.monotonic()
    e = select(2, s:json("POST", "/v1/engines/" .. bad .. "/start?wait=60s"))
    assert.are.equal("Stopped", e.state)
    assert.are.equal("Stopped", e.desired)
    assert.is_true(rucat.clock.monotonic() - began < 20)
    for _, wrong in ipairs({ "x", "-1", "6m", "" }) do
      assert.are.equal(422, (s:json("POST", "/v1/engines/" .. bad .. "/start?wait=" .. wrong)), wrong)
    end
  end)

  it("is restarted after a crash, at most as the policy says, and says what happened", function()
    local name = engine({ run = "echo up; exec sleep 1000", ready = "up" })
    local e = s:until_state(name, "Running", "Ready")
    for round = 1, 3 do
      local epoch = e.epoch
      local pids = support.processes("RUCAT_EPOCH=" .. epoch .. "\0")
      local killed = false
      for _, pid in ipairs(pids) do
        local environ = support.read("/proc/" .. pid .. "/environ") or ""
        local cwd = support.read("/proc/" .. pid .. "/cmdline") or ""
        if environ:find(s.dir, 1, true) and cwd:find("sleep", 1, true)
           and (select(2, support.run({ "readlink", "/proc/" .. pid .. "/cwd" }))):find(e.id, 1, true) then
          support.run({ "kill", "-KILL", tostring(pid) })
          killed = true
        end
      end
      assert.is_true(killed, "no driver in round " .. round)
      if round < 3 then
        e = s:until_engine(name, function(now)
          return now.state == "Running" and now.epoch > epoch
        end)
        assert.are.equal(round, e.restarts)
      end
    end
    e = s:until_engine(name, function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("Exited", e.reason)
    assert.are.equal("SIGKILL", e.exit.signal)
    local _, reasons = events(name)
    assert.matches("Exited", reasons)
    -- a start begins anew
    s:json("POST", "/v1/engines/" .. name .. "/start")
    e = s:until_state(name, "Running", "Ready")
    assert.are.equal(0, e.restarts)
  end)

  it("that cannot start is StartFailed, with what it said last", function()
    local name = engine({ run = "echo first; echo the disk is on fire >&2; exit 7", ready = "never" })
    local e = s:until_engine(name, function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("the disk is on fire", e.message)
    assert.are.equal(7, e.exit.code)
    assert.are.equal(rucat.json.null, e.exit.signal)
    assert.are.equal(2, e.restarts)
    assert.are.equal(3, e.epoch)
  end)

  it("that is not up in time is StartTimeout, and nothing of it is left", function()
    local name = engine({ run = "trap '' TERM; sleep 999 & wait", ready = "never", timeout = 0.2,
                          grace = 0.2 })
    local e = s:until_engine(name, function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end, 30)
    assert.are.equal("StartTimeout", e.reason)
  end)

  it("whose program is not there says so", function()
    local name = engine({ missing = "/nowhere/engine" })
    local e = s:until_engine(name, function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("/nowhere/engine", e.message, 1, true)
  end)

  it("that ignores TERM is killed after its grace", function()
    local name = engine({ run = "trap '' TERM; echo up; while :; do sleep 0.1; done", ready = "up",
                          grace = 0.3 })
    s:until_state(name, "Running")
    local _, e = s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    assert.are.equal("Stopped", e.state)
    assert.are.equal("SIGKILL", e.exit.signal)
  end)

  it("leaves no process when its children try to stay", function()
    local name = engine({ run = "setsid sh -c 'setsid sleep 998 & sleep 997' & echo up; exec sleep 1000",
                          ready = "up" })
    s:until_state(name, "Running")
    s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    for _, pid in ipairs(s:drivers()) do
      local words = support.read("/proc/" .. pid .. "/cmdline") or ""
      assert.is_nil(words:find("sleep\00099"), words)
    end
  end)

  it("says Stopping from the answer on until it has stopped", function()
    local slow = "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    local name = engine({ run = slow, ready = "up" })
    s:until_state(name, "Running")
    local _, e = s:json("POST", "/v1/engines/" .. name .. "/restart")
    assert.are.same({ "Running", "Running", "Stopping", 1 }, { e.state, e.desired, e.reason, e.epoch })
    assert.are.equal("Stopping", s:engine(name).reason)
    e = s:until_engine(name, function(now)
      return now.state == "Running" and now.reason ~= "Stopping"
    end)
    assert.are.equal(2, e.epoch)
    _, e = s:json("POST", "/v1/engines/" .. name .. "/stop")
    assert.are.same({ "Running", "Stopped", "Stopping" }, { e.state, e.desired, e.reason })
    s:until_state(name, "Stopped", "StoppedByUser")
  end)

  it("that is told to start while it stops starts when it has stopped", function()
    local slow = "trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    local name = engine({ run = slow, ready = "up" })
    s:until_state(name, "Running")
    s:json("POST", "/v1/engines/" .. name .. "/stop")
    local _, e = s:json("POST", "/v1/engines/" .. name .. "/start?wait=20s")
    assert.are.same({ "Running", "Ready", 2 }, { e.state, e.reason, e.epoch })
    assert.are.equal(0, e.restarts)
  end)

  it("that ends with 143 after TERM has code 143", function()
    local name = engine({ run = "trap 'exit 143' TERM; echo up; while :; do sleep 0.05; done", ready = "up" })
    s:until_state(name, "Running")
    local _, e = s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    assert.are.equal(143, e.exit.code)
    assert.are.equal(rucat.json.null, e.exit.signal)
  end)

  it("is stopped while it starts", function()
    local name = engine({ run = "exec sleep 1000", ready = "never" })
    s:until_state(name, "Pending")
    local _, e = s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    assert.are.equal("Stopped", e.state)
    assert.are.equal("StoppedByUser", e.reason)
  end)

  it("is deleted while it starts", function()
    local name = engine({ run = "exec sleep 1000", ready = "never" })
    s:until_state(name, "Pending")
    local status = s:json("DELETE", "/v1/engines/" .. name)
    assert.are.equal(202, status)
    s:until_gone(name)
  end)

  it("that is being deleted refuses to start", function()
    local name = engine({ run = "trap '' TERM; echo up; while :; do sleep 0.1; done", ready = "up",
                          grace = 1.5 })
    s:until_state(name, "Running")
    s:json("DELETE", "/v1/engines/" .. name)
    assert.are.equal(409, (s:json("POST", "/v1/engines/" .. name .. "/start")))
    assert.are.equal(409, (s:json("POST", "/v1/engines", { name = name, type = "test" })))
    s:until_gone(name)
    s:create({ name = name })
  end)

  it("has a log, whole or its tail, over restarts", function()
    local name = engine({ run = "echo one; echo two; echo three; exec sleep 1000", ready = "three" })
    s:until_state(name, "Running")
    local answer = s:http("GET", "/v1/engines/" .. name .. "/logs")
    assert.are.equal(200, answer.status)
    assert.matches("^text/plain", answer.headers["content-type"])
    assert.are.equal("one\ntwo\nthree\n", answer.body)
    assert.are.equal("two\nthree\n", s:http("GET", "/v1/engines/" .. name .. "/logs?tail=2").body)
    s:json("POST", "/v1/engines/" .. name .. "/restart?wait=20s")
    assert.matches("one\ntwo\nthree\none\ntwo\nthree\n", s:http("GET", "/v1/engines/" .. name .. "/logs").body,
                   1, true)
    for _, wrong in ipairs({ "x", "-1", "1.5" }) do
      assert.are.equal(422, (s:json("GET", "/v1/engines/" .. name .. "/logs?tail=" .. wrong)), wrong)
    end
    assert.are.equal("", s:http("GET", "/v1/engines/" .. name .. "/logs?tail=0").body)
    assert.are.equal(422, (s:json("GET", "/v1/engines/" .. name .. "/logs?follow=maybe")))
  end)

  it("writes an event for each change of state", function()
    local name = engine({ run = "echo up; exec sleep 1000", ready = "up" })
    s:until_state(name, "Running")
    s:json("POST", "/v1/engines/" .. name .. "/stop?wait=20s")
    local list, reasons = events(name)
    assert.matches(" Ready ", reasons)
    assert.matches(" StoppedByUser ", reasons)
    local last
    for _, event in ipairs(list) do
      assert.are.equal(name, event.name)
      assert.is_truthy(rucat.clock.parse(event.at))
      assert.is_true(last == nil or event.id > last)
      last = event.id
    end
    local all = s:get("/v1/events?limit=3").events
    assert.are.equal(3, #all)
  end)

  it("with a port that accepts is up only then", function()
    local name = engine({
      run = [[exec python3 -uc '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0))
print("port", s.getsockname()[1]); time.sleep(0.3); s.listen(); time.sleep(1000)']],
      ready = "port (%d+)", tcp = true,
    })
    local e = s:until_state(name, "Running", "Ready", 20)
    local port = math.tointeger(tonumber(e.endpoint:match(":(%d+)")))
    assert.is_true((rucat.tcp.connect("127.0.0.1", port, 5)))
    assert.is_string(e.heartbeat_at)
  end)

  it("of platform external is watched, not started", function()
    local status, e = s:json("POST", "/v1/engines", { name = "ext", type = "spark", platform = "external",
                                                      endpoint = "sc://127.0.0.1:15002" })
    assert.are.equal(201, status, rucat.json.encode(e))
    e = s:until_state("ext", "Running")
    assert.are.equal("sc://127.0.0.1:15002", e.endpoint)
    s:json("POST", "/v1/engines/ext/stop?wait=20s")
    assert.are.equal("Stopped", s:engine("ext").state)
    s:json("DELETE", "/v1/engines/ext")
    s:until_gone("ext")
    assert.are.equal(422, (s:json("POST", "/v1/engines", { name = "ext2", platform = "external" })))
    assert.are.equal(422, (s:json("POST", "/v1/engines", { name = "ext3", type = "test", endpoint = "sc://x:1" })))
  end)
end)

describe("with the shipped restart policy, an engine", function()
  local s

  setup(function()
    s = support.start()
  end)

  teardown(function()
    s:stop()
  end)

  it("of platform external has no rucat-engine, and so no heartbeat of one to miss", function()
    local quick <close> = support.start({ config = { monitor = { interval = 0.1 } }, scripts = {
      ["policies/health.lua"] = [[
        return { interval = 0.2, timeout = 2, failures = 1, probe = function(engine)
          return true, rucat.state.incr("asked")
        end, unhealthy = function() return "ignore" end }]],
      ["handlers/asked.lua"] = 'return { ["GET /v1/asked"] = function() return 200, rucat.state.get("asked") or 0 end }',
    } })
    quick:create({ name = "ext", type = "db", platform = "external", endpoint = "tcp://127.0.0.1:1" })
    quick:until_state("ext", "Running")
    -- three beats and a second are over, and it was asked since
    local over = rucat.clock.monotonic() + 2
    support.eventually(function()
      assert.not_equal("unhealthy", quick:engine("ext").health, quick:engine("ext").message)
      return rucat.clock.monotonic() > over and quick:get("/v1/asked") > 5
    end, 20)
    assert.equal("healthy", quick:engine("ext").health)
  end)

  it("that crashes is Stopped but wanted Running until the next try: BackOff", function()
    s:create({ name = "crash", config = { run = "echo up; exit 1", ready = "up" } })
    local e = s:until_engine("crash", function(now)
      return now.reason == "BackOff"
    end, 20)
    assert.are.equal("Stopped", e.state)
    assert.are.equal("Running", e.desired)
    assert.is_string(e.next_start_at)
    assert.matches("Exited", e.message)
    local status = s:json("POST", "/v1/engines/crash/stop?wait=20s")
    assert.are.equal(202, status)
    e = s:engine("crash")
    assert.are.equal("Stopped", e.state)
    assert.are.equal("Stopped", e.desired)
    assert.are.equal(rucat.json.null, e.next_start_at)
  end)

  it("that never comes up is given up after five tries", function()
    s:create({ name = "hopeless", config = { run = "exit 1", ready = "never" } })
    local e = s:until_engine("hopeless", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end, 60)
    assert.are.equal("StartFailed", e.reason)
    assert.are.equal(5, e.epoch)
    assert.are.equal(4, e.restarts)
  end)
end)
