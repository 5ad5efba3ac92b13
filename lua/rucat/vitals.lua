-- vitals.lua: engines that run. Are they healthy, does anybody use them, is their time over? Probes are
-- jobs of their own, so many at a time: a slow one delays nobody else.

local engines, driver, clock = rucat.store.engines, rucat.driver, rucat.clock
local decide = require("rucat.decide")
local minds = require("rucat.minds")
local turns = require("rucat.turns")
local writing = require("rucat.writing")

local mind, during, later = minds.of, minds.during, minds.later
local write, stopped, copy, words_of = writing.write, writing.stopped, writing.copy, writing.words_of

local vitals = {}

local function most_probes()
  return math.max(1, rucat.server.config("limits").probes)
end

local function look_again(id)
  driver.put(id, 0)
end

-- Those that took long to answer the last time have turns of their own: a hundred that hang keep
-- nobody waiting who answers.
local probes, slow_probes = turns.new(most_probes, look_again), turns.new(most_probes, look_again)
local SLOW = 1 -- seconds

-- ---- health ----

local function act_on_unhealthy(e, why)
  local action = decide.unhealthy(e, copy(e), why)
  local note = { kind = "policy", reason = "Unhealthy", message = action .. ": " .. why }
  if action == "restart" then
    e = write(e, { ending = "Unhealthy", reason = "Stopping", message = why }, note)
  elseif action == "stop" then
    e = write(e, { desired = "Stopped", wanted_epoch = e.epoch, ending = "Unhealthy",
      reason = "Stopping", message = why }, note)
  end
  if e and action ~= "ignore" then
    driver.stop(e.id)
  end
end

-- The port of an endpoint on this machine.
local function own_port(endpoint)
  local host, port = (endpoint or ""):match("^%a+://%[?([^/%]]-)%]?:(%d+)")
  return (host == "127.0.0.1" or host == "localhost" or host == "::1") and math.tointeger(tonumber(port)) or nil
end

-- Has somebody else taken the port of its endpoint? Asked only when the socket there is not the one
-- that was there when it was asked first in this epoch. True; or false and who.
local function has_its_port(e, m, seen)
  local port = e.driver == "process" and seen.pid and own_port(e.endpoint)
  local sockets = port and driver.listeners(port)
  if not sockets or sockets == "" or m.sockets == sockets and m.sockets_epoch == e.epoch then
    return true -- whether one accepts there is what the policy asks
  end
  if m.sockets_epoch == e.epoch then
    local ours, who = driver.owner(port, seen.pid, e.instance)
    if ours == false then
      return false, ("port %d is not its own any more: %s listens there"):format(port, who)
    end
  end
  m.sockets, m.sockets_epoch = sockets, e.epoch
  return true
end

-- Asks the engine how it is. A job of its own: a slow probe delays nobody else.
local function probe_once(id, m, interval, timeout, failures)
  local e = engines.get(id)
  local ok, why = false, "no heartbeat of rucat-engine"
  local seen = e and driver.seen(id)
  if seen and (not seen.beat_age or seen.beat_age <= 3 * (e.plan.beat or 10) + 1) then
    ok, why = has_its_port(e, m, seen)
    if ok then
      ok, why = decide.probe(e, copy(e), timeout)
    end
  end
  local now = engines.get(id)
  if not now or not e or now.state ~= "Running" or now.epoch ~= e.epoch or now.ending ~= ""
    or now.keeper ~= e.keeper then
    return
  end
  if ok then
    m.failures = 0
    if now.health ~= "healthy" then
      write(now, { health = "healthy", message = "" })
    end
    return
  end
  m.failures = m.failures + 1
  if m.failures < failures then
    return
  end
  why = why ~= nil and words_of(why) or "the probe said no"
  if now.health ~= "unhealthy" then
    now = write(now, { health = "unhealthy", message = why })
  end
  if now then
    act_on_unhealthy(now, why)
  end
end

-- Its turn for a probe is over, or was not wanted.
function vitals.give(id)
  probes:give(id)
  slow_probes:give(id)
end

local function probe(id)
  local m = mind(id)
  local probing <close> = during(m, "probing") -- luacheck: ignore
  local turn <close> = setmetatable({}, { __close = function() vitals.give(id) end }) -- luacheck: ignore
  local began = clock.monotonic()
  local interval, timeout, failures = decide.health_numbers()
  local fine, why = pcall(probe_once, id, m, interval, timeout, failures)
  if not fine then
    rucat.log.error("probing engine %s failed: %s", id, words_of(why))
  end
  m.slow = clock.monotonic() - began >= SLOW
  m.next_probe = later(interval)
  m.probing = false
  look_again(id)
