-- external.lua: an engine that somebody else runs. rucat watches it and hands its address out.

return {
  submit = function(engine, ctx)
    return {
      driver = "external",
      endpoint = engine.address,
    }
  end,
}
