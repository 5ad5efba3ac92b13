-- admin.lua: reloading the scripts and asking which ones serve.

local function allowed(req)
  local ok, status, body, headers = rucat.policy.allow(req.user, "admin", nil)
  if not ok then
    return status, body, headers
  end
end

return {
  ["POST /v1/admin/reload"] = function(req)
    local status, body, headers = allowed(req)
    if status then
      return status, body, headers
    end
    local report, failed = rucat.server.reload()
    if report then
      return 200, report
    end
    if type(failed) ~= "table" then
      return rucat.http.problem(503, failed)
    end
    local errors = {}
    for i, line in ipairs(failed.errors) do
      local where, what = line:match("^(.-:%d+): (.*)$")
      errors[i] = { field = where or "", message = what or line }
    end
    return rucat.http.problem(422, table.concat(failed.errors, "\n"), errors)
  end,

  ["GET /v1/admin/scripts"] = function(req)
    local status, body, headers = allowed(req)
    if status then
      return status, body, headers
    end
    return 200, rucat.server.scripts()
  end,
}
