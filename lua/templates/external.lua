-- external.lua: an engine that somebody else runs. rucat watches it and hands its address out.

return {
  ---@param engine rucat.Engine
  ---@param ctx rucat.Context
  submit = function(engine, ctx)
    return {
      driver = "external",
      endpoint = engine.address,
    }
  end,
}
