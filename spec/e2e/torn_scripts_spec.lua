-- Scripts that do what nobody should: what they return, raise, keep and leave behind must never take
-- the server with it, nor stop what does not depend on them.

local server = require("support.server")

local function ok_after(s)
  assert.are.equal(200, s:http("GET", "/healthz").status)
  s:check_output()
end

describe("a handler that misbehaves", function()
  local s

  setup(function()
    s = server.start({ scripts = { ["handlers/torn.lua"] = [[
local bad = setmetatable({}, { __close = function() error("from __close") end })
local answers = {
  none = function() end,
  text = function() return "200" end,
  low = function() return 99 end,
  float = function() return 200.5, "x" end,
  fn = function() return 200, print end,
  thread = function() return 200, coroutine.create(print) end,
  cycle = function() local t = {} t.t = t return 200, t end,
  nan = function() return 200, { x = 0 / 0 } end,
  utf8 = function() return 200, { x = "\xff\xfe" } end,
  keys = function() return 200, { [1.5] = 1, a = 2 } end,
  split = function() return 200, "x", { ["x-a"] = "1\r\nset-cookie: x" } end,
  name = function() return 200, "x", { ["x a:"] = "1" } end,
  headers = function() return 200, "x", "headers" end,
  many = function() local t = {} for i = 1, 100 do t["x-" .. i] = "1" end return 200, "x", t end,
  value = function() return 200, "x", { ["x-a"] = {} } end,
  bool = function() return 200, "x", { ["x-a"] = true } end,
  length = function() return 200, "x", { ["content-length"] = "1000" } end,
  nobody = function() return 204, "a body" end,
  raise = function() error({ "a table" }) end,
  raisenil = function() error(nil) end,
  closing = function() local x <close> = bad return 200, "x" end,
  closing_error = function() local x <close> = bad local y = nil + 1 return y end,
  closing_call = function() local x <close> = bad error("first") end,
  deep = function() local function f(n) return 1 + f(n + 1) end return 200, f(1) end,
  tostring = function()
    return setmetatable({}, { __tostring = function() error("no") end, __name = 3 })
  end,
  raisemeta = function()
    error(setmetatable({}, { __tostring = function() error("no") end }))
  end,
  yields = function() return coroutine.yield(1) end,
  wrapped = function() return coroutine.wrap(function() rucat.timer.sleep(0.01) return 200, "x" end)() end,
  create = function()
    return coroutine.wrap(function() return rucat.store.engines.create({ name = "x" }) end)()
  end,
  sort = function()
    local t = { 3, 2, 1 }
    table.sort(t, function(a, b) rucat.timer.sleep(0.01) return a < b end)
    return 200, t
  end,
  gsub = function() return 200, (("abc"):gsub(".", function() rucat.timer.sleep(0.01) end)) end,
  caught = function()
    local fine, why = pcall(function()
      local x <close> = setmetatable({}, { __close = function() rucat.timer.sleep(0.01) end })
    end)
    return 200, { fine = fine, why = tostring(why) }
  end,
  memory = function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end return 200 end,
  big = function() return 200, ("x"):rep(20 * 1024 * 1024) end,
  oddview = function()
    return 200, rucat.store.engines.get("nothing"), { etag = "x" }
  end,
  hold = function() return 200, rucat.store.engines.hold("nobody", "start", 1) end,
  holdverb = function() return 200, rucat.store.engines.hold("nobody", ("v"):rep(100), 1) end,
  request = function(req) kept = req return 200, "kept" end,
  kept = function()
    return 200, { tostring(pcall(function() return kept.body end)),
      tostring(pcall(function() return kept:json() end)), tostring(pcall(function() return kept.id end)) }
  end,
  null = function() return 200, rucat.json.null end,
  setmeta = function(req) getmetatable(req) return 200, tostring(getmetatable(req)) end,
}
return { ["GET /torn/{how}"] = function(req) return answers[req.params.how](req) end,
  ["POST /torn/body"] = function(req) return 200, { json = { req:json() } } end }
]] } })
  end)

  teardown(function() s:stop() end)

  local expect = {
    none = 500, text = 500, low = 500, float = 500, fn = 500, thread = 500, cycle = 500, nan = 500,
    utf8 = 200, keys = 500, split = 500, name = 500, headers = 500, many = 500, value = 500,
    bool = 500, length = 200, nobody = 204, raise = 500, raisenil = 500, closing = 500,
    closing_error = 500, closing_call = 500, deep = 500, tostring = 500, raisemeta = 500,
    yields = 500, wrapped = 500, create = 500, sort = 500, gsub = 500, caught = 200, memory = 500,
    big = 200, oddview = 200, hold = 404, holdverb = 500, request = 200, kept = 200, null = 200,
    setmeta = 200,
  }
  local names = {}
  for name in pairs(expect) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      local answer = rucat.http.request({ url = s.url .. "/torn/" .. name, timeout = 30,
        max_body = 32 * 1024 * 1024 })
      ok_after(s)
      assert(answer, "no answer")
      assert.are.equal(expect[name], answer.status, answer.body:sub(1, 300))
    end)
  end

  it("gets the value false as a body", function()
    local status, answer = s:json("POST", "/torn/body", "false")
    assert.are.equal(200, status)
    assert.are.same({ json = { false } }, answer)
  end)
