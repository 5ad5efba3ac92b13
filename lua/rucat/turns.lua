-- turns.lua: so many at a time, the others in the order in which they came. Reconcile starts drivers
-- and probes them by turns, so that 200 engines that come up together do not stand in each other's
-- way.

local turns = {}
turns.__index = turns

-- `most()` says how many may hold one at a time; `call(id)` is called when it is that one's turn: it
-- holds it from then on, and has to take it or to give it back.
function turns.new(most, call)
  return setmetatable({ most = most, call = call, held = {}, count = 0, queued = {}, first = 1, last = 0 }, turns)
end

-- True: id holds a turn (now, or already did). False: it waits, and is called.
function turns:take(id)
  if self.held[id] then
    return true
  end
  if self.count < self.most() and self.first > self.last then -- nobody overtakes who waits
    self.held[id] = true
    self.count = self.count + 1
    return true
  end
  if not self.queued[id] then
    self.last = self.last + 1
    self[self.last] = id
    self.queued[id] = true
    self:hand_on()
  end
  return self.held[id] == true
end

-- Turns that are free go to those who wait, in their order.
function turns:hand_on()
  while self.first <= self.last and self.count < self.most() do
    local id = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    self.queued[id] = nil
    self.held[id] = true
    self.count = self.count + 1
    self.call(id)
  end
end

-- Gives a turn back (nothing when it holds none) and calls the next that waits.
function turns:give(id)
  if self.held[id] then
    self.held[id] = nil
    self.count = self.count - 1
  end
  self:hand_on() -- there may also be more turns than there were
end

return turns
