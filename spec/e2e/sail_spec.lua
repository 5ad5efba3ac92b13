-- A real Spark Connect server without a JVM: Sail. Skipped where there is none (SPEC_SAIL).

local support = require("support.server")

local sail = os.getenv("SPEC_SAIL") or ""

if sail == "" then
  pending("sail: SPEC_SAIL is not set")
  return
end

describe("a sail engine", function()
  it("comes up, answers, is healthy, stops, and leaves no process", function()
    local s <close> = support.start({ mode = "embedded" })
    local e = s:create({ name = "sail", type = "sail" })
    assert.are.equal("sail", e.type)
    e = s:until_state("sail", "Running", "Ready", 30)
    assert.matches("^sc://127%.0%.0%.1:%d+$", e.endpoint)
    local port = math.tointeger(tonumber(e.endpoint:match("%d+$")))
    assert.is_true((rucat.tcp.connect("127.0.0.1", port, 5)))
    e = s:until_engine("sail", function(now)
      return now.health == "healthy"
    end, 30)
    assert.is_string(e.heartbeat_at)
    assert.matches("Starting the Spark Connect server", s:http("GET", "/v1/engines/sail/logs").body, 1, true)

    local python = os.getenv("SPEC_PYTHON") or ""
    if python ~= "" then
      local exit, out, err = support.run({ python, "-c", [[
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
print(spark.range(1000).selectExpr("sum(id) AS s").collect()[0].s)
spark.stop()]], e.endpoint }, { timeout = 120 })
      assert.are.same({ code = 0 }, exit, err)
      assert.matches("499500", out)
    end

    local _, stopped = s:json("POST", "/v1/engines/sail/stop?wait=30s")
    assert.are.equal("Stopped", stopped.state)
    s:until_no_driver(10)
    assert.is_nil((rucat.tcp.connect("127.0.0.1", port, 2)))
    local _, again = s:json("POST", "/v1/engines/sail/start?wait=30s")
    assert.are.equal("Running", again.state)
    assert.are.equal(2, again.epoch)
    assert.are.same({ code = 0 }, s:term())
    assert.are.equal(0, #s:drivers())
  end)

  it("is restarted when it is killed", function()
    local s <close> = support.start()
    s:create({ name = "sail", type = "sail" })
    local before = s:until_state("sail", "Running", "Ready", 30)
    for _, pid in ipairs(s:drivers()) do
      local words = support.read("/proc/" .. pid .. "/cmdline") or ""
      if words:find("spark\0server", 1, true) then
        support.run({ "kill", "-KILL", tostring(pid) })
      end
    end
    local after = s:until_engine("sail", function(now)
      return now.state == "Running" and now.epoch > before.epoch
    end, 30)
    assert.are.equal(1, after.restarts)
    s:json("DELETE", "/v1/engines/sail")
    s:until_gone("sail", 20)
    s:until_no_driver(10)
  end)

  it("of a version is refused by its template", function()
    local s <close> = support.start({ mode = "embedded" })
    s:create({ name = "sail", type = "sail", version = "9" })
    local e = s:until_state("sail", "Stopped", "VersionUnavailable")
    assert.are.equal("Stopped", e.desired)
  end)

  it("without its program says so", function()
    local s <close> = support.start({ mode = "embedded", config = { sail = { command = "no-such-sail" } } })
    s:create({ name = "sail", type = "sail" })
    local e = s:until_engine("sail", function(now)
      return now.reason == "StartFailed" or (now.reason == "BackOff" and now.message ~= "")
    end, 30)
    assert.matches("no-such-sail", e.message, 1, true)
  end)
end)
