-- events.lua: what happened, of one engine or of all, oldest first.

local problem = rucat.http.problem
local api = require("rucat.api")
local validate = require("rucat.validate")

local readers = { limit = validate.integer(1, 1000), cursor = validate.cursor }

-- Does the client want to follow (server-sent events)? Then what to send on from: the id it has seen
-- last, which a browser repeats by itself when it connects again.
local function wants_stream(req)
  return (req.headers.accept or ""):find("text/event-stream", 1, true) ~= nil
end

local function stream(req, engine)
  local last = req.headers["last-event-id"]
  if last then
    local id, why = validate.cursor.read(last)
    if id and rucat.clock.id_time(id) > math.max(rucat.clock.now(), rucat.clock.id_time()) + 60 then
      id, why = nil, "an event id from the future"
    end
    if not id then
      return problem(422, "the header Last-Event-ID is wrong", {
        { field = "Last-Event-ID", message = why } })
    end
  end
  return 200, rucat.store.follow {
    events = engine and engine.id or "", after = last or "", replay = last ~= nil, user = req.user,
  }
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

local function of_one(req, query)
  local engine, status, body, headers = api.engine(req, "read")
  if not engine then
    return status, body, headers
  end
  if wants_stream(req) then
    return stream(req, engine)
  end
  return page(query, engine.id, function() return true end)
end

local function of_all(req, query)
  if wants_stream(req) then
    return stream(req, nil)
  end
  return page(query, nil, function(event)
    local engine = rucat.store.engines.get(event.engine)
    if not engine then
      return req.user.role == "admin" -- it is gone; nobody else can be asked about
    end
    return rucat.policy.allow(req.user, "read", engine)
  end)
end

local answers = { [200] = { "EventList", "text/event-stream" } }

return {
  ["GET /v1/events"] = api.route {
    summary = "What happened; Accept: text/event-stream follows", query = readers,
    headers = { "Last-Event-ID" }, answers = answers, handle = of_all,
  },
  ["GET /v1/engines/{id}/events"] = api.route {
    summary = "What happened to one engine; Accept: text/event-stream follows", query = readers,
    headers = { "Last-Event-ID" }, answers = answers, handle = of_one,
  },
}
