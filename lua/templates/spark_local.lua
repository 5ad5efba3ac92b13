-- spark_local.lua: Apache Spark on this machine, one JVM: a Spark Connect server, or a batch job
-- (engine.app) that runs to its end.
--
-- spark-submit is run directly (it becomes the JVM, so signals reach it). Spark chooses its ports
-- itself and rucat reads them from the log. All settings, secrets among them, go into a file that
-- only the owner may read, never onto the command line.

local spark_ui = require("rucat.spark_ui")
local connect_server = "org.apache.spark.sql.connect.service.SparkConnectServer"

-- A value of spark.conf: one line; backslashes and line breaks are escaped as Java's properties want.
local function property(value)
  return (tostring(value):gsub("\\", "\\\\"):gsub("\r", "\\r"):gsub("\n", "\\n"))
end

return {
  ---@param engine rucat.Engine
  ---@param ctx rucat.Context
  submit = function(engine, ctx)
    if not ctx.spark_home then
      if engine.version then
        local known = {}
        for version in pairs(ctx.config.spark.homes or {}) do known[#known + 1] = version end
        table.sort(known)
        return nil, "VersionUnavailable", ("there is no Spark %s; there are: %s"):format(
          engine.version, #known > 0 and table.concat(known, ", ") or "none (config spark.homes)")
      end
      return nil, "StartFailed", "no Spark: set spark.home in the configuration, or SPARK_HOME"
    end

    local settings = {
      ["spark.app.name"] = engine.name,
      ["spark.master"] = ctx.config.spark.master or "local[*]",
      ["spark.connect.grpc.binding.address"] = "127.0.0.1",
      ["spark.connect.grpc.binding.port"] = "0",
      ["spark.ui.port"] = "0",
      ["spark.driver.host"] = "127.0.0.1",
      ["spark.driver.bindAddress"] = "127.0.0.1",
      ["spark.local.dir"] = ctx.dir .. "/tmp",
      ["spark.sql.warehouse.dir"] = ctx.dir .. "/warehouse",
      ["spark.driver.extraJavaOptions"] = "-Dlog4j2.configurationFile=file:" .. ctx.run
        .. "/log4j2.properties -Dderby.system.home=" .. ctx.dir,
    }
    for key, value in pairs(engine.config) do
      if key == "spark.driver.extraJavaOptions" then
        value = settings[key] .. " " .. tostring(value)
      end
      settings[key] = value
    end
    local lines = {}
    for key, value in pairs(settings) do
      lines[#lines + 1] = key .. " " .. property(value)
    end
    table.sort(lines)

    local env = { SPARK_NO_DAEMONIZE = "1", SPARK_LOCAL_IP = "127.0.0.1", JAVA_HOME = ctx.java_home }
    for name, value in pairs(engine.env) do env[name] = value end

    local argv = { ctx.spark_home .. "/bin/spark-submit", "--properties-file", ctx.run .. "/spark.conf" }
    local job = engine.app
    local class = job and job.class or not job and connect_server
    if class then
      table.move({ "--class", class }, 1, 2, #argv + 1, argv)
    end
    argv[#argv + 1] = job and job.resource or "spark-internal"
    table.move(job and job.args or {}, 1, job and job.args and #job.args or 0, #argv + 1, argv)

    return {
      driver = "process",
      argv = argv,
      env = env,
      files = {
        ["spark.conf"] = table.concat(lines, "\n") .. "\n",
        ["log4j2.properties"] = [[
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
]],
      },
      ready = not job and {
        log = "Spark Connect server started at: .*:(%d+)",
        ui_log = "Successfully started service 'SparkUI' on port (%d+)",
        tcp = true,
        timeout = 120,
      } or nil, -- a batch job is there as soon as its process is
      stop = { signal = "TERM", grace = 30 },
    }
  end,

  -- Who uses it? May wait.
  activity = function(engine)
    if engine.app then
      return { streams = 1 } -- it works as long as it runs
    end
    return spark_ui.activity(engine)
  end,
}
