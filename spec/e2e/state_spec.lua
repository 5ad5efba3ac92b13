-- rucat.state in a server: one for handlers, policies, probes and consoles; it outlives reloads, not the
-- server; loads and self-tests have their own.

local server = require("support.server")

describe("rucat.state", function()
  local s

  setup(function()
    s = server.start({ scripts = {
      ["handlers/state.lua"] = [[
rucat.state.set("at load", 1)
return {
  ["GET /state"] = function() return 200, { keys = rucat.state.keys(), n = rucat.state.get("n"),
    crashes = rucat.state.get("crashes"), admitted = rucat.state.get("admitted") } end,
  ["POST /state"] = function() return 200, { n = rucat.state.incr("n") } end,
}]],
      ["policies/restart.lua"] = [[
local function restart(engine, exit, history)
  return { restart = rucat.state.incr("crashes") < 3, delay = 0 }
end
return restart, function()
  assert(rucat.state.get("crashes") == nil, "a self-test begins with nothing")
  assert(restart({}, {}, {}).restart)
end]],
      ["policies/admission.lua"] = [[
return function(request) rucat.state.set("admitted", request.name) return request end]],
      ["templates/writes_local.lua"] = [[
return { submit = function() rucat.state.set("x", 1) return {} end }]],
    } })
  end)

  teardown(function()
    s:stop()
  end)

  it("is one for all scripts, over reloads", function()
    assert.are.equal(1, select(2, s:json("POST", "/state")).n)
    s:create({ name = "crashing", config = { run = "echo up; exit 1", ready = "up" } })
    local e = s:until_engine("crashing", function(e) return e.desired == "Stopped" end)
    assert.are.equal(2, e.restarts, rucat.json.encode(s:get("/v1/engines/crashing/events")))
    assert.are.equal(200, (s:reload()))
    local now = s:get("/state")
    assert.are.same({ "admitted", "crashes", "n" }, now.keys) -- and nothing of the loads
    assert.are.equal(1, now.n)
    assert.are.equal(3, now.crashes)
    assert.are.equal("crashing", now.admitted)
    local exit, out, err = server.run({ server.binary, "console", "-s", s.state_dir .. "/console", "-e",
      "rucat.state.set('n', rucat.state.get('n') + 10); return rucat.state.usage().keys" },
      { env = { HOME = s.dir, ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
    assert.are.equal(0, exit.code, err)
    assert.are.equal("3\n", out)
    assert.are.equal(12, select(2, s:json("POST", "/state")).n)
  end)

  it("may be read by templates only", function()
    s:create({ name = "writes", type = "writes" })
    local e = s:until_state("writes", "Stopped", "TemplateError")
    assert.matches("rucat.state.set cannot be used in a template", e.message, 1, true)
  end)

  it("has bounds that are live", function()
    server.write(s.config_file, (server.read(s.config_file):gsub("^return {", "return { limits = { state_keys = 1 },")))
    assert.are.equal(200, (s:reload()))
    local status = s:json("POST", "/v1/engines", { name = "more", type = "test" })
    assert.are.equal(201, status) -- "admitted" is there already
    s:json("POST", "/state")
    s:term()
    s:start_again()
    local status2, answer = s:json("POST", "/state")
    assert.are.equal(200, status2)
    assert.are.equal(1, answer.n) -- empty at the start
    assert.are.same({ "n" }, s:get("/state").keys)
    s:json("POST", "/v1/engines", { name = "full", type = "test" })
    assert.are.same({ "n" }, s:get("/state").keys)
  end)
end)
