-- admin.lua: reloading the scripts and asking which ones serve.

local function allowed(req)
  local ok, status, body, headers = rucat.policy.allow(req.user, "admin", nil)
  if not ok then
    return status, body, headers
  end
end

local api = require("rucat.api")

return {
  ["POST /v1/admin/reload"] = api.route { summary = "Reload scripts and configuration",
    answers = { [200] = "Object", [422] = "Problem" }, handle = function(req)
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
  end },

  ["GET /v1/admin/replicas"] = api.route { summary = "The servers that share this store, and their leases",
    answers = { [200] = "Object" }, handle = function(req)
    local status, body, headers = allowed(req)
    if status then
      return status, body, headers
    end
    return 200, { shared = rucat.replica.shared(), replicas = rucat.replica.list() }
  end },

  ["GET /v1/admin/scripts"] = api.route { summary = "Which scripts serve, and the last error",
    answers = { [200] = "Object" }, handle = function(req)
    local status, body, headers = allowed(req)
    if status then
      return status, body, headers
    end
    return 200, rucat.server.scripts()
  end },
}
