-- Budgets: what a script does wrong ends, and nobody else notices more than a moment.

local support = require("support.server")

-- The mechanism's own attacks; each must be stopped wherever it is. `LOOP` stays in the loop whatever
-- is raised in it.
local ATTACKS = {
  loop = "while true do end",
  pcall = "while true do pcall(function() while true do end end) end",
  xpcall = "while true do xpcall(error, function() while true do end end) end",
  handler = "xpcall(function() while true do end end, function() while true do end end) while true do end",
  coroutine = "while true do pcall(coroutine.wrap(function() while true do pcall(function() while true do end end) end end)) end",
  nested = [[local function nest(n)
    if n == 0 then while true do end end
    local co = coroutine.create(function() while true do pcall(nest, n - 1) end end)
    while true do coroutine.resume(co) end
  end nest(5)]],
  kept = [[local co = coroutine.create(function()
    local x <close> = setmetatable({}, { __close = function() while true do end end })
    while true do end end)
  while true do pcall(coroutine.resume, co) pcall(coroutine.close, co) end]],
  suspended = [[local co = coroutine.create(function()
    local x <close> = setmetatable({}, { __close = function() while true do end end })
    coroutine.yield() end)
  coroutine.resume(co) coroutine.close(co)]],
  after = "coroutine.wrap(function() end)() while true do end",
  closed = [[local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co) coroutine.close(co) while true do end]],
  close = [[local x <close> = setmetatable({}, { __close = function() while true do end end })
  local y <close> = setmetatable({}, { __close = function() while true do pcall(error) end end })
  error("x")]],
  tostring = "tostring(setmetatable({}, { __tostring = function() while true do end end }))",
  index = "local x = setmetatable({}, { __index = function() while true do end end }).y",
  sort = "table.sort({ 3, 2, 1 }, function() while true do end end)",
  gsub = "string.gsub('x', 'x', function() while true do end end)",
  concat = "local s = setmetatable({}, { __concat = function() while true do end end }) .. 'x'",
  pattern = "while true do pcall(string.find, ('a'):rep(300), ('a-'):rep(8) .. 'b') end",
  upper = "local s = ('x'):rep(1000000) while true do s:upper() end",
  stack = "local function f() return 1 + f() end while true do pcall(f) end",
}

local function names(list)
  local all = {}
  for name in pairs(list) do
    all[#all + 1] = name
  end
  table.sort(all)
  return all
end

-- handlers/attack.lua: a route for each of the attacks.
local function handlers(attacks)
  local routes = {}
  for _, name in ipairs(names(attacks)) do
    routes[#routes + 1] = ("[%q] = function(req)\n%s\nreturn 200, 'came through' end"):format("GET /attack/" .. name,
      attacks[name])
  end
  return "return {\n" .. table.concat(routes, ",\n") .. "\n}"
end

local function metric(s, name)
  local text = s:http("GET", "/metrics").body
  return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)")) or 0
end

-- Waits for a line of the log that holds all of that.
local function logged(s, ...)
  local parts = { ... }
  return support.eventually(function()
    for line in s:output():gmatch("[^\n]+") do
      local all = true
      for _, part in ipairs(parts) do
        all = all and line:find(part, 1, true) ~= nil
      end
      if all then
        return true
      end
    end
    return false
  end, 5, "a line with " .. table.concat(parts, " ... "))
end

local QUICK = { time = 0.05, instructions = 0, memory = 4 * 1024 * 1024 }

