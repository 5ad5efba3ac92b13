-- keeper.lua: whose engine is it? Where several replicas share a store, each engine is reconciled by
-- one of them, its keeper. A look at an engine asks here first. A claim is a compare-and-swap of the
-- record's `keeper`, so two that claim at once cannot both have it; which of them tries first is a
-- matter of good manners (rendezvous hashing), not of safety.
--
--   ours, and our lease holds          go on
--   ours, and it does not              fenced: nothing, until it is renewed (then all are looked at)
--   of another that is alive           nothing; a driver of it that we still hold is let go, or ended
--                                      where the record has gone on to a later epoch without us
--   of one whose lease is over         it is taken: with a driver on a host by a replica of that host,
--                                      without one by any; when nobody is left on that host the engine
--                                      is HostLost, and is left as it is
--   of nobody                          the same, at once
--
-- Nothing is claimed for its own sake: an engine that is stopped, and is to be, needs no keeper.

local engines, driver, replica, clock = rucat.store.engines, rucat.driver, rucat.replica, rucat.clock
local turns = require("rucat.turns")

local CLAIMS = 32 -- at a time

local keeper = {}

local shared, me, lease -- asked for at the first look: at load there is no server yet

-- id -> { of = keeper, at = monotonic }: since when it could be taken, so that those who are not its
-- turn wait for a lease before they do.
local orphans = {}

local claims = turns.new(function() return CLAIMS end, function(id) driver.put(id, 0) end)

local function open()
  if shared == nil then
    shared, me, lease = replica.shared(), replica.id(), rucat.server.config("monitor").lease
  end
  return shared
end

-- True when it is this replica's, fenced or not.
function keeper.ours(e)
  return not open() or e.keeper == me
end

-- True while this replica may decide at all.
function keeper.may_decide()
  return not open() or replica.holds()
end

function keeper.forget(id)
  orphans[id] = nil
  claims:give(id)
end

-- Seconds since it could be taken.
local function orphaned_for(e)
  local orphan, now = orphans[e.id], clock.monotonic()
  if not orphan or orphan.of ~= e.keeper then
    orphan = { of = e.keeper, at = now }
    orphans[e.id] = orphan
  end
  return now - orphan.at
end

-- The driver of an engine that is not ours: somebody else has it, or its epoch is over.
local function let_go(e)
  if driver.has(e.id) then
    local seen = driver.seen(e.id)
    driver.forget(e.id)
    if seen and e.epoch > seen.epoch or not seen then
      driver.sweep(e.id)
    end
  end
end

local function who(id)
  local one = replica.get(id)
  return one and ("%s (%s)"):format(one.name, id) or id
end

-- Makes it ours. Looks again at once when that is so, or was somebody else's.
local function take(e)
  if not claims:take(e.id) then
    return false -- it is called
  end
  local note
  if e.keeper ~= "" then
    note = { kind = "policy", reason = "TakenOver",
      message = ("its keeper %s does not answer any more: replica %s keeps it"):format(who(e.keeper), me) }
  end
  local after, why, code = engines.change(e, { keeper = me }, note)
  claims:give(e.id)
  if after then
    orphans[e.id] = nil
    if note then
      driver.count_takeover()
    end
    return false, 0
  elseif code ~= "CONFLICT" and code ~= "NOTFOUND" then
    rucat.log.warn("engine %s could not be taken over: %s", e.name, why)
  end
  return false, 1
end

-- Its turn is ours, or whose turn it is has had a lease for it.
local function take_in_turn(e, host)
  local waited = orphaned_for(e)
  if replica.winner(e.id, host) == me or waited >= lease then
    return take(e)
  end
  return false, lease - waited
end

local function mark_lost(e)
  local one = replica.get(e.keeper)
  local since = one and one.left and clock.text(clock.now() + math.min(0, one.left))
  local message = ("its driver is on host %s, of which no replica answers%s; it is not started elsewhere, as it may "
    .. "still run there: when a replica of that host is back it finds out; stop or delete it with force to give "
    .. "that driver up"):format(e.place.name or e.place.host, since and " since " .. since or "")
  if e.reason ~= "HostLost" then
    engines.change(e, { reason = "HostLost", health = "unknown", message = message })
  end
  return false
end

-- A driver runs, or ran, on a host: only who can see that host may say what became of it.
local function may_take_from_host(e)
  local place = e.place
  local where = replica.host(place.host)
  if where == "here" then
    return take_in_turn(e, place.host)
  elseif where ~= "elsewhere" and place.replica == me then
    return take(e) -- our own directory, whose lock we have; the machine or the container was restarted
  elseif where == "rebooted" and not replica.winner(e.id, place.host) and replica.reaches(place.dir, e.id) then
    return take_in_turn(e)
  end
  local waited = orphaned_for(e)
  if replica.winner(e.id, place.host) then
    return false -- those there see to it
  elseif waited < lease then
    return false, lease - waited -- a server that is just being restarted
  elseif replica.winner(e.id) == me or waited >= 2 * lease then
    return mark_lost(e)
  end
  return false, 2 * lease - waited
end

local function may_take(e)
  if e.state == "Stopped" and e.desired == "Stopped" then
    return false
  elseif e.place.host and e.state ~= "Stopped" and e.instance ~= "" then
    return may_take_from_host(e)
  elseif e.place.host and replica.winner(e.id, e.place.host) then
    return take_in_turn(e, e.place.host) -- where its data is
  end
  return take_in_turn(e)
end

-- May this replica decide about the engine? True; or false, and in how many seconds to look again (nil:
-- when something changes).
function keeper.look(e)
  if not open() then
    return true
  elseif e.keeper == me then
    orphans[e.id] = nil
    claims:give(e.id)
    return replica.holds()
  end
  let_go(e)
  local settles_in = replica.settles_in()
  if not settles_in then
    claims:give(e.id)
    return false
  elseif e.keeper ~= "" and replica.alive(e.keeper) then
    keeper.forget(e.id)
    return false
  elseif e.keeper ~= "" and settles_in > 0 then
    return false -- it may be just as late as we were; when that is over all are looked at
  end
  local fine, wait = may_take(e)
  if wait ~= 0 then
    claims:give(e.id)
  end
  return fine, wait
end

-- Of an engine that is there no more: what of it may still be here?
function keeper.gone(id)
  keeper.forget(id)
  if open() then
    driver.sweep(id)
  end
end

-- Where a start of it is to work: in the directory where it was before, if that can be had here (its
-- data is there), else in ours. Nil where there is one server: records then name no place.
function keeper.base(e)
  if not open() then
    return nil
  end
  local place = e.place
  local fits = place.dir and (place.host and replica.host(place.host) == "here" or place.replica == me)
  if fits and (place.dir == replica.place().dir or replica.reaches(place.dir, e.id)) then
    return place.dir
  end
  return replica.place().dir
end

-- What the record says of a driver that is started in `base`.
function keeper.place(base)
  return base and replica.place(base) or {}
end

-- The state directory that has the engine's files, if this replica can be sure of it; nil: its own.
function keeper.files(e)
  local place = e.place
  return place.dir and (place.replica == me or place.host and replica.host(place.host) == "here") and place.dir or nil
end

-- True when an intent to start was written by this very replica: nobody else can have carried it out.
function keeper.meant_here(e)
  return not open() or e.place.replica == nil or e.place.replica == me
end

return keeper
