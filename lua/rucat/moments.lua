-- moments.lua: where the times of a record lie on the monotonic clock. A record has wall times, and
-- somebody may set that clock; what is decided by a time must not change then. So each is looked up on
-- the monotonic clock when it is first seen (or put there when it is made), and stays there as long as
-- this server lives. What came before this server is placed by the wall clock.

local clock = rucat.clock

local moments = {}
moments.__index = moments

function moments.new()
  return setmetatable({ at = {} }, moments)
end

-- Wall time in seconds, of a number or of a text as records have it.
local function seconds(wall)
  return type(wall) == "string" and clock.parse(wall) or wall
end

-- That wall time is at `monotonic` seconds.
function moments:put(wall, monotonic)
  self.at[wall] = monotonic
end

-- Seconds since then: below 0 for what is to come. At most `most` seconds to come when it was not known.
function moments:since(wall, most)
  local now, at = clock.monotonic(), self.at[wall]
  if not at then
    at = now + math.min(seconds(wall) - clock.now(), most or 0)
    self.at[wall] = at
  end
  return now - at
end

-- Forgets all but these.
function moments:keep(list)
  local kept = {}
  for _, wall in ipairs(list) do
    kept[wall] = self.at[wall]
  end
  self.at = kept
end

return moments
