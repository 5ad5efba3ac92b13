-- spec/support/ladder.lua - the stop ladder's cases, once for each way in which a machine may let us
-- kill: ladder.declare(BUSTED, NAME, ENV) declares them for servers with that environment. BUSTED is
-- { describe =, it =, setup =, teardown =, assert = } of the spec file.

local server = require("support.server")

local MISBEHAVE = server.build .. "/fixtures/misbehave"
local null = rucat.json.null

local TEMPLATE = [[
return { submit = function(engine, ctx)
  local argv = { engine.config.program }
  for word in engine.config.args:gmatch("%S+") do argv[#argv + 1] = word end
  return {
    argv = argv, ready = { log = "^ready", timeout = 60 },
    stop = { signal = engine.config.signal or "TERM", grace = engine.config.grace or 0.2 },
  }
end }]]

local ladder = {}

ladder.options = function(env)
  return {
    env = env,
    scripts = {
      ["templates/bad_local.lua"] = TEMPLATE,
      ["policies/restart.lua"] = "return function() return { restart = false } end",
    },
  }
end

function ladder.create(s, name, args, more)
  local config = { program = MISBEHAVE, args = args }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return s:create({ name = name, type = "bad", config = config })
end

-- Seconds from the request until it is Stopped.
function ladder.stop(s, name)
  local began = rucat.clock.monotonic()
  local status, e = s:json("POST", "/v1/engines/" .. name .. "/stop?wait=30s")
  assert(status == 202)
  return rucat.clock.monotonic() - began, e
end

-- Nothing of it is left at the moment it is called Stopped.
local function is_over(assert, s, e)
  assert.are.same({ "Stopped", "Stopped", "StoppedByUser" }, { e.state, e.desired, e.reason })
  assert.are.same({}, s:drivers())
end

-- The grace, and what a slow machine takes on top of the few milliseconds that bench/ measures.
local SLACK = 3

function ladder.declare(busted, name, env)
  local describe, it, setup, teardown, assert = busted.describe, busted.it, busted.setup, busted.teardown,
    busted.assert
  describe(name, function()
    local s

    setup(function() s = server.start(ladder.options(env)) end)
    teardown(function() s:stop() end)

    local function case(what, args, more, check)
      it(what, function()
        ladder.create(s, "x", args, more)
        s:until_state("x", "Running", nil, 60)
        local seconds, e = ladder.stop(s, "x")
        is_over(assert, s, e)
        local grace = more and more.grace or 0.2
        assert(seconds < grace + SLACK * (server.sanitized and 3 or 1), "it took " .. seconds .. " s")
        if check then
          check(e, seconds)
        end
        s:json("DELETE", "/v1/engines/x")
        s:until_gone("x")
        s:check_output()
      end)
    end

    local function killed(e, seconds)
      assert(seconds >= 0.19, "the grace was not waited for: " .. seconds)
      assert.are.same({ code = null, signal = "SIGKILL" }, { code = e.exit.code, signal = e.exit.signal })
    end

    case("a driver that ignores TERM", "ignore", nil, killed)
    case("a driver that is stopped and ignores TERM", "stopped", nil, killed)
    case("a deaf grandchild in another session", "hide", nil, killed)
    case("a bomb of processes that is never at rest", "bomb 150", nil, killed)
    case("KILL as the stop signal waits for no grace", "hide", { signal = "KILL", grace = 60 }, function(_, seconds)
      assert(seconds < 30)
    end)
    case("a driver whose first thread has ended", "leader 33", { grace = 20 }, function(e)
      assert.are.equal(33, e.exit.code)
    end)
    case("a driver that closed its output", "closed", { grace = 20 }, function(e)
      assert.are.equal("SIGTERM", e.exit.signal)
    end)

    it("what a driver leaves behind when it ends by itself", function()
      ladder.create(s, "x", "leave 7")
      local e = s:until_engine("x", function(x) return x.state == "Stopped" end, 20)
      assert.are.equal(7, e.exit.code)
      assert.are.same({}, s:drivers())
      s:json("DELETE", "/v1/engines/x")
      s:until_gone("x")
    end)
  end)
end

return ladder
