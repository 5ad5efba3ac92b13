-- rucat.lua: the routes of the original rucat, for clients that were written for it. New clients use
-- /v1 (handlers/engines.lua).

local engines, problem = rucat.store.engines, rucat.http.problem
local api = require("rucat.api")
local validate = require("rucat.validate")

local known = { name = true, engine_type = true, version = true, config = true }

-- The type's name that is meant: "Spark", "spark" and "SAIL" are "spark" and "sail".
local function type_of(name)
  local lower = type(name) == "string" and name:lower() or ""
  if lower:find("^[a-z0-9-]+$") and rucat.server.has_template(lower, "local") then
    return lower
  end
end

local function show(engine)
  local name = engine.type
  return {
    id = engine.id, name = engine.name, engine_type = name:sub(1, 1):upper() .. name:sub(2),
    version = engine.version or rucat.json.null, state = engine.state, config = engine.config,
  }
end

local function create(req)
  local ok, status, failed, headers = rucat.policy.allow(req.user, "create", nil)
  if not ok then
    return status, failed, headers
  end
  local body
  body, status, failed, headers = req:json()
  if body == nil then
    return status, failed, headers
  end
  if type(body) ~= "table" then
    return problem(422, "expected an object")
  end
  for field, value in pairs(body) do
    if not known[field] then
      return problem(422, ("unknown field `%s`"):format(field))
    elseif value == rucat.json.null then
      body[field] = nil
    end
  end
  for _, field in ipairs { "name", "engine_type" } do
    if body[field] == nil then
      return problem(422, ("missing field `%s`"):format(field))
    end
  end
  local engine_type = type_of(body.engine_type)
  if not engine_type then
    return problem(422, ("unknown engine_type `%s`, there are: %s"):format(
      tostring(body.engine_type), rucat.server.templates()))
  end
  local request = {
    name = body.name, type = engine_type, platform = "local", version = body.version, config = body.config,
  }
  local errors = validate.create(request)
  if #errors > 0 then
    return problem(422, errors[1].field .. ": " .. errors[1].message, errors)
  end
  local asked
  request, asked, failed, headers = rucat.policy.admit(request, req.user)
  if not request then
    return asked, failed, headers
  end
  local engine, why, code = engines.create({
    name = request.name, type = request.type, platform = request.platform, version = request.version,
    config = request.config, labels = request.labels, env = request.env, owner = req.user.name,
    state = "Pending", desired = "Running", reason = "Starting", health = "unknown", epoch = 1,
    wanted_epoch = 1,
  }, req.user.name, asked)
  if not engine then
    return api.store_problem(why, code)
  end
  return 200, { id = engine.id }
end

local function get(req)
  local engine, status, body, headers = api.engine(req, "read")
  if not engine then
    return status, body, headers
  end
  return 200, show(engine)
end

local function list(req)
  local ids, after, more = rucat.json.array(), nil, true
  while more do
    local page
    page, more = engines.list { limit = 1000, after = after }
    for _, engine in ipairs(page) do
      after = engine.id
      if rucat.policy.allow(req.user, "read", engine) then
        ids[#ids + 1] = engine.id
      end
    end
  end
  return 200, ids
end

local function verb(name, permission, allowed)
  return function(req)
    local engine, status, body, headers = api.engine(req, permission)
    if not engine then
      return status, body, headers
    end
    local refused = allowed and allowed(engine)
    if refused then
      return problem(403, refused)
    end
    local done, why, code = engines.verb(engine.id, name, req.user.name, nil, api.asked(req, engine))
    if not done then
      return api.store_problem(why, code)
    end
    return 200
  end
end

local function route(summary, answers, handle, body)
  return api.route { summary = summary .. " (as the original rucat does)", answers = answers, body = body,
    handle = handle }
end

return {
  ["POST /engine"] = route("Create an engine", { [200] = "Id" }, create, "compat"),
  ["GET /engine"] = route("The ids of all engines", { [200] = "Ids" }, list),
  ["GET /engines"] = route("The ids of all engines", { [200] = "Ids" }, list),
  ["GET /engine/{id}"] = route("One engine", { [200] = "CompatEngine" }, get),
  ["DELETE /engine/{id}"] = route("Delete an engine", { [200] = "" }, verb("delete", "delete")),
  ["POST /engine/{id}/stop"] = route("Stop an engine", { [200] = "" }, verb("stop", "stop")),
  ["POST /engine/{id}/restart"] = route("Start a stopped engine", { [200] = "" },
    verb("restart", "start", function(engine)
      if engine.state ~= "Stopped" then
        return ("the engine is %s; only a Stopped one can be restarted"):format(engine.state)
      end
    end)),
}
