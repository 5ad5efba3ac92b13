-- turns.lua: so many at a time, the others in the order in which they came. Reconcile starts drivers
-- and probes them by turns, so that 200 engines that come up together do not stand in each other's
-- way.

local turns = {}
turns.__index = turns

-- `most()` says how many may hold one at a time; `call(id)` is called when it is that one's turn to
-- ask again. Whoever was called must be reported by `done` when it has been looked at, also if it
-- wanted no turn any more: else the others would wait for it.
function turns.new(most, call)
  return setmetatable({ most = most, call = call, held = {}, count = 0, called = {}, calls = 0, queued = {},
    first = 1, last = 0 }, turns)
end

local function forget_call(self, id)
  if self.called[id] then
    self.called[id] = nil
    self.calls = self.calls - 1
  end
end

-- Calls the next ones that wait, as many as there are turns for.
local function wake(self)
  while self.first <= self.last and self.count + self.calls < self.most() do
    local id = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    if self.queued[id] then -- else it waits no more
      self.queued[id] = nil
      self.called[id] = true
      self.calls = self.calls + 1
      self.call(id)
    end
  end
end

-- True: id holds a turn (now, or already did). False: it waits, and is called.
function turns:take(id)
  if self.held[id] then
    return true
  end
  if self.called[id] or self.count + self.calls < self.most() then
    forget_call(self, id)
    self.queued[id] = nil
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

-- Gives a turn back; nothing when it holds none.
function turns:give(id)
  if self.held[id] then
    self.held[id] = nil
    self.count = self.count - 1
    wake(self)
  end
end

-- It has been looked at; `wants`: it may still wait for a turn.
function turns:done(id, wants)
  forget_call(self, id)
  if not wants then
    self.queued[id] = nil
  end
  wake(self)
end

return turns
