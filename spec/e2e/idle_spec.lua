-- idle_timeout and ttl: what nobody uses is stopped, what somebody uses is not; and batch jobs, which
-- run to their end.

local server = require("spec.support.server")

-- An engine whose use is what a file says; and a batch job.
local USED = [[
return {
  submit = function(engine, ctx)
    local run = engine.app and engine.app.resource or "exec sleep 1000"
    return { argv = { "/bin/sh", "-c", run, engine.app and engine.app.class or "sh", table.unpack(engine.app and
      engine.app.args or {}) }, stop = { grace = 1 } }
  end,
  activity = function(engine)
    local text = rucat.fs.read("used-" .. engine.name)
    local streams, idle_for = (text or ""):match("(%S+) (%S+)")
    return streams and { streams = tonumber(streams), idle_for = tonumber(idle_for) }
  end,
}
]]

describe("an engine that nobody uses", function()
  local s

  lazy_setup(function()
    s = server.start({ scripts = { ["templates/used_local.lua"] = USED }, config = { monitor = { interval = 0.1 } } })
  end)
  lazy_teardown(function()
    s:stop()
  end)

  local function used(name, text)
    server.write(s.state_dir .. "/shared/used-" .. name, text)
  end

  local function create(name, fields)
    fields.name, fields.type = name, fields.type or "used"
    local status, engine = s:json("POST", "/v1/engines", fields)
    assert.equal(201, status, rucat.json.encode(engine))
    return engine
  end

  local function reason_of(name)
    local _, engine = s:json("GET", "/v1/engines/" .. name)
    return engine.state == "Stopped" and engine.reason or nil, engine
  end

  it("is stopped after its idle_timeout, and says why", function()
    used("idle", "0 100")
    create("idle", { idle_timeout = 50 })
    local _, engine = server.eventually(function()
      return reason_of("idle")
    end, 10)
    assert.equal("IdleTimeout", engine.reason)
    assert.equal("Stopped", engine.desired)
    assert.matches("nobody has used it for 100 s", engine.message, 1, true)
    local _, page = s:json("GET", "/v1/engines/idle/events")
    local policy
    for _, event in ipairs(page.events) do
      policy = event.kind == "policy" and event or policy
    end
    assert.equal("IdleTimeout", policy.reason)
    assert.equal("monitor", policy.by)
  end)

  it("is not stopped while it is used, and is afterwards", function()
    used("busy", "1 0")
    create("busy", { idle_timeout = 0.2 })
    server.eventually(function()
      return select(2, reason_of("busy")).health == "healthy"
    end, 10)
    local asked = rucat.clock.monotonic() + 1.5
    server.eventually(function()
      assert.is_nil((reason_of("busy")))
      return rucat.clock.monotonic() > asked
    end, 10)
    used("busy", "0 5")
    assert.equal("IdleTimeout", server.eventually(function()
      return reason_of("busy")
    end, 10))
  end)

  it("is stopped when its time to live is over, used or not", function()
    used("mortal", "3 0")
    create("mortal", { ttl = "2s" })
    assert.equal("TtlExpired", server.eventually(function()
      return reason_of("mortal")
    end, 10))
    local status, engine = s:json("POST", "/v1/engines/mortal/start?wait=10s")
    assert.equal(202, status)
    assert.equal("Running", engine.state) -- its time counts from the start that was asked for
    assert.equal("TtlExpired", server.eventually(function()
      return reason_of("mortal")
    end, 10))
  end)

  it("is not started again when its time to live is over", function()
    s:scripts({ ["policies/restart.lua"] = "return function() return { restart = true, delay = 3600 } end" })
    assert.equal(0, (s:cli("reload")))
    create("crash", { ttl = 1, app = { resource = "exit 7" } })
    server.eventually(function()
      return select(2, reason_of("crash")).reason == "BackOff"
    end, 10)
    local _, engine = server.eventually(function()
      return reason_of("crash") == "TtlExpired", select(2, reason_of("crash"))
    end, 10)
    assert.equal("Stopped", engine.desired)
    assert.is_nil(rucat.json.null ~= engine.next_start_at and engine.next_start_at or nil)
    s:scripts({ ["policies/restart.lua"] = false })
    assert.equal(0, (s:cli("reload")))
  end)

  it("counts connections where the template does not know", function()
    create("sailing", { type = "sail", idle_timeout = "700ms", ttl = "1h" })
    local engine = server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/sailing")
      return engine.state == "Running" and engine
    end, 30)
    local port = engine.endpoint:match(":(%d+)")
    local hold <close> = assert(rucat.process.spawn({ argv = { "/bin/bash", "-c",
      "exec 3<>/dev/tcp/127.0.0.1/" .. port .. "; echo open; sleep 1000" } }))
    server.eventually(function()
      return (hold:output()) == "open\n"
    end, 10)
    local after = rucat.clock.monotonic() + 2.5
    server.eventually(function()
      assert.is_nil((reason_of("sailing")))
      return rucat.clock.monotonic() > after
    end, 10)
    hold:close()
    assert.equal("IdleTimeout", server.eventually(function()
      return reason_of("sailing")
    end, 20))
  end)

  it("is judged by the shipped rule when the operator's fails, and its events say so", function()
    s:scripts({ ["policies/idle.lua"] = [[return { check = function() error("no idea") end,
      wake_on_connect = function() return false end }]] })
    assert.equal(0, (s:cli("reload")))
    used("fallback", "0 100")
    create("fallback", { idle_timeout = 50 })
    assert.equal("IdleTimeout", server.eventually(function()
      return reason_of("fallback")
    end, 10))
    local _, page = s:json("GET", "/v1/engines/fallback/events")
    local told
    for _, event in ipairs(page.events) do
      told = told or event.reason == "PolicyError" and event.message
    end
    assert.matches("policy idle failed, the shipped one was used: .*no idea", told)
    s:scripts({ ["policies/idle.lua"] = false })
    assert.equal(0, (s:cli("reload")))
  end)

  it("a batch job runs to its end: Completed, exit code, logs, no endpoint", function()
    create("job", { app = { resource = 'echo "$0 $1 $2"', class = "a.B", args = { "x y", "z" } } })
    local reason, engine = server.eventually(function()
      return reason_of("job")
    end, 10)
    assert.equal("Completed", reason)
    assert.equal("Stopped", engine.desired)
    assert.equal(0, engine.exit.code)
    assert.equal(0, engine.restarts)
    assert.equal("exit code 0", engine.message)
    assert.equal(rucat.json.null, engine.endpoint)
    assert.same({ resource = 'echo "$0 $1 $2"', class = "a.B", args = { "x y", "z" } }, engine.app)
    local answer = rucat.http.request({ url = s.url .. "/v1/engines/job/logs" })
    assert.equal("a.B x y z\n", answer.body)
  end)

  it("a batch job that fails is run again as the policy says", function()
    s:scripts({ ["policies/restart.lua"] = [[return function(engine, exit, history)
      return { restart = #history < 2, delay = 0, reason = #history >= 2 and "GaveUp" or nil }
    end]] })
    assert.equal(0, (s:cli("reload")))
    create("fails", { app = { resource = "exit 3" } })
    local _, engine = server.eventually(function()
      return reason_of("fails") == "GaveUp", select(2, reason_of("fails"))
    end, 10)
    assert.equal(2, engine.restarts)
    assert.equal(3, engine.epoch)
    assert.equal(3, engine.exit.code)
    s:scripts({ ["policies/restart.lua"] = false })
    assert.equal(0, (s:cli("reload")))
  end)

  it("the command line takes all of it", function()
    local code, out = s:cli("create", "by-hand", "--type", "used", "--ttl", "1h", "--idle-timeout", "90s",
      "--app", "true", "--class", "c.D", "--arg", "1", "--arg", "two", "-o", "json")
    assert.equal(0, code)
    local engine = rucat.json.decode(out)
    assert.equal(3600, engine.ttl)
    assert.equal(90, engine.idle_timeout)
    assert.same({ resource = "true", class = "c.D", args = { "1", "two" } }, engine.app)
    assert.equal(2, (s:cli("create", "by-hand-2", "--class", "c.D")))
  end)
end)

