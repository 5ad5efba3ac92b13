-- stats.lua: what engines take of this machine: CPU time, memory, processes. For `rucat top`.

local api = require("rucat.api")
local validate = require("rucat.validate")

-- What is known of an engine's driver; all null where none runs here.
local function show(engine, usage)
  local null = rucat.json.null
  return {
    id = engine.id, name = engine.name, pid = usage and usage.pid or null,
    processes = usage and usage.processes or 0, cpu_seconds = usage and usage.cpu_seconds or null,
    memory_bytes = usage and usage.memory_bytes or null,
  }
end

local function of_one(req)
  local engine, status, body, headers = api.engine(req, "read")
  if not engine then
    return status, body, headers
  end
  local there, answer, extra = api.elsewhere(req, engine)
  if there then
    return there, answer, extra
  end
  local usages, why = rucat.store.engines.usage { engine.id }
  if not usages then
    return rucat.http.problem(503, why)
  end
  return 200, show(engine, usages[engine.id])
end

-- What other replicas know of engines of this page that are not here: each is asked once, for the same
-- page. Who does not answer in time is done without.
local function ask_others(req, seen, stats)
  local urls = {}
  for i, engine in ipairs(seen) do
    local url = rucat.replica.route(engine)
    if url and url ~= "" then
      urls[url] = urls[url] or {}
      urls[url][engine.id] = i
    end
  end
  local query = req.path .. "?" .. (req.query.limit and "limit=" .. req.query.limit .. "&" or "")
    .. (req.query.cursor and "cursor=" .. req.query.cursor or "")
  for url, places in pairs(urls) do
    local answer = rucat.http.request { url = url .. query, timeout = 3, headers = {
      ["x-rucat-hop"] = rucat.replica.id(), ["x-request-id"] = req.id,
      authorization = req.headers.authorization, ["x-rucat-token"] = req.headers["x-rucat-token"] } }
    local page = answer and answer.status == 200 and rucat.json.decode(answer.body)
    for _, line in ipairs(type(page) == "table" and page.stats or {}) do
      if places[line.id] then
        stats[places[line.id]] = line
      end
    end
  end
end

-- One page of engines, as GET /v1/engines gives them; /proc is read once for all of them.
local function of_all(req, query)
  local page, more = rucat.store.engines.list { limit = query.limit or 100, after = query.cursor }
  local seen, ids, cursor = {}, {}, nil
  for _, engine in ipairs(page) do
    cursor = engine.id
    local ok, status, body, headers = rucat.policy.allow(req.user, "read", engine)
    if ok then
      seen[#seen + 1], ids[#ids + 1] = engine, engine.id
    elseif status == 503 then
      return status, body, headers
    end
  end
  local usages, why = rucat.store.engines.usage(ids)
  if not usages then
    return rucat.http.problem(503, why)
  end
  local stats = rucat.json.array()
  for i, engine in ipairs(seen) do
    stats[i] = show(engine, usages[engine.id])
  end
  if rucat.replica.shared() and not req.headers["x-rucat-hop"] then
    ask_others(req, seen, stats)
  end
  return 200, { stats = stats, next_cursor = more and cursor or rucat.json.null }
end

return {
  ["GET /v1/stats"] = api.route {
    summary = "CPU time, memory and processes of engines, in the order of the list of engines",
    query = { limit = validate.integer(1, 1000), cursor = validate.cursor },
    answers = { [200] = "StatsList" }, handle = of_all,
  },
  ["GET /v1/engines/{id}/stats"] = api.route {
    summary = "CPU time, memory and processes of an engine's driver and all it has started",
    answers = { [200] = "Stats" }, handle = of_one,
  },
}
