-- admission.lua: asked for each new engine, before it is made. May change the request, or refuse it.
--
-- request  what was asked for: name, type, platform, version, config, labels, env, ...
-- user     { name =, role = }
-- counts   { engines =, running = } of that user
--
-- Returns the request (changed or not), or nil, "why not" and a status (403 without one).
--
-- A quota, for example:
--   if user.role ~= "admin" and counts.engines >= 5 then
--     return nil, "you have five engines already", 429
--   end

---@param request rucat.Request
---@param user rucat.User
---@param counts { engines: integer, running: integer }
---@return rucat.Request?, string?, integer?
return function(request, user, counts)
  return request
end
