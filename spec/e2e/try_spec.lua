-- `rucat try`: recorded events asked again, with no harm to the server they come from; and samples.

local server = require("support.server")

local CRASHES = { run = "echo up; exit 3", ready = "up" }

describe("rucat try", function()
  local s, dir

  -- Writes a candidate, which no server has seen.
  local function candidate(name, text)
    server.write(dir .. "/" .. name, text)
    return dir .. "/" .. name
  end

  local function try(...)
    local words = { "try", ... }
    words[#words + 1] = "-c"
    words[#words + 1] = s.config_file
    return s:cli(table.unpack(words))
  end

  local function try_json(...)
    local words = { ... }
    table.move({ "-o", "json" }, 1, 2, #words + 1, words)
    local code, out, err = try(table.unpack(words))
    return rucat.json.decode(out), code, err
  end

  setup(function()
    dir = server.tempdir()
    s = server.start({ scripts = {
      ["policies/restart.lua"] = [[
return function(engine, exit, history)
  if #history >= 2 then return { restart = false, reason = "ThreeTimes" } end
  return { restart = true, delay = 0 }
end]],
      ["lib/words.lua"] = "return { word = 'FromModule' }",
    } })
    s:create({ name = "crash", config = { run = CRASHES.run, ready = "up", password = "geheim" }, labels = { team = "red" } })
    s:until_state("crash", "Stopped", "ThreeTimes")
    s:create({ name = "never", config = { run = "exit 7", ready = "up" } })
    s:until_state("never", "Stopped", "ThreeTimes")
    s:create({ name = "gone", config = CRASHES, labels = { team = "blue" } })
    s:until_state("gone", "Stopped", "ThreeTimes")
    s:json("DELETE", "/v1/engines/gone?wait=10s")
    s:until_gone("gone")
  end)

  teardown(function()
    s:stop()
    server.run({ "rm", "-rf", dir })
  end)

  it("records what a policy was asked in the events, without secrets", function()
    local found = 0
    for _, event in ipairs(s:get("/v1/engines/crash/events?limit=1000").events) do
      if event.kind == "policy" then
        assert.are.equal("restart", event.data.policy)
        assert.are.equal(3, event.data.exit.code)
        assert.are.equal("running", event.data.exit.phase)
        assert.are.equal(found, event.data.history)
        assert.are.equal("red", event.data.engine.labels.team)
        assert.are.equal("***", event.data.engine.config.password)
        found = found + 1
      end
    end
    assert.are.equal(3, found)
    assert.is_nil(rucat.json.encode(s:get("/v1/events?limit=1000")):find("geheim", 1, true))
  end)

  it("the policy in force differs nowhere", function()
    local result, code, err = try_json("restart")
    assert.are.equal(0, code, err)
    assert.are.same({ asked = 9, otherwise = 0, changed = 0, failed = 0 }, result.summary)
    local text
    code, text = try("restart")
    assert.are.equal(0, code)
    assert.matches("\n  +%d+%S+Z  crash +exit 3, up 0s +restart at once +restart at once\n", text)
    assert.matches("\n  +%d+%S+Z  never +exit 7, never up +no restart %(ThreeTimes%) +no restart %(ThreeTimes%)\n", text)
    assert.matches("9 recorded in 1d0h, 0 decided otherwise (!), 0 at another time (~), 0 failed\n", text, 1, true)
  end)

  it("another one shows where it differs: engine, exit, history and time are as they were", function()
    local file = candidate("restart.lua", [[
local words = require("lib.words")
return function(engine, exit, history)
  if engine.labels.team == "blue" then return { restart = false, reason = "Blue" } end
  if exit.phase == "starting" then return { restart = true, delay = 100 } end
  for i, past in ipairs(history) do
    assert(past.exit.code == 3 and past.at <= os.time() + 1 and (i == 1 or past.at <= history[i - 1].at))
  end
  return { restart = false, reason = words.word .. #history .. engine.config.password }
end]])
    local result, code, err = try_json(file)
    assert.are.equal(0, code, err)
    assert.are.same({ asked = 9, otherwise = 7, changed = 2, failed = 0 }, result.summary)
    local reasons = {}
    for _, case in ipairs(result.cases) do
      assert.is_true(case.differs)
      if case.name == "crash" then reasons[#reasons + 1] = case.would.reason end
      if case.name == "gone" then assert.are.equal("Blue", case.would.reason) end
      if case.name == "never" then assert.are.equal(100, case.would.delay) end
    end
    assert.are.same({ "FromModule0***", "FromModule1***", "FromModule2***" }, reasons)
    result = try_json(file, "--engine", "never")
    assert.are.equal(3, result.summary.asked)
    assert.are.equal(1, result.summary.otherwise)
    assert.are.equal(2, result.summary.changed)
    -- and nothing of it has reached the server
    assert.are.equal("ThreeTimes", s:engine("crash").reason)
    assert.are.equal(rucat.json.null, s:get("/v1/admin/scripts").last_error)
  end)

  it("sees the time that was, not the time that is", function()
    local file = candidate("restart.lua", [[
return function(engine, exit, history)
  local text = rucat.clock.text()
  assert(os.date("!%Y-%m-%dT%H:%M:%S") == text:sub(1, 19), "the clocks differ")
  assert(math.abs(os.time() - rucat.clock.now()) < 1)
  return { restart = false, reason = text }
end]])
    for _, case in ipairs((try_json(file)).cases) do
      assert.is_nil(case.error)
      assert.is_true(math.abs(rucat.clock.parse(case.at) - rucat.clock.parse(case.would.reason)) < 0.01)
    end
  end)

  it("only what happened since then", function()
    local result, code = try_json("restart", "--since", "10ms")
    assert.are.equal(0, code)
    assert.are.equal(0, result.summary.asked)
    assert.are.equal("[]", rucat.json.encode(result.cases))
    local _, text = try("restart", "--since", "10ms")
    assert.matches("^0 recorded in 0s", text)
  end)

  it("a file that is broken, raises or answers nonsense: FILE:LINE and exit code 1", function()
    local code, out, err, _
    code, out, err = try(candidate("restart.lua", "return function()\n  retrun\nend"))
    assert.are.equal(1, code)
    assert.matches("^" .. dir:gsub("%p", "%%%0") .. "/restart.lua:3: ", err)
    assert.are.equal("", out)
    code, out = try(candidate("restart.lua", "return function(engine)\n  return engnie.x\nend"))
    assert.are.equal(1, code)
    assert.matches("FAILS: .*/restart.lua:2: unknown name 'engnie', did you mean 'engine'%?", out)
    assert.matches("9 failed\n", out)
    code, out = try(candidate("restart.lua", "return function() return 5 end"))
    assert.are.equal(1, code)
    assert.matches("FAILS: it must return { restart", out)
    code, _, err = try(candidate("restart.lua", "return function() end, function() error('no') end"))
    assert.are.equal(1, code)
    assert.matches("restart.lua:1: no %(self_test%)", err)
    code, out = try(candidate("restart.lua", "return function() rucat.store.engines.list() end"))
    assert.are.equal(1, code)
    assert.matches("rucat.store is not to be had here", out, 1, true)
    code, out = try(candidate("restart.lua", "return function(engine)\n  if engine.name == 'never' then while true do end end\n"
      .. "  return { restart = true }\nend"), "--engine", "never")
    assert.are.equal(1, code)
    assert.matches("FAILS: .*restart.lua:2: .*time", out)
    code, _, err = try(candidate("restart.lua", "return function() end, function()\n  while true do end\nend"))
    assert.are.equal(1, code)
    assert.matches("restart.lua:2: .*self_test", err)
    code, _, err = try(dir .. "/nothing/restart.lua")
    assert.are.equal(1, code)
    assert.matches("nothing/restart.lua: no such file", err:lower(), 1, true)
  end)

  it("what cannot be replayed says so", function()
    local code, _, err = try("health")
    assert.are.equal(2, code)
    assert.matches("nothing recorded can be asked again; --samples", err, 1, true)
    code, _, err = try("idle.lua")
    assert.are.equal(2, code)
    assert.matches("not recorded", err)
    code, _, err = try("spark_local.lua")
    assert.are.equal(2, code)
    assert.matches("a policy is restart, health, admission, auth or idle", err)
  end)

  it("admission: creates are asked again with user and counts", function()
    local file = candidate("admission.lua", [[
return function(request, user, counts)
  if counts.engines >= 2 then return nil, "two are enough for " .. user.name, 429 end
  if request.name == "crash" then
    assert(request.config.password == "***")
    request.labels = { team = "green" }
  end
  return request
end]])
    local result, code, err = try_json(file)
    assert.are.equal(0, code, err)
    assert.are.same({ asked = 3, otherwise = 1, changed = 1, failed = 0 }, result.summary)
    assert.are.same({ admit = true, changes = { "labels" } }, result.cases[1].would)
    assert.are.same({ admit = false, why = "two are enough for anonymous", status = 429 }, result.cases[3].would)
    local _, text = try(file)
    assert.matches("refuse (429): two are enough for anonymous", text, 1, true)
    assert.matches("creates that were refused are not recorded", text)
  end)

  it("auth: creates and requests are asked again with the role of then", function()
    local file = candidate("auth.lua", [[
return function(user, verb, engine)
  if verb == "delete" then return engine.labels.team ~= "blue", "nobody deletes blue ones" end
  return user.role == "admin"
end]])
    local result, code, err = try_json(file)
    assert.are.equal(0, code, err)
    assert.are.equal(4, result.summary.asked)
    assert.are.equal(1, result.summary.otherwise)
    assert.are.equal("nobody deletes blue ones", result.cases[4].would.why)
    assert.matches("delete by anonymous (admin)", result.cases[4].what, 1, true)
  end)
end)

describe("samples", function()
  local function run(...)
    local exit, out, err = server.run({ server.binary, ... },
      { env = { HOME = "/", RUCAT_URL = "http://127.0.0.1:1", ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
    return exit.code, out, err
  end

  for kind, answer in pairs({
    restart = "the first crash +exit 1, up 60s +restart at once",
    admission = "the first engine of a user +ann %(user%), 0 engines +admit",
    auth = "vic %(viewer%) +create +no: a viewer may only look",
    health = "nothing listens there +probe +not well: port 1 of 127.0.0.1",
    idle = "idle for too long +check +stop: nobody ",
  }) do
    it("of " .. kind .. " need no server", function()
      local code, out, err = run("check", "--try", kind)
      assert.are.equal("", err)
      assert.are.equal(0, code)
      assert.matches("^configuration and scripts are fine\nCASE", out)
      assert.matches(answer, out)
      code, out = run("try", kind, "--samples", "-o", "json")
      assert.are.equal(0, code)
      assert.are.equal(0, rucat.json.decode(out).summary.failed)
    end)
  end

  it("have nothing to do with each other, recorded ends have", function()
    local dir = server.tempdir()
    finally(function() server.run({ "rm", "-rf", dir }) end)
    server.write(dir .. "/restart.lua", [[
return function() return { restart = false, reason = "N" .. rucat.state.incr("n") } end]])
    local code, out = run("try", dir .. "/restart.lua", "--samples")
    assert.are.equal(0, code)
    assert.matches("N1", out)
    assert.is_nil(out:find("N2"))
  end)

  it("of a file that answers nonsense: exit code 1; of no policy: 2", function()
    local dir = server.tempdir()
    finally(function() server.run({ "rm", "-rf", dir }) end)
    server.write(dir .. "/policies/idle.lua",
      "return { check = function() return 'maybe' end, wake_on_connect = function() return true end }")
    server.write(dir .. "/rucat.lua", ("return { scripts = { '%s' } }"):format(dir))
    local code, out, err, _
    code, out = run("check", "-c", dir .. "/rucat.lua", "--try", "idle")
    assert.are.equal(1, code)
    assert.matches("FAILS: check must return keep, or stop and why", out, 1, true)
    assert.matches("wake_on_connect +wake", out)
    code, _, err = run("check", "--try", "weather")
    assert.are.equal(2, code)
    assert.matches("a policy is restart", err)
    server.write(dir .. "/policies/idle.lua", "return {")
    code, _, err = run("check", "-c", dir .. "/rucat.lua", "--try", "idle")
    assert.are.equal(1, code)
    assert.matches("idle.lua:1:", err)
  end)
end)
