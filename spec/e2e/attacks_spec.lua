-- The attack table: each way in which a script can go wrong, in each place where an operator's script
-- runs, on a live server with the budgets as they are shipped, while another client polls the API. That
-- client never waits long, memory returns to where it was, the log tells who it was, the caller gets a
-- problem and no trace, engines' events say which default was used, auth and admission fail closed.

local support = require("spec.support.server")

-- Name to code; `true` before it: it is harmless, or an error of its own, and nothing is stopped.
local ATTACKS = {
  loop = "while true do end",
  pcall_loop = "while true do pcall(function() while true do end end) end",
  xpcall_loop = "while true do xpcall(error, function() while true do end end) end",
  wrap_loop = "while true do pcall(coroutine.wrap(function() while true do end end)) end",
  deep_coroutines = [[local function nest(n)
    if n == 0 then while true do end end
    local co = coroutine.create(function() while true do pcall(nest, n - 1) end end)
    while true do coroutine.resume(co) end
  end nest(20)]],
  close_loop = [[local x <close> = setmetatable({}, { __close = function() while true do end end }) error("x")]],
  coroutine_close = [[local co = coroutine.create(function()
    local x <close> = setmetatable({}, { __close = function() while true do end end }) coroutine.yield() end)
    coroutine.resume(co) coroutine.close(co)]],
  many_closes = [[local function f(n) local x <close> = setmetatable({}, { __close = function() while true do end end })
    if n > 0 then f(n - 1) end error("x") end f(150)]],
  gc_loop = { true, "setmetatable({}, { __gc = function() while true do end end }) for i = 1, 1e5 do local t = {} end" },
  gc_later = { true, "local m = {} local t = setmetatable({}, m) m.__gc = function() while true do end end t = nil" },
  tostring_loop = "error(setmetatable({}, { __tostring = function() while true do end end }))",
  print_loop = "print(setmetatable({}, { __tostring = function() while true do end end }))",
  name_loop = { true, "error(setmetatable({}, { __name = ('x'):rep(1e6) }))" },
  index_loop = "local x = setmetatable({}, { __index = function() while true do end end }).y",
  eq_loop = "local m = { __eq = function() while true do end end } local x = setmetatable({}, m) == setmetatable({}, m)",
  sort_loop = "table.sort({ 3, 2, 1 }, function() while true do end end)",
  sort_huge = "local t = {} for i = 1, 3e5 do t[i] = i % 1000 end while true do table.sort(t) end",
  sort_lie = { true, "table.sort(setmetatable({}, { __len = function() return 1 << 60 end }), function() return true end)" },
  sort_long = "local a, b = ('x'):rep(2e6) .. 'a', ('x'):rep(2e6) .. 'b' local t = {} for i = 1, 2e4 do t[i] = i % 2 == 0 and a or b end while true do table.sort(t) end",
  sort_c = "local a, t = ('x'):rep(2e6), {} for i = 1, 2e4 do t[i] = a end while true do pcall(table.sort, t, string.upper) end",
  move_c = "local t = setmetatable({}, { __index = tostring, __name = ('x'):rep(1e6) }) while true do table.move(t, 1, 1e6, 1, setmetatable({}, { __newindex = rawequal })) end",
  concat_c = "local t = setmetatable({}, { __index = rucat.json.encode }) for i = 1, 5e3 do t['k' .. i] = i end while true do table.unpack(t, 1, 1e5) end",
  insert_c = "local t = setmetatable({}, { __index = tostring, __name = ('x'):rep(1e6) }) for i = 2, 1e4, 2 do rawset(t, i, i) end while true do table.insert(t, 1, 1) table.remove(t, 1) end",
  insert_lie = { true, "table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)" },
  remove_lie = { true, "table.remove(setmetatable({}, { __len = function() return 1 << 60 end }), 1)" },
  concat_lie = { true, "table.concat(setmetatable({}, { __len = function() return 1 << 60 end, __index = function() return '' end }))" },
  unpack_lie = { true, "pcall(table.unpack, {}, 1, 1 << 60)" },
  move_huge = { true, "table.move({}, 1, 1 << 60, 2)" },
  move_around = { true, "pcall(table.move, {}, -(1 << 62), 1 << 62, 1)" },
  rep_nothing = { true, "local s = string.rep('', 1 << 62)" },
  rep_huge = { true, "pcall(string.rep, 'x', 1 << 40) pcall(string.rep, 'x', 1 << 62, 'y')" },
  find_minus = "while true do pcall(string.find, ('a'):rep(300), ('a-'):rep(8) .. 'b') end",
  find_question = "while true do pcall(string.find, ('a'):rep(28), ('a?'):rep(28) .. ('a'):rep(28)) end",
  find_spaces = "while true do pcall(string.match, (' '):rep(3000), '^%s*(.-)%s*x$') end",
  gsub_big = "local s = ('x'):rep(1 << 20) while true do pcall(string.gsub, s, 'x', ('y'):rep(4096)) end",
  gsub_loop = "('x'):gsub('x', function() while true do end end)",
  gmatch_loop = "while true do for w in ('x'):rep(1e5):gmatch('x') do end end",
  gmatch_slow = "for w in ('a'):rep(3000):gmatch('(.-)(.-)(.-)b') do end",
  memory_table = "local t = {} for i = 1, math.huge do t[i] = {} end",
  memory_kept = "local t = {} for i = 1, 3e5 do t[i] = {} end while true do end",
  memory_string = "local s = 'x' while true do s = s .. s end",
  memory_pcall = "local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = ('x'):rep(1e5) .. i end end) end",
  memory_closures = "local f = function() end while true do local g = f f = function() return g end end",
  stack = "local function f() return 1 + f() end while true do pcall(f) end",
  handler_recursion = "local function f() xpcall(f, f) end while true do f() end",
  c_stack = "local function f() return (('x'):gsub('x', f)) end while true do pcall(f) end",
  load_code = { true, "load('while true do end')()" },
  dump_code = { true, "string.dump(function() end)" },
  string_meta = { true, "getmetatable('').__index = nil" },
  string_library = { true, "string.format = function() while true do end end" },
  rawset_library = { true, "rawset(string, 'format', function() while true do end end)" },
  rucat_library = { true, "rucat.log.info = function() while true do end end" },
  json_deep = { true, "pcall(rucat.json.decode, ('['):rep(1e6)) local t = {} for i = 1, 1e4 do t = { t } end pcall(rucat.json.encode, t)" },
  json_cycle = { true, "local t = {} t.t = t pcall(rucat.json.encode, t)" },
  json_twice = { true, "local t = {} for i = 1, 60 do t = { t, t } end pcall(rucat.json.encode, t)" },
  json_holes = "local e = {} for i = 1, 1e5 do e['k' .. i] = true end for k in pairs(e) do e[k] = nil end local t = {} for i = 1, 9e4 do t[i] = e end while true do rucat.json.encode(t) end",
  json_flat = { true, "pcall(rucat.json.decode, '[' .. ('[],'):rep(1e6) .. '[]]')" },
  state_twice = { true, "local t = {} for i = 1, 60 do t = { t, t } end pcall(rucat.state.set, 'x', t)" },
  log_flood = "while true do rucat.log.debug(('x'):rep(1000)) end",
  date = { true, "pcall(os.date, ('%c'):rep(1e5)) pcall(os.time, { year = 1 << 60, month = 1, day = 1 })" },
  format = "while true do pcall(string.format, ('%s'):rep(1e5), 1) end",
  format_long = "local s, t = ('x'):rep(2e6), {} for i = 1, 1e5 do t[i] = s end while true do string.format(('%.0s'):rep(1e5), table.unpack(t)) end",
  format_name = "local s, t = setmetatable({}, { __name = ('x'):rep(1e6) }), {} for i = 1, 1e5 do t[i] = s end while true do string.format(('%.0s'):rep(1e5), table.unpack(t)) end",
  pack = { true, "pcall(string.pack, 'i17') pcall(string.pack, ('z'):rep(1e5))" },
  utf8 = "local s = ('ä'):rep(1e6) while true do utf8.len(s) end",
  upper = "local s = ('x'):rep(1e6) while true do s:upper() end",
  goto_loop = "::again:: goto again",
  for_loop = "for i = 1, math.huge do end",
  environment = { true, "for k in pairs(_ENV) do end setmetatable(_ENV, nil)" },
}

