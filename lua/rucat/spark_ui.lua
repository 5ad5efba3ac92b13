-- spark_ui.lua: what goes on in a Spark application, asked of its own REST API (the "ui" of the
-- engine; Spark's docs/monitoring.md, "REST API"). For templates of Spark.

local spark_ui = {}

-- Per engine: the application's id, how many executions of its list had ended and the id of the last
-- of those, so that each question asks for the newest only; when it was asked last and when the last one
-- ended, on the monotonic clock. Of this script generation.
local known, known_count = {}, 0
local KNOWN_MAX = 10000
local PAGE = 1000 -- as many as Spark keeps (spark.sql.ui.retainedExecutions)

local function get(engine, path)
  local answer = rucat.http.request { url = engine.ui .. "/api/v1" .. path, timeout = 4 }
  return answer and answer.status == 200 and rucat.json.decode(answer.body) or nil
end

local function application(engine)
  local now = known[engine.id]
  if not now or now.ui ~= engine.ui then
    local list = get(engine, "/applications")
    if not list or not list[1] then
      return nil
    end
    if not now then
      if known_count == KNOWN_MAX then
        known, known_count = {}, 0
      end
      known_count = known_count + 1
    end
    now = { ui = engine.ui, id = list[1].id, ended = 0 }
    known[engine.id] = now
  end
  return now
end

-- The executions from the last that is known to have ended on; all when the list has moved on.
local function executions(engine, app)
  local path = "/applications/" .. app.id .. "/sql?details=false&planDescription=false&offset=%d&length=%d"
  local offset = math.max(0, app.ended - 1)
  local list = get(engine, path:format(offset, PAGE))
  if list and offset > 0 and (not list[1] or list[1].id ~= app.last) then
    app.ended, app.last = 0, nil
    list = get(engine, path:format(0, PAGE))
  end
  return list
end

-- "2026-11-23T04:08:41.324GMT"
local function moment(text)
  return type(text) == "string" and rucat.clock.parse((text:gsub("GMT$", "Z"))) or nil
end

-- { streams = queries that run, idle_for = seconds since the last one ended }; nil when the user
-- interface does not answer. Waits.
function spark_ui.activity(engine)
  local app = engine.ui and application(engine)
  local list = app and executions(engine, app)
  if not list then
    known[engine.id] = nil
    return nil
  end
  local running, newest, ended = 0, 0, math.max(0, app.ended - 1)
  for _, execution in ipairs(list) do
    local began = moment(execution.submissionTime) or 0
    if execution.status == "RUNNING" then
      running = running + 1
    else
      newest = math.max(newest, began + (execution.duration or 0) / 1000)
      if running == 0 then -- all before it have ended as well
        ended, app.last = ended + 1, execution.id
      end
    end
  end
  -- Spark's times are wall times. They count for what has happened since the last question, and no
  -- further back: nothing else changes when somebody sets that clock.
  local first, now = app.asked == nil, rucat.clock.monotonic()
  if first then
    newest = math.max(newest, moment(engine.started_at) or 0)
  end
  if first or ended > app.ended then
    local ago = math.max(0, rucat.clock.now() - newest)
    app.used = now - (first and ago or math.min(ago, now - app.asked))
  end
  app.ended, app.asked = ended, now
  return { streams = running, idle_for = running > 0 and 0 or now - app.used }
end

return spark_ui
