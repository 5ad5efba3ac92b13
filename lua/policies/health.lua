-- health.lua: is a running engine well?
--
-- rucat itself sees whether the process is there and whether its heartbeat is fresh. Here is what is
-- asked of the engine: by default, whether its port accepts. `probe` may wait (rucat.http,
-- rucat.tcp); it runs every `interval` seconds and is given up after `timeout`. After `failures` bad
-- answers in a row the engine is unhealthy and `unhealthy` says what to do.

return {
  interval = 10, -- seconds
  timeout = 3, -- seconds
  failures = 3,

  -- Returns true, or false and why.
  ---@param engine rucat.Engine
  probe = function(engine)
    local host, port = (engine.endpoint or ""):match("^%a+://%[?([^/%]]-)%]?:(%d+)")
    if not host then
      return true -- no endpoint: that the process is there is all there is to see
    end
    local ok, why = rucat.tcp.connect(host, tonumber(port), 3)
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
