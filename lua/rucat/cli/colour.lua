-- rucat/cli/colour.lua - colours, where a person looks: on a terminal, unless NO_COLOR is set (to
-- anything but nothing, no-color.org) or the terminal is a dumb one. Elsewhere text stays text.

local colour = {}

local CODES = { red = "31", green = "32", yellow = "33", dim = "2", bold = "1" }

local answers = {}

-- Is there a person behind that descriptor?
function colour.on(fd)
  if not os.getenv then
    return false -- inside the server, for a console: what a person sees there is not known here
  end
  if answers[fd] == nil then
    local no = os.getenv("NO_COLOR")
    answers[fd] = rucat.tty.isatty(fd) and (no == nil or no == "") and os.getenv("TERM") ~= "dumb"
  end
  return answers[fd]
end

-- The text in a colour ("red", "green", "yellow", "dim", "bold"; nil: as it is).
function colour.paint(text, name, fd)
  if name == nil or text == "" or not colour.on(fd or 1) then
    return text
  end
  return "\27[" .. CODES[name] .. "m" .. text .. "\27[0m"
end

local STATES = { Running = "green", Pending = "yellow", Stopped = "dim" }
local HEALTH = { healthy = "green", unhealthy = "red", unknown = "dim" }

-- What went wrong is red: these reasons, of an engine that is not as it was wanted.
local BAD = {
  BackOff = true, RestartLimit = true, StartTimeout = true, StartFailed = true, Exited = true,
  Unhealthy = true, TemplateError = true, VersionUnavailable = true, KillIncomplete = true,
  HostLost = true, PortTaken = true, PolicyRefused = true,
}

function colour.of_state(state)
  return STATES[state]
end

function colour.of_health(health)
  return HEALTH[health]
end

function colour.of_reason(reason)
  return BAD[reason] and "red" or nil
end

return colour
