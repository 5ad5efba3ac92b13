-- The last line: a script that calls C which does not come back. The server starts itself again in
-- its own process; nothing that the outside has is lost. Needs the testing build (rucat.test.stall).

local support = require("support.server")

local STALL <const> = 1 -- limits.stall, seconds

local HANDLER = [[return { ["GET /stall"] = function(req) rucat.test.stall(60) return 200, "came through" end,
  ["GET /mine"] = function() return 200, "mine" end }]]

local function config(more)
  local all = { limits = { stall = STALL }, monitor = { interval = 0.2 } }
  for key, value in pairs(more or {}) do
    all[key] = value
  end
  return all
end

-- Runs fn as a job of its own; a function that waits for what it gave.
local function begin(fn)
  local result
  rucat.timer.after(0, function()
    result = table.pack(pcall(fn))
  end)
  return function(seconds)
    support.eventually(function()
      return result
    end, seconds or 20, "a call made meanwhile")
    return table.unpack(result, 1, result.n)
  end
end

-- A request on a connection of its own (a client that keeps connections tries again by itself): gives
-- what came back, or nil and why.
local function request(s, path, method, body)
  local host, port = s.address:match("^(.*):(%d+)$")
  local bytes = ("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    .. "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(method or "GET", path, #(body or ""),
    body or "")
  return begin(function()
    return rucat.tcp.exchange(host, math.tointeger(tonumber(port)), bytes, 30)
  end)
end

local function metric(s, name)
  local text = s:http("GET", "/metrics").body
  return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)")) or 0
end

-- Asks for what stalls and, before it has been noticed, for something else: that waits and is served.
-- The first one gets its connection's end and nothing else.
local function stall(s, ...)
  local first = request(s, ...)
  rucat.timer.sleep(0.3)
  local second = request(s, "/healthz")
  local ok, answer, why = second()
  assert.is_true(ok)
  assert.is_string(answer, "a client that came meanwhile was refused: " .. tostring(why))
  assert.matches("^HTTP/1.1 200", answer)
  local _, none = first()
  assert.is_true(none == nil or none == "", none)
  support.eventually(function()
    local ready = rucat.http.request({ url = s.url .. "/readyz", timeout = 5 })
    return ready and ready.status == 200
  end)
end

local function same_process(s)
  local exit = s.process:wait(0)
  assert.is_nil(exit)
  assert.are.equal(s.address, (support.read(s.state_dir .. "/address") or ""):match("%S+"))
end

for _, mode in ipairs({ "local", "embedded" }) do
  describe("a stall in mode " .. mode, function()
    it("in a handler: same process, same socket, engines untouched, last good scripts", function()
      local s <close> = support.start({ mode = mode, config = config() })
      s:create({ name = "a", config = { run = "echo $$; exec sleep 1000", ready = "%d" } })
      s:until_state("a", "Running")
      local before = s:engine("a")
      local driver = s:http("GET", "/v1/engines/a/logs").body
      local good = s:get("/v1/admin/scripts").generation
      s:scripts({ ["handlers/stall.lua"] = HANDLER })
      assert.are.equal(200, (s:reload()))
      local bad = s:get("/v1/admin/scripts")
      assert.is_true(bad.generation > good)

      stall(s, "/stall")
      same_process(s)
      local after = s:until_engine("a", function(e)
        return e.state == "Running" and e.health == "healthy"
      end)
      assert.are.equal(before.epoch, after.epoch)
      assert.are.equal(before.started_at, after.started_at)
      assert.are.equal(0, after.restarts)
      assert.are.equal(driver, s:http("GET", "/v1/engines/a/logs").body)

      local scripts = s:get("/v1/admin/scripts")
      assert.are.equal("last good", scripts.source)
      assert.matches("stall.lua:1: handler GET /stall (script generation", scripts.last_error, 1, true)
      assert.are.equal(404, s:http("GET", "/mine").status)
      assert.are.equal(1, metric(s, "rucat_stalls_total"))
      local report = rucat.json.decode(support.read(s.state_dir .. "/stall.json"))
      assert.are.equal("GET /stall", report.what)
      assert.are.equal("handler", report.kind)
      assert.are.equal(bad.generation, report.generation)
      assert.matches("stall.lua:1$", report.place)
      assert.matches("started again in the same process: .*stall.lua:1: handler GET /stall", s:output())

      -- As long as they are as they were they are refused; changed ones are taken.
      local status, told = s:reload()
      assert.are.equal(422, status)
      assert.matches("until they change", rucat.json.encode(told), 1, true)
      s:scripts({ ["handlers/stall.lua"] = HANDLER:gsub("rucat.test.stall%b()", "") })
      assert.are.equal(200, (s:reload()))
      assert.are.equal("path", s:get("/v1/admin/scripts").source)
      assert.are.equal("mine", s:http("GET", "/mine").body)

      -- What it started before, it can still stop; nothing is left of it.
      assert.are.equal(202, (s:json("POST", "/v1/engines/a/stop?wait=10s")))
      assert.are.equal("Stopped", s:engine("a").state)
      support.eventually(function()
        local _, out = support.run({ "ps", "--ppid", tostring(s.pid), "-o", "stat=" })
        return not out:find("Z", 1, true), out
      end, 10, "that no child is a zombie")
      assert.are.equal(0, s:term().code)
    end)
  end)