describe("a handler's budget of time", function()
  local s

  setup(function()
    s = support.start({ config = { budgets = { handler = QUICK } }, scripts = {
      ["handlers/attack.lua"] = handlers(ATTACKS) } })
  end)

  teardown(function()
    s:stop()
  end)

  for _, name in ipairs(names(ATTACKS)) do
    it("ends " .. name, function()
      local answer = s:http("GET", "/attack/" .. name)
      assert.are.equal(500, answer.status)
      assert.are.equal("BudgetExceeded", rucat.json.decode(answer.body).title)
      assert.is_nil(answer.body:find("attack.lua", 1, true))
      assert.are.equal(200, s:http("GET", "/v1/engines").status)
    end)
  end

  it("leaves nothing behind that runs for ever when somebody else closes it", function()
    s:scripts({ ["handlers/later.lua"] = [[
return {
  ["GET /begin"] = function()
    kept = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() while true do end end })
      while true do end
    end)
    coroutine.resume(kept)
  end,
  ["GET /later"] = function()
    return 200, coroutine.status(kept) .. " " .. tostring(coroutine.close(kept))
  end }]] })
    assert.are.equal(200, (s:reload()))
    assert.are.equal(500, s:http("GET", "/begin").status)
    assert.are.equal("dead false", s:http("GET", "/later").body)
  end)

  it("is told of in the log and in the metrics", function()
    local before = metric(s, 'rucat_script_stopped_total{kind="handler",budget="time"}')
    s:http("GET", "/attack/loop")
    assert.is_true(logged(s, "attack.lua:", "handler GET /attack/loop: stopped", "budget of time",
      "of 0.05 s (budgets.handler.time)"))
    assert.is_true(logged(s, "GET /attack/loop: it has used half of its budget of time"))
    assert.are.equal(before + 1, metric(s, 'rucat_script_stopped_total{kind="handler",budget="time"}'))
  end)
end)

describe("a handler's budget", function()
  local s

  setup(function()
    local slow = support.sanitized
    s = support.start({ config = { limits = { handler_time = slow and 6 or 1.2 }, budgets = {
      handler = { time = slow and 2 or 0.4, instructions = 20000000, memory = 8 * 1024 * 1024 } } }, scripts = {
      ["handlers/attack.lua"] = handlers({
        instructions = "while true do end",
        steps = "string.find(('a'):rep(300), ('a-'):rep(8) .. 'b')",
        sort = "local t = {} for i = 1, 200000 do t[i] = -i end table.sort(t)",
        keep = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        caught = "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
        giant = "while true do pcall(string.rep, 'x', 1 << 24) end",
        doubling = "local s = 'x' while true do s = s .. s end",
        replace = "string.gsub(('x'):rep(1 << 16), 'x', ('y'):rep(4096))",
        garbage = "for i = 1, 400 do local s = ('x'):rep(50000) .. i end",
        waits = "rucat.timer.sleep(1000)",
        closes = [[local x <close> = setmetatable({}, { __close = function() while true do end end })
          rucat.timer.sleep(1000)]],
        sleeps = "rucat.timer.sleep(0.6)",
        slices = [[while true do
          local began = rucat.clock.monotonic()
          while rucat.clock.monotonic() - began < 0.01 do end
          rucat.timer.sleep(0.001)
        end]],
        again = "rucat.other = coroutine.running()",
      }) } })
  end)

  teardown(function()
    s:stop()
  end)

  for name, budget in pairs({ instructions = "instructions", steps = "instructions", sort = "instructions",
                              keep = "memory", caught = "memory", giant = "memory", doubling = "memory",
                              replace = "memory" }) do
    it(("of %s is kept: %s"):format(budget, name), function()
      assert.are.equal(500, s:http("GET", "/attack/" .. name).status)
      assert.is_true(logged(s, "handler GET /attack/" .. name .. ": stopped", "budget of " .. budget))
    end)
  end

  it("of memory is for what is kept, not for garbage", function()
    assert.are.equal(200, s:http("GET", "/attack/garbage").status)
  end)

  it("is charged over all slices, and waiting costs nothing", function()
    assert.are.equal(200, s:http("GET", "/attack/sleeps").status)
    support.eventually(function() -- on a busy machine the time for the answer may be over before its own is
      return s:http("GET", "/attack/slices").status == 500
    end, 60)
    assert.is_true(logged(s, "GET /attack/slices: stopped"))
  end)

  it("has an end for one that waits for ever", function()
    for _, name in ipairs({ "waits", "closes" }) do
      local answer = s:http("GET", "/attack/" .. name)
      assert.are.equal(503, answer.status)
      assert.is_truthy(answer.headers["retry-after"])
      assert.is_true(logged(s, "GET /attack/" .. name .. " is ended", "limits.handler_time"))
      assert.are.equal(200, s:http("GET", "/v1/engines").status)
    end
    logged(s, "GET /attack/closes: stopped")
  end)

  it("memory goes back to where it was", function()
    if support.sanitized then
      pending("a sanitizer keeps what was freed for a while")
    end
    local function resident()
      return metric(s, "process_resident_memory_bytes")
    end
    local before = resident()
    for _ = 1, 20 do
      s:http("GET", "/attack/keep")
      s:http("GET", "/attack/caught")
    end
    support.eventually(function() -- a second after the last of them
      local now = resident()
      return now < before + 12 * 1024 * 1024, ("it was %d bytes and is %d"):format(before, now)
    end, 10, "that the memory is given back")
  end)
end)

