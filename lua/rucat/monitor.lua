-- monitor.lua: reconcile. Compares what is wanted of an engine with what is seen of its driver and
-- acts: start, stop, restart; vitals.lua looks after those that run. It is level-triggered: every look
-- starts from the record and from what is seen now, so that it does not matter what was missed, nor who
-- died in between.
--
-- The order is always: write the intent, then act, then record. A step does at most one of these and
-- says whether to look again at once, or in how many seconds.

local engines, driver, policy, clock = rucat.store.engines, rucat.driver, rucat.policy, rucat.clock
local null = rucat.json.null
local context = require("rucat.context")
local decide = require("rucat.decide")
local keeper = require("rucat.keeper")
local minds = require("rucat.minds")
local turns = require("rucat.turns")
local vitals = require("rucat.vitals")
local writing = require("rucat.writing")

local mind, during = minds.of, minds.during
local write, stopped, copy, words_of = writing.write, writing.stopped, writing.copy, writing.words_of
local age, outlived = vitals.age, vitals.outlived

local HISTORY_MAX = 32
local AGAIN = 0

local cpus = rucat.server.info().cpus

-- How many drivers may be starting at a time, and how many probes be under way.
local function most_starts()
  local most = rucat.server.config("limits").starts
  return most > 0 and most or math.max(4, 2 * cpus)
end

local starts = turns.new(most_starts, function(id) driver.put(id, 0) end)

-- ---- starting ----

local function is_address(value)
  return value == nil or type(value) == "string" and #value <= 1024 and not value:find("[%c%s]")
end

-- What is kept of the plan in the record, or nil and what is wrong. A template may leave the port to
-- ctx.port without saying so twice.
local function complete(plan, ctx)
  for _, field in ipairs { "endpoint", "ui" } do
    if not is_address(plan[field]) then
      return nil, field .. ": expected an address as \"sc://127.0.0.1:%d\""
    end
  end
  local ready = plan.ready
  if type(ready) == "table" and ready.tcp and not ready.log and not ready.port then
    ready.port = ctx.port
  end
  local told = {
    endpoint = plan.endpoint, ui = plan.ui,
    host = type(ready) == "table" and ready.host or nil,
    beat = rucat.server.config("monitor").interval, -- of this driver, whatever it is later
  }
  plan.endpoint, plan.ui = nil, nil
  plan.driver = plan.driver or "process"
  return told
end

-- The plan for that epoch, or nil, reason, message.
local function submit(e, epoch, instance, base)
  local fine, ctx = pcall(context, e, epoch, instance, base)
  if not fine then
    return nil, "StartFailed", words_of(ctx)
  end
  local engine = engines.whole(e)
  local ok, plan, reason, message = policy.submit(engine, ctx)
  if not ok then
    return nil, "TemplateError", words_of(plan)
  end
  if type(plan) == "table" then
    local told, wrong = complete(plan, ctx)
    if not told then
      return nil, "TemplateError", wrong
    end
    return plan, told
  end
  if plan ~= nil or not decide.is_reason(reason) then
    return nil, "TemplateError", "submit must return a plan, or nil, a reason and a message"
  end
  return nil, reason, message ~= nil and words_of(message) or ""
end

local ended_by_itself

-- Writes the intent to start `epoch` and starts its driver. A record in Pending without a driver is
-- an intent that was not carried out: the same epoch is started again. Where another replica had
-- that intent it may be about to carry it out: then it is the next epoch, never the same.
local function begin(e, automatic)
  if not starts:take(e.id) then
    local waits = ("waits for its turn: %d other%s starting (limits.starts)"):format(starts.count,
      starts.count == 1 and " is" or "s are")
    if e.state == "Pending" and e.message:sub(1, 9) ~= waits:sub(1, 9) then
      write(e, { message = waits })
    end
    return
  end
  local meant = e.state == "Pending" and e.instance ~= ""
  local anew = meant and keeper.meant_here(e)
  local epoch = (anew or e.state == "Pending" and not meant) and e.epoch or math.max(e.wanted_epoch, e.epoch + 1)
  local instance = anew and e.instance or clock.uuid()
  local base = keeper.base(e)
  local plan, told, message = submit(e, epoch, instance, base)
  if not plan then
    local changes = stopped(told, message)
    changes.wanted_epoch = e.epoch
    write(e, changes)
    return
  end
  if not anew or e.driver ~= plan.driver or e.message ~= "" then
    e = write(e, {
      state = "Pending", reason = "Starting", message = "", health = "unknown", endpoint = null,
      ui = null, started_at = null, stopped_at = null, next_start_at = null, epoch = epoch,
      wanted_epoch = epoch, instance = instance, driver = tostring(plan.driver), ending = "",
      plan = told, restarts = automatic and e.restarts + 1 or e.restarts,
      place = plan.driver == "process" and keeper.place(base) or {},
    })
    if not e then
      return
    end
  end
  if automatic then
    driver.count_restart()
  end
  local ok, why, code = driver.start(e, plan)
  mind(e.id).started = ok and plan.driver == "process" and epoch or nil -- by this server: its own share counts
  if not ok and code == "CLOSED" then
    return -- the server is stopping: the intent stands, the next one carries it out
  elseif not ok and (code == "INVALID" or code == "TOOBIG" or code == "EINVAL") then
    write(e, stopped("TemplateError", why))
  elseif not ok then
    ended_by_itself(e, { exit = {}, tail = "", why = why })
  end
  driver.prune(e.id, base)
