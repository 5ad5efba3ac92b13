-- Several servers on one real SurrealDB: each answers for each engine, one of them keeps it, and when
-- that one is gone another takes it over without a restart of what runs. Nothing is ever started twice.

local server = require("spec.support.server")
local replicas = require("spec.support.replicas")

local LEASE = replicas.LEASE
local TAKEN = 2 * LEASE + 4 -- seconds: two leases, and room for a machine that is busy

local function it_with_db(what, fn)
  it(what, function()
    if replicas.missing then
      return pending(replicas.missing)
    end
    fn()
  end)
end

local function reasons(s, name)
  local list = {}
  for i, event in ipairs(s:get("/v1/engines/" .. name .. "/events?limit=1000").events) do
    list[i] = event.reason
  end
  return " " .. table.concat(list, " ") .. " "
end

local function keeper_of(cluster, e)
  return cluster.db:ask(("SELECT VALUE keeper FROM engine WHERE name = '%s'"):format(e.name))[1]
end

local function until_kept_by(cluster, e, s, seconds)
  local id = replicas.id(s)
  server.eventually(function()
    local keeper = keeper_of(cluster, e)
    return keeper == id, tostring(keeper)
  end, seconds or TAKEN, e.name .. " being kept by " .. id)
end

-- The server inside of a program that started it (unshare).
local function inner(s)
  for _, pid in ipairs(server.processes(s.state_dir)) do
    local words = server.read("/proc/" .. pid .. "/cmdline") or ""
    if words:find("^[^%z]*/rucat%zserve") then
      return pid
    end
  end
  for _, pid in ipairs(server.processes(s.config_file)) do
    local words = server.read("/proc/" .. pid .. "/cmdline") or ""
    if words:find("^[^%z]*rucat%zserve") then
      return pid
    end
  end
  error("there is no server in " .. s.dir)
end

local UNSHARE = { "unshare", "-pf", "--mount-proc", "--kill-child=KILL" }