describe("a policy that overstays", function()
  local function start(scripts)
    return support.start({ config = { budgets = { policy = QUICK, template = QUICK, probe = QUICK },
                                      monitor = { interval = 0.2 } }, scripts = scripts })
  end

  for _, name in ipairs({ "loop", "pcall", "coroutine", "kept", "handler", "pattern", "upper" }) do
    it("auth fails closed and the handler goes on: " .. name, function()
      local s <close> = start({ ["policies/auth.lua"] =
        "return function(user, verb, engine)\nif verb == 'read' then return true end\n" .. ATTACKS[name] .. "\nend" })
      local status, problem, headers = s:json("POST", "/v1/engines", { name = "x", type = "test" })
      assert.are.equal(503, status)
      assert.are.equal("PolicyError", problem.title)
      assert.is_truthy(headers["retry-after"])
      assert.are.equal(1, metric(s, 'rucat_policy_errors_total{policy="auth",kind="time"}'))
      assert.is_true(logged(s, "auth.lua:", "policy auth: stopped", "budgets.policy.time"))
      assert.are.equal(200, s:http("GET", "/v1/engines").status)
    end)
  end

  it("admission fails closed, of memory too", function()
    local s <close> = start({ ["policies/admission.lua"] =
      "return function() local t = {} while true do t[#t + 1] = { #t } end end" })
    local status, problem = s:json("POST", "/v1/engines", { name = "x", type = "test" })
    assert.are.equal(503, status)
    assert.are.equal("PolicyError", problem.title)
    assert.are.equal(1, metric(s, 'rucat_policy_errors_total{policy="admission",kind="memory"}'))
  end)

  it("is a part of the handler's time: that one's end is the end of both", function()
    local s <close> = support.start({
      config = { budgets = { policy = { time = 4, instructions = 0, memory = 0 }, handler = QUICK } },
      scripts = { ["policies/auth.lua"] = "return function() " .. ATTACKS.pcall .. " end" } })
    local status, problem = s:json("GET", "/v1/engines/x")
    if status == 404 then -- auth is not asked of what is not there
      s.process:kill("HUP")
      status, problem = s:json("POST", "/v1/engines", { name = "x", type = "test" })
    end
    assert.are.equal(500, status)
    assert.are.equal("BudgetExceeded", problem.title)
  end)

  it("restart and health fall back to the shipped ones, and the events say why", function()
    local s <close> = start({
      ["policies/restart.lua"] = "return function() while true do end end",
      ["policies/health.lua"] = [[return { interval = 0.2, timeout = 2, failures = 2,
        probe = function() while true do pcall(error) end end,
        unhealthy = function() return "ignore" end }]] })
    s:create({ name = "a", config = { run = "exit 3" } })
    s:create({ name = "b" })
    s:until_engine("a", function(e)
      return e.restarts > 0
    end)
    for name, what in pairs({ a = "policy restart", b = "policy health" }) do
      support.eventually(function()
        local found = false
        for _, event in ipairs(s:get("/v1/engines/" .. name .. "/events?limit=1000").events) do
          found = found or event.kind == "policy" and event.message:find(what, 1, true)
            and event.message:find("shipped", 1, true) and event.message:find("budget of time", 1, true)
        end
        return found
      end, 10, what)
    end
    assert.is_true(metric(s, 'rucat_policy_errors_total{policy="restart",kind="time"}') >= 1)
    assert.is_true(metric(s, 'rucat_policy_errors_total{policy="health",kind="time"}') >= 1)
    assert.are.equal(200, s:http("GET", "/v1/engines").status)
  end)

  it("a template is a TemplateError that says so", function()
    local s <close> = start({ ["templates/loop_local.lua"] =
      "return { submit = function() while true do end end }" })
    s:create({ name = "x", type = "loop" })
    local e = s:until_state("x", "Stopped", "TemplateError")
    assert.matches("budget of time", e.message, 1, true)
  end)
end)

