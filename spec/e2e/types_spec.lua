-- The LuaCATS stubs in types/ say what C registers: each function, each method, nothing more; each
-- with what it does, its arguments and what it returns. And the lists of names that .luacheckrc
-- gives to an editor are what a script sees.

local server = require("spec.support.server")

-- The stubs: { [class or "rucat.x"] = { [function] = { doc = lines, args = text } } }, by reading
-- them as text, as an editor does.
local function read_stubs()
  local stubs, locals = {}, {}
  local _, listing = server.run({ "ls", "types" })
  for name in listing:gmatch("[%w_]+%.lua") do
    local doc, class = {}, nil
    for line in server.read("types/" .. name):gmatch("([^\n]*)\n") do
      local comment = line:match("^%-%-%-%s?(.*)")
      if comment then
        doc[#doc + 1] = comment
        class = comment:match("^@class ([%w_.]+)") or class
      else
        local handle = line:match("^local (%w+) = {}$")
        local owner, fn, args = line:match("^function ([%w_.]+)[.:]([%w_]+)%((.-)%) end$")
        if handle then
          locals[name .. handle] = class
        elseif owner then
          local where = locals[name .. owner] or owner
          stubs[where] = stubs[where] or {}
          assert(not stubs[where][fn], where .. "." .. fn .. " is there twice")
          stubs[where][fn] = { doc = doc, args = args }
        end
        doc = {}
      end
    end
  end
  return stubs
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

-- What a script of that server sees: a handler walks the module.
local WALK = [[
return { ["GET /v1/walk"] = function()
  local found = {}
  local function walk(at, where)
    for name, value in pairs(at) do
      if type(value) == "table" then
        walk(value, where .. "." .. name)
      elseif type(value) == "function" then
        found[where] = found[where] or {}
        found[where][name] = true
      end
    end
  end
  walk(rucat, "rucat")
  return 200, found
end,
["POST /v1/names"] = function(req)
  local known = {}
  for _, name in ipairs(req:json()) do
    known[name] = pcall(function() return _ENV[name] end)
  end
  return 200, known
end }
]]

describe("the stubs for editors", function()
  local stubs = read_stubs()
  local live

  lazy_setup(function()
    live = server.start({ scripts = { ["handlers/walk.lua"] = WALK } })
  end)
  lazy_teardown(function()
    live:stop()
  end)

  it("name what a script has, and nothing else", function()
    local status, found = live:json("GET", "/v1/walk")
    assert.equal(200, status)
    for where, functions in pairs(found) do
      assert.same(sorted(functions), sorted(stubs[where] or {}), where)
    end
    for where in pairs(stubs) do
      if where:find("^rucat%.[%w_.]+$") and where:lower() == where then
        local primitive = where:match("^rucat%.([%w_]+)")
        assert.is_truthy(found[where] or primitive == "tty" or primitive == "driver",
          where .. " is described, but not there")
      end
    end
  end)

  it("name what a tool has", function()
    assert.same(sorted(stubs["rucat.tty"]), sorted(rucat.tty))
    assert.same(sorted(stubs["rucat.tcp"]), sorted(rucat.tcp))
  end)

  it("name what reconcile has", function()
    local c = {}
    for name in server.read("src/lua/prim_driver.c"):match("functions%[%] = (%b{})"):gmatch('{"([%w_]+)"') do
      c[name] = true
    end
    assert.same(sorted(c), sorted(stubs["rucat.driver"]))
  end)

  it("name the methods of what primitives hand out", function()
    local name = "types_spec_" .. tostring(math.random(1, 1 << 30))
    local process <close> = assert(rucat.process.spawn({ argv = { "true" } }))
    local timer = rucat.timer.after(1000, function() end)
    local stream <close> = assert(rucat.http.stream({ url = live.url .. "/healthz" }))
    local objects = {
      ["rucat.process.Process"] = process,
      ["rucat.timer.Timer"] = timer,
      ["rucat.http.Stream"] = stream,
    }
    for class, object in pairs(objects) do
      local index, methods = debug.getmetatable(object).__index, {}
      if type(index) == "table" then
        assert.same(sorted(index), sorted(stubs[class]), class)
      else
        for method in pairs(stubs[class]) do
          methods[method] = type(object[method]) == "function" or nil
        end
        assert.same(sorted(methods), sorted(stubs[class]), class)
      end
    end
    timer:cancel()
    -- One metatable serves the three kinds of metrics: each method is some kind's.
    local all = {}
    for _, class in ipairs({ "Counter", "Gauge", "Histogram" }) do
      for method in pairs(stubs["rucat.metrics." .. class]) do
        all[method] = true
      end
    end
    local index = debug.getmetatable(rucat.metrics.counter(name, "of a spec")).__index
    assert.same(sorted(index), sorted(all))
  end)

  it("say of each function what it does, takes and returns", function()
    for where, functions in pairs(stubs) do
      for fn, stub in pairs(functions) do
        local full, text = where .. "." .. fn, table.concat(stub.doc, "\n")
        for arg in stub.args:gmatch("[%w_.]+") do
          assert.is_truthy(text:find("@param " .. arg:gsub("%.", "%%.") .. "%??%s"), full .. ": " .. arg)
        end
        for arg in text:gmatch("@param ([%w_.]+)") do
          assert.is_truthy((", " .. stub.args .. ","):find(", " .. arg .. ",", 1, true), full .. ": " .. arg)
        end
        assert.is_truthy(stub.doc[1] and not stub.doc[1]:find("^@"), full .. " does not say what it does")
      end
    end
  end)

  it("say for all that waits that it does", function()
    -- What calls ruc_job_ticket waits; the name it gives there is the primitive's.
    local _, sources = server.run({ "grep", "-rhoE", 'ruc_job_ticket\\(L,\\s*"[a-z_.:]+"', "src/lua" })
    local count = 0
    for name in sources:gmatch('"([^"]+)"') do
      local where, fn = name:match("^(rucat%.[%w_.]+)%.([%w_]+)$")
      if where and where ~= "rucat.driver" and where ~= "rucat.tty" then
        local text = table.concat(assert(stubs[where] and stubs[where][fn], name).doc, "\n")
        assert.is_truthy(text:find("Waits"), name .. " waits, and its stub does not say so")
        count = count + 1
      end
    end
    assert.is_true(count > 8)
  end)
end)

describe("the names that editors know", function()
  it("are those that a script sees", function()
    local live <close> = server.start({ scripts = { ["handlers/walk.lua"] = WALK } })
    local config = {}
    assert(load(server.read("lua/.luacheckrc"), "luacheckrc", "t", config))()
    local top = {}
    assert(load(server.read(".luacheckrc"), "luacheckrc", "t", { files = top }))()
    assert.same(config.read_globals, top.lua.read_globals)
    local asked, listed = {}, {}
    for key, name in pairs(config.read_globals) do
      name = type(key) == "string" and key or name
      if name ~= "_ENV" then
        listed[name] = true
        asked[#asked + 1] = name
      end
    end
    for name in pairs(_G) do -- a tool's: all that Lua has
      asked[#asked + 1] = name
    end
    local status, known = live:json("POST", "/v1/names", asked)
    assert.equal(200, status)
    for _, name in ipairs(asked) do
      assert.equal(listed[name] or false, known[name], name)
    end
  end)
end)
