-- auth.lua: who may do what.
--
-- user    { name =, role = "admin" | "user" | "viewer" }
-- verb    "create", "read", "start", "stop", "delete", "connect", "logs" or "admin"
-- engine  the engine (read-only), or nil for "create" and "admin"
--
-- Returns true, or false and why. Who may not read an engine is told that it is not there.
-- If this file fails, the answer to everything is no until it is mended.

---@param user rucat.User
---@param verb rucat.Verb
---@param engine rucat.Engine?
---@return boolean, string?
return function(user, verb, engine)
  if user.role == "admin" then
    return true
  end
  if verb == "admin" then
    return false, "only an admin may do that"
  end
  if user.role == "viewer" then
    return verb == "read" or verb == "logs", "a viewer may only look"
  end
  if verb == "create" then
    return user.role == "user", "no such role"
  end
  return engine.owner == user.name, "this is somebody else's engine"
end