describe("the end of many that have something to close", function()
  it("takes one budget, not one for each", function()
    local s <close> = support.start({ config = { limits = { drain = 0.2 }, budgets = { handler = QUICK } }, scripts = {
      ["handlers/many.lua"] = [[
return { ["GET /many"] = function()
  local x <close> = setmetatable({}, { __close = function() while true do end end })
  rucat.timer.sleep(1000)
end }]] } })
    local before = metric(s, "process_open_fds")
    for _ = 1, 200 do
      rucat.timer.after(0, function()
        rucat.http.request({ url = s.url .. "/many", timeout = 60 })
      end)
    end
    support.eventually(function()
      return metric(s, "process_open_fds") >= before + 180 -- some of those before are gone, perhaps
    end)
    local began = rucat.clock.monotonic()
    assert.are.equal(0, s:term(30).code)
    local took = rucat.clock.monotonic() - began
    assert.is_true(took < (support.sanitized and 9 or 3), ("it took %.1f s"):format(took)) -- 200 times 0.05 s is 10 s
  end)
end)

describe("a generation that is full while it is being kept on the disk", function()
  it("is made anew once that is over", function() -- the sanitizers see who reads what is gone
    local s <close> = support.start({ config = { limits = { lua_memory = 16 * 1024 * 1024 } } })
    local files = { ["handlers/fill.lua"] = [[local kept = {}
      return { ["GET /fill"] = function() for i = 1, 100 do kept[i] = ("x"):rep(1e6) .. i end return 200, "full" end }]] }
    for i = 1, 600 do
      files[("m%d.lua"):format(i)] = ("local x%d = %d\n"):format(i, i):rep(100) .. "return 1"
    end
    s:scripts(files)
    for round = 1, 2 do
      assert.are.equal(200, (s:reload()))
      assert.are.equal(500, (s:http("GET", "/fill")).status)
      support.eventually(function() return metric(s, "rucat_script_renewals_total") == round end, 10)
    end
    assert.are.equal(200, (s:http("GET", "/healthz")).status)
  end)
end)

describe("many files that require a module with an endless loop", function()
  it("are given up with the first, and the API goes on", function()
    local s <close> = support.start({ config = { limits = { stall = 3 } } })
    local files = { ["common.lua"] = "while true do end" }
    for i = 1, 20 do
      files[("handlers/h%02d.lua"):format(i)] = ("require('common') return { ['GET /h%d'] = function() end }"):format(i)
    end
    s:scripts(files)
    local status, report = s:reload()
    assert.are.equal(422, status)
    assert.matches("common.lua:1: stopped: its budget", report.detail, 1, true)
    local tried = select(2, report.detail:gsub("common.lua:1: stopped", ""))
    assert.are.equal(1, tried, report.detail)
    assert.matches("handlers/h02.lua: not tried, as %d+ of %d+ files: loading took too long", report.detail)
    assert.are.equal(200, (s:http("GET", "/v1/engines")).status)
    assert.is_nil(s:output():find("held the loop up", 1, true))
    files["common.lua"] = "return {}"
    s:scripts(files)
    assert.are.equal(200, (s:reload()))
    for i = 1, 20 do
      files[("handlers/h%02d.lua"):format(i)] =
        ("return { self_test = function() while true do end end, ['GET /h%d'] = function() end }"):format(i)
    end
    s:scripts(files)
    status, report = s:reload()
    assert.are.equal(422, status)
    assert.matches("h01.lua:1: stopped: its budget of %a+, .- %(self_test%)\nthe self%-tests after it were not run",
      report.detail)
    assert.is_nil(s:output():find("held the loop up", 1, true))
  end)
end)

describe("loading", function()
  it("is bounded: a file that loops is refused by name and changes nothing", function()
    local s <close> = support.start({ config = { budgets = { load = QUICK } } })
    for name, code in pairs({ ["handlers/loop.lua"] = ATTACKS.pcall, ["policies/idle.lua"] = ATTACKS.loop,
                              ["templates/x_local.lua"] = ATTACKS.upper,
                              ["handlers/memory.lua"] = "local t = {} while true do t[#t + 1] = {} end" }) do
      s:scripts({ [name] = code .. "\nreturn {}" })
      local status, report = s:reload()
      assert.are.equal(422, status)
      assert.matches(name, rucat.json.encode(report), 1, true)
      assert.matches("budget of", rucat.json.encode(report), 1, true)
      s:scripts({ [name] = false })
    end
    assert.are.equal(200, (s:reload()))
  end)

  it("is bounded in rucat check too", function()
    local s <close> = support.start()
    s:scripts({ ["handlers/loop.lua"] = "while true do end" })
    local code, _, err = s:cli("check", "-c", s.config_file)
    assert.are.equal(1, code)
    assert.matches("loop.lua:1: stopped: its budget of", err, 1, true)
  end)
end)

