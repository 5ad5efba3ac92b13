-- probe_local.lua: an engine that says it is ready at once and then waits, for bench/run.sh: what is
-- left of its start is rucat's own share.
return { submit = function(_, ctx)
  return {
    driver = "process",
    argv = { "/bin/sh", "-c", "echo ready; exec sleep 600" },
    cwd = ctx.dir,
    ready = { log = "ready", timeout = 20 },
    stop = { signal = "TERM", grace = 1 },
  }
end }