local NAMES = {}
for name in pairs(ATTACKS) do
  NAMES[#NAMES + 1] = name
end
table.sort(NAMES)

-- Where memory is watched all of it takes long: all attacks in a handler there, elsewhere one of each sort.
local SOME = not support.sanitized and NAMES or { "close_loop", "find_minus", "gsub_big", "log_flood", "loop", "memory_pcall",
  "memory_table", "pcall_loop", "rep_huge", "sort_lie", "stack", "xpcall_loop" }

local function harmless(name)
  return type(ATTACKS[name]) == "table"
end

-- A module with all of them, one function a line: the log has to name that line.
local LINES, MODULE = {}, {}
do
  MODULE[1] = "local attacks = {}"
  for _, name in ipairs(NAMES) do
    local code = harmless(name) and ATTACKS[name][2] or ATTACKS[name]
    LINES[name] = #MODULE + 1
    MODULE[#MODULE + 1] = ("function attacks.%s() %s end"):format(name, code:gsub("\n", " "))
  end
  MODULE[#MODULE + 1] = "return attacks"
end

-- Which attack runs where: the label `<place>` of the engine names it; a list asks for its name.
local FIRST = "local attacks = require('attacks')\nlocal function hit(place, engine)\n"
  .. "  local name = engine and engine.labels and engine.labels[place]\n  if name then attacks[name]() end\nend\n"

local SCRIPTS = {
  ["attacks.lua"] = table.concat(MODULE, "\n"),
  ["handlers/attack.lua"] = FIRST .. [[return { ["GET /attack/{name}"] = function(req)
    attacks[req.params.name]() return 200, "came through" end }]],
  ["policies/restart.lua"] = FIRST .. [[return function(engine, exit, history)
    hit("restart", engine) return { restart = false, reason = "Mine" } end]],
  ["policies/health.lua"] = FIRST .. [[return { interval = 3600, timeout = 5, failures = 1,
    probe = function(engine) hit("probe", engine) return not engine.labels.unhealthy, "sick" end,
    unhealthy = function(engine) hit("unhealthy", engine) return "ignore" end }]],
  ["policies/admission.lua"] = FIRST .. [[return function(request) hit("admission", request) return request end]],
  ["policies/auth.lua"] = FIRST .. [[return function(user, verb, engine)
    if verb == "read" then hit("auth", engine) end return true end]],
  ["policies/idle.lua"] = FIRST .. [[return { check = function(engine) hit("idle", engine) return "keep" end,
    wake_on_connect = function() return false end }]],
  ["templates/attack_local.lua"] = FIRST .. [[return {
    submit = function(engine) hit("template", engine)
      return { argv = { "/bin/sh", "-c", engine.config.run or "exec sleep 1000" }, stop = { grace = 1 } } end,
    activity = function(engine) hit("activity", engine) return { streams = 1 } end }]],
}

describe("the attack table", function()
  local s, poll, slowest, polled, during, quiet

  local function rss()
    return tonumber(support.read("/proc/" .. s.pid .. "/status"):match("RssAnon:%s*(%d+)"))
  end

  lazy_setup(function()
    -- With sanitizers on a busy machine what ends in time may still take longer than limits.stall.
    s = support.start({ scripts = SCRIPTS, config = support.sanitized and { limits = { stall = 30 } } or nil })
    s:create({ name = "polled", type = "attack" })
    s:until_state("polled", "Running")
    quiet = rss()
    slowest, polled = 0, 0
    poll = rucat.timer.every(0.01, function()
      local now, began = during, rucat.clock.monotonic()
      local answer, why = rucat.http.request({ url = s.url .. "/v1/engines/polled", timeout = 30, fresh = true })
      local took = rucat.clock.monotonic() - began
      if took > slowest then
        slowest, during = took, now
      end
      polled = polled + 1
      if not answer or answer.status ~= 200 then
        slowest, during = math.huge, (now or "") .. ": " .. (answer and answer.body or why)
      end
    end)
  end)

  lazy_teardown(function()
    poll:cancel()
    s:stop()
  end)

  -- What the client that polls has seen in this test. A budget is time of the CPU: where others want
  -- the CPU too it takes as much longer by the clock.
  local function nobody_waited()
    local _, cpus = support.run({ "nproc" })
    local load = tonumber(support.read("/proc/loadavg"):match("^%S+"))
    local limit = (support.sanitized and 20 or 1) * math.min(5, math.max(1, load / tonumber(cpus)))
    assert.is_true(slowest <= limit, ("the client that polls waited %.2f s during %s"):format(slowest, tostring(during)))
    assert.is_true(polled > 0)
  end

  before_each(function()
    slowest, polled, during = 0, 0, nil
  end)

  local function metric(name)
    local sum = 0
    for line in s:http("GET", "/metrics").body:gmatch("[^\n]+") do
      if line:sub(1, #name) == name then
        sum = sum + tonumber(line:match("(%S+)$"))
      end
    end
    return sum
  end

  -- The log has a line, after `from`, that names the file and the line of the attack.
  local function told(name, from, kind)
    if name == "name_loop" then
      return -- its error has no text that would hold a line
    end
    support.eventually(function()
      -- What wants memory may be found out a call later, in the handler itself.
      local place = s:output():find(("attacks.lua:%d:"):format(LINES[name]), from, true)
        or name:find("^memory_") and s:output():find("/attack.lua:", from, true)
      return place
        and (harmless(name) or s:output():find("budgets." .. kind .. ".", from, true)
          or s:output():find("error object is a table", from, true) or s:output():find("stack overflow", from, true)
          or s:output():find("not enough memory", from, true) or s:output():find("limits.lua_memory", from, true))
    end, 20, "that the log tells of " .. name .. "\n" .. s:output():sub(from))
  end

  local function create(name, place, attack, more)
    local body = more or {}
    body.name, body.type = name, "attack"
    body.labels = body.labels or {}
    body.labels[place] = attack
    return s:json("POST", "/v1/engines", body)
  end

  local function remove(name)
    s:json("DELETE", "/v1/engines/" .. name)
  end

  -- Until an event of that engine matches.
  local function evented(name, pattern)
    return support.eventually(function()
      local _, page = s:json("GET", "/v1/engines/" .. name .. "/events?limit=1000")
      for _, event in ipairs(page.events or {}) do
        if event.message:find(pattern) then
          return event
        end
      end
      return false, rucat.json.encode(page)
    end, 20, name .. " has an event " .. pattern)
  end

  it("in a handler: a problem, no trace, and its line in the log", function()
    local stopped = metric("rucat_script_stopped_total")
    for _, name in ipairs(NAMES) do
      during = name
      local from = #s:output()
      local began = rucat.clock.monotonic()
      local answer = s:http("GET", "/attack/" .. name)
      assert.is_true(rucat.clock.monotonic() - began < (support.sanitized and 50 or 10), name)
      if answer.status ~= 200 then
        assert.equal(500, answer.status, name)
        assert.equal("application/problem+json", answer.headers["content-type"])
        assert.is_nil(answer.body:find("traceback") or answer.body:find("attacks.lua"), name)
        told(name, from, "handler")
      else
        assert.is_true(harmless(name), name .. " came through")
      end
    end
    assert.is_true(metric("rucat_script_stopped_total") > stopped + 20)
    nobody_waited()
  end)

  for _, place in ipairs({ "auth", "admission" }) do
    it("in policy " .. place .. ": no, by 503, and no engine is told of", function()
      local errors = metric('rucat_policy_errors_total{policy="' .. place .. '"')
      local failed = 0
      for i, name in ipairs(SOME) do
        during = name
        local from = #s:output()
        local status, problem, headers
        if place == "admission" then
          status, problem, headers = create("adm-" .. i, place, name)
          remove("adm-" .. i)
        else
          assert.equal(201, (create("auth-" .. i, place, name)))
          status, problem, headers = s:json("GET", "/v1/engines/auth-" .. i)
          remove("auth-" .. i)
        end
        if status == 503 then
          failed = failed + 1
          assert.equal("PolicyError", problem.title)
          assert.is_truthy(headers["retry-after"])
          told(name, from, "policy")
        else
          assert.is_true(harmless(name) and (status == 200 or status == 201), name .. ": " .. status .. "\n" .. s:output():sub(-3000))
        end
      end
      assert.is_true(metric('rucat_policy_errors_total{policy="' .. place .. '"') >= errors + failed)
      nobody_waited()
      support.eventually(function()
        local _, page = s:json("GET", "/v1/engines?limit=1000")
        return page.engines and #page.engines == 1
      end, 30)
    end)
  end

  it("in policy restart: the shipped one decides, and the events say so", function()
    local count = 0
    for i, name in ipairs(SOME) do
      during = name
      assert.equal(201, (create("r" .. i, "restart", name, { config = { run = "exit 3" } })))
      if not harmless(name) then
        evented("r" .. i, "policy restart failed, the shipped one was used")
        count = count + 1
      end
      remove("r" .. i)
    end
    assert.is_true(metric('rucat_policy_errors_total{policy="restart"') >= count)
    nobody_waited()
  end)

  it("in policy health: probe and unhealthy", function()
    for i, name in ipairs(SOME) do
      during = name
      create("p" .. i, "probe", name)
      create("u" .. i, "unhealthy", name, { labels = { unhealthy = "yes" } })
      if not harmless(name) then
        evented("p" .. i, "policy health failed, the shipped one was used")
        evented("u" .. i, "policy health failed, the shipped one was used")
      end
      remove("p" .. i)
      remove("u" .. i)
    end
    nobody_waited()
  end)

  it("in policy idle, and in a template's activity", function()
    for i, name in ipairs(SOME) do
      during = name
      create("i" .. i, "idle", name, { idle_timeout = 3600 })
      create("a" .. i, "activity", name, { idle_timeout = 3600 })
      if not harmless(name) then
        evented("i" .. i, "policy idle failed, the shipped one was used")
        evented("a" .. i, "activity: ")
      end
      remove("i" .. i)
      remove("a" .. i)
    end
    nobody_waited()
  end)

  it("in a template: TemplateError, with what was wrong", function()
    for i, name in ipairs(SOME) do
      during = name
      create("t" .. i, "template", name)
      if not harmless(name) then
        s:until_state("t" .. i, "Stopped", "TemplateError", 20)
      end
      remove("t" .. i)
    end
    nobody_waited()
  end)

  it("in a console: an error, and it goes on", function()
    for _, name in ipairs(SOME) do
      during = name
      local code = harmless(name) and ATTACKS[name][2] or ATTACKS[name]
      local exit = support.run({ support.binary, "console", "-s", s.state_dir .. "/console", "-e", code },
        { timeout = 30 })
      assert.is_true(exit.code == 1 or harmless(name), name)
    end
    assert.equal(0, (support.run({ support.binary, "console", "-s", s.state_dir .. "/console", "-e", "1 + 1" })).code)
    nobody_waited()
  end)

  it("leaves memory where it was", function()
    support.eventually(function()
      local _, page = s:json("GET", "/v1/engines?limit=1000")
      return page.engines and #page.engines == 1
    end, 30)
    for _ = 1, 3 do
      for _, name in ipairs({ "memory_table", "memory_string", "memory_pcall", "memory_closures", "sort_huge" }) do
        s:http("GET", "/attack/" .. name)
      end
    end
    local function given_back() -- by itself, within some seconds
      if not support.sanitized then
        support.eventually(function()
          local now = rss()
          return now < quiet + 12 * 1024, ("RssAnon %d kB, now %d kB"):format(quiet, now)
        end, 20, "that the memory is given back")
      end
    end
    given_back()
    s:http("GET", "/attack/memory_kept") -- stopped for its time, with less than the budget of memory in hand
    given_back()
    assert.equal(200, (s:http("GET", "/readyz")).status)
  end)
end)
