-- The operator's scripts: changed live, broken, mended; what a policy decides.

local support = require("support.server")

local UP = { run = "echo up; exec sleep 1000", ready = "up" }

-- A template whose driver writes that word.
local function template(word)
  return ([[return { submit = function(engine, ctx)
    return { driver = "process", argv = { "/bin/sh", "-c", "echo %s; exec sleep 1000" },
             ready = { log = "%s" } }
  end }]]):format(word, word)
end

describe("a template", function()
  local s

  setup(function()
    s = support.start()
  end)

  teardown(function()
    s:stop()
  end)

  -- Sends SIGHUP and waits until it has been taken notice of.
  local function hup()
    local before = s:get("/v1/admin/scripts")
    s:signal("HUP")
    return support.eventually(function()
      local now = s:get("/v1/admin/scripts")
      return (now.generation ~= before.generation or now.last_error_at ~= before.last_error_at) and now
    end)
  end

  it("dropped into the directory is a new engine type after SIGHUP", function()
    assert.are.equal(422, (s:json("POST", "/v1/engines", { name = "n", type = "fresh" })))
    s:scripts({ ["templates/fresh_local.lua"] = template("fresh") })
    hup()
    s:create({ name = "fresh", type = "fresh" })
    s:until_state("fresh", "Running")
    assert.are.equal("fresh\n", s:http("GET", "/v1/engines/fresh/logs").body)
  end)

  it("that breaks changes nothing, and is live when it is mended", function()
    s:scripts({ ["templates/again_local.lua"] = template("one") })
    local good = hup()
    s:scripts({ ["templates/again_local.lua"] = "return {\n  submit = function(\n" })
    local bad = hup()
    assert.are.equal(good.generation, bad.generation)
    assert.matches("again_local.lua:%d+:", bad.last_error)
    s:create({ name = "again-1", type = "again" })
    s:until_state("again-1", "Running")
    assert.are.equal("one\n", s:http("GET", "/v1/engines/again-1/logs").body)
    assert.matches("rucat_script_load_errors_total [1-9]", s:http("GET", "/metrics").body)

    s:scripts({ ["templates/again_local.lua"] = template("two") })
    local mended = hup()
    assert.is_true(mended.generation > bad.generation)
    s:create({ name = "again-2", type = "again" })
    s:until_state("again-2", "Running")
    assert.are.equal("two\n", s:http("GET", "/v1/engines/again-2/logs").body)
  end)

  it("of a wrong shape is refused at load", function()
    for i, text in ipairs({ "return 1", "return {}", "return { submit = 1 }", "", "error('at load')",
                            "local x <const> = 1; x = 2" }) do
      s:scripts({ ["templates/shape_local.lua"] = text })
      local status, report = s:reload()
      assert.are.equal(422, status, i)
      assert.matches("shape_local.lua", rucat.json.encode(report), 1, true)
    end
    s:scripts({ ["templates/shape_local.lua"] = false })
    assert.are.equal(200, (s:reload()))
  end)

  it("that fails or gives nonsense is a TemplateError that says what", function()
    for name, case in pairs({
      raises = { "error('no luck today')", "no luck today" },
      argv = { "return { driver = 'process', argv = 'sleep' }", "argv" },
      field = { "return { driver = 'process', argv = { 'sleep', '1000' }, colour = 1 }", "colour" },
      kind = { "return { driver = 'magic', argv = { 'x' } }", "magic" },
      pattern = { "return { driver = 'process', argv = { 'sleep', '9' }, ready = { log = '(' } }", "log" },
      wait = { "rucat.timer.sleep(1)", "sleep" },
      global = { "return nowhere.at.all", "nowhere" },
      number = { "return 7", "submit" },
    }) do
      s:scripts({ ["templates/bad-" .. name .. "_local.lua"] =
        "return { submit = function(engine, ctx)\n" .. case[1] .. "\nend }" })
      local status, report = s:reload()
      assert.are.equal(200, status, rucat.json.encode(report))
      s:create({ name = "bad-" .. name, type = "bad-" .. name })
      local e = s:until_engine("bad-" .. name, function(now)
        return now.state == "Stopped" and now.desired == "Stopped"
      end)
      assert.are.equal("TemplateError", e.reason, name)
      assert.matches(case[2], e.message, 1, true)
    end
  end)

  it("may refuse with a reason of its own", function()
    s:scripts({ ["templates/fussy_local.lua"] =
      "return { submit = function(e) return nil, 'VersionUnavailable', 'only ' .. e.type end }" })
    assert.are.equal(200, (s:reload()))
    s:create({ name = "fussy", type = "fussy" })
    local e = s:until_state("fussy", "Stopped", "VersionUnavailable")
    assert.are.equal("only fussy", e.message)
    assert.are.equal("Stopped", e.desired)
  end)

  it("gets the real secrets, the directories and the configuration", function()
    s:scripts({ ["templates/look_local.lua"] = [[
return { submit = function(engine, ctx)
  local ok = pcall(function() ctx.config.sail.command = "x" end)
  return {
    driver = "process",
    argv = { "/bin/sh", "-c", "cat $0/secret; pwd; echo port $1 $X $HOME ${SECRET-none} $RUCAT_EPOCH; exec sleep 1000",
             ctx.run, tostring(ctx.port) },
    env = { X = engine.env.X },
    files = { secret = engine.config.password .. "\n" },
    ready = { log = "port (%d+)" },
  }
end }]] })
    assert.are.equal(200, (s:reload()))
    s:create({ name = "look", type = "look", config = { password = "pässword" }, env = { X = "ex" } })
    local e = s:until_state("look", "Running")
    local lines = s:http("GET", "/v1/engines/look/logs").body
    assert.matches("^pässword\n", lines)
    assert.matches(s.state_dir .. "/engines/" .. e.id .. "/data\n", lines, 1, true)
    assert.matches("port %d+ ex " .. s.dir:gsub("%p", "%%%0") .. " none 1\n", lines)
    assert.are.equal("***", e.config.password)
    local mode = select(2, support.run({ "stat", "-c", "%a", s.state_dir .. "/engines/" .. e.id .. "/1/secret" }))
    assert.are.equal("600\n", mode)
  end)
end)

