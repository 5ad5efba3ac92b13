-- rucat/cli/asking.lua - how each kind of policy is asked by `rucat try`, what its answers are called,
-- and whether two of them differ. A case is { at = seconds, args = {...}, did = answer or nil, ... }; an
-- answer is a small table of our own.

local answers = require("rucat.answers")
local text = require("rucat.cli.text")

local asking = {}

-- Each `ask(box, case)` gives an answer, or nil and what went wrong. box:policy waits.

local restart = {}
asking.restart = restart

function restart.ask(box, case)
  local ok, answer = box:policy("restart", nil, case.args[1], case.args[2], case.args[3])
  if not ok then
    return nil, answer
  end
  local wrong = answers.restart(answer)
  if wrong then
    return nil, wrong
  end
  return { restart = answer.restart, delay = answer.delay, reason = answer.reason }
end

function restart.say(answer)
  if not answer.restart then
    return "no restart" .. (answer.reason and " (" .. text.plain(answer.reason) .. ")" or "")
  end
  local delay = answer.delay or 0
  return delay == 0 and "restart at once" or ("restart in %.1f s"):format(delay)
end

-- "!" another decision, "~" the same one at another time. A policy that throws dice is not told from
-- one that was changed: a delay counts when it is more than twice the other one and a second apart.
function restart.differs(did, would)
  if did.restart ~= would.restart or (not did.restart and did.reason ~= would.reason) then
    return "!"
  end
  local a, b = did.delay or 0, would.delay or 0
  return did.restart and math.abs(a - b) > 1 and math.max(a, b) > 2 * math.min(a, b) and "~" or ""
end

local admission = {}
asking.admission = admission

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

function admission.ask(box, case)
  local asked = case.args[1]
  local ok, request, why, status = box:policy("admission", nil, asked, case.args[2], case.args[3])
  if not ok then
    return nil, request
  elseif request == nil then
    return { admit = false, why = why ~= nil and tostring(why) or "refused by policy",
             status = math.type(status) == "integer" and status or 403 }
  elseif type(request) ~= "table" then
    return nil, "it must return the request, or nil and why not"
  end
  local changes, names = rucat.json.array {}, {}
  for name in pairs(asked) do names[name] = true end
  for name in pairs(request) do names[name] = true end
  for name in pairs(names) do
    if not same(asked[name], request[name]) then
      changes[#changes + 1] = name
    end
  end
  table.sort(changes)
  return { admit = true, changes = changes }
end

function admission.say(answer)
  if not answer.admit then
    return ("refuse (%d): %s"):format(answer.status, text.plain(answer.why))
  elseif #(answer.changes or {}) > 0 then
    return "admit, changing " .. text.plain(table.concat(answer.changes, ", "))
  end
  return "admit"
end

function admission.differs(did, would)
  return did.admit ~= would.admit and "!" or would.admit and #would.changes > 0 and "~" or ""
end

local auth = {}
asking.auth = auth

function auth.ask(box, case)
  for _, verb in ipairs(case.verbs) do
    local ok, allowed, why = box:policy("auth", nil, case.args[1], verb, case.args[2])
    if not ok then
      return nil, allowed
    elseif type(allowed) ~= "boolean" then
      return nil, "it must return true or false"
    elseif not allowed then
      return { allow = false, verb = verb, why = type(why) == "string" and why or nil }
    end
  end
  return { allow = true }
end

function auth.say(answer)
  return answer.allow and "yes" or "no" .. (answer.why and ": " .. text.plain(answer.why) or "")
end

function auth.differs(did, would)
  return did.allow ~= would.allow and "!" or ""
end

local health = {}
asking.health = health

function health.ask(box, case)
  local ok, answer, why = box:policy("health", case.field, case.args[1], case.args[2])
  if not ok then
    return nil, answer
  elseif case.field == "probe" and type(answer) ~= "boolean" then
    return nil, "probe must return true, or false and why"
  elseif case.field == "unhealthy" and answer ~= "restart" and answer ~= "stop" and answer ~= "ignore" then
    return nil, "unhealthy must return restart, stop or ignore"
  end
  return { answer = answer, why = why ~= nil and tostring(why) or nil }
end

function health.say(answer)
  local word = answer.answer
  word = word == true and "well" or word == false and "not well" or word
  return word .. (answer.why and ": " .. text.plain(answer.why) or "")
end

local idle = {}
asking.idle = idle

function idle.ask(box, case)
  local ok, answer, why = box:policy("idle", case.field, case.args[1], case.args[2])
  if not ok then
    return nil, answer
  elseif case.field == "check" and answer ~= "keep" and answer ~= "stop" then
    return nil, "check must return keep, or stop and why"
  elseif case.field == "wake_on_connect" and type(answer) ~= "boolean" then
    return nil, "wake_on_connect must return true or false"
  end
  return { answer = answer, why = why ~= nil and tostring(why) or nil }
end

function idle.say(answer)
  local word = answer.answer
  word = word == true and "wake" or word == false and "let it sleep" or word
  return word .. (answer.why and ": " .. text.plain(answer.why) or "")
end

return asking
