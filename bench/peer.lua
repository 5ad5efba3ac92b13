-- peer.lua: what nginx and haproxy share: the engines they serve and the policy they ask, which is
-- lua/policies/auth.lua as rucat ships it.
local peer = { engines = {} }

function peer.load(path)
  local file = assert(io.open(path))
  local json = file:read("*a")
  file:close()
  peer.engines["team-a"] = { rev = 3, owner = "anonymous", json = json }
end

function peer.auth(user, verb, engine)
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

return peer
