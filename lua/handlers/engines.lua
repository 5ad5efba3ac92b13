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

-- A create that is safe to repeat: the same key and body give the same engine (CONTRACT 3).
-- Returns nothing when the create may go on (with what is to be kept), else what to answer.
local function claim(req)
  local header = req.headers["idempotency-key"]
  if not header then
    return
  end
  if #header < 1 or #header > 255 or header:find("[^\x21-\x7e]") then
    return nil, problem(422, "the header Idempotency-Key is wrong", {
      { field = "Idempotency-Key", message = "expected 1 to 255 visible ASCII characters" } })
  end
  local outcome, value = rucat.store.keys.claim(req.user.name .. "/" .. header, req.body)
  if outcome == "new" then
    return value
  elseif outcome == "same" then
    local engine = engines.get(value)
    if engine then
      return nil, 201, engine, { location = "/v1/engines/" .. engine.id }
    end
    return nil, problem(404, "the engine that was made with this Idempotency-Key is deleted")
  elseif outcome == "other" then
    return nil, problem(422, "this Idempotency-Key was used with another body", {
      { field = "Idempotency-Key", message = "used with another body" } })
  elseif outcome == "busy" then
    return nil, problem(409, "a create with this Idempotency-Key is under way")
  end
  return nil, problem(429, "too many creates are under way")
end

-- What is asked for, checked and admitted; or nil and what to answer.
local function read_request(req)
  local request, status, body, headers = req:json()
  if request == nil then
    return nil, status, body, headers
  end
  local errors = validate.create(request)
  if #errors > 0 then
    return nil, problem(422, "the engine cannot be created as asked for", errors)
  end
  local defaults = rucat.server.config("defaults")
  request.type = request.type or defaults.type
  request.platform = request.platform or defaults.platform
  local asked -- on success; else it is the status
  request, asked, body, headers = rucat.policy.admit(request, req.user)
  if not request then
    return nil, asked, body, headers
  end
  request.type = request.type or defaults.type -- the policy may have made a new one
  request.platform = request.platform or defaults.platform
  errors = validate.create(request)
  if #errors > 0 then
    return nil, problem(503, "the admission policy asked for an engine that cannot be", errors,
      "PolicyError")
  end
  if not rucat.server.has_template(request.type, request.platform) then
    return nil, problem(422, ("there is no template for type '%s' on platform '%s'"):format(
      request.type, request.platform), {
      { field = "type", message = "expected one with a template; there are: " .. rucat.server.templates() },
    })
  end
  return request, asked
end

local function create(req)
  local ok, status, body, headers = rucat.policy.allow(req.user, "create", nil)
  if not ok then
    return status, body, headers
  end
  local key
  key, status, body, headers = claim(req)
  if status then
    return status, body, headers
  end
  local request, asked
  request, asked, body, headers = read_request(req)
  if not request then
    if key then
      rucat.store.keys.release(key.key)
    end
    return asked, body, headers
  end
  local engine, why, code = engines.create({
    name = request.name, type = request.type, platform = request.platform,
    version = request.version, config = request.config, labels = request.labels, env = request.env,
    address = request.endpoint, app = request.app, idle_timeout = request.idle_timeout,
    ttl = request.ttl, owner = req.user.name, state = "Pending", desired = "Running",
    reason = "Starting", health = "unknown", epoch = 1, wanted_epoch = 1, idempotency = key,
  }, req.user.name, asked)
  if not engine then
    if key then
      rucat.store.keys.release(key.key)
      if code == "EXISTS" then -- by the same request to another replica?
        local _, again, made, location = claim(req)
        if again == 201 then
          return again, made, location
        end
        rucat.store.keys.release(key.key)
      end
    end
    return api.store_problem(why, code)
  end
  if key then
    rucat.store.keys.settle(key.key, engine.id)
  end
  return 201, engine, { location = "/v1/engines/" .. engine.id }
end

local function list(req, query)
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
local function verb(name, summary, ...)
  local needed = { ... }
  return api.route {
    summary = summary,
    query = { wait = validate.wait(), force = (name == "stop" or name == "delete") and validate.one_of("true", "false")
      or nil },
    headers = { "If-Match" },
    answers = { [202] = "Engine" },
    handle = function(req, query)
      local engine, status, body, headers
      for _, permission in ipairs(needed) do
        engine, status, body, headers = api.engine(req, permission)
        if not engine then
          return status, body, headers
        end
      end
      status, body, headers = precondition(req, engine)
      if status then
        return status, body, headers
      end
      local only = req.headers["if-match"] and engine.rev or nil -- also when somebody is faster now
      local ask = query.force == "true" and "force-" .. name or name
      local after, why, code = engines.verb(engine.id, ask, req.user.name, only, api.asked(req, engine))
      if not after and only and code == "CONFLICT" then
        return problem(412, "the engine was changed meanwhile")
      elseif not after then
        return api.store_problem(code == "REFUSED" and "the engine is being deleted" or why, code)
      end
      if query.wait then
        return 202, engines.hold(engine.id, name, query.wait)
      end
      return 202, after
    end,
  }
end

local function logs(req, query)
  local engine, status, body, headers = api.engine(req, "logs")
  if not engine then
    return status, body, headers
  end
  local status_there, there, headers_there = api.elsewhere(req, engine)
  if status_there then
    return status_there, there, headers_there
  elseif query.follow == "true" then
    return 200, rucat.store.follow { logs = engine.id, lines = query.tail or -1 }
  end
  local text, why, code = engines.logs(engine.id, query.tail or -1)
  if not text then
    return api.store_problem(why, code)
  end
  return 200, text
end

return {
  ["POST /v1/engines"] = api.route {
    summary = "Create an engine", body = "create",
    headers = { ["Idempotency-Key"] = { type = "string", minLength = 1, maxLength = 255, pattern = "^[!-~]+$" } },
    answers = { [201] = "Engine" }, handle = create,
  },
  ["GET /v1/engines"] = api.route {
    summary = "List engines, oldest first",
    query = {
      limit = validate.integer(1, 1000), cursor = validate.cursor,
      state = validate.one_of("Pending", "Running", "Stopped"), type = validate.text,
      platform = validate.text, name = validate.text, label = validate.text,
    },
    answers = { [200] = "EngineList" }, handle = list,
  },
  ["GET /v1/engines/{id}"] = api.route {
    summary = "One engine, by id or name", headers = { "If-None-Match" },
    answers = { [200] = "Engine", [304] = "" }, handle = get,
  },
  ["DELETE /v1/engines/{id}"] = verb("delete", "Stop an engine if needed and remove all it had", "delete"),
  ["POST /v1/engines/{id}/start"] = verb("start", "Start an engine", "start"),
  ["POST /v1/engines/{id}/stop"] = verb("stop", "Stop an engine", "stop"),
  ["POST /v1/engines/{id}/restart"] = verb("restart", "Restart an engine; a stopped one is started",
    "stop", "start"),
  ["GET /v1/engines/{id}/logs"] = api.route {
    summary = "The log of an engine's driver, over its restarts",
    query = { tail = validate.integer(0, 100000), follow = validate.one_of("true", "false") },
    answers = { [200] = "text/plain" }, handle = logs,
  },
}
