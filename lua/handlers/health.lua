-- health.lua: is rucat itself well? For load balancers, Kubernetes, Prometheus and people.

local api = require("rucat.api")

return {
  ["GET /healthz"] = api.route {
    summary = "The process is alive and runs its scripts", answers = { [200] = "text/plain" },
    handle = function()
      return 200, "ok"
    end,
  },

  ["GET /readyz"] = api.route {
    summary = "The store is reachable, and (as this very answer shows) a script generation serves",
    answers = { [200] = "text/plain", [503] = "text/plain" },
    handle = function()
      local ready, why = rucat.server.ready()
      if ready then
        return 200, "ok"
      end
      return 503, why, { ["retry-after"] = "1" }
    end,
  },

  ["GET /metrics"] = api.route {
    summary = "Numbers for Prometheus", answers = { [200] = "text/plain" },
    handle = function()
      local text, why = rucat.metrics.render()
      if not text then
        return rucat.http.problem(503, why)
      end
      return 200, text, { ["content-type"] = "text/plain; version=0.0.4; charset=utf-8" }
    end,
  },

  ["GET /openapi.json"] = api.route {
    summary = "This description", answers = { [200] = "Object" },
    handle = function()
      return 200, require("rucat.openapi")()
    end,
  },
}