end

-- "sc://127.0.0.1:%d" and a port
local function address(format, port, host, scheme)
  if port then
    return ((format or scheme .. "://" .. (host or "127.0.0.1") .. ":%d"):gsub("%%d", tostring(port)))
  end
  if format and not format:find("%d", 1, true) then
    return format
  end
  return null
end

local function came_up(e, seen)
  local m = mind(e.id)
  m.failures, m.next_probe = 0, 0
  m.used, m.next_idle, m.counted = clock.monotonic(), clock.monotonic(), false
  local at = seen.ready or clock.now()
  if seen.started then
    driver.count_start(math.max(0, at - seen.started))
    if m.started == e.epoch and e.epoch == 1 then
      driver.count_own("exec", math.max(0, seen.started - clock.parse(e.created_at)))
    end
  end
  local after = write(e, {
    state = "Running", reason = "Ready", message = "", started_at = clock.text(at),
    endpoint = address(e.plan.endpoint, seen.port, e.plan.host, "sc"),
    ui = address(e.plan.ui, seen.ui_port, e.plan.host, "http"),
  })
  if after and seen.ready and m.started == e.epoch then
    driver.count_own("running", math.max(0, clock.now() - seen.ready))
  end
  return after
end

-- ---- ending ----

local function how(exit)
  if exit.signal then
    return "killed by " .. exit.signal
  elseif exit.code then
    return "exit code " .. exit.code
  end
  return "how it ended is not known"
end

-- Why a driver that nobody asked to end has ended, and in words.
local function cause(e, seen)
  local words = seen.why ~= "" and seen.why or how(seen.exit)
  if seen.tail ~= "" and seen.exit.code ~= 0 then -- who ends well has nothing to explain
    words = words .. "\n" .. seen.tail
  end
  if e.ending ~= "" and e.ending ~= "StoppedByUser" then
    return e.ending, e.message
  elseif e.state == "Running" or seen.ready then
    return "Exited", words
  elseif seen.timed_out then
    return "StartTimeout", words
  elseif words:find("Address already in use", 1, true) or words:find("BindException", 1, true)
    or words:find("^port %d+ on %S+ is taken") then
    return "PortTaken", words
  end
  return "StartFailed", words
end

-- What of an engine its events keep, so that `rucat try` can ask a policy again.
local function recorded(e)
  return {
    type = e.type, platform = e.platform, version = e.version, owner = e.owner, labels = e.labels,
    config = e.config, app = e.app, restarts = e.restarts, created_at = e.created_at,
  }
end

local function exit_record(exit)
  return {
    code = exit.code or null, signal = exit.signal or null,
    oom = exit.oom == nil and null or exit.oom,
  }
end

-- The ends before, as the wall clock that policies see would have them if nobody had set it.
local function past_of(e, m)
  local list = e.history -- a table of our own each time
  for _, past in ipairs(list) do
    past.at = clock.now() - m.when:since(past.at)
  end
  return list
end

-- The longest wait there may be until next_start_at: what the policy had said.
local function longest_wait(e)
  return e.stopped_at and math.max(0, clock.parse(e.next_start_at) - clock.parse(e.stopped_at)) or 0
end

