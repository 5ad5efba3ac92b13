-- health.lua: is a running engine well?
--
-- rucat itself sees whether the process is there and whether its heartbeat is fresh. Here is what is
-- asked of the engine: whether Spark Connect answers a call, or, where that is not spoken, whether the
-- port accepts. `probe` may wait (rucat.http, rucat.tcp); it runs every `interval` seconds and is given
-- up after `timeout`. After `failures` bad answers in a row the engine is unhealthy and `unhealthy`
-- says what to do.

local spark_connect = require("rucat.spark_connect")

return {
  interval = 10, -- seconds
  timeout = 10, -- seconds
  failures = 3,

  -- Returns true, or false and why.
  ---@param engine rucat.Engine
  probe = function(engine)
    local scheme, host, port = (engine.endpoint or ""):match("^(%a+)://%[?([^/%]]-)%]?:(%d+)")
    if not host then
      return true -- no endpoint: that the process is there is all there is to see
    end
    local ok, why = rucat.tcp.connect(host, tonumber(port), 3)
    if ok and scheme == "sc" and (engine.type == "spark" or engine.type == "sail") then
      ok, why = spark_connect.answers(host, tonumber(port), 10)
    end
    if ok then
      return true
    end
    return false, "port " .. port .. " of " .. host .. ": " .. why
  end,

  -- "restart", "stop" or "ignore"
  ---@param engine rucat.Engine
  ---@param why string
  unhealthy = function(engine, why)
    if engine.platform == "external" then
      return "ignore" -- it is not ours to restart
    end
    return "restart"
  end,
}
