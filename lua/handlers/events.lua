-- events.lua: what happened, of one engine or of all, oldest first.

local problem = rucat.http.problem
local api = require("rucat.api")
local validate = require("rucat.validate")

local readers = { limit = validate.integer(1, 1000), cursor = validate.cursor }

local function refuse_stream(req)
  if (req.headers.accept or ""):find("text/event-stream", 1, true) then
    return problem(406, "following events is not supported in this build")
  end
end

-- A page of events that `visible` lets through; what it returns beside false is the answer.
local function page(query, engine, visible)
  local limit = query.limit or 100
  local found, cursor, more = rucat.json.array(), query.cursor, true
  while more and #found < limit do
    local events, more_or_why, code = rucat.store.events.list {
      engine = engine, after = cursor, limit = limit - #found }
    if not events then
      return api.store_problem(more_or_why, code)
    end
    more = more_or_why
    for _, event in ipairs(events) do
      cursor = event.id
      local ok, status, body, headers = visible(event)
      if ok then
        found[#found + 1] = event
      elseif status == 503 then -- the policy failed
        return status, body, headers
      end
    end
  end
  return 200, { events = found, next_cursor = more and cursor or rucat.json.null }
end

local function of_one(req)
  local status, body, headers = refuse_stream(req)
  if status then
    return status, body, headers
  end
  local engine
  engine, status, body, headers = api.engine(req, "read")
  if not engine then
    return status, body, headers
  end
  local query
  query, status, body, headers = api.query(req, readers)
  if not query then
    return status, body, headers
  end
  return page(query, engine.id, function() return true end)
end

local function of_all(req)
  local status, body, headers = refuse_stream(req)
  if status then
    return status, body, headers
  end
  local query
  query, status, body, headers = api.query(req, readers)
  if not query then
    return status, body, headers
  end
  return page(query, nil, function(event)
    local engine = rucat.store.engines.get(event.engine)
    if not engine then
      return req.user.role == "admin" -- it is gone; nobody else can be asked about
    end
    return rucat.policy.allow(req.user, "read", engine)
  end)
end

return {
  ["GET /v1/events"] = of_all,
  ["GET /v1/engines/{id}/events"] = of_one,
}
