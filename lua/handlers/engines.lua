-- engines.lua: the REST API of engines. A handler returns status, body and headers; an engine as the
-- body is sent as its JSON.

local engines, problem = rucat.store.engines, rucat.http.problem
local api = require("rucat.api")
local validate = require("rucat.validate")

-- If-Match: act only on the engine as the client knows it.
local function precondition(req, engine)
  local wanted = req.headers["if-match"]
  if wanted and not api.etag_matches(wanted, engine) then
    return problem(412, ("the engine is at revision %d"):format(engine.rev))
  end
end

local function create(req)
  if req.headers["idempotency-key"] then
    return problem(422, "the header Idempotency-Key is not supported in this build")
  end
  local ok, status, body, headers = rucat.policy.allow(req.user, "create", nil)
  if not ok then
    return status, body, headers
  end
  local request
  request, status, body, headers = req:json()
  if request == nil then
    return status, body, headers
  end
  local errors = validate.create(request)
  if #errors > 0 then
    return problem(422, "the engine cannot be created as asked for", errors)
  end

  local defaults = rucat.server.config("defaults")
  request.type = request.type or defaults.type
  request.platform = request.platform or defaults.platform
  request, status, body, headers = rucat.policy.admit(request, req.user)
  if not request then
    return status, body, headers
  end
  request.type = request.type or defaults.type -- the policy may have made a new one
  request.platform = request.platform or defaults.platform
  errors = validate.create(request)
  if #errors > 0 then
    return problem(503, "the admission policy asked for an engine that cannot be", errors,
      "PolicyError")
  end
  if not rucat.server.has_template(request.type, request.platform) then
    return problem(422, ("there is no template for type '%s' on platform '%s'"):format(
      request.type, request.platform), {
      { field = "type", message = "expected one with a template; there are: " .. rucat.server.templates() },
    })
  end

  local engine, why, code = engines.create({
    name = request.name, type = request.type, platform = request.platform,
    version = request.version, config = request.config, labels = request.labels, env = request.env,
    address = request.endpoint, owner = req.user.name, state = "Pending", desired = "Running",
    reason = "Starting", health = "unknown", epoch = 1, wanted_epoch = 1,
  }, req.user.name)
  if not engine then
    return api.store_problem(why, code)
  end
  return 201, engine, { location = "/v1/engines/" .. engine.id }
end

local function list(req)
  local query, status, body, headers = api.query(req, {
    limit = validate.integer(1, 1000), cursor = validate.cursor,
    state = validate.one_of("Pending", "Running", "Stopped"), type = validate.text,
    platform = validate.text, name = validate.text, label = validate.text,
  })
  if not query then
    return status, body, headers
  end
  local limit = query.limit or 100
  local found, cursor, more = rucat.json.array(), query.cursor, true
  while more and #found < limit do
    local page
    page, more = engines.list {
      limit = limit - #found, after = cursor, state = query.state, type = query.type,
      platform = query.platform, name = query.name, label = query.label,
    }
    for _, engine in ipairs(page) do
      cursor = engine.id
      local ok, code, failed, extra = rucat.policy.allow(req.user, "read", engine)
      if ok then
        found[#found + 1] = engine
      elseif code == 503 then
        return code, failed, extra
      end
    end
  end
  return 200, { engines = found, next_cursor = more and cursor or rucat.json.null }
end

local function get(req)
  local engine, status, body, headers = api.engine(req, "read")
  if not engine then
    return status, body, headers
  end
  local known = req.headers["if-none-match"]
  if known and api.etag_matches(known, engine) then
    return 304, nil, { etag = ('W/"%d"'):format(engine.rev) }
  end
  return 200, engine
end

-- start, stop, restart, delete: what the user must be allowed, and the verb.
local function verb(name, ...)
  local needed = { ... }
  return function(req)
    local engine, status, body, headers
    for _, permission in ipairs(needed) do
      engine, status, body, headers = api.engine(req, permission)
      if not engine then
        return status, body, headers
      end
    end
    local query
    query, status, body, headers = api.query(req, { wait = validate.seconds(300) })
    if not query then
      return status, body, headers
    end
    status, body, headers = precondition(req, engine)
    if status then
      return status, body, headers
    end
    local why, code
    local id = engine.id
    engine, why, code = engines.verb(id, name, req.user.name)
    if not engine then
      if code == "REFUSED" then
        why = "the engine is being deleted"
      end
      return api.store_problem(why, code)
    end
    if query.wait then
      return 202, engines.hold(id, name, query.wait)
    end
    return 202, engine
  end
end

local function logs(req)
  local engine, status, body, headers = api.engine(req, "logs")
  if not engine then
    return status, body, headers
  end
  local query
  query, status, body, headers = api.query(req, {
    tail = validate.integer(0, 100000), follow = validate.one_of("true", "false"),
  })
  if not query then
    return status, body, headers
  end
  if query.follow == "true" then
    return 200, rucat.store.follow { logs = engine.id, lines = query.tail or -1 }
  end
  local text, why, code = engines.logs(engine.id, query.tail or -1)
  if not text then
    return api.store_problem(why, code)
  end
  return 200, text
end

return {
  ["POST /v1/engines"] = create,
  ["GET /v1/engines"] = list,
  ["GET /v1/engines/{id}"] = get,
  ["DELETE /v1/engines/{id}"] = verb("delete", "delete"),
  ["POST /v1/engines/{id}/start"] = verb("start", "start"),
  ["POST /v1/engines/{id}/stop"] = verb("stop", "stop"),
  ["POST /v1/engines/{id}/restart"] = verb("restart", "stop", "start"),
  ["GET /v1/engines/{id}/logs"] = logs,
}
