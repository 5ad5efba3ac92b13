-- What lives on when the server goes, and what does not; one server for a state directory.

local support = require("support.server")

local UP = { run = "echo up on 4321; exec sleep 1000", ready = "up on (%d+)" }

local function driver_pids(s)
  local list = {}
  for _, pid in ipairs(s:drivers()) do
    local words = support.read("/proc/" .. pid .. "/cmdline") or ""
    if words:find("sleep\0", 1, true) then
      list[#list + 1] = pid
    end
  end
  return list
end

describe("embedded mode", function()
  it("takes its engines along on SIGTERM", function()
    local s <close> = support.start({ mode = "embedded" })
    for i = 1, 3 do
      s:create({ name = "e" .. i, config = UP })
    end
    for i = 1, 3 do
      s:until_state("e" .. i, "Running")
    end
    assert.are.equal(3, #driver_pids(s))
    assert.are.same({ code = 0 }, s:term())
    assert.are.equal(0, #s:drivers())
  end)

  it("takes its engines along on SIGINT", function()
    local s <close> = support.start({ mode = "embedded" })
    s:create({ name = "e", config = UP })
    s:until_state("e", "Running")
    s:signal("INT")
    assert.are.same({ code = 0 }, s:wait_exit())
    assert.are.equal(0, #s:drivers())
  end)

  it("leaves no process on kill -9", function()
    local s <close> = support.start({ mode = "embedded" })
    s:create({ name = "good", config = UP })
    s:create({ name = "deaf", config = { run = "trap '' TERM; echo up; while :; do sleep 0.1; done",
                                         ready = "up", grace = 0.3 } })
    s:create({ name = "early", config = { run = "exec sleep 1000", ready = "never" } })
    s:until_state("good", "Running")
    s:until_state("deaf", "Running")
    s:until_engine("early", function()
      return #driver_pids(s) >= 2
    end)
    s:kill9()
    s:until_no_driver(15)
  end)

  it("hurries at a second signal", function()
    local s <close> = support.start({ mode = "embedded" })
    s:create({ name = "deaf", config = { run = "trap '' TERM; echo up; while :; do sleep 0.1; done",
                                         ready = "up", grace = 30 } })
    s:until_state("deaf", "Running")
    local began = rucat.clock.monotonic()
    s:signal("TERM")
    support.eventually(function()
      return s:output():find("stopping", 1, true)
    end)
    s:signal("TERM")
    s:wait_exit(15)
    assert.is_true(rucat.clock.monotonic() - began < 15)
    s:until_no_driver(10)
  end)

  it("begins empty", function()
    local s <close> = support.start({ mode = "embedded" })
    s:create({ name = "e", config = UP })
    s:until_state("e", "Running")
    s:kill9()
    s:until_no_driver(15)
    s:start_again()
    assert.are.equal(0, #s:get("/v1/engines").engines)
    s:create({ name = "e", config = UP })
    s:until_state("e", "Running")
  end)
end)

describe("local mode", function()
  -- Ends the server by `how` and starts the next one.
  local function again(s, how)
    if how == "TERM" then
      assert.are.same({ code = 0 }, s:term())
    else
      s:kill9()
    end
    s:start_again()
  end

  for _, how in ipairs({ "TERM", "KILL" }) do
    it("adopts engines after SIG" .. how, function()
      local s <close> = support.start()
      s:create({ name = "keep", config = UP })
      local before = s:until_state("keep", "Running", "Ready")
      local pids = driver_pids(s)
      assert.are.equal(1, #pids)
      again(s, how)
      local after = s:until_state("keep", "Running", "Ready")
      assert.are.equal(before.epoch, after.epoch)
      assert.are.equal(before.id, after.id)
      assert.are.equal(before.endpoint, after.endpoint)
      assert.are.same(pids, driver_pids(s))
      local _, e = s:json("POST", "/v1/engines/keep/stop?wait=20s")
      assert.are.equal("Stopped", e.state)
      assert.are.equal("StoppedByUser", e.reason)
      assert.are.equal("SIGTERM", e.exit.signal)
      s:until_no_driver(10)
    end)
  end

  it("finds a driver in mid-start, which comes up for the next server", function()
    local s <close> = support.start()
    local flag = s.dir .. "/go"
    s:create({ name = "slow", config = {
      run = ("while ! test -e %s; do sleep 0.02; done; echo up; exec sleep 1000"):format(flag),
      ready = "up", timeout = 60,
    } })
    local before = s:until_state("slow", "Pending")
    support.eventually(function()
      return #s:drivers() >= 2
    end)
    s:kill9()
    support.write(flag, "")
    s:start_again()
    local after = s:until_state("slow", "Running", "Ready")
    assert.are.equal(before.epoch, after.epoch)
    assert.are.equal(1, #driver_pids(s))
  end)

  it("sees that an engine died while it was away, and how", function()
    local s <close> = support.start({ scripts = { ["policies/restart.lua"] =
      "return function() return { restart = false } end" } })
    s:create({ name = "gone", config = UP })
    s:until_state("gone", "Running")
    local pids = driver_pids(s)
    s:kill9()
    support.run({ "kill", "-KILL", tostring(pids[1]) })
    s:until_no_driver(10)
    s:start_again()
    local e = s:until_engine("gone", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("Exited", e.reason)
    assert.are.equal("SIGKILL", e.exit.signal)
  end)

  it("restarts what died while it was away, if the policy says so", function()
    local s <close> = support.start()
    s:create({ name = "again", config = UP })
    s:until_state("again", "Running")
    local pids = driver_pids(s)
    s:term()
    support.run({ "kill", "-KILL", tostring(pids[1]) })
    s:until_no_driver(10)
    s:start_again()
    local e = s:until_engine("again", function(now)
      return now.state == "Running" and now.epoch == 2
    end)
    assert.are.equal(1, e.restarts)
  end)

  it("takes the driver along when its helper is killed", function()
    local s <close> = support.start({ scripts = { ["policies/restart.lua"] =
      "return function() return { restart = false } end" } })
    s:create({ name = "orphan", config = UP })
    s:until_state("orphan", "Running")
    for _, pid in ipairs(s:drivers()) do
      local words = support.read("/proc/" .. pid .. "/cmdline") or ""
      if words:find("rucat-engine", 1, true) then
        support.run({ "kill", "-KILL", tostring(pid) })
      end
    end
    local e = s:until_engine("orphan", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end, 20)
    assert.are.equal("Exited", e.reason)
    s:until_no_driver(10)
  end)

  it("keeps stopped engines and events", function()
    local s <close> = support.start()
    s:create({ name = "old", config = UP, labels = { a = "b" } })
    s:until_state("old", "Running")
    s:json("POST", "/v1/engines/old/stop?wait=20s")
    local before = s:engine("old")
    local events = #s:get("/v1/engines/old/events?limit=1000").events
    again(s, "KILL")
    local after = s:engine("old")
    before.heartbeat_at, after.heartbeat_at = nil, nil
    assert.are.same(before, after)
    assert.is_true(#s:get("/v1/engines/old/events?limit=1000").events >= events)
    assert.are.equal(0, #s:drivers())
  end)

  it("ends ?wait calls when it stops", function()
    local s <close> = support.start()
    s:create({ name = "slow", config = { run = "exec sleep 1000", ready = "never" } })
    local status, done
    rucat.timer.after(0, function()
      status = s:json("POST", "/v1/engines/slow/start?wait=60s")
      done = true
    end)
    support.eventually(function()
      return s:http("GET", "/metrics").body:find('rucat_http_connections', 1, true) or true
    end)
    s:until_state("slow", "Pending")
    rucat.timer.sleep(0.1) -- the call should be there; if it is not, it is refused, which is fine too
    local began = rucat.clock.monotonic()
    assert.are.same({ code = 0 }, s:term())
    assert.is_true(rucat.clock.monotonic() - began < 8)
    support.eventually(function()
      return done or true
    end)
    assert.is_true(status == nil or status == 202 or status == 503)
  end)
end)

describe("a state directory", function()
  it("is for one server", function()
    local s <close> = support.start()
    local exit, out, err = support.run({ support.binary, "serve", "-c", s.config_file },
                                       { env = { HOME = s.dir } })
    assert.are.equal(1, exit.code)
    assert.matches(s.state_dir, out .. err, 1, true)
    assert.are.equal(200, s:http("GET", "/readyz").status)
  end)

  it("that is too long for a socket is refused", function()
    local s <close> = support.start({ wait = false, config = { state_dir = "/tmp/" .. ("x"):rep(120) } })
    assert.are.same({ code = 1 }, s:wait_exit())
    assert.matches("state_dir", s:output(), 1, true)
  end)
end)
