-- api.lua: what the handlers share. Every function that can refuse returns nil and then the three
-- values that the handler hands on: status, problem, headers.

local problem = rucat.http.problem
local find, allow = rucat.store.engines.get, rucat.policy.allow -- asked by every request
local fetch = rucat.store.engines.fetch
local validate = require("rucat.validate")
local api = {}

-- The engine named in the path, if the user may do `verb` with it.
function api.engine(req, verb)
  local engine = find(req.params.id)
  if not engine then
    local why, code
    engine, why, code = fetch(req.params.id)
    if not engine and code and code ~= "NOTFOUND" then
      return nil, api.store_problem(why, code)
    elseif not engine then
      return nil, problem(404, "there is no such engine")
    end
  end
  local ok, status, body, headers = allow(req.user, verb, engine)
  if not ok then
    return nil, status, body, headers
  end
  return engine
end

-- What an engine has written is on the host where its driver runs. Nothing when that is here; else what
-- to answer: what a replica there says, asked with this same request, or a problem.
function api.elsewhere(req, engine)
  local url, why = rucat.replica.route(engine)
  if not url then
    return problem(503, why)
  elseif url == "" then
    return
  elseif req.headers["x-rucat-hop"] then -- one hop only: whoever asked knows another state of things
    return problem(502, "the replica that was asked does not have it either")
  end
  return 200, rucat.replica.forward(engine)
end

-- What the event of a request carries, so that `rucat try` can ask an auth policy again.
function api.asked(req, engine)
  return { user = req.user, engine = {
    owner = engine.owner, type = engine.type, platform = engine.platform, labels = engine.labels } }
end

-- The values of the query, read by rucat.validate's readers.
function api.query(req, readers)
  local query = req.query
  if next(query) == nil then
    return query
  end
  local values, errors = validate.query(query, readers)
  if not values then
    return nil, problem(422, "the query has parameters that are wrong", errors)
  end
  return values
end

-- A route that says what it is: { summary =, query = readers, body =, answers = { [status] = schema },
-- headers = a list of names, or name = schema, params = { name = schema }, handle = function(req,
-- query) }. The query is checked before `handle` is called, and GET /openapi.json is made of the same
-- words.
function api.route(doc)
  local readers, handle = doc.query or {}, doc.handle
  return {
    doc = doc,
    handle = function(req)
      local query, status, body, headers = api.query(req, readers)
      if not query then
        return status, body, headers
      end
      return handle(req, query)
    end,
  }
end

-- What the store's refusals mean to a client.
local statuses = {
  NOTFOUND = 404, EXISTS = 409, REFUSED = 409, CONFLICT = 409, FULL = 429, INVALID = 422,
  STORE = 503, CLOSED = 503, UNSURE = 503,
}

function api.store_problem(why, code)
  return problem(statuses[code] or 503, why)
end

-- A weak ETag matches what If-None-Match or If-Match lists, or "*".
function api.etag_matches(header, engine)
  local tag = ('W/"%d"'):format(engine.rev)
  for part in header:gmatch("[^,]+") do
    part = part:match("^%s*(.-)%s*$")
    if part == "*" or part == tag or part == tag:sub(3) then
      return true
    end
  end
  return false
end

return api