-- Places the times of a record that this server has not written.
local function place_times(e)
  local m, asked = mind(e.id), e.asked_at or e.created_at
  if m.placed == asked then
    return
  end
  m.placed = asked
  m.when:since(asked)
  if e.next_start_at then
    m.when:since(e.next_start_at, longest_wait(e))
  end
  for _, past in ipairs(e.history) do
    m.when:since(past.at)
  end
end

-- Keeps of the times on the monotonic clock those that the record will have.
local function keep_times(e, m, history, next_start_at)
  local list = { e.asked_at or e.created_at, next_start_at }
  for _, past in ipairs(history) do
    list[#list + 1] = past.at
  end
  m.when:keep(list)
end

-- The driver has ended although it was wanted: the restart policy decides.
function ended_by_itself(e, seen)
  local reason, message = cause(e, seen)
  local now, monotonic = clock.now(), clock.monotonic()
  local ago = math.max(0, seen.ended_age or seen.ended and now - seen.ended or 0)
  local ended = now - ago
  local up = e.state == "Running" or seen.ready ~= nil
  local uptime = up and seen.ready and (seen.uptime or math.max(0, ended - seen.ready)) or 0
  local exit = {
    code = seen.exit.code, signal = seen.exit.signal, oom = seen.exit.oom,
    phase = up and "running" or "starting", uptime = uptime,
  }
  local history = e.history -- a table of our own each time
  -- Asked once for an end, also when the write has to be done again because somebody else's came
  -- between: a policy may count in rucat.state.
  local m = mind(e.id)
  if not m.answer or m.answer_epoch ~= e.epoch then
    m.answer_epoch = e.epoch
    m.answer, m.shipped = decide.restart(e, copy(e), exit, past_of(e, m))
  end
  local answer = m.answer

  table.insert(history, 1, { at = ended, uptime = uptime, exit = {
    code = exit.code, signal = exit.signal, oom = exit.oom, phase = exit.phase } })
  history[HISTORY_MAX + 1] = nil
  m.when:put(ended, monotonic - ago)

  local changes = stopped(answer.reason or reason, message)
  changes.exit = exit_record(seen.exit)
  changes.history = rucat.json.array(history)
  changes.stopped_at = clock.text(ended)
  changes.wanted_epoch = e.epoch
  local note = { kind = "policy", reason = answer.reason or reason, data = {
    policy = "restart", shipped = m.shipped or nil, exit = exit, history = #e.history, engine = recorded(e),
    decision = { restart = answer.restart, delay = answer.delay, reason = answer.reason } } }
  if answer.restart then
    local delay = answer.delay or 0
    changes.desired, changes.reason = "Running", "BackOff"
    changes.next_start_at = clock.text(now + delay)
    m.when:put(changes.next_start_at, monotonic + delay)
    changes.message = reason .. ": " .. message
    note.message = ("restart in %.1f s after %s (%s)"):format(delay, reason, how(exit))
  else
    note.message = ("no restart after %s (%s)"):format(reason, how(exit))
  end
  local after = write(e, changes, note)
  if after then
    keep_times(e, m, history, answer.restart and changes.next_start_at or nil)
    m.answer = nil
  end
  return after
end

-- The driver of the record's epoch is over. Says what is next: AGAIN, or nothing.
local function ended(e, seen)
  local after
  if e.desired == "Deleted" then
    local changes = stopped("Stopping")
    changes.exit, changes.desired = exit_record(seen.exit), "Deleted"
    after = write(e, changes)
  elseif e.desired == "Stopped" then
    local ending = e.ending ~= "" and e.ending or "StoppedByUser"
    local changes = stopped(ending, ending ~= "StoppedByUser" and e.message or "")
    changes.exit = exit_record(seen.exit)
    after = write(e, changes)
  elseif e.wanted_epoch > e.epoch then -- a restart that was asked for
    local changes = stopped("Stopping")
    changes.exit, changes.desired = exit_record(seen.exit), "Running"
    after = write(e, changes)
  else
    after = ended_by_itself(e, seen)
  end
  if after then
    driver.forget(e.id)
    return AGAIN
  end
end

-- Its keeper is back, or another one of its host: it is not lost any more.
local function found_again(e)
  local running = e.state == "Running"
  return write(e, { reason = running and "Ready" or "Starting", message = "" })
end

local function ask_to_end(e, seen)
  if seen.kill_incomplete and e.reason ~= "KillIncomplete" then
    write(e, { reason = "KillIncomplete", message = "its processes cannot be killed; rucat goes on trying" })
  elseif e.reason ~= "Stopping" and e.reason ~= "KillIncomplete" then
    e = write(e, { reason = "Stopping" })
    if e then
      driver.stop(e.id)
    end
  elseif seen.phase ~= "stopping" or (seen.beat_age or 0) > 3 * (e.plan.beat or 10) + 1 then
    driver.stop(e.id) -- also once more to one that is stopping and has fallen silent
  end
end

-- ---- one look ----

-- A record that says there is a driver, Pending or Running.
local function look_live(e)
  local unwanted = e.desired ~= "Running" or e.wanted_epoch > e.epoch or e.ending ~= ""
  if e.instance == "" then -- no driver was ever meant
    if unwanted and e.desired ~= "Running" then
      return ended(e, { exit = {}, tail = "", why = "" })
    end
    return begin(e, false)
  end
  if not driver.has(e.id) then
    local ok, why = driver.adopt(e)
    if not ok then
      rucat.log.error("engine %s: its driver cannot be looked for: %s", e.name, why)
      return 1
    end
    return
  end
  local seen = driver.seen(e.id)
  if not seen then
    return -- adoption answers soon
  end
  if seen.phase == "none" then
    if unwanted or e.state == "Running" then
      return ended(e, { exit = {}, tail = "", why = "its driver is gone without a trace" })
    end
    return begin(e, false)
  elseif seen.phase == "ended" then
    return ended(e, seen)
  elseif unwanted then
    ask_to_end(e, seen)
    return 1
  elseif seen.phase == "ready" and e.state == "Pending" then
    return came_up(e, seen) and AGAIN
  elseif e.reason == "HostLost" and e.driver == "process" then
    return found_again(e) and AGAIN
  elseif e.state == "Running" and seen.phase == "ready" then
    return vitals.look(e)
  elseif seen.phase == "starting" and e.ttl then
    return outlived(e) and AGAIN or math.max(0.05, e.ttl - age(e))
  end
end

local function look_stopped(e)
  if driver.has(e.id) then
    driver.forget(e.id)
  end
  if e.desired == "Deleted" then
    local ok, why = driver.remove(e.id, keeper.files(e))
    if not ok then
      rucat.log.error("engine %s: its files cannot be removed: %s", e.name, why)
    end
    local gone, code
    gone, why, code = engines.remove(e)
    if not gone and code ~= "CONFLICT" and code ~= "NOTFOUND" then
      rucat.log.error("engine %s was not removed: %s", e.name, why)
      return 1
    end
  elseif e.desired == "Stopped" then
    return
  elseif e.wanted_epoch > e.epoch then
    begin(e, false)
  elseif outlived(e) then
    return
  elseif e.next_start_at then
    local wait = -mind(e.id).when:since(e.next_start_at, longest_wait(e))
    if wait > 0 then
      return e.ttl and math.min(wait, math.max(0.05, e.ttl - age(e))) or wait
    end
    begin(e, true)
  else
    begin(e, false) -- wanted, and nothing says why it is not started
  end
end

local function look(id)
  local e = engines.get(id)
  if not e then
    driver.forget(id)
    decide.forget(id)
    keeper.gone(id)
    minds.forget(id)
    return
  end
  local may, wait = keeper.look(e)
  if not may then
    minds.fade(id)
    return wait
  end
  place_times(e)
  if e.state == "Stopped" then
    return look_stopped(e)
  end
  return look_live(e)
end

-- Looks at one engine until there is nothing to do now. One look at a time for each engine; what
-- happens meanwhile is looked at afterwards.
local function attend(id)
  local m = mind(id)
  if m.busy then
    m.again = true
    return
  end
  local busy <close> = during(m, "busy") -- luacheck: ignore
  local fine, wait = pcall(look, id)
  local e = engines.get(id)
  if not m.again and (not e or e.state ~= "Pending" or not keeper.ours(e)) then
    starts:give(id) -- it is up, has ended, or did not want its turn any more
  end
  if not m.probing then
    vitals.give(id)
  end
  if not fine then
    rucat.log.error("reconciling engine %s failed: %s", id, words_of(wait))
    driver.put(id, 5)
  elseif m.again or wait == AGAIN then
    m.again = false
    driver.put(id, 0)
  elseif wait then
    driver.put(id, wait)
  end
end

return function()
  while true do
    local id = driver.next()
    if id and not driver.spawn(attend, id) then
      driver.put(id, 1) -- too many jobs just now
    end
  end
end