describe("a policy", function()
  local s

  setup(function()
    s = support.start()
  end)

  teardown(function()
    s:stop()
  end)

  local function use(files)
    s:scripts(files)
    local status, report = s:reload()
    assert.are.equal(200, status, rucat.json.encode(report))
  end

  it("of admission may change or refuse a request, live", function()
    finally(function()
      use({ ["policies/admission.lua"] = false })
    end)
    use({ ["policies/admission.lua"] = [[
return function(request, user, counts)
  if request.name == "no" then return nil, "not that name" end
  if request.name == "many" then return nil, "too many", 429 end
  if request.name == "twist" then request.labels = { seen = user.name .. "/" .. user.role } end
  return request
end]] })
    local status, problem = s:json("POST", "/v1/engines", { name = "no", type = "test" })
    assert.are.equal(403, status)
    assert.matches("not that name", problem.detail)
    assert.are.equal(429, (s:json("POST", "/v1/engines", { name = "many", type = "test" })))
    assert.are.same({ seen = "anonymous/admin" }, s:create({ name = "twist", config = UP }).labels)
  end)

  it("of admission may not make a wrong request of a right one", function()
    finally(function()
      use({ ["policies/admission.lua"] = false })
    end)
    use({ ["policies/admission.lua"] = "return function(r) r.name = 'BAD NAME' return r end" })
    local status = s:json("POST", "/v1/engines", { name = "right", type = "test" })
    assert.is_true(status == 422 or status == 503, status)
  end)

  it("of admission that fails refuses: 503 PolicyError", function()
    finally(function()
      use({ ["policies/admission.lua"] = false })
    end)
    for _, text in ipairs({ "return function() error('oops') end", "return function() return 7 end",
                            "return function() rucat.timer.sleep(1) end" }) do
      use({ ["policies/admission.lua"] = text })
      local status, problem, headers = s:json("POST", "/v1/engines", { name = "unlucky", type = "test" })
      assert.are.equal(503, status, text)
      assert.are.equal("PolicyError", problem.title)
      assert.is_string(headers["retry-after"])
      assert.is_nil(rucat.json.encode(problem):find("traceback", 1, true))
      assert.are.equal(404, (s:json("GET", "/v1/engines/unlucky")))
    end
  end)

  it("of restart decides, live, with what it is told", function()
    finally(function()
      use({ ["policies/restart.lua"] = false })
    end)
    use({ ["policies/restart.lua"] = [[
return function(engine, exit, history)
  return { restart = false, reason = engine.type .. "-" .. tostring(exit.code) .. "-" .. exit.phase .. "-" .. #history }
end]] })
    s:create({ name = "word", config = { run = "echo up; exit 9", ready = "up" } })
    local e = s:until_engine("word", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("test-9-running-0", e.reason)

    use({ ["policies/restart.lua"] = [[
return function(engine, exit, history)
  if #history >= 3 then return { restart = false, reason = "RestartLimit" } end
  return { restart = true, delay = 0 }
end]] })
    s:json("POST", "/v1/engines/word/start")
    e = s:until_state("word", "Stopped", "RestartLimit", 20)
    assert.are.equal(3, e.restarts)
    assert.are.equal("Stopped", e.desired)
  end)

  it("of restart that fails falls back on the shipped one, and says so", function()
    finally(function()
      use({ ["policies/restart.lua"] = false })
    end)
    use({ ["policies/restart.lua"] = "return function() error('policy on strike') end" })
    s:create({ name = "strike", config = { run = "echo up; exit 1", ready = "up" } })
    s:until_engine("strike", function(now)
      return now.epoch >= 2
    end)
    local events = rucat.json.encode(s:get("/v1/engines/strike/events?limit=1000"))
    assert.matches("policy on strike", events, 1, true)
    assert.matches('rucat_policy_errors_total{policy="restart"', s:http("GET", "/metrics").body, 1, true)
    s:json("POST", "/v1/engines/strike/stop")
  end)

  it("of auth may forbid, live, and hide", function()
    finally(function()
      s:scripts({ ["policies/auth.lua"] = false })
      s:signal("HUP")
      support.eventually(function()
        return s:json("POST", "/v1/admin/reload") == 200
      end)
    end)
    s:create({ name = "mine", config = UP })
    use({ ["policies/auth.lua"] = [[
return function(user, verb, engine)
  if verb == "admin" then return true end
  if verb == "stop" then return false, "nobody stops here" end
  if verb == "read" then return engine.name ~= "mine" end
  return true
end]] })
    assert.are.equal(404, (s:json("GET", "/v1/engines/mine")))
    assert.are.equal(404, (s:json("POST", "/v1/engines/mine/stop")))
    for _, e in ipairs(s:get("/v1/engines").engines) do
      assert.are_not.equal("mine", e.name)
    end
    use({ ["policies/auth.lua"] = [[
return function(user, verb) return verb ~= "stop" and verb ~= "create", "not " .. verb end]] })
    local status, problem = s:json("POST", "/v1/engines/mine/stop")
    assert.are.equal(403, status)
    assert.matches("not stop", problem.detail)
    assert.are.equal(403, (s:json("POST", "/v1/engines/mine/restart")))
    assert.are.equal(403, (s:json("POST", "/v1/engines", { name = "x", type = "test" })))
    assert.are.equal(200, (s:json("GET", "/v1/engines/mine")))
  end)

  it("of auth that fails forbids everything, /v1/admin too, until it is mended", function()
    use({ ["policies/auth.lua"] = "return function() error('locked out') end" })
    for _, path in ipairs({ "/v1/engines", "/v1/engines/mine", "/v1/admin/scripts" }) do
      local status, problem = s:json("GET", path)
      assert.are.equal(503, status, path)
      assert.are.equal("PolicyError", problem.title)
    end
    assert.are.equal(503, (s:reload()))
    assert.matches("^ok", s:http("GET", "/healthz").body)
    s:scripts({ ["policies/auth.lua"] = false })
    s:signal("HUP")
    support.eventually(function()
      return s:http("GET", "/v1/engines").status == 200
    end)
  end)

  it("of health restarts what is not well", function()
    finally(function()
      use({ ["policies/health.lua"] = false })
    end)
    use({ ["policies/health.lua"] = [[
return { interval = 0.1, timeout = 1, failures = 2,
  probe = function(engine)
    rucat.timer.sleep(0.01)
    return engine.epoch > 1 or engine.name ~= "ill", "looks pale"
  end,
  unhealthy = function() return "restart" end }]] })
    s:create({ name = "ill", config = UP })
    local e = s:until_engine("ill", function(now)
      return now.state == "Running" and now.epoch > 1 and now.health == "healthy"
    end, 20)
    assert.are.equal("Running", e.desired)
    assert.matches("looks pale", rucat.json.encode(s:get("/v1/engines/ill/events?limit=1000")), 1, true)
    use({ ["policies/health.lua"] = [[
return { interval = 0.1, timeout = 1, failures = 1,
  probe = function(engine) return engine.name ~= "ill", "really ill" end,
  unhealthy = function() return "stop" end }]] })
    e = s:until_state("ill", "Stopped", "Unhealthy", 20)
    assert.are.equal("Stopped", e.desired)
    assert.matches("really ill", e.message)
  end)
end)

describe("a handler", function()
  it("of the operator answers, waits, fails without a trace outside", function()
    local s <close> = support.start({ scripts = { ["handlers/mine.lua"] = [[
return {
  ["GET /v1/hello/{who}"] = function(req) return 200, { hello = req.params.who, q = req.query.q } end,
  ["GET /v1/slow"] = function() rucat.timer.sleep(0.05) return 200, "slept" end,
  ["GET /v1/fails"] = function() error("the inside of it") end,
  ["GET /v1/odd"] = function() return "x" end,
  ["POST /v1/echo"] = function(req) return 201, req.body, { ["x-mine"] = "1" } end,
}]] } })
    local status, body = s:json("GET", "/v1/hello/w%20o?q=1")
    assert.are.equal(200, status)
    assert.are.same({ hello = "w o", q = "1" }, body)
    assert.are.equal("slept", s:http("GET", "/v1/slow").body)
    for _, path in ipairs({ "/v1/fails", "/v1/odd" }) do
      local answer = s:http("GET", path)
      assert.are.equal(500, answer.status)
      assert.is_nil(answer.body:find("inside", 1, true))
      assert.is_nil(answer.body:find(".lua", 1, true))
    end
    support.eventually(function()
      return s:output():find("the inside of it", 1, true), s:output()
    end, 5, "the error in the log")
    local echo = s:http("POST", "/v1/echo", "abc")
    assert.are.equal(201, echo.status)
    assert.are.equal("abc", echo.body)
    assert.are.equal("1", echo.headers["x-mine"])
  end)

  it("that defines a route twice is refused, both files named", function()
    local s <close> = support.start()
    s:scripts({ ["handlers/a.lua"] = "return { ['GET /v1/two'] = function() end }",
                ["handlers/b.lua"] = "return { ['GET /v1/two'] = function() end }" })
    local status, report = s:reload()
    assert.are.equal(422, status)
    local text = rucat.json.encode(report)
    assert.matches("a.lua", text, 1, true)
    assert.matches("b.lua", text, 1, true)
  end)

  it("shadows a shipped file of the same name", function()
    local s <close> = support.start({ scripts = { ["handlers/health.lua"] =
      "return { ['GET /healthz'] = function() return 200, 'mine' end, "
      .. "['GET /readyz'] = function() return 200, 'mine too' end }" } })
    assert.are.equal("mine", s:http("GET", "/healthz").body)
  end)
end)

describe("a server with a broken script", function()
  it("starts on the last good generation and says so", function()
    local s <close> = support.start()
    s:scripts({ ["templates/nice_local.lua"] = template("nice") })
    assert.are.equal(200, (s:reload()))
    -- kept in the state directory some time after the answer
    s:scripts({ ["templates/nice_local.lua"] = template("nicer") })
    assert.are.equal(200, (s:reload()))
    s:term()
    s:scripts({ ["templates/nice_local.lua"] = "return return" })
    s:start_again()
    local scripts = s:get("/v1/admin/scripts")
    assert.matches("nice_local.lua:1:", scripts.last_error, 1, true)
    assert.matches("nice_local.lua:1:", s:output(), 1, true)
    s:create({ name = "n", type = "nice" })
    s:until_state("n", "Running")
    assert.matches("^nice", s:http("GET", "/v1/engines/n/logs").body)
    s:scripts({ ["templates/nice_local.lua"] = template("nicest") })
    assert.are.equal(200, (s:reload()))
    assert.are.equal(rucat.json.null, s:get("/v1/admin/scripts").last_error)
  end)

  it("does not start without a good one, and names FILE:LINE", function()
    local s <close> = support.start({ wait = false, scripts = {
      ["policies/restart.lua"] = "return function(engine)\n  local x = = 1\nend" } })
    assert.are.same({ code = 1 }, s:wait_exit())
    assert.matches("policies/restart.lua:2:", s:output(), 1, true)
  end)
end)
