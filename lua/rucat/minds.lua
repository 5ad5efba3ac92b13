-- minds.lua: what reconcile keeps of each engine between two looks. None of it is needed after a restart:
-- what must not be forgotten stands in the record.

local clock = rucat.clock
local decide = require("rucat.decide")
local moments = require("rucat.moments")

local minds = {}

-- Per engine: busy and again (one look at a time), probing, failures, next_probe and next_idle (when
-- to ask again), used (when somebody used it last; these three on the monotonic clock), started (the
-- epoch that this server started), answer, shipped and answer_epoch (the restart policy's, until
-- it is written), when (its times on the monotonic clock), counted (how long nobody has used it was
-- counted before), sockets and sockets_epoch (what listened on its port when it was asked first), slow
-- (its last probe was).
local memory = {}

function minds.of(id)
  local m = memory[id]
  if not m then
    -- An engine that was there before this server: its first probe comes some time within the interval,
    -- so that those of a thousand that are adopted together are spread.
    local now, interval = clock.monotonic(), decide.health_numbers()
    m = { failures = 0, next_probe = now + math.random() * math.min(interval, 10), next_idle = now, used = now,
      when = moments.new() }
    memory[id] = m
  end
  return m
end

function minds.forget(id)
  memory[id] = nil
end

-- What is known of an engine that somebody else sees to means nothing when it comes back.
function minds.fade(id)
  local m = memory[id]
  if m then
    m.failures, m.answer, m.started, m.sockets, m.placed, m.counted = 0, nil, nil, nil, nil, nil
    m.used = clock.monotonic()
  end
end

-- Sets m[field] as long as what is returned is not closed: also when the job is ended in the middle.
function minds.during(m, field)
  m[field] = true
  return setmetatable({}, { __close = function() m[field] = false end })
end

-- In so many seconds from now; at a whole second where that is long enough, so that what is to be done
-- for many engines wakes the server once and not for each.
function minds.later(seconds)
  local at = clock.monotonic() + seconds
  return seconds >= 2 and math.floor(at) or at
end

return minds
