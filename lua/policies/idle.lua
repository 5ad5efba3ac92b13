-- idle.lua: stop what nobody uses, keep what somebody does.
--
-- Asked for engines that have an `idle_timeout`. This build does not take that field yet, so this
-- file is loaded and checked, but not asked.
--
-- activity = { streams = open connections, idle_for = seconds without one }

return {
  -- "keep", or "stop" and why.
  ---@param engine rucat.Engine
  ---@param activity rucat.Activity
  check = function(engine, activity)
    if engine.idle_timeout and activity.streams == 0 and activity.idle_for >= engine.idle_timeout then
      return "stop", "nobody used it for " .. math.floor(activity.idle_for) .. " seconds"
    end
    return "keep"
  end,

  -- May a connection to a stopped engine start it?
  ---@param engine rucat.Engine
  ---@param user rucat.User
  wake_on_connect = function(engine, user)
    return false
  end,
}
