-- rucat/cli/wait.lua - waiting until an engine is what was asked for. On a terminal one line that is
-- redrawn in place, with the last line of the engine's log; elsewhere a line for each change.
--
-- The engine is asked for again and again: that survives a restart of the server, and shows each
-- change as it comes.

local client = require("rucat.cli.client")
local colour = require("rucat.cli.colour")
local text = require("rucat.cli.text")

local FIRST, USUAL = 0.05, 0.2 -- seconds between two questions
local PATIENCE = 5 -- seconds that the server may be away once it has answered
local BAR = 20
local LOG_EVERY = 1 -- seconds between two looks at the log

-- ---- the line ----

local progress = {}
progress.__index = progress

-- `to_stderr` keeps stdout for the result.
local function progress_new(name, to_stderr)
  local fd = to_stderr and 2 or 1
  return setmetatable({
    out = to_stderr and io.stderr or io.stdout,
    fd = fd,
    name = text.plain(name),
    tty = rucat.tty.isatty(fd),
    last = "",
    log = "",
    step = 0,
  }, progress)
end

local function bar(step)
  local at = step % (2 * (BAR - 3))
  at = at < BAR - 3 and at or 2 * (BAR - 3) - at
  return "[" .. (" "):rep(at) .. "===" .. (" "):rep(BAR - 3 - at) .. "]"
end

local function state_of(engine)
  local reason = text.given(engine.reason)
  local state = text.plain(engine.state)
  return reason and reason ~= "" and ("%s (%s)"):format(state, text.plain(reason)) or state
end

-- When a next try is due, says how soon.
local function next_try(engine)
  local since = text.since(engine.next_start_at)
  return since and since < 0 and (", next start in %s"):format(text.age(-since + 0.5)) or ""
end

-- "[===    ] team-a Pending (Starting) 3.2s  what it wrote last", as much as fits.
function progress:draw(engine, state, seconds)
  local columns = (rucat.tty.size() or 80) - 1
  local line = ("%s %s %s%s %.1fs"):format(bar(self.step), self.name, state, next_try(engine), seconds)
  local shown = text.cut(line, columns)
  local left = columns - text.width(shown) - 2
  if shown == line and self.log ~= "" and left >= 10 then
    shown = shown .. "  " .. colour.paint(text.cut(self.log, left), "dim", self.fd)
  end
  self.step = self.step + 1
  self.out:write("\r", shown, "\27[K")
  self.out:flush()
end

function progress:show(engine, seconds)
  local state = state_of(engine)
  if self.tty then
    self:draw(engine, state, seconds)
  elseif state ~= self.last then
    self.out:write(("%s: %s%s\n"):format(self.name, state, next_try(engine)))
    self.out:flush()
  end
  self.last = state
end

-- Looks now and then at what the engine wrote last; what cannot be had is left out.
function progress:look_at_log(server, name)
  local now = rucat.clock.monotonic()
  if not self.tty or now < (self.log_due or 0) then
    return
  end
  self.log_due = now + LOG_EVERY
  local answer = server:try("GET", client.path(name, "/logs?tail=1"), nil, 1)
  if answer and answer.status == 200 then
    local line = text.plain(answer.body:match("([^\n]+)%s*$") or "")
    self.log = line:match("^%s*(.-)%s*$")
  end
end

-- Takes the drawn line away.
function progress:clear()
  if self.tty then
    self.out:write("\r\27[K")
    self.out:flush()
  end
end

progress.__close = progress.clear

function progress:done(line)
  self:clear()
  self.out:write(line, "\n")
  self.out:flush()
end

-- ---- what is waited for ----

-- Each: true when it is so, nil and a text when it never will be.
local goals = {}

function goals.Running(engine, after_epoch)
  if engine.state == "Running" and engine.reason ~= "Stopping" and engine.desired == "Running" and
     engine.epoch > after_epoch then
    return true
  elseif engine.state == "Stopped" and engine.desired ~= "Running" then
    return nil, "no further start is due"
  end
  return false
end

function goals.Stopped(engine)
  return engine.state == "Stopped" and engine.desired ~= "Running"
end

function goals.Deleted()
  return false
end

local function never(name, engine, why)
  local message = text.given(engine.message)
  local lines = { ("%s is %s, %s"):format(text.plain(name), state_of(engine), why) }
  for _, line in ipairs(message and message ~= "" and text.lines(message) or {}) do
    lines[#lines + 1] = "  " .. line
  end
  client.fail(1, "%s", table.concat(lines, "\n"))
end

-- The engine, or nil where there is none. A server that is away for a moment is asked again.
local function look(server, path, first, limit)
  local since
  while true do
    local answer, why = server:try("GET", path, nil, math.max(0.5, limit - rucat.clock.monotonic()))
    if answer and answer.status == 404 then
      return nil, answer
    elseif answer and answer.status ~= 503 then
      if answer.status ~= 200 then
        client.fail(1, "%s", client.problem(answer))
      end
      return server:decode(answer), answer
    end
    local now = rucat.clock.monotonic()
    since = since or now
    if first or now - since > PATIENCE then
      if answer then
        client.fail(1, "%s", client.problem(answer))
      end
      server:unreachable(why)
    elseif now >= limit then
      return false
    end
    rucat.timer.sleep(USUAL)
  end
end

-- Waits until `name` is `goal` ("Running", "Stopped", "Deleted"), at most `timeout` seconds. Options:
-- to_stderr (progress there), after_epoch (a Running of a
-- later epoch only), seen (it was there a moment ago). Returns the engine (nil when it is
-- deleted); raises exit 1 (never will be), 3 (there is none), 4 (timed out).
return function(server, name, goal, timeout, options)
  options = options or {}
  local path = client.path(name)
  rucat.tty.interruptible()
  local shown <close> = progress_new(name, options.to_stderr)
  local began = rucat.clock.monotonic()
  local limit = began + timeout
  local pause, first, engine = FIRST, not options.seen, nil
  while true do
    local now, answer = look(server, path, first, limit)
    local seconds = rucat.clock.monotonic() - began
    if now == nil then
      shown:clear()
      if goal == "Deleted" then
        shown:done(("%s is deleted (after %.1f s)"):format(shown.name, seconds))
        return nil
      end
      client.refuse(answer, path)
    end
    engine = now or engine
    local reached, why = goals[goal](engine, options.after_epoch or -1)
    if reached then
      shown:done(("%s is %s (after %.1f s)"):format(shown.name, engine.state, seconds))
      return engine
    elseif why then
      shown:clear()
      never(name, engine, why)
    end
    shown:look_at_log(server, name)
    shown:show(engine, seconds)
    first = false
    local left = limit - rucat.clock.monotonic()
    if left <= 0 then
      shown:clear()
      client.fail(4, "%s is still %s after %g s", shown.name, state_of(engine), timeout)
    end
    rucat.timer.sleep(math.min(pause, left))
    pause = math.min(USUAL, pause * 2)
  end
end