describe("turns", function()
  local turns = require("lua.rucat.turns")
  local called, most, t

  before_each(function()
    called, most = {}, 2
    t = turns.new(function() return most end, function(id) called[#called + 1] = id end)
    assert.is_true(t:take("a"))
    assert.is_true(t:take("b"))
    assert.is_true(t:take("a"))
    assert.is_false(t:take("c"))
    assert.is_false(t:take("d"))
    assert.is_false(t:take("c"))
  end)

  it("lets so many at a time, the others in their order", function()
    t:give("x")
    assert.same({}, called)
    t:give("a")
    assert.same({ "c" }, called)
    assert.is_false(t:take("a"))
    assert.is_true(t:take("c"))
    t:give("b")
    t:give("c")
    assert.same({ "c", "d", "a" }, called)
    assert.equal(2, t.count)
  end)

  it("nobody who waits is forgotten because one before does not want it any more", function()
    t:give("a") -- c is called, and has gone
    t:give("c")
    assert.same({ "c", "d" }, called)
    assert.is_true(t:take("d"))
    t:give("b")
    t:give("d")
    assert.equal(0, t.count)
    assert.is_true(t:take("e"))
  end)

  it("more of them go to those who wait", function()
    most = 3
    t:give("x")
    assert.same({ "c" }, called)
    most = 4
    assert.is_false(t:take("f"))
    assert.same({ "c", "d" }, called)
  end)
end)

describe("engines that wait for their turn to start", function()
  it("come up also when one of them is deleted meanwhile", function()
    local s <close> = server.start({ config = { limits = { starts = 1 } } })
    local slow = { run = "while ! test -e go; do sleep 0.02; done; echo up; exec sleep 1000", ready = "up" }
    s:create({ name = "first", config = slow })
    for _, name in ipairs({ "second", "third", "fourth" }) do
      s:create({ name = name, config = { run = "echo up; exec sleep 1000", ready = "up" } })
    end
    s:until_engine("third", function(e)
      return e.message:find("waits for its turn: 1 other", 1, true)
    end)
    assert.equal(202, (s:json("DELETE", "/v1/engines/second")))
    s:until_gone("second")
    local first = s:engine("first")
    server.write(s.state_dir .. "/engines/" .. first.id .. "/data/go", "")
    s:until_state("third", "Running")
    s:until_state("fourth", "Running")
    s:until_state("first", "Running")
  end)
end)
