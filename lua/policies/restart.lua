-- restart.lua: what happens after a driver has ended, or never came up.
--
-- engine   the record (engine.name, engine.type, engine.labels.team, engine.config["spark.x"], ...)
-- exit     how it ended: code or signal, oom (true, false, or nil: not known),
--          phase = "starting" (it never came up) or "running", uptime in seconds
-- history  the ends before this one since somebody asked for the start, newest first:
--          { at = unix seconds, exit = {code=, signal=, phase=}, uptime = seconds }
--
-- Returns { restart = true, delay = seconds, reason = "..." } or { restart = false, reason = "..." }.
-- Without a reason rucat says what ended it (StartFailed, Exited, ...).

local first_delay = 1        -- seconds; the very first restart is at once
local longest_delay = 300
local healthy_after = 600    -- a driver that ran so long starts counting afresh
local window, budget = 600, 10 -- so many restarts in so many seconds
local start_budget = 5       -- tries of a driver that never came up

-- How many of the last ends happened one after the other, with no healthy run in between.
local function failures_in_a_row(history)
  local count = 0
  for _, past in ipairs(history) do
    if past.uptime >= healthy_after then break end
    count = count + 1
  end
  return count
end

-- How many ends lie in the last `window` seconds.
local function recent(history)
  local count, now = 0, os.time()
  for _, past in ipairs(history) do
    if now - past.at < window then count = count + 1 end
  end
  return count
end

-- How many of the last tries in a row never came up.
local function failed_starts(history)
  local count = 0
  for _, past in ipairs(history) do
    if past.exit.phase ~= "starting" then break end
    count = count + 1
  end
  return count
end

---@param engine rucat.Engine
---@param exit rucat.Exit
---@param history rucat.PastExit[]
---@return rucat.RestartDecision
local function restart(engine, exit, history)
  -- A batch job that has done its work is done.
  if engine.app and exit.code == 0 then
    return { restart = false, reason = "Completed" }
  end

  if exit.phase == "starting" and failed_starts(history) + 1 >= start_budget then
    return { restart = false }
  end
  if recent(history) >= budget then
    return { restart = false, reason = "RestartLimit" }
  end

  -- At once, then 1 s, 2 s, 4 s ... up to 5 minutes, each with full jitter, so that many engines that
  -- fail together do not all come back together.
  local failures = exit.uptime >= healthy_after and 0 or failures_in_a_row(history)
  if failures == 0 then
    return { restart = true, delay = 0 }
  end
  local most = math.min(longest_delay, first_delay * 2 ^ (failures - 1))
  return { restart = true, delay = math.random() * most }
end

-- Tried at every load, before this file decides anything: if it raises, the file is refused and the
-- one before goes on. Keep it true of what you change.
local function self_test()
  local server, crash = {}, { code = 1, phase = "running", uptime = 60 }
  assert(restart(server, crash, {}).restart, "the first crash must be followed by a restart")
  assert(not restart({ app = {} }, { code = 0, phase = "running", uptime = 60 }, {}).restart,
    "a batch job that is done must not be started again")
end

return restart, self_test
