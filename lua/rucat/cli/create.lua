-- rucat/cli/create.lua - the body of `rucat create`: a file, and what the options lay over it.

local args = require("rucat.cli.args")
local client = require("rucat.cli.client")

local create = {}

local function read_file(path)
  if path == "-" then
    return io.read("a") or ""
  end
  local file, why = io.open(path, "r")
  if not file then
    client.fail(1, "-f %s", why)
  end
  local content, problem = file:read("a")
  file:close()
  return content or client.fail(1, "-f %s: %s", path, problem)
end

local function read_engine(path)
  local engine, why = rucat.json.decode(read_file(path))
  if engine == nil then
    client.fail(1, "-f %s: %s", path, why)
  elseif type(engine) ~= "table" or rucat.json.encode(engine):sub(1, 1) ~= "{" then
    client.fail(1, "-f %s: an object is expected", path)
  end
  return engine
end

-- true, false and numbers are such, if nothing of the text is lost by it ("4.10" stays a text).
local function typed(value)
  if value == "true" or value == "false" then
    return value == "true"
  end
  local number = value:match("^%-?[%d.]+$") and tonumber(value)
  return number and rucat.json.encode(number) == value and number or value
end

local function lay_pairs(body, field, pairs_given, convert)
  if not pairs_given then
    return
  end
  local map = body[field]
  if type(map) ~= "table" then
    map = {}
    body[field] = map
  end
  for _, pair in ipairs(pairs_given) do
    map[pair[1]] = convert(pair[2])
  end
end

-- The body for what was given on the command line.
function create.body(given)
  local body = given.file and read_engine(given.file) or {}
  body.name = given.NAME or body.name
  if body.name == nil then
    args.usage("create", "NAME is missing")
  end
  for _, field in ipairs({ "type", "platform", "version", "endpoint", "idle_timeout", "ttl" }) do
    body[field] = given[field] or body[field]
  end
  if given.app then
    body.app = { resource = given.app }
  elseif (given.class or given.arg) and type(body.app) ~= "table" then
    args.usage("create", "--class and --arg are for an app: --app is missing")
  end
  if type(body.app) == "table" then
    body.app.class = given.class or body.app.class
    body.app.args = given.arg and rucat.json.array(given.arg) or body.app.args
  end
  lay_pairs(body, "config", given.config, typed)
  lay_pairs(body, "labels", given.label, tostring)
  lay_pairs(body, "env", given.env, tostring)
  return body
end

return create