local function no_unshare()
  local argv = table.move(UNSHARE, 1, #UNSHARE, 1, {})
  argv[#argv + 1] = "true"
  local fine, exit = pcall(server.run, argv)
  return not (fine and exit.code == 0) and "unshare is not to be had here" or nil
end

describe("two servers on one database", function()
  local cluster, a, b

  lazy_setup(function()
    if not replicas.missing then
      cluster = replicas.start(2)
      a, b = cluster[1], cluster[2]
    end
  end)
  lazy_teardown(function()
    if cluster then
      cluster:stop()
    end
  end)

  it_with_db("answer every call for every engine", function()
    cluster:create(a, "both")
    assert.equal("both", b:engine("both").name) -- at once: the database is asked
    local e = b:until_state("both", "Running", "Ready")
    until_kept_by(cluster, e, a)
    assert.is_truthy(b:http("GET", "/v1/engines/both/logs?tail=1").body:find("up on 4321", 1, true))
    local stats = b:get("/v1/engines/both/stats")
    assert.equal(cluster:pid(e), stats.pid)
    local all = b:get("/v1/stats?limit=1000").stats
    assert.equal(cluster:pid(e), all[1].pid)
    local status, answer = b:json("POST", "/v1/engines/both/stop?wait=20s")
    assert.equal(202, status)
    assert.equal("Stopped", answer.state)
    a:until_state("both", "Stopped", "StoppedByUser")
    answer = select(2, b:json("POST", "/v1/engines/both/start?wait=20s"))
    assert.equal("Running", answer.state)
    assert.equal(2, answer.epoch)
    answer = select(2, a:json("POST", "/v1/engines/both/restart?wait=20s"))
    assert.equal(3, answer.epoch)
    assert.equal(202, (b:json("DELETE", "/v1/engines/both?wait=20s")))
    a:until_gone("both")
    b:until_gone("both")
    cluster:check_once()
  end)

  it_with_db("know of each other", function()
    for _, s in ipairs(cluster) do
      local answer = s:get("/v1/admin/replicas")
      assert.is_true(answer.shared)
      assert.equal(2, #answer.replicas)
      for _, one in ipairs(answer.replicas) do
        assert.is_true(one.alive)
        assert.is_true(one.left > 0 and one.left <= LEASE)
        assert.equal(one.id == replicas.id(s), one.self)
      end
    end
    local code, out = a:cli("replicas")
    assert.equal(0, code)
    for _, s in ipairs(cluster) do
      assert.is_truthy(out:find(replicas.id(s), 1, true) and out:find(s.url, 1, true), out)
    end
  end)

  it_with_db("follow a log wherever it is, over restarts", function()
    local e = cluster:create(a, "talks", { run = "while :; do echo line; sleep 0.1; done" })
    b:until_state("talks", "Running")
    local stream <close> = assert(rucat.http.stream({ url = b.url .. "/v1/engines/talks/logs?follow=true" }))
    local text = ""
    server.eventually(function()
      text = text .. (stream:read(5) or "")
      return text:find("line\nline\nline", 1, true)
    end, 20, "lines")
    b:json("DELETE", "/v1/engines/" .. e.id .. "?wait=20s")
    server.eventually(function()
      text = text .. (stream:read(5) or "")
      return text:find("[rucat: the engine is deleted]", 1, true), text:sub(-100)
    end, 20, "the end of the log")
  end)

  it_with_db("an engine is deleted with all it had, whoever is asked", function()
    local e = cluster:create(b, "goes")
    a:until_state("goes", "Running")
    assert.is_true(server.exists(b.state_dir .. "/engines/" .. e.id))
    a:json("DELETE", "/v1/engines/goes?wait=20s")
    server.eventually(function()
      return not server.exists(b.state_dir .. "/engines/" .. e.id)
    end, 10, "that its directory is gone")
  end)
end)

describe("a server that is gone", function()
  it_with_db("by kill -9: the other one has its engines, and nothing of them was restarted", function()
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    local e = cluster:create(a, "lives")
    local idle = cluster:create(a, "rests")
    b:until_state("lives", "Running")
    b:until_state("rests", "Running")
    b:json("POST", "/v1/engines/rests/stop?wait=20s")
    local pid = cluster:pid(e)
    replicas.kill9(a)
    until_kept_by(cluster, e, b)
    assert.is_true(replicas.alive(pid))
    local now = b:engine("lives")
    assert.equal("Running", now.state)
    assert.equal(1, now.epoch)
    assert.equal(0, now.restarts)
    assert.is_truthy(reasons(b, "lives"):find(" TakenOver ", 1, true))
    assert.is_truthy(b:http("GET", "/v1/engines/lives/logs").body:find("up on 4321", 1, true))
    assert.equal(pid, b:get("/v1/engines/lives/stats").pid)
    assert.equal(replicas.id(a), keeper_of(cluster, idle)) -- it needs none, until it is started
    assert.equal("Running", select(2, b:json("POST", "/v1/engines/rests/start?wait=20s")).state)
    until_kept_by(cluster, idle, b, 1)
    -- the driver's end is seen, and what it has written stays together with what comes
    assert.equal("Stopped", select(2, b:json("POST", "/v1/engines/lives/stop?wait=20s")).state)
    assert.is_false(replicas.alive(pid))
    b:json("POST", "/v1/engines/lives/start?wait=20s")
    local _, count = b:http("GET", "/v1/engines/lives/logs").body:gsub("up on", "")
    assert.equal(2, count)
    -- back, it finds its engines with the other one
    a.gone = false
    a:start_again()
    cluster:wait_all(2)
    assert.equal(2, a:until_state("lives", "Running").epoch)
    until_kept_by(cluster, e, b, 1)
    cluster:check_once()
  end)

  it_with_db("by kill -9: a real engine goes on answering, under the other one's eyes", function()
    if not os.getenv("SPEC_SAIL") then
      return pending("SPEC_SAIL does not say where sail is")
    end
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    local e = a:create({ name = "real", type = "sail" })
    e = b:until_engine("real", function(now) return now.health == "healthy" and now.id == e.id end, 60)
    local host, port = e.endpoint:match("^sc://([^:]+):(%d+)$")
    local pid = b:get("/v1/engines/real/stats").pid
    replicas.kill9(a)
    until_kept_by(cluster, e, b)
    assert.is_true(rucat.tcp.connect(host, math.tointeger(tonumber(port)), 5))
    local now = b:until_state("real", "Running", "Ready")
    assert.equal(e.endpoint, now.endpoint)
    assert.equal("healthy", now.health)
    assert.equal(pid, b:get("/v1/engines/real/stats").pid)
    assert.equal("Stopped", select(2, b:json("POST", "/v1/engines/real/stop?wait=30s")).state)
  end)

  it_with_db("and is back at once: it has its own engines again, and nobody else did", function()
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    local e = cluster:create(a, "mine")
    b:until_state("mine", "Running")
    local id, pid = replicas.id(a), cluster:pid(e)
    a:kill9()
    a:start_again()
    assert.equal(id, replicas.id(a))
    cluster:wait_all(2)
    assert.equal("Stopped", select(2, b:json("POST", "/v1/engines/mine/stop?wait=20s")).state)
    assert.is_false(replicas.alive(pid))
    assert.equal(id, keeper_of(cluster, e))
    assert.is_nil(reasons(b, "mine"):find(" TakenOver ", 1, true))
  end)

  it_with_db("in good order: the others need not wait for its lease", function()
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    local e = cluster:create(a, "handed")
    b:until_state("handed", "Running")
    local pid = cluster:pid(e)
    server.eventually(function() -- it may take over what is others' only a lease after it came
      return b:http("GET", "/metrics").body:find("rucat_lease_held 1\n", 1, true)
    end)
    rucat.timer.sleep(LEASE)
    assert.equal(0, a:term().code)
    a.gone = true
    until_kept_by(cluster, e, b)
    assert.is_true(replicas.alive(pid))
    assert.equal(1, b:engine("handed").epoch)
  end)

  it_with_db("by SIGSTOP: it wakes up late, and does nothing but find itself fenced", function()
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    local e, other = cluster:create(a, "slept"), cluster:create(a, "slept-too")
    b:until_state("slept", "Running")
    b:until_state("slept-too", "Running")
    local pid, kept = cluster:pid(e), cluster:pid(other)
    replicas.pause(a)
    until_kept_by(cluster, e, b)
    until_kept_by(cluster, other, b)
    assert.is_true(replicas.alive(pid) and replicas.alive(kept))
    local now = select(2, b:json("POST", "/v1/engines/slept/restart?wait=20s"))
    assert.equal("Running", now.state)
    assert.equal(2, now.epoch)
    replicas.go_on(a)
    cluster:wait_all(2)
    assert.is_truthy(a:http("GET", "/metrics").body:find("rucat_fenced_total 1\n", 1, true))
    assert.equal(2, a:until_engine("slept", function(seen) return seen.epoch == 2 end).epoch)
    assert.equal("Running", a:engine("slept").state)
    assert.equal(kept, a:get("/v1/engines/slept-too/stats").pid or b:get("/v1/engines/slept-too/stats").pid)
    assert.is_true(replicas.alive(kept) and replicas.alive(cluster:pid(e, 2)))
    assert.is_false(replicas.alive(pid))
    until_kept_by(cluster, e, b, 1)
    cluster:check_once()
  end)

  it_with_db("by SIGSTOP in the middle of starts: no epoch has two drivers", function()
    local cluster <close> = replicas.start(2)
    local a, b = cluster[1], cluster[2]
    for i = 1, 30 do
      cluster:create(a, "s" .. i)
      if i == 20 then
        replicas.pause(a)
        break
      end
    end
    for i = 21, 30 do
      cluster:create(b, "s" .. i)
    end
    server.eventually(function()
      local left = {}
      for _, e in ipairs(b:get("/v1/engines?limit=1000").engines) do
        if e.state ~= "Running" or e.reason ~= "Ready" then
          left[#left + 1] = rucat.json.encode(e)
        end
      end
      return #left == 0, #left .. " are not up: " .. (left[1] or "")
    end, TAKEN + 20, "that all are up")
    replicas.go_on(a)
    cluster:wait_all(2)
    server.eventually(function() -- what was about to be started when it slept is ended
      local alive = {}
      for key, pids in pairs(cluster:started()) do
        for _, pid in ipairs(pids) do
          local id = key:match("%S+")
          if replicas.alive(pid) then
            if alive[id] then
              return false, "two of " .. id
            end
            alive[id] = pid
          end
        end
      end
      return true
    end, 20, "that each has one driver")
    for _, e in ipairs(b:get("/v1/engines?limit=1000").engines) do
      assert.is_true(replicas.alive(cluster:pid(e)), e.name)
    end
    cluster:check_once()
  end)
end)

describe("three servers", function()
  it_with_db("of which two are killed: the third has everything", function()
    local cluster <close> = replicas.start(3)
    local pids = {}
    for i = 1, 24 do
      cluster:create(cluster[i % 3 + 1], "e" .. i)
    end
    local c = cluster[3]
    for i = 1, 24 do
      local e = c:until_state("e" .. i, "Running", nil, 30)
      pids[e.name] = cluster:pid(e)
    end
    replicas.kill9(cluster[1])
    replicas.kill9(cluster[2])
    local id = replicas.id(c)
    server.eventually(function()
      local left = cluster.db:ask(("SELECT VALUE name FROM engine WHERE keeper != '%s'"):format(id))
      return #left == 0, #left .. " are not taken over"
    end, TAKEN, "that all are taken over")
    for name, pid in pairs(pids) do
      local e = c:engine(name)
      assert.equal("Running", e.state)
      assert.equal(1, e.epoch)
      assert.is_true(replicas.alive(pid))
    end
    cluster:check_once()
  end)
end)

describe("roles", function()
  it_with_db("work together through the database alone", function()
    local cluster <close> = replicas.start(0)
    local web, works = cluster:add({ role = { "server" } }), cluster:add({ role = { "monitor" } })
    cluster:create(web, "apart")
    local e = web:until_state("apart", "Running", "Ready", 20)
    until_kept_by(cluster, e, works, 5)
    assert.is_true(server.exists(works.state_dir .. "/engines/" .. e.id))
    assert.is_false(server.exists(web.state_dir .. "/engines/" .. e.id))
    assert.is_truthy(web:http("GET", "/v1/engines/apart/logs").body:find("up on 4321", 1, true))
    assert.equal(200, works:http("GET", "/healthz").status)
    assert.equal(200, works:http("GET", "/readyz").status)
    assert.equal(200, works:http("GET", "/metrics").status)
    for _, path in ipairs({ "/", "/v1/engines", "/v1/engines/apart", "/v1/engines/apart/logs", "/v1/stats" }) do
      assert.equal(404, works:http("GET", path).status, path)
    end
    assert.equal("Stopped", select(2, web:json("POST", "/v1/engines/apart/stop?wait=20s")).state)
    web:json("DELETE", "/v1/engines/apart")
    web:until_gone("apart")
  end)
end)

describe("a server on another host", function()
  local cluster, far, near

  lazy_setup(function()
    if not replicas.missing and not no_unshare() then
      cluster = replicas.start(0)
      near = cluster:add()
      far = cluster:add({ prefix = UNSHARE, config = { log = { level = "debug" } } })
      cluster:wait_all(2)
    end
  end)
  lazy_teardown(function()
    if cluster then
      cluster:stop()
    end
  end)

  local function it_apart(what, fn)
    it_with_db(what, function()
      local missing = no_unshare()
      if missing then
        return pending(missing)
      end
      fn()
    end)
  end

  it_apart("has the logs and the figures of its engines, and is asked for them", function()
    cluster:create(far, "far", { run = "while :; do echo line; sleep 0.1; done" })
    near:until_state("far", "Running", "Ready", 20)
    local answer
    server.eventually(function()
      answer = near:http("GET", "/v1/engines/far/logs?tail=5", nil, { ["x-request-id"] = "theone" })
      return answer.body:find("line\nline", 1, true), answer.body
    end, 10, "lines of its log")
    assert.equal(200, answer.status)
    assert.equal("text/plain; charset=utf-8", answer.headers["content-type"])
    assert.is_truthy(far:output():find("theone", 1, true)) -- the same request, on both
    local stats = near:get("/v1/engines/far/stats")
    assert.is_true(stats.processes >= 1)
    assert.same(stats.id, near:get("/v1/stats").stats[1].id)
    server.eventually(function() -- who does not answer in time is done without
      return near:get("/v1/stats").stats[1].processes >= 1
    end, 20, "the figures of all")
    local stream <close> = assert(rucat.http.stream({ url = near.url .. "/v1/engines/far/logs?follow=true&tail=0" }))
    local text = ""
    server.eventually(function()
      text = text .. (stream:read(5) or "")
      return text:find("line\nline", 1, true)
    end, 20, "lines from there")
    -- one hop only
    answer = near:http("GET", "/v1/engines/far/logs", nil, { ["x-rucat-hop"] = "somebody" })
    assert.equal(502, answer.status)
    near:json("DELETE", "/v1/engines/far?wait=20s")
    near:until_gone("far")
  end)

  it_apart("that is lost: its engines are left as they are, and taken up when it is back", function()
    local e = cluster:create(far, "lost")
    near:until_state("lost", "Running", "Ready", 20)
    replicas.kill9(far) -- and all that ran there
    local now = near:until_state("lost", "Running", "HostLost", 4 * LEASE + 10)
    assert.equal("unknown", now.health)
    assert.is_truthy(now.message:find("of which no replica answers since", 1, true), now.message)
    assert.equal(1, now.epoch)
    assert.equal(503, near:http("GET", "/v1/engines/lost/logs").status)
    near:json("POST", "/v1/engines/lost/restart") -- nobody can do that now
    near:until_engine("lost", function(seen) return seen.reason == "HostLost" end)
    assert.equal(1, near:engine("lost").epoch)
    far.gone = false
    far:start_again() -- the same directory, another namespace: as after a restart of the machine
    now = near:until_engine("lost", function(seen)
      return seen.state == "Running" and seen.reason == "Ready" and seen.epoch == 2
    end, 30)
    -- Either may have it: the near one can read that directory, and may be the first to see it free again.
    local keeper = keeper_of(cluster, e)
    assert.is_true(keeper == replicas.id(far) or keeper == replicas.id(near), keeper)
    assert.equal("Running", now.desired)
    near:json("DELETE", "/v1/engines/lost?wait=20s")
    near:until_gone("lost")
    cluster:check_once()
  end)

  it_apart("that stands still: an operator gives its driver up by force, and it is ended later", function()
    local e = cluster:create(far, "forced")
    local gone = cluster:create(far, "forced-away")
    near:until_state("forced", "Running", "Ready", 20)
    near:until_state("forced-away", "Running", "Ready", 20)
    local sleeper = tostring(inner(far))
    server.run({ "kill", "-STOP", sleeper })
    near:until_state("forced", "Running", "HostLost", 4 * LEASE + 10)
    near:until_state("forced-away", "Running", "HostLost", 4 * LEASE + 10)
    local code, out, err = near:cli("stop", "forced", "--force")
    assert.equal(0, code, out .. err)
    local now = near:until_state("forced", "Stopped", "StoppedByUser", 10)
    assert.equal(2, now.epoch)
    assert.is_truthy(now.message:find("given up", 1, true))
    assert.is_truthy(reasons(near, "forced"):find(" force-stop ", 1, true))
    now = select(2, near:json("POST", "/v1/engines/forced/start?wait=30s"))
    assert.equal("Running", now.state)
    assert.equal(3, now.epoch)
    until_kept_by(cluster, e, near, 5)
    assert.equal(202, (near:json("DELETE", "/v1/engines/forced-away?force=true")))
    near:until_gone("forced-away")
    local function run_there(engine)
      return #server.processes(far.state_dir .. "/engines/" .. engine.id) > 0
    end
    assert.is_true(run_there(e) and run_there(gone))
    server.run({ "kill", "-CONT", sleeper })
    server.eventually(function()
      return not run_there(e) and not run_there(gone)
    end, 4 * LEASE + 10, "that the drivers whose epochs are over are gone")
    server.eventually(function()
      return not server.exists(far.state_dir .. "/engines/" .. gone.id)
    end, 10, "that the directory of a deleted engine is gone")
    now = near:engine("forced")
    assert.equal("Running", now.state)
    assert.equal(3, now.epoch)
    near:json("DELETE", "/v1/engines/forced?wait=20s")
    cluster:check_once()
  end)
end)
