-- Many drivers that crash at once: their starts take turns, the API answers meanwhile, all come back.

local support = require("spec.support.server")

local COUNT = support.sanitized and 40 or 200

describe("drivers that crash all at once", function()
  it("come back so many at a time, and the API goes on", function()
    local s <close> = support.start({ config = { limits = { starts = 5 }, monitor = { interval = 1 } } })
    local dir = s.dir .. "/marks"
    support.run({ "mkdir", dir })
    -- Each start leaves a mark while it is starting, and counts how many there are.
    local run = ("touch %s/$$; ls %s | wc -l >> %s/counts; sleep 0.1; rm %s/$$; echo up; exec sleep 1000"):format(
      dir, dir, s.dir, dir)
    for i = 1, COUNT do
      s:create({ name = "e" .. i, config = { run = run, ready = "up", timeout = 100 } })
    end
    local function all_up(epoch)
      local _, page = s:json("GET", "/v1/engines?limit=1000&state=Running")
      local up = 0
      for _, engine in ipairs(page.engines) do
        up = up + (engine.epoch == epoch and engine.reason == "Ready" and 1 or 0)
      end
      return up == COUNT, up
    end
    local waited = false
    support.eventually(function()
      local _, page = s:json("GET", "/v1/engines?limit=1000&state=Pending")
      for _, engine in ipairs(page.engines) do
        waited = waited or engine.message:find("^waits for its turn: 5 others are starting") ~= nil
      end
      return all_up(1)
    end, 90, "that all are up")
    assert.is_true(waited)

    for _, pid in ipairs(support.processes("sleep\0001000")) do
      if (support.read("/proc/" .. pid .. "/environ") or ""):find(s.dir, 1, true) then
        support.run({ "kill", "-KILL", tostring(pid) })
      end
    end
    local slowest = 0
    support.eventually(function()
      local began = rucat.clock.monotonic()
      assert.equal(200, (s:http("GET", "/v1/engines/e1")).status)
      slowest = math.max(slowest, rucat.clock.monotonic() - began)
      return all_up(2)
    end, 120, "that all are up again")
    assert.is_true(slowest < 2, "an answer took " .. slowest .. " s")
    local most = 0
    for line in io.lines(s.dir .. "/counts") do
      most = math.max(most, tonumber(line))
    end
    assert.is_true(most <= 5, most .. " were starting at once")
    local _, page = s:json("GET", "/v1/engines?limit=1000")
    for _, engine in ipairs(page.engines) do
      assert.equal(1, engine.restarts)
    end
  end)
end)