end

describe("a stall of a server that listens on two sockets of its service manager", function()
  it("keeps both", function()
    local dir = support.tempdir()
    local s <close> = support.start({ config = config(), scripts = { ["handlers/stall.lua"] = HANDLER },
      prefix = { "/usr/bin/python3", "spec/support/manager.py", dir .. "/ports", dir .. "/pid", "0" },
      env = { PATH = os.getenv("PATH"), PYTHONUNBUFFERED = "1", MANAGER_SOCKETS = "2" } })
    local first = request(s, "/stall")
    support.eventually(function() return s:output():find("for longer than limits.stall", 1, true) end, 20)
    first()
    local ports = {}
    for port in support.read(dir .. "/ports"):gmatch("%d+") do
      ports[#ports + 1] = port
      support.eventually(function()
        local answer = rucat.http.request({ url = "http://127.0.0.1:" .. port .. "/healthz", timeout = 2, fresh = true })
        return answer and answer.status == 200
      end, 10, "an answer on " .. port)
    end
    assert.are.equal(2, #ports)
    s:stop()
    support.run({ "rm", "-rf", dir })
  end)
end)

describe("a stall", function()
  it("in a policy", function()
    local s <close> = support.start({ config = config() })
    s:scripts({ ["policies/auth.lua"] = [[return function(user, verb)
      if verb == "create" then
        rucat.test.stall(60)
      end
      return true
    end]] })
    assert.are.equal(200, (s:reload()))
    stall(s, "/v1/engines", "POST", '{"name":"a","type":"test"}')
    same_process(s)
    local report = rucat.json.decode(support.read(s.state_dir .. "/stall.json"))
    assert.are.equal("policy", report.kind)
    assert.are.equal("auth", report.what)
    assert.matches("auth.lua:3$", report.place)
    local status = s:json("POST", "/v1/engines", { name = "b", type = "test" })
    assert.are.equal(201, status) -- by the policy before
  end)

  it("of the only scripts there are: the shipped ones serve", function()
    local s <close> = support.start({ config = config(), scripts = { ["handlers/stall.lua"] = HANDLER } })
    stall(s, "/stall")
    local scripts = s:get("/v1/admin/scripts")
    assert.are.equal("shipped", scripts.source)
    assert.are.equal(404, s:http("GET", "/mine").status)
  end)

  it("while files are loaded at the start", function()
    local s <close> = support.start({ config = config(),
      scripts = { ["handlers/stall.lua"] = "rucat.test.stall(60) return {}" } })
    assert.are.equal("shipped", s:get("/v1/admin/scripts").source)
    local report = rucat.json.decode(support.read(s.state_dir .. "/stall.json"))
    assert.are.equal("load", report.kind)
  end)

  it("too often in ten minutes is the end of the server, with a word why", function()
    local s <close> = support.start({ config = config() })
    for i = 1, 4 do
      s:scripts({ ["handlers/stall.lua"] = HANDLER .. " -- " .. i })
      assert.are.equal(200, (s:reload()))
      if i < 4 then
        stall(s, "/stall")
      else
        request(s, "/stall")
      end
    end
    local exit = s:wait_exit(20)
    assert.are.equal(1, exit.code)
    assert.matches("fourth time within ten minutes", s:output(), 1, true)
  end)

  it("is none when the process was stopped meanwhile", function()
    local s <close> = support.start({ config = config({ budgets = { handler = { time = 0, instructions = 0 } } }), scripts = {
      ["handlers/slow.lua"] = [[return { ["GET /slow"] = function()
        local began = rucat.clock.monotonic()
        while rucat.clock.monotonic() - began < 2.5 do end
        return 200, "slow" end }]] } })
    local slow = request(s, "/slow")
    rucat.timer.sleep(0.3)
    support.run({ "kill", "-STOP", tostring(s.pid) })
    rucat.timer.sleep(2)
    support.run({ "kill", "-CONT", tostring(s.pid) })
    local ok, answer = slow()
    assert.is_true(ok)
    assert.matches("^HTTP/1.1 200.*slow$", answer)
    assert.are.equal(0, metric(s, "rucat_stalls_total"))
  end)
end)