end)

describe("a template that returns garbage", function()
  local s
  local plans = {
    ["return 5"] = "submit must return a plan",
    ["return nil"] = "submit must return a plan",
    ["return nil, 5"] = "submit must return a plan",
    ["return {}"] = "argv",
    ["return { argv = 'x' }"] = "argv",
    ["return { argv = {} }"] = "argv",
    ["return { argv = { 1 } }"] = "argv[1]",
    ["return { argv = { 'a/b' } }"] = "argv[1]",
    ["return { argv = { '/bin/true', 'a\\0b' } }"] = "argv",
    ["return { argv = { '/bin/true' }, env = { 'x' } }"] = "env",
    ["return { argv = { '/bin/true' }, env = { A = 1 } }"] = "env.A",
    ["return { argv = { '/bin/true' }, env = { RUCAT_INSTANCE = 'x' } }"] = "env.RUCAT_INSTANCE",
    ["return { argv = { '/bin/true' }, cwd = 'x' }"] = "cwd",
    ["return { argv = { '/bin/true' }, files = { ['../x'] = '' } }"] = "files...",
    ["return { argv = { '/bin/true' }, files = { x = {} } }"] = "files.x",
    ["return { argv = { '/bin/true' }, ready = 'x' }"] = "ready",
    ["return { argv = { '/bin/true' }, ready = { log = '(' } }"] = "ready.log",
    ["return { argv = { '/bin/true' }, ready = { timeout = 'x' } }"] = "ready.timeout",
    ["return { argv = { '/bin/true' }, stop = { signal = 'FOO' } }"] = "stop.signal",
    ["return { argv = { '/bin/true' }, stop = { grace = -1 } }"] = "stop.grace",
    ["return { argv = { '/bin/true' }, unknown = 1 }"] = "unknown",
    ["return { argv = { '/bin/true' }, driver = {} }"] = "driver",
    ["return { argv = { '/bin/true' }, driver = 'kubernetes' }"] = "driver",
    ["return { argv = { '/bin/true' }, endpoint = {} }"] = "endpoint",
    ["return { argv = { '/bin/true' }, endpoint = 5 }"] = "endpoint",
    ["return { argv = { '/bin/true' }, ui = {} }"] = "ui",
    ["return { argv = { '/bin/true' }, ready = { host = {}, log = 'x' } }"] = "ready.host",
    ["return { argv = { '/bin/true', print } }"] = "function",
    ["return { argv = { '/bin/true' }, [print] = 1 }"] = "function",
    ["return { argv = { '/bin/true' }, env = { X = coroutine.create(print) } }"] = "thread",
    ["local t = {} t.t = t return t"] = "nested",
    ["return { argv = { '/bin/true' }, ready = { timeout = 0/0 } }"] = "JSON",
    ["error({})"] = "error",
    ["error()"] = "error",
    ["rucat.timer.sleep(1)"] = "template",
    ["return setmetatable({}, { __index = error })"] = "argv",
    ["local e = {} for i = 1, 100000 do e['K' .. i] = ('v'):rep(20) end return { argv = { '/bin/true' }, env = e }"]
      = "1 MiB",
    ["local f = {} for i = 1, 3 do f['f' .. i] = ('v'):rep(600000) end return { argv = { '/bin/true' }, files = f }"]
      = "files",
  }

  setup(function()
    s = server.start({ scripts = { ["templates/garbage_local.lua"] = [[
return { submit = function(engine, ctx)
  local what = engine.config.what
  ]] .. (function()
      local parts = {}
      for code in pairs(plans) do
        parts[#parts + 1] = ("if what == %q then %s end"):format(code,
          code:find("^return") and code or "do " .. code .. " end")
      end
      return table.concat(parts, "\n")
    end)() .. "\nend }" } })
  end)

  teardown(function() s:stop() end)

  local n = 0
  for code, word in pairs(plans) do
    n = n + 1
    local name = "g" .. n
    it(code:sub(1, 90), function()
      s:create({ name = name, type = "garbage", config = { what = code } })
      local e = s:until_engine(name, function(e) return e.state == "Stopped" end, 8)
      assert.are.equal("TemplateError", e.reason)
      assert.are.equal("Stopped", e.desired)
      assert(e.message:find(word, 1, true), e.message)
      assert.are.equal(202, (s:json("DELETE", "/v1/engines/" .. name .. "?wait=5s")))
      s:until_gone(name)
    end)
  end

  it("leaves the server as it was", function() ok_after(s) end)
end)

describe("a policy that returns nonsense", function()
  it("restart: each kind of nonsense falls back to the shipped one", function()
    local s <close> = server.start({ scripts = { ["policies/restart.lua"] = [[
return function(engine)
  local what = engine.config.what
  if what == "nil" then return nil end
  if what == "true" then return true end
  if what == "empty" then return {} end
  if what == "delay" then return { restart = true, delay = "soon" } end
  if what == "nan" then return { restart = true, delay = 0/0 } end
  if what == "huge" then return { restart = true, delay = math.huge } end
  if what == "fn" then return { restart = true, x = print } end
  if what == "reason" then return { restart = false, reason = {} } end
  if what == "cycle" then local t = { restart = true } t.t = t return t end
  if what == "sleep" then rucat.timer.sleep(5) end
  if what == "raise" then error({}) end
  if what == "many" then return { restart = false }, print, print end
  error("what is " .. tostring(what))
end]] } })
    for _, what in ipairs({ "nil", "true", "empty", "delay", "nan", "huge", "fn", "reason", "cycle",
      "sleep", "raise", "many" }) do
      s:create({ name = what, config = { what = what, run = "exit 3" } })
    end
    for _, what in ipairs({ "nil", "true", "empty", "delay", "nan", "huge", "fn", "reason", "cycle",
      "sleep", "raise", "many" }) do
      local e = s:until_engine(what, function(e) return e.restarts >= 1 or e.reason == "BackOff" end, 10, what)
      assert.are.equal("Running", e.desired)
      local events = s:get("/v1/engines/" .. what .. "/events?limit=1000")
      local said = false
      for _, event in ipairs(events.events) do
        said = said or event.reason == "PolicyError"
      end
      assert(said, what .. ": no event")
      s:json("DELETE", "/v1/engines/" .. what)
    end
    ok_after(s)
  end)

  it("admission: nonsense is 503 PolicyError, changes are taken over", function()
    local s <close> = server.start({ scripts = { ["policies/admission.lua"] = [[
return function(request, user, counts)
  local what = request.labels and request.labels.what
  if what == "notype" then request.type = nil request.platform = nil end
  if what == "only" then return { name = request.name, type = "test" } end
  if what == "type" then request.type = "other" end
  if what == "rename" then request.name = "renamed" end
  if what == "bad" then request.name = "NO" end
  if what == "fn" then request.env = { A = print } end
  if what == "unknown" then request.colour = "red" end
  if what == "number" then return 5 end
  if what == "raise" then error("x") end
  if what == "sleep" then rucat.timer.sleep(1) end
  if what == "status" then return nil, "no", 429 end
  if what == "weird" then return nil, {}, "x" end
  if what == "ok" then return nil, "no", 200 end
  request.labels = { by = "policy" }
  return request
end]] }, config = { defaults = { type = "test" } } })
    local function try(what, name)
      return s:json("POST", "/v1/engines", { name = name or what, type = "test", labels = { what = what } })
    end
    assert.are.equal(201, (try("notype")))
    assert.are.equal("test", s:engine("notype").type)
    assert.are.equal(201, (try("only")))
    assert.are.equal(422, (try("type")))
    local status, e = try("rename", "before")
    assert.are.equal(201, status)
    assert.are.equal("renamed", e.name)
    for _, what in ipairs({ "bad", "fn", "unknown", "number", "raise", "sleep" }) do
      local headers
      status, e, headers = try(what)
      assert.are.equal(503, status, what)
      assert.are.equal("PolicyError", e.title, what)
      assert.is_truthy(headers["retry-after"], what)
    end
    assert.are.equal(429, (try("status")))
    assert.are.equal(403, (try("weird")))
    assert.are.equal(403, (try("ok")))
    ok_after(s)
  end)

  it("auth: nonsense and failures refuse everything, and the way back is a signal", function()
    local s <close> = server.start()
    s:create({ name = "one" })
    for _, body in ipairs({ "return function() error('x') end", "return function() return 1 end",
      "return function() end", "return function() rucat.timer.sleep(1) end" }) do
      s:scripts({ ["policies/auth.lua"] = body })
      s:signal("HUP")
      server.eventually(function() return s:http("GET", "/v1/engines/one").status == 503 end, 10, body)
      for _, path in ipairs({ "/v1/engines", "/v1/engines/one", "/v1/engines/one/logs",
        "/v1/engines/one/events", "/v1/events", "/v1/admin/scripts" }) do
        local status, problem, headers = s:json("GET", path)
        assert.are.equal(503, status, path)
        assert.are.equal("PolicyError", problem.title, path)
        assert.is_truthy(headers["retry-after"], path)
      end
      assert.are.equal(503, (s:json("POST", "/v1/engines", { name = "x", type = "test" })))
      assert.are.equal(503, (s:json("POST", "/v1/engines/one/stop")))
      assert.are.equal(503, (s:json("DELETE", "/v1/engines/one")))
      assert.are.equal(503, (s:reload()))
      assert.are.equal(200, s:http("GET", "/healthz").status)
      s:scripts({ ["policies/auth.lua"] = "return function() return true end" })
      s:signal("HUP")
      server.eventually(function() return s:http("GET", "/v1/engines/one").status == 200 end, 10)
    end
  end)

  it("health: nonsense falls back and the probing goes on", function()
    local s <close> = server.start({ scripts = { ["policies/health.lua"] = [[
return { interval = 0.1, timeout = 1, failures = 2,
  probe = function(engine)
    local what = engine.labels.what
    if what == "fn" then return true, print end
    if what == "fn2" then return print end
    if what == "nil" then return end
    if what == "raise" then error({}) end
    if what == "slow" then rucat.timer.sleep(100) end
    return false, {}
  end,
  unhealthy = function(engine, why)
    if engine.labels.what == "action" then return print end
    return "ignore"
  end }
]] } })
    for _, what in ipairs({ "fn", "fn2", "nil", "raise" }) do
      s:create({ name = what, labels = { what = what } })
    end
    s:create({ name = "slow", labels = { what = "slow" } })
    s:create({ name = "why", labels = { what = "why" } })
    for _, what in ipairs({ "fn", "fn2", "nil", "raise" }) do
      s:until_engine(what, function(x) return x.health == "healthy" end, 10, what)
    end
    local e = s:until_engine("slow", function(x) return x.health == "unhealthy" end, 10)
    assert.matches("did not answer", e.message)
    s:until_engine("why", function(x) return x.health == "unhealthy" end, 10)
    ok_after(s)
  end)
end)

describe("scripts at their limits", function()
  it("finalizers are refused: nothing could stop what runs in one", function()
    local s <close> = server.start({ scripts = {
      ["handlers/gc.lua"] = [[
return { ["GET /gc"] = function()
  local ok, why = pcall(setmetatable, {}, { __gc = function() while true do end end })
  local late = { __index = {} }
  setmetatable({}, late)
  late.__gc = function() while true do end end -- too late to count
  return 200, tostring(ok) .. " " .. why
end }
]] } })
    assert.are.equal("false __gc is not for scripts: use a variable with <close>", s:http("GET", "/gc").body)
    s:scripts({ ["handlers/gc.lua"] = "setmetatable({}, { __gc = print })\nreturn {}" })
    local status, report = s:reload()
    assert.are.equal(422, status)
    assert.matches("gc.lua:1: __gc is not for scripts", rucat.json.encode(report), 1, true)
    ok_after(s)
    assert.are.equal(0, s:term().code)
    s:check_output()
  end)

  it("retired generations with jobs that wait do not hold up the end", function()
    local s <close> = server.start({ config = { limits = { drain = 0.3 } }, scripts = {
      ["handlers/slow.lua"] = [[return { ["GET /slow"] = function() rucat.timer.sleep(120) return 200 end }]] } })
    local host, port = s.address:match("^(.*):(%d+)$")
    for _ = 1, 3 do
      -- asked, and not waited for
      local p = assert(rucat.process.spawn({ argv = { "/bin/sh", "-c", ([[
        exec 3<>/dev/tcp/%s/%s; printf 'GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3; sleep 30]]):format(host, port) } }))
      p:close()
      local ok = pcall(rucat.http.request, { url = s.url .. "/slow", timeout = 0.2 })
      assert(ok)
      assert.are.equal(200, (s:reload()))
    end
    local began = rucat.clock.monotonic()
    assert.are.equal(0, s:term(10).code)
    assert(rucat.clock.monotonic() - began < 8)
    s:check_output()
  end)

  it("a signal to stop in the middle of a reload", function()
    for _ = 1, 5 do
      local s <close> = server.start()
      s:signal("HUP")
      s:signal("HUP")
      s:signal("TERM")
      assert.are.equal(0, s:wait_exit().code)
      s:check_output()
    end
  end)

  it("many reloads under load leave one generation and no memory", function()
    local s <close> = server.start()
    s:create({ name = "a" })
    for i = 1, 50 do
      s:signal("HUP")
      assert.are.equal(200, s:http("GET", "/v1/engines/a").status)
      if i % 10 == 0 then assert.are.equal(200, (s:reload())) end
    end
    ok_after(s)
    assert.are.equal(0, s:term().code)
    s:check_output()
  end)

  it("SPARK_HOME lives on through a reload", function()
    local s <close> = server.start({ env = { SPARK_HOME = "/nowhere/spark", JAVA_HOME = "/nowhere/java" },
      scripts = { ["handlers/home.lua"] = [[
return { ["GET /home"] = function() return 200, rucat.server.config("spark") end }]] } })
    local status, report = s:reload()
    assert.are.equal(200, status)
    assert.are.same({}, report.config)
    local home = s:get("/home")
    assert.are.equal("/nowhere/spark", home.home)
    assert.are.equal("/nowhere/java", home.java_home)
  end)
end)

describe("requests that are odd", function()
  local s
  setup(function() s = server.start() end)
  teardown(function() s:stop() end)

  it("each entry of a map that is wrong is named", function()
    local status, problem = s:json("POST", "/v1/engines", { name = "x", type = "test",
      config = { a = { b = 1 }, c = rucat.json.array(), fine = 1 },
      env = { ["A=B"] = "1", RUCAT_INSTANCE = "x", FINE = "x", C = 5 }, labels = { l = true } })
    assert.are.equal(422, status)
    local by = {}
    for _, each in ipairs(problem.errors) do by[each.field] = each.message end
    assert.matches("'a': expected.*'c': expected", by.config)
    assert.matches("'A=B'.*'C': expected.*'RUCAT_INSTANCE'", by.env)
    assert.matches("'l': expected", by.labels)
    assert(not by.config:find("fine") and not by.env:find("FINE"))
  end)

  it("a NUL is wrong content, in each field", function()
    for _, body in ipairs({ '{"name":"a\\u0000"}', '{"name":"a","type":"t\\u0000"}', '{"name":"a","type":"test","version":"1\\u0000"}',
      '{"name":"a","type":"test","config":{"k":"\\u0000"}}', '{"name":"a","type":"test","env":{"k":"\\u0000"}}',
      '{"name":"a","type":"test","labels":{"k":"\\u0000"}}', '{"name":"a","platform":"external","endpoint":"sc://a:1\\u0000"}' }) do
      assert.are.equal(422, (s:json("POST", "/v1/engines", body)), body)
    end
    assert.are.equal(0, #s:get("/v1/engines").engines)
  end)

  it("a query that is broken is refused, not read as no query", function()
    for _, query in ipairs({ "name=%00", "%ff=1", "name=%zz", "&&name=%", "name=a&x=%zz", "%00" }) do
      assert.are.equal(422, (s:json("GET", "/v1/engines?" .. query)), query)
    end
    assert.are.equal(200, (s:json("GET", "/v1/engines?&&name=%41&")))
  end)
end)
