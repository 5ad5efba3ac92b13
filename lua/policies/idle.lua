-- idle.lua: stop what nobody uses, keep what somebody does.
--
-- Asked of every engine that runs, again and again (every 10 to 60 seconds).
--
-- engine    the record; engine.idle_timeout and engine.ttl are seconds, or nil
-- activity  streams   what is under way there now: queries, connections, a batch job
--           idle_for  seconds since the last of them (0 while there is one)
--           age       seconds since somebody asked for the start

return {
  -- "keep"; or "stop", why, and the engine's reason (IdleTimeout without one).
  ---@param engine rucat.Engine
  ---@param activity rucat.Activity
  check = function(engine, activity)
    if engine.ttl and activity.age >= engine.ttl then
      return "stop", "its time to live of " .. engine.ttl .. " s is over", "TtlExpired"
    end
    if engine.idle_timeout and activity.idle_for >= engine.idle_timeout then
      return "stop", "nobody has used it for " .. math.floor(activity.idle_for) .. " s"
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
