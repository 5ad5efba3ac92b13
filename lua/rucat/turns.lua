-- turns.lua: so many at a time, the others in the order in which they came. Reconcile starts drivers
-- and probes them by turns, so that 200 engines that come up together do not stand in each other's
-- way.

local turns = {}
turns.__index = turns

-- `most()` says how many may hold one at a time; `call(id)` is called when it is that one's turn to
-- ask again.
function turns.new(most, call)
  return setmetatable({ most = most, call = call, held = {}, count = 0, queued = {}, first = 1, last = 0 }, turns)
end

-- True: id holds a turn (now, or already did). False: it waits, and is called.
function turns:take(id)
  if self.held[id] then
    return true
  end
  if self.count < self.most() then
    self.held[id] = true
    self.count = self.count + 1
    return true
  end
  if not self.queued[id] then
    self.last = self.last + 1
    self[self.last] = id
    self.queued[id] = true
  end
  return false
end

-- Gives a turn back (nothing when it holds none) and calls the next that waits.
function turns:give(id)
  if not self.held[id] then
    return
  end
  self.held[id] = nil
  self.count = self.count - 1
  if self.first <= self.last then
    local next_id = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    self.queued[next_id] = nil
    self.call(next_id)
  end
end

return turns
