-- Somebody sets the wall clock of a machine on which rucat runs, by an hour or by a day, or its
-- monotonic clock is another one after a restart. Nothing is decided by that.

local server = require("support.server")

local HOUR, DAY = 3600, 86400

-- How an engine's driver ends, and what the policy says, come from its config. The policy counts the
-- ends in the last seconds as the shipped one does.
local SCRIPTS = {
  ["policies/restart.lua"] = [[return function(engine, exit, history)
    local recent, now = 0, os.time()
    for _, past in ipairs(history) do
      if now - past.at < 600 and now - past.at > -5 then recent = recent + 1 end
    end
    local most = tonumber(engine.config.most)
    if most and recent >= most then return { restart = false, reason = "Recent" .. recent } end
    return { restart = true, delay = tonumber(engine.config.delay or 0) }
  end]],
  -- Like Spark's: knows by the wall clock when it was used last.
  ["templates/used_local.lua"] = [[return {
    submit = function(engine) return { argv = { "/bin/sh", "-c", "echo up; exec sleep 1000" },
      ready = { log = "up" }, stop = { grace = 1 } } end,
    activity = function(engine)
      return { streams = 0, idle_for = math.max(0, os.time() - tonumber(engine.config.used)) }
    end }]],
}

local function start(options)
  local dir = server.tempdir()
  local path = dir .. "/ahead"
  local env = { WALL_CLOCK = path, LD_PRELOAD = server.build .. "/fixtures/wall_clock.so" }
  if server.sanitized then
    env.ASAN_OPTIONS = (os.getenv("ASAN_OPTIONS") or "") .. ":verify_asan_link_order=0"
  end
  server.write(path, string.pack("=i8", 0))
  options = options or {}
  options.env, options.scripts = env, SCRIPTS
  options.config = options.config or { monitor = { interval = 0.2 } }
  local s = server.start(options)
  s.ahead = 0
  -- Sets its clock: so many seconds from where it is.
  function s.set(by)
    s.ahead = s.ahead + by
    local file = assert(io.open(path, "r+b"))
    file:write(string.pack("=i8", s.ahead * 1000))
    file:close()
  end
  function s.now()
    return rucat.clock.now() + s.ahead
  end
  return setmetatable({}, { __index = s, __newindex = s, __close = function()
    s:stop()
    server.run({ "rm", "-rf", dir })
  end })
end

local function crash(s, name)
  local e = s:engine(name)
  local status = rucat.json.decode(server.read(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch)))
  server.run({ "kill", "-KILL", tostring(status.driver.pid) })
  return s:until_engine(name, function(x)
    return x.epoch > e.epoch and x.state == "Running" or x.desired == "Stopped"
  end)
end

