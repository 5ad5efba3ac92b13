-- context.lua: `ctx`, what a template is told beside the engine (CONTRACT section 6).

local driver, server = rucat.driver, rucat.server

-- True when `key` ("4.1") is `version` ("4.1.1") or a leading part of it.
local function covers(key, version)
  return version == key or version:sub(1, #key + 1) == key .. "."
end

-- Where the Spark of that version is: the longest matching key of spark.homes; without a version
-- spark.home. Nil when there is none.
local function spark_home(spark, version)
  if not version then
    return spark.home
  end
  local best
  for key in pairs(spark.homes or {}) do
    if covers(key, version) and (not best or #key > #best) then
      best = key
    end
  end
  return best and spark.homes[best]
end

-- JSON null, as configuration keys without a value have it, is nil for templates.
local function without_nulls(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for k, v in pairs(value) do
    if v ~= rucat.json.null then
      copy[k] = without_nulls(v)
    end
  end
  return copy
end

-- Makes the context for a start of `engine` as `epoch`, in state directory `base` (nil: our own). May
-- raise (no free port).
return function(engine, epoch, instance, base)
  local data, run = driver.dirs(engine.id, epoch, base)
  local info = server.info()
  local config = {
    spark = without_nulls(server.config("spark")),
    sail = without_nulls(server.config("sail")),
    templates = without_nulls(server.config("templates")),
    kubernetes = {},
  }
  local port, why = driver.port()
  if not port then
    error("no free port: " .. why)
  end
  return {
    spark_home = spark_home(config.spark, engine.version),
    java_home = config.spark.java_home,
    dir = data,
    run = run,
    epoch = epoch,
    instance = instance,
    listen = info.listen,
    mode = info.mode,
    config = config,
    port = port,
  }
end
