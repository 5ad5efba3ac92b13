-- The files in docs/lua.md do what they say there: each is loaded by a live server, or its function is
-- called with what it would be given. A file there without a test here fails.

local server = require("spec.support.server")

-- { [heading] = { name = "policies/restart.lua", text = ... } }
local function examples()
  local found, heading, block = {}, nil, nil
  for line in server.read("docs/lua.md"):gmatch("([^\n]*)\n") do
    if line == "```lua" then
      block = {}
    elseif line == "```" and block then
      local name = (block[1] or ""):match("^%-%- (%l+/[%w_/]+%.lua)$")
      if name then
        assert(not found[heading], heading .. " has two files")
        found[heading] = { name = name, text = table.concat(block, "\n") .. "\n" }
      end
      block = nil
    elseif block then
      block[#block + 1] = line
    else
      heading = line:match("^##? (.*)$") or heading
    end
  end
  return found
end

-- Runs the file as a tool would, with some globals of ours; what it returns.
local function value_of(example, globals)
  local env = setmetatable(globals or {}, { __index = _G })
  return assert(load(example.text, "@" .. example.name, "t", env))()
end

-- An `os` on which it is that time.
local function clock_at(fields)
  return { os = { date = function() return fields end } }
end

describe("the files in docs/lua.md", function()
  local docs, tried = examples(), {}

  local function example(heading)
    tried[heading] = true
    return (assert(docs[heading], "docs/lua.md has no " .. heading))
  end

  it("restart only when memory ran out", function()
    local decide = value_of(example("Restart only when memory ran out"))
    assert.is_true(decide({}, { oom = true, signal = "SIGKILL" }, {}).restart)
    assert.is_true(decide({}, { signal = "SIGKILL" }, {}).restart)
    assert.is_false(decide({}, { oom = false, signal = "SIGKILL" }, {}).restart)
    assert.is_false(decide({}, { code = 1 }, {}).restart)
    assert.is_false(decide({}, { oom = true }, { {}, {}, {} }).restart)
  end)

  it("restart on a live server as that file says", function()
    local s <close> = server.start({ scripts = {
      ["policies/restart.lua"] = example("Restart only when memory ran out").text } })
    s:json("POST", "/v1/engines", { name = "code", type = "test", config = { run = "exit 1" } })
    s:json("POST", "/v1/engines", { name = "killed", type = "test", config = { run = "kill -KILL $$" } })
    server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/code")
      return engine.state == "Stopped" and engine.reason ~= "BackOff"
    end, 10)
    server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/killed")
      return engine.reason == "BackOff"
    end, 10)
  end)

  it("never restart at night", function()
    local file = example("Never restart at night")
    local night = value_of(file, clock_at({ hour = 3, min = 30, sec = 15 }))({}, { code = 1 }, {})
    assert.same({ restart = true, delay = 3 * 3600 + 1800 - 15, reason = "NightTime" }, night)
    local day = value_of(file, clock_at({ hour = 7, min = 0, sec = 0 }))({}, { code = 1 }, {})
    assert.same({ restart = true, delay = 10 }, day)
  end)

  it("hold a team to its quota", function()
    local s <close> = server.start({ scripts = { ["policies/admission.lua"] = example("A team's quota").text } })
    local status, problem = s:json("POST", "/v1/engines", { name = "a", type = "test" })
    assert.equal(422, status)
    assert.matches("labels.team is missing", problem.detail, 1, true)
    for i = 1, 3 do
      local engine
      status, engine = s:json("POST", "/v1/engines", { name = "a" .. i, type = "test", labels = { team = "red" } })
      assert.equal(201, status)
      assert.equal("anonymous", engine.labels.made_by)
      assert.equal(28800, engine.idle_timeout)
    end
    status, problem = s:json("POST", "/v1/engines", { name = "a4", type = "test", labels = { team = "red" } })
    assert.equal(429, status)
    assert.equal("team red has 3 engines running, its limit is 3", problem.detail)
    assert.equal(201, (s:json("POST", "/v1/engines", { name = "b", type = "test", labels = { team = "blue" } })))
  end)

  it("probe by a query", function()
    local text = example("A health probe that runs a query").text:gsub("interval = 60", "interval = 1")
    local s <close> = server.start({ scripts = { ["policies/health.lua"] = text },
      config = { templates = { python = assert(os.getenv("SPEC_PYTHON")) } } })
    s:json("POST", "/v1/engines", { name = "a", type = "sail" })
    server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/a")
      return engine.health == "healthy"
    end, 60)
  end)

  it("restart what an alert names", function()
    local s <close> = server.start({ scripts = { ["handlers/alerts.lua"] = example("A handler for a webhook").text } })
    server.write(s.state_dir .. "/shared/webhook", "hush\n")
    s:json("POST", "/v1/engines", { name = "sick", type = "test" })
    local body = { alerts = { { status = "firing", labels = { engine = "sick" } },
      { status = "resolved", labels = { engine = "well" } }, { status = "firing", labels = {} },
      { status = "firing", labels = { engine = "unknown" } } } }
    assert.equal(401, (s:json("POST", "/v1/hooks/alerts", body)))
    local status, answer = s:json("POST", "/v1/hooks/alerts", body, { authorization = "Bearer hush" })
    assert.equal(200, status)
    assert.same({ restarted = { "sick" } }, answer)
    server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/sick")
      return engine.epoch == 2 and engine.state == "Running"
    end, 10)
  end)

  it("stop at weekends what nobody uses", function()
    local file = example("Weekends")
    local saturday = value_of(file, clock_at({ wday = 7 })).check
    local monday = value_of(file, clock_at({ wday = 2 })).check
    local idle = { streams = 0, idle_for = 700, age = 5000 }
    assert.equal("stop", (saturday({ labels = {} }, idle)))
    assert.equal("keep", (saturday({ labels = { always = "on" } }, idle)))
    assert.equal("keep", (saturday({ labels = {} }, { streams = 1, idle_for = 0, age = 5000 })))
    assert.equal("keep", (monday({ labels = {} }, idle)))
    assert.equal("stop", (monday({ labels = {}, idle_timeout = 600 }, idle)))
    local s <close> = server.start({ scripts = { ["policies/idle.lua"] = file.text },
      config = { monitor = { interval = 0.1 } } })
    s:json("POST", "/v1/engines", { name = "mortal", type = "test", ttl = 0.5 })
    server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/mortal")
      return engine.reason == "TtlExpired"
    end, 10)
  end)

  it("say hello", function()
    local s <close> = server.start({ scripts = { ["handlers/hello.lua"] = example("A route of your own").text } })
    local status, answer = s:json("GET", "/v1/hello/world")
    assert.equal(200, status)
    assert.same({ hello = "world" }, answer)
  end)

  it("make an engine type", function()
    local s <close> = server.start({ scripts = {
      ["templates/files_local.lua"] = example("An engine type of your own").text } })
    s:json("POST", "/v1/engines", { name = "docs", type = "files" })
    local engine = server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/docs")
      return engine.state == "Running" and engine
    end, 20)
    local answer = assert(rucat.http.request({ url = engine.endpoint }))
    assert.equal(200, answer.status)
  end)

  it("are all tried here", function()
    local count = 0
    for heading in pairs(docs) do
      assert.is_true(tried[heading] or false, "'" .. heading .. "' is not tried")
      count = count + 1
    end
    assert.is_true(count >= 8)
  end)
end)