describe("the wall clock is set", function()
  for _, jump in ipairs(server.sanitized and { HOUR, -DAY } or { HOUR, -HOUR, DAY, -DAY }) do
    it("by " .. jump .. " s: delays, time to live, use, history and heartbeats are as they were", function()
      local s <close> = start()
      s:create({ name = "waits", config = { run = "sleep 0.1; exit 3", delay = 2 } })
      s:create({ name = "crashes", config = { ready = "up", run = "echo up; exec sleep 1000", most = 3 } })
      s:create({ name = "lives", ttl = 10 * DAY, config = { ready = "up", run = "echo up; exec sleep 1000" } })
      s:create({ name = "dies", ttl = 4, config = { ready = "up", run = "echo up; exec sleep 1000" } })
      s:create({ name = "idles", type = "used", idle_timeout = HOUR / 2, config = { used = tostring(s.now()) } })
      for _, name in ipairs({ "crashes", "lives", "dies", "idles" }) do
        s:until_engine(name, function(e) return e.health == "healthy" end, 20)
      end
      crash(s, "crashes")
      crash(s, "crashes")
      local waiting = s:until_state("waits", "Stopped", "BackOff", 20)
      local from = rucat.clock.monotonic()
      -- until it has just ended again: most of the two seconds are to come
      waiting = s:until_engine("waits", function(e)
        from = e.reason == "BackOff" and e.epoch > waiting.epoch and rucat.clock.monotonic()
        return from
      end, 20)

      s.set(jump)
      assert(math.abs(rucat.clock.parse(s:create({ name = "later" }).created_at) - s.now()) < 20, "the clock is not set")
      -- A delay: neither gone nor longer.
      s:until_engine("waits", function(e) return e.epoch > waiting.epoch end, 20)
      assert(rucat.clock.monotonic() - from > 1.5, "it was started " .. rucat.clock.monotonic() - from .. " s after its end")
      -- The history: the two ends are as recent as they were, and the third is counted too.
      assert.equal("Running", crash(s, "crashes").state)
      local limit = crash(s, "crashes")
      assert.same({ "Stopped", "Recent3" }, { limit.state, limit.reason })
      -- A time to live, a heartbeat, and who used it when.
      local dead = s:until_state("dies", "Stopped", "TtlExpired", 20)
      assert(math.abs(rucat.clock.parse(dead.stopped_at) - s.now()) < 20, dead.stopped_at)
      local lives = s:until_engine("lives", function(e)
        return math.abs(rucat.clock.parse(e.heartbeat_at) - rucat.clock.now()) < 20 -- rucat-engine's clock is not set
      end)
      for _, e in ipairs({ lives, (s:engine("idles")) }) do
        assert.same({ "Running", "healthy", 1, 0 }, { e.state, e.health, e.epoch, e.restarts })
      end
    end)
  end

  it("backwards: events go on behind those there are, for who follows and after a restart", function()
    local s <close> = start()
    s:create({ name = "a" })
    s:until_state("a", "Running")
    local function list(query)
      return s:get("/v1/events" .. (query or "")).events
    end
    local before = list()
    local last = before[#before].id
    s.set(-DAY)
    s:create({ name = "b" })
    s:until_state("b", "Running")
    s:term()
    s:start_again()
    s:json("POST", "/v1/engines/b/stop?wait=20s")
    local all = list()
    assert.equal("Stopped", all[#all].to)
    for i = 2, #all do
      assert(all[i - 1].id < all[i].id, i)
    end
    local after = list("?cursor=" .. last)
    assert.equal(#all - #before, #after)
    -- and a browser that comes back with the last id it has seen is not refused
    local code, out = server.run({ "curl", "-sN", "-m", "2", "-H", "accept: text/event-stream", "-H",
      "last-event-id: " .. all[#all - 1].id, s.url .. "/v1/events" })
    assert.equal(28, code.code) -- it followed until we had enough
    assert.matches("id: " .. all[#all].id, out, 1, true)
  end)

  it("forwards: an Idempotency-Key is as old as it is", function()
    local s <close> = start()
    local body, key = { name = "once", type = "test" }, { ["idempotency-key"] = "k1" }
    local _, first = s:json("POST", "/v1/engines", body, key)
    s.set(2 * DAY)
    local status, second = s:json("POST", "/v1/engines", body, key)
    assert.same({ 201, first.id }, { status, second.id })
  end)

  it("while the server is away: a delay is at most what the policy had said", function()
    local s <close> = start()
    s:create({ name = "waits", config = { run = "exit 3", delay = 1.5 } })
    s:until_state("waits", "Stopped", "BackOff", 20)
    s:kill9()
    s.set(-DAY)
    s:start_again()
    local epoch = s:engine("waits").epoch
    s:until_engine("waits", function(e) return e.epoch > epoch end, 20)
  end)
end)

describe("the monotonic clock", function()
  it("of the next server may be another: drivers are found again and are well", function()
    local unshare = { "unshare", "-T", "--boottime", tostring(30 * DAY), "--monotonic", tostring(30 * DAY) }
    local try = { table.unpack(unshare) }
    try[#try + 1] = "true"
    if server.run(try).code ~= 0 then
      pending("no time namespace can be had")
      return
    end
    local s <close> = server.start({ config = { monitor = { interval = 0.2 } } })
    s:create({ name = "a", ttl = HOUR, idle_timeout = HOUR, config = { ready = "up", run = "echo up; exec sleep 1000" } })
    s:until_engine("a", function(e) return e.health == "healthy" end, 20)
    local pids = s:drivers()
    s:kill9()
    s.prefix = unshare
    s:start_again()
    local probed = rucat.clock.now()
    local e = s:until_engine("a", function(x)
      return x.health == "healthy" and type(x.heartbeat_at) == "string" and rucat.clock.parse(x.heartbeat_at) > probed
    end, 20)
    assert.same({ "Running", 1, 0 }, { e.state, e.epoch, e.restarts })
    assert.same(pids, s:drivers())
    server.run({ "kill", "-KILL", tostring(rucat.json.decode(
      server.read(("%s/engines/%s/1/status.json"):format(s.state_dir, e.id))).driver.pid) })
    s:until_engine("a", function(x) return x.epoch == 2 and x.state == "Running" end, 20)
  end)
end)
