-- Real Apache Spark. A query through PySpark is in examples/run.sh, which test.sh runs too; here is
-- what happens around it. Skipped unless SPEC_JVM=1 and SPEC_SPARK_HOME are set.

local support = require("support.server")

local home = os.getenv("SPEC_SPARK_HOME") or ""

if os.getenv("SPEC_JVM") ~= "1" or home == "" then
  pending("spark: SPEC_JVM and SPEC_SPARK_HOME are not set")
  return
end

local NEVER = { ["policies/restart.lua"] = "return function() return { restart = false } end" }

describe("a spark engine", function()
  it("comes up with its settings, is healthy, is adopted, and stops in time", function()
    local s <close> = support.start({ config = { spark = { home = home, homes = { ["4.1"] = home } } } })
    s:create({ name = "spark", type = "spark", version = "4.1.1", config = {
      ["spark.master"] = "local[1]", ["spark.driver.memory"] = "512m", ["spark.app.name"] = "named so",
      ["spark.my.password"] = "hunter2",
    } })
    local e = s:until_state("spark", "Running", "Ready", 120)
    assert.matches("^sc://127%.0%.0%.1:%d+$", e.endpoint)
    assert.matches("^http://", e.ui)
    local pids = s:drivers()

    -- the settings are Spark's
    local page = assert(rucat.http.request({ url = e.ui .. "/environment/", timeout = 20 }))
    assert.matches("named so", page.body, 1, true)
    assert.matches("local%[1%]", page.body)

    -- and no secret is on a command line
    for _, pid in ipairs(pids) do
      assert.is_nil((support.read("/proc/" .. pid .. "/cmdline") or ""):find("hunter2", 1, true))
    end

    s:term()
    assert.is_true(#s:drivers() > 0)
    s:start_again()
    local after = s:until_state("spark", "Running", "Ready", 20)
    assert.are.equal(e.epoch, after.epoch)
    assert.are.equal(e.endpoint, after.endpoint)
    s:until_engine("spark", function(now)
      return now.health == "healthy"
    end, 30)

    local began = rucat.clock.monotonic()
    local _, stopped = s:json("POST", "/v1/engines/spark/stop?wait=60s")
    assert.are.equal("Stopped", stopped.state)
    assert.are.equal(143, stopped.exit.code)
    assert.is_true(rucat.clock.monotonic() - began < 15)
    s:until_no_driver(10)
  end)

  it("of a version that is not there names those there are", function()
    local s <close> = support.start({ config = { spark = { homes = { ["3.5"] = "/opt/a", ["4.0"] = "/opt/b" } } } })
    s:create({ name = "spark", type = "spark", version = "9.9" })
    local e = s:until_state("spark", "Stopped", "VersionUnavailable")
    assert.are.equal("Stopped", e.desired)
    assert.matches("3.5", e.message, 1, true)
    assert.matches("4.0", e.message, 1, true)
  end)

  it("without Spark says so", function()
    local s <close> = support.start({ scripts = NEVER })
    s:create({ name = "none", type = "spark" })
    local e = s:until_engine("none", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("spark.home", e.message, 1, true)
  end)

  it("with a Spark that is not where it should be says so", function()
    local s <close> = support.start({ scripts = NEVER, config = { spark = { home = "/nowhere/spark" } } })
    s:create({ name = "wrong", type = "spark" })
    local e = s:until_engine("wrong", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("/nowhere/spark", e.message, 1, true)
  end)

  it("without Java says so, with the last lines of the log", function()
    local s <close> = support.start({ scripts = NEVER, config = {
      spark = { home = home, java_home = "/nowhere/java" } } })
    s:create({ name = "nojava", type = "spark" })
    local e = s:until_engine("nojava", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end, 60)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("[Jj]ava", e.message)
    assert.matches("/nowhere/java", e.message .. s:http("GET", "/v1/engines/nojava/logs").body, 1, true)
  end)

  it("whose setting Spark refuses says what Spark said", function()
    local s <close> = support.start({ scripts = NEVER, config = { spark = { home = home } } })
    s:create({ name = "bad", type = "spark", config = { ["spark.driver.memory"] = "lots" } })
    local e = s:until_engine("bad", function(now)
      return now.state == "Stopped" and now.desired == "Stopped"
    end, 120)
    assert.are.equal("StartFailed", e.reason)
    assert.matches("lots", e.message .. s:http("GET", "/v1/engines/bad/logs").body, 1, true)
  end)

  it("is ended while it starts, and with an embedded server that is killed", function()
    local s <close> = support.start({ mode = "embedded", config = { spark = { home = home } } })
    s:create({ name = "early", type = "spark" })
    support.eventually(function()
      return #s:drivers() >= 2
    end, 20)
    local _, e = s:json("POST", "/v1/engines/early/stop?wait=60s")
    assert.are.equal("Stopped", e.state)
    s:until_no_driver(10)
    s:json("POST", "/v1/engines/early/start")
    s:until_state("early", "Running", "Ready", 120)
    s:kill9()
    s:until_no_driver(45)
  end)
end)

describe("Spark's own Python", function()
  -- The interpreter that has PySpark: the folder that SPARK_HOME is in says which.
  local python = home:match("^(.*)/lib/python[%d.]+/site%-packages/pyspark$")
  python = python and python .. "/bin/python" or "python3"
  local small = { ["spark.master"] = "local[1]", ["spark.driver.memory"] = "512m" }

  local QUERY = [[
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()
print(spark.range(10).count(), flush=True)
spark.sql("select java_method('java.lang.Thread', 'sleep', cast(%d as bigint)) from range(1)").collect()
print("done", flush=True)
]]

  it("runs a batch job to its end, with its exit code", function()
    local s <close> = support.start({ config = { spark = { home = home } } })
    support.write(s.dir .. "/job.py", [[
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("COUNTED", spark.range(1000).count(), sys.argv[1:], flush=True)
spark.stop()
sys.exit(int(sys.argv[1]))
]])
    s:scripts({ ["policies/restart.lua"] = [[return function(engine, exit)
      return { restart = false, reason = exit.code == 0 and "Completed" or nil }
    end]] })
    assert.equal(200, (s:reload()))
    for code, reason in pairs({ [0] = "Completed", [7] = "Exited" }) do
      s:create({ name = "job-" .. code, type = "spark", config = small, env = { PYSPARK_PYTHON = python },
        app = { resource = s.dir .. "/job.py", args = { tostring(code), "two words" } } })
      local e = s:until_state("job-" .. code, "Stopped", reason, 120)
      assert.equal(code, e.exit.code)
      assert.equal("Stopped", e.desired)
      assert.equal(rucat.json.null, e.endpoint)
      assert.matches(("COUNTED 1000 ['%d', 'two words']"):format(code),
        s:http("GET", "/v1/engines/job-" .. code .. "/logs").body, 1, true)
    end
  end)

  it("is not idle while a query runs, by the word of Spark's REST API, and is after it", function()
    local s <close> = support.start({ config = { spark = { home = home }, monitor = { interval = 1 } } })
    s:create({ name = "spark", type = "spark", config = small, idle_timeout = 6 })
    local e = s:until_state("spark", "Running", "Ready", 120)
    local client <close> = assert(rucat.process.spawn({ argv = { python, "-c", QUERY:format(12000), e.endpoint } }))
    local exit = assert(client:wait(100))
    local out, err = client:output()
    assert.same({ code = 0 }, exit, err)
    assert.equal("10\ndone\n", out)
    e = s:until_state("spark", "Stopped", "IdleTimeout", 60)
    assert.matches("nobody has used it for %d+ s", e.message)
  end)
end)