end

-- ---- idle, and time to live ----

-- Seconds since somebody asked for the start.
function vitals.age(e)
  return math.max(0, mind(e.id).when:since(e.asked_at or e.created_at))
end

-- Who uses it: as its template says, else how many connections there are to its port. Where nobody
-- can tell it counts as used.
local function activity_of(e, m)
  local activity = decide.activity(e, copy(e), 10)
  if not activity then
    local port = own_port(e.endpoint)
    activity = { streams = port and rucat.tcp.connections(port) or 1 }
  end
  local now = clock.monotonic()
  local idle_for = activity.idle_for or now - m.used
  if m.counted then -- it grows as time goes by, no faster: whoever says more goes by a clock that was set
    idle_for = math.min(idle_for, now - m.used)
  end
  m.counted = m.counted or activity.idle_for ~= nil
  m.used = activity.streams > 0 and now or now - idle_for
  return { streams = activity.streams, idle_for = idle_for, age = vitals.age(e) }
end

-- Asks the idle policy, and stops the engine if it says so.
local function idle_once(id, m)
  local e = engines.get(id)
  if not e or e.state ~= "Running" or e.ending ~= "" or e.desired ~= "Running" then
    return
  end
  local activity = activity_of(e, m)
  m.idle_for = activity.idle_for
  local action, why, reason = decide.idle(e, copy(e), activity)
  local now = engines.get(id)
  if action ~= "stop" or not now or now.state ~= "Running" or now.epoch ~= e.epoch or now.ending ~= ""
    or now.keeper ~= e.keeper or now.desired ~= "Running" or now.wanted_epoch ~= e.wanted_epoch then
    return
  end
  why = why ~= nil and words_of(why) or ""
  if write(now, { desired = "Stopped", wanted_epoch = now.epoch, ending = reason, reason = "Stopping",
    message = why }, { kind = "policy", reason = reason, message = why }) then
    driver.stop(id)
  end
end

-- When to ask again: in time for what the engine was given, and now and then.
local function idle_interval(e, m)
  local wait = math.min(60, 6 * rucat.server.config("monitor").interval)
  if e.idle_timeout then
    wait = math.min(wait, math.max(0.5, e.idle_timeout - (m.idle_for or 0)))
  end
  return e.ttl and math.min(wait, math.max(0.05, e.ttl - vitals.age(e))) or wait
end

local function ask_idle(id)
  local m = mind(id)
  local asking <close> = during(m, "asking") -- luacheck: ignore
  local fine, why = pcall(idle_once, id, m)
  if not fine then
    rucat.log.error("asking who uses engine %s failed: %s", id, words_of(why))
  end
  local e = engines.get(id)
  m.next_idle = later(e and idle_interval(e, m) or 60)
  m.asking = false
  look_again(id)
end

-- An engine that is to be started again, or comes up slowly: only its time to live counts.
function vitals.outlived(e)
  if not e.ttl then
    return false
  end
  local action, why, reason = decide.idle(e, copy(e), { streams = 0, idle_for = 0, age = vitals.age(e) })
  if action ~= "stop" then
    return false
  end
  why = why ~= nil and words_of(why) or ""
  local note = { kind = "policy", reason = reason, message = why }
  if e.state == "Stopped" then
    local fields = stopped(reason, why)
    fields.stopped_at, fields.wanted_epoch = nil, e.epoch
    write(e, fields, note)
  else
    write(e, { desired = "Stopped", wanted_epoch = e.epoch, ending = reason, message = why }, note)
  end
  return true
end

-- A probe's own connection would look like somebody's use: one after the other.
-- One look at an engine that runs: what is due now; or in how many seconds to look again.
function vitals.look(e)
  local m = mind(e.id)
  local now = clock.monotonic()
  if m.probing or m.asking then
    return -- they look again when they are done
  end
  if m.next_probe <= now then
    m.probing = (m.slow and slow_probes or probes):take(e.id)
    if m.probing and not driver.spawn(probe, e.id) then
      m.probing = false
      return 1 -- too many jobs just now
    end
    return
  end
  if m.next_idle <= now then
    return not driver.spawn(ask_idle, e.id) and 1 or nil
  end
  return math.min(m.next_probe, m.next_idle) - now
end

return vitals
