-- health.lua: is rucat itself well? For load balancers, Kubernetes, Prometheus and people.

return {
  -- The process is alive and runs its scripts.
  ["GET /healthz"] = function()
    return 200, "ok"
  end,

  -- The store is reachable, and this very answer shows that a script generation is serving.
  ["GET /readyz"] = function()
    local ready, why = rucat.server.ready()
    if ready then
      return 200, "ok"
    end
    return 503, why, { ["retry-after"] = "1" }
  end,

  ["GET /metrics"] = function()
    local text, why = rucat.metrics.render()
    if not text then
      return rucat.http.problem(503, why)
    end
    return 200, text, { ["content-type"] = "text/plain; version=0.0.4; charset=utf-8" }
  end,

  ["GET /"] = function()
    return 200, "welcome to rucat"
  end,
}
