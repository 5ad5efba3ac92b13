-- sail_local.lua: Sail, a Spark Connect server in Rust (PyPI package pysail), on this machine.
-- A new engine type is a file like this one and nothing else.

return {
  ---@param engine rucat.Engine
  ---@param ctx rucat.Context
  submit = function(engine, ctx)
    if engine.app then
      return nil, "AppUnsupported", "sail runs no batch jobs"
    end
    if engine.version then
      return nil, "VersionUnavailable", "sail has one version: the one that is installed"
    end
    return {
      driver = "process",
      argv = {
        ctx.config.sail.command or "sail",
        "spark", "server", "--ip", "127.0.0.1", "--port", "0", -- a free port, told in the log
      },
      env = engine.env,
      ready = {
        log = "Starting the Spark Connect server on .*:(%d+)",
        tcp = true,
        timeout = 60,
      },
      stop = { signal = "TERM", grace = 10 },
    }
  end,
}
