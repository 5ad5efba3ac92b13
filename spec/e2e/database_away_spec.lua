-- Mode remote while its database is away, slow, broken or lying: reads go on, writes say 503, nothing is
-- decided, nothing that was acknowledged is lost, nothing is done twice, and all goes on when it is back.

local fault_proxy = require("support.fault_proxy")
local server = require("support.server")
local surreal = require("support.surreal")

local eventually = server.eventually

-- A server that reaches `db` through `proxy`.
local function through(db, proxy, options)
  options = options or {}
  options.mode = "remote"
  options.config = db:config(options.config, { poll = 0.1 }, proxy.port)
  return server.start(options)
end

local function external(name, more)
  local body = { name = name, type = "spark", platform = "external", endpoint = "sc://127.0.0.1:1" }
  for key, value in pairs(more or {}) do
    body[key] = value
  end
  return body
end

local function is_stale(s)
  local answer = s:http("GET", "/v1/engines/kept")
  assert.equal(200, answer.status)
  return answer.headers["x-rucat-stale"] ~= nil
end

-- As far as a client can see, the database is there.
local function until_back(s)
  eventually(function()
    local ready = s:http("GET", "/readyz")
    return ready.status == 200 and not is_stale(s), ready.body
  end, 60, "that all goes on")
end

-- Of this run: the same spec may be running for somebody else on this machine.
local MARK = "kept-driver-" .. rucat.clock.uuid()

local function until_away(s)
  eventually(function()
    return is_stale(s) and s:http("GET", "/readyz").status == 503
  end, 60, "that the server knows")
end