describe("a timer that overstays", function()
  it("is cancelled after three times, and does not take the loop before", function()
    local s <close> = support.start({ config = { budgets = { timer = QUICK } }, scripts = {
      ["handlers/t.lua"] = [[
for i = 1, 20 do
  rucat.timer.every(0.001, function() while true do pcall(error) end end)
end
return {}]] } })
    local slowest = 0
    support.eventually(function()
      local began = rucat.clock.monotonic()
      assert.are.equal(200, s:http("GET", "/v1/engines").status)
      slowest = math.max(slowest, rucat.clock.monotonic() - began)
      return select(2, s:output():gsub("is cancelled: it was stopped 3 times in a row", "")) == 20
    end, 60)
    assert.is_true(slowest < 1, ("a client waited for %.2f s"):format(slowest))
  end)
end)

describe("a state that is full of what scripts keep", function()
  it("is made anew from the same files", function()
    local s <close> = support.start({ config = { limits = { lua_memory = 8 * 1024 * 1024 } }, scripts = {
      ["handlers/keep.lua"] = [[
local kept = {}
return { ["GET /keep"] = function()
  for i = 1, 2000 do kept[#kept + 1] = ("x"):rep(100) .. #kept end
  return 200, { n = #kept }
end }]] } })
    local before = s:get("/v1/admin/scripts").generation
    support.eventually(function()
      s:http("GET", "/keep")
      assert.are.equal(200, s:http("GET", "/v1/engines").status)
      return s:get("/v1/admin/scripts").generation > before
    end, 20)
    assert.are.equal(200, s:http("GET", "/keep").status)
    assert.is_true(logged(s, "has filled their memory", "limits.lua_memory"))
    assert.is_true(metric(s, "rucat_script_renewals_total") >= 1)
  end)
end)

describe("the console", function()
  it("has the same budgets, and a line can be ended", function()
    local s <close> = support.start({ config = { budgets = { console = QUICK } } })
    for _, code in pairs({ ATTACKS.loop, ATTACKS.pcall, ATTACKS.coroutine, ATTACKS.close }) do
      local exit, _, err = s:cli("console", "-s", s.state_dir .. "/console", "-e", code)
      assert.are.equal(1, exit)
      assert.matches("stopped: its budget of time, 0.05 s, is used up (budgets.console.time)", err, 1, true)
    end
  end)
end)

describe("while scripts do their worst", function()
  -- Asks for a path again and again until stop() is called, which gives the longest wait.
  local function poller(s, path)
    local slowest, stopped, over = 0, false, false
    rucat.timer.after(0, function()
      while not stopped do
        local began = rucat.clock.monotonic()
        local answer = rucat.http.request({ url = s.url .. path, timeout = 20 })
        slowest = math.max(slowest, rucat.clock.monotonic() - began)
        if not answer or answer.status ~= 200 then
          slowest = math.huge
        end
        rucat.timer.sleep(0.01)
      end
      over = true
    end)
    return function()
      stopped = true
      support.eventually(function()
        return over
      end, 30, "the poller's last answer")
      return slowest
    end
  end

  it("a client that polls waits for less than a second", function()
    local s <close> = support.start({ config = { budgets = { handler = { time = 0.15 } } }, scripts = {
      ["handlers/attack.lua"] = handlers(ATTACKS),
      ["handlers/mine.lua"] = 'return { ["GET /mine"] = function() return 200, "mine" end }' } })
    local stop = poller(s, "/mine")
    local left = 0
    for _, name in ipairs({ "loop", "pattern", "upper", "kept" }) do
      for _ = 1, 4 do -- at once
        left = left + 1
        rucat.timer.after(0, function()
          s:http("GET", "/attack/" .. name)
          left = left - 1
        end)
      end
    end
    support.eventually(function()
      return left == 0
    end, 60, "the end of all attacks")
    local slowest = stop()
    local most = support.sanitized and 3 or 1
    assert.is_true(slowest < most, ("a client waited for %.2f s"):format(slowest))
  end)
end)