-- What is true while the database is away.
local function check_away(s, pid)
  assert.equal(200, s:http("GET", "/healthz").status)
  local list = s:get("/v1/engines").engines
  assert.is_true(#list >= 1)
  assert.equal("Running", s:engine("kept").state)
  local answer = s:http("GET", "/v1/events") -- these are in the database only
  assert.equal(503, answer.status)
  assert.is_truthy(answer.headers["retry-after"])
  answer = s:http("POST", "/v1/engines", rucat.json.encode(external("late")), { ["content-type"] = "application/json" })
  assert.equal(503, answer.status, answer.body)
  assert.matches("^%d+$", answer.headers["retry-after"])
  assert.matches("application/problem%+json", answer.headers["content-type"])
  answer = s:http("POST", "/v1/engines/kept/stop")
  assert.equal(503, answer.status, answer.body)
  assert.is_truthy(answer.headers["retry-after"])
  assert.same({ pid }, server.processes(MARK))
end

-- ---- many clients at once ----

-- Runs fn(1) ... fn(count) at the same time; raises the first error.
local function together(count, fn)
  local left, trouble = count, nil
  for i = 1, count do
    rucat.timer.after(0, function()
      local ok, why = pcall(fn, i)
      if not ok then
        trouble = trouble or why
      end
      left = left - 1
    end)
  end
  eventually(function()
    return left == 0, left .. " are at work"
  end, 240, "the clients")
  assert.is_nil(trouble)
end

-- Asks until the answer is no 503 (and the server was there); its status and body.
local function insist(s, method, path, body)
  for _ = 1, 400 do
    local answer = rucat.http.request({
      url = s.url .. path, method = method, timeout = 60, body = body and rucat.json.encode(body),
      headers = body and { ["content-type"] = "application/json" } or nil,
    })
    if answer and answer.status ~= 503 then
      return answer.status, rucat.json.decode(answer.body)
    end
    rucat.timer.sleep(0.05)
  end
  error(method .. " " .. path .. " does not come through")
end

-- Clients that create an engine each, and stop and start it `turns` times, one acknowledged step after the
-- other, while `trouble()` (if there is one) makes trouble; `created` has those that were acknowledged.
local function storm(s, clients, turns, trouble)
  local created = {}
  local busy = true
  local finished = trouble == nil
  if trouble then
    rucat.timer.after(0, function()
      local ok, why = pcall(trouble, function()
        return busy
      end)
      finished = ok or why
    end)
  end
  together(clients, function(i)
    local name = "storm-" .. i
    local status, answer = insist(s, "POST", "/v1/engines", external(name))
    -- 409: an earlier try, whose answer was a 503, had been carried out after all
    assert(status == 201 or status == 409, status .. rucat.json.encode(answer))
    created[#created + 1] = name
    local function until_is(state)
      for _ = 1, 2000 do
        local engine = s:engine(name)
        if engine and engine.state == state and engine.reason ~= "Stopping" then
          return
        end
        rucat.timer.sleep(0.05)
      end
      error(name .. " does not become " .. state .. ": " .. rucat.json.encode(s:engine(name)))
    end
    until_is("Running")
    for _ = 1, turns do
      assert(insist(s, "POST", "/v1/engines/" .. name .. "/stop") == 202)
      until_is("Stopped")
      assert(insist(s, "POST", "/v1/engines/" .. name .. "/start") == 202)
      until_is("Running")
    end
  end)
  busy = false
  eventually(function()
    return finished
  end, 60, "the trouble's end")
  assert.is_true(finished)
  eventually(function()
    return s:http("GET", "/readyz").status == 200
  end, 60, "that the database is back")
  return created
end

-- Each engine is there once, in the epoch of its last start, and its events tell each step once.
local function check_storm(s, created, turns)
  for _, name in ipairs(created) do
    local engine, status = s:engine(name)
    assert.is_truthy(engine, name .. ": " .. tostring(status))
    assert.equal(1 + turns, engine.epoch, name)
    assert.equal(0, engine.restarts, name)
    local steps = {}
    for _, event in ipairs(s:get("/v1/engines/" .. name .. "/events?limit=1000").events) do
      if event.kind == "state" and event.from ~= event.to then
        steps[#steps + 1] = tostring(event.from) .. ">" .. event.to
      end
    end
    local expected = {}
    for i = 0, turns do
      expected[#expected + 1] = i == 0 and steps[1] or "Stopped>Pending"
      expected[#expected + 1] = "Pending>Running"
      expected[#expected + 1] = i < turns and "Running>Stopped" or nil
    end
    assert.matches(">Pending$", steps[1])
    assert.same(expected, steps, name)
  end
end

-- What another server, which has seen nothing of it, reads from the database.
local function check_fresh(db, s, created, turns)
  local other <close> = server.start({ mode = "remote", config = db:config({}, { poll = 0.1 }) })
  check_storm(other, created, turns)
  for _, name in ipairs(created) do
    assert.equal(s:engine(name).rev, other:engine(name).rev)
  end
end

describe("a database that is away", function()
  local db, proxy, s, pid

  lazy_setup(function()
    if surreal.missing then
      return
    end
    db = surreal.start({ storage = "file" })
    proxy = fault_proxy.start(db.port)
    s = through(db, proxy)
    s:create({ name = "kept", config = { run = "echo up; exec sleep 1000 # " .. MARK }, env = { MARK = MARK } })
    s:until_state("kept", "Running")
    local list = server.processes(MARK)
    pid = list[1]
  end)
  lazy_teardown(function()
    if s then
      s:stop()
      proxy:stop()
      db:stop()
    end
  end)
  before_each(function()
    if surreal.missing then
      pending(surreal.missing)
    end
  end)

  for _, mode in ipairs({ "cut", "hole", "half", "garbage", "body", "status 500", "status 503", "lost 100", "early 100" }) do
    it("leaves engines alone, serves reads, refuses writes and goes on: " .. mode, function()
      proxy:set(mode)
      until_away(s)
      check_away(s, pid)
      proxy:set("pass")
      until_back(s)
      assert.equal(1, s:engine("kept").epoch)
      assert.same({ pid }, server.processes(MARK))
      -- whether the refused one was carried out (its answer was lost) can be asked for, and it can be done again
      local status = insist(s, "POST", "/v1/engines", external("late"))
      assert.is_true(status == 201 or status == 409, status)
      assert.equal(202, (insist(s, "DELETE", "/v1/engines/late")))
      s:until_gone("late")
    end)
  end

  it("does so when the database is killed, and when it stands still", function()
    db:kill9()
    until_away(s)
    check_away(s, pid)
    db:start_again()
    until_back(s)
    db:pause()
    until_away(s)
    check_away(s, pid)
    db:go_on()
    until_back(s)
    assert.same({ pid }, server.processes(MARK))
    insist(s, "DELETE", "/v1/engines/late")
    s:until_gone("late")
  end)

  it("makes nobody decide: a driver that ended waits for the database", function()
    s:create({ name = "mortal", config = { run = "exec sleep 1000" }, env = { MARK = "mortal-driver" } })
    s:until_state("mortal", "Running")
    local victim = server.processes("mortal-driver")
    proxy:set("cut")
    until_away(s)
    for _, one in ipairs(victim) do
      server.run({ "kill", "-KILL", tostring(one) })
    end
    eventually(function()
      return #server.processes("mortal-driver") == 0
    end, 10, "the end of the driver")
    -- two looks of a reconcile that would decide: nothing is started, the record is as it was
    local until_ = rucat.clock.monotonic() + 1
    eventually(function()
      assert.equal("Running", s:engine("mortal").state)
      assert.same({}, server.processes("mortal-driver"))
      return rucat.clock.monotonic() > until_
    end, 30)
    proxy:set("pass")
    until_back(s)
    local engine = s:until_engine("mortal", function(e)
      return e.state == "Running" and e.epoch == 2
    end, 30)
    assert.equal(1, engine.restarts)
    assert.equal(202, (insist(s, "DELETE", "/v1/engines/mortal")))
    s:until_gone("mortal")
  end)

  it("is not waited for at a start longer than it says", function()
    proxy:set("cut")
    local late = server.start({ mode = "remote", wait = false, config = db:config({}, { connect_time = 1 }, proxy.port) })
    local exit = late:wait_exit(20)
    assert.equal(1, exit.code)
    assert.matches("127%.0%.0%.1:" .. proxy.port, late:output())
    late:stop()
    local patient <close> = server.start({
      mode = "remote", wait = false, config = db:config({}, { connect_time = 60 }, proxy.port),
    })
    eventually(function()
      return proxy:stats().faults > 3
    end, 20, "that it tries")
    proxy:set("pass")
    patient:wait_ready(60)
    assert.equal(s:engine("kept").id, patient:engine("kept").id)
    until_back(s)
  end)
end)

describe("a database that fails under concurrent writes", function()
  local clients, turns = 6, 2

  local function with(options, fn)
    return function()
      if surreal.missing then
        pending(surreal.missing)
        return
      end
      local db <close> = surreal.start(options)
      local proxy <close> = fault_proxy.start(db.port)
      local s <close> = through(db, proxy)
      fn(s, db, proxy)
    end
  end

  it("loses nothing and does nothing twice: lost answers", with({}, function(s, db, proxy)
    proxy:set("lost 15")
    local created = storm(s, clients, turns)
    assert.is_true(proxy:stats().faults > 10)
    proxy:set("pass")
    check_storm(s, created, turns)
    check_fresh(db, s, created, turns)
  end))

  it("loses nothing and does nothing twice: lost questions, resets, slow answers", with({}, function(s, db, proxy)
    local created = storm(s, clients, turns, function(busy)
      local over = rucat.clock.monotonic() + 6
      while busy() and rucat.clock.monotonic() < over do
        for _, mode in ipairs({ "early 20", "delay 60", "status 500", "pass", "garbage", "lost 20", "pass" }) do
          proxy:set(mode)
          rucat.timer.sleep(0.2)
          proxy:set("reset")
        end
      end
      proxy:set("pass")
    end)
    check_storm(s, created, turns)
    check_fresh(db, s, created, turns)
  end))

  it("loses nothing and does nothing twice: kill -9 of the database", with({ storage = "file" }, function(s, db)
    local kills = 0
    local created = storm(s, clients, turns, function(busy)
      while busy() and kills < 4 do
        rucat.timer.sleep(0.4)
        db:kill9()
        db:start_again()
        kills = kills + 1
      end
    end)
    assert.is_true(kills >= 1)
    check_storm(s, created, turns)
    check_fresh(db, s, created, turns)
  end))
end)

describe("a database that comes back empty", function()
  it("is told of loudly, and gets back what the server knows", function()
    if surreal.missing then
      pending(surreal.missing)
      return
    end
    local db <close> = surreal.start({ storage = "memory" })
    local s <close> = server.start({ mode = "remote", config = db:config({}, { poll = 0.1 }) })
    s:create({ name = "kept", config = { run = "exec sleep 1000" }, env = { MARK = "empty-driver" } })
    s:until_state("kept", "Running")
    s:create(external("other"))
    s:until_state("other", "Running")
    local drivers, before = server.processes("empty-driver"), s:engine("kept")
    db:kill9()
    until_away(s)
    db:start_again()
    until_back(s)
    eventually(function()
      local list = db:ask("SELECT VALUE name FROM engine ORDER BY name")
      return #list == 2, rucat.json.encode(list)
    end, 30, "that the engines are in the database again")
    assert.matches("empty", s:output())
    assert.same(drivers, server.processes("empty-driver"))
    local after = s:engine("kept")
    assert.equal(before.id, after.id)
    assert.equal(1, after.epoch)
    -- and it is a whole database: another server works on it
    local second <close> = server.start({ mode = "remote", config = db:config({}, { poll = 0.1 }) })
    assert.equal(before.id, second:engine("kept").id)
    assert.equal(202, (insist(second, "POST", "/v1/engines/kept/stop")))
    s:until_state("kept", "Stopped")
    second:until_state("kept", "Stopped")
    assert.same({}, server.processes("empty-driver"))
  end)

  it("is filled again from what runs, by a server that starts over it", function()
    if surreal.missing then
      pending(surreal.missing)
      return
    end
    local db <close> = surreal.start({ storage = "memory" })
    local s <close> = server.start({ mode = "remote", config = db:config() })
    s:create({ name = "kept", config = { run = "exec sleep 1000" }, env = { MARK = "again-driver" } })
    s:until_state("kept", "Running")
    local drivers, id = server.processes("again-driver"), s:engine("kept").id
    s:kill9()
    db:start_again()
    s:start_again()
    local engine = s:until_state("kept", "Running", nil, 60)
    assert.equal(id, engine.id)
    assert.equal(1, engine.epoch)
    assert.same(drivers, server.processes("again-driver"))
  end)
end)
