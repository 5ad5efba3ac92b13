-- decide.lua: asks the operator's restart and health policies, and the shipped ones where those fail
-- (the engine's events then say so).

local engines, policy = rucat.store.engines, rucat.policy
local shipped_restart = require("policies.restart")
local shipped_health = require("policies.health")

local decide = {}

-- What was said last of an engine's policy, so that a policy that fails every ten seconds is told of
-- once, until something else is wrong.
local said = {}

local function fell_back(e, name, why)
  local key = e.id .. "/" .. name
  local same = why:gsub(":%d+:", ":", 1) -- one that is stopped is not on the same line each time
  if said[key] ~= same then
    said[key] = same
    rucat.log.warn("engine %s: policy %s failed, the shipped one decides: %s", e.name, name, why)
    engines.note(e, "policy", "PolicyError", ("policy %s failed, the shipped one was used: %s"):format(
      name, why), "monitor")
  end
end

function decide.forget(id)
  for _, name in ipairs { "restart", "health" } do
    said[id .. "/" .. name] = nil
  end
end

-- A reason is a word or two: what a policy or template gives as one is shown and counted.
function decide.is_reason(value)
  return type(value) == "string" and #value >= 1 and #value <= 64 and not value:find("%c")
end

local function check_restart(answer)
  if type(answer) ~= "table" or type(answer.restart) ~= "boolean" then
    return "it must return { restart = true|false, ... }"
  end
  local delay = answer.delay
  if delay ~= nil and (type(delay) ~= "number" or delay < 0 or delay > 86400 or delay ~= delay) then
    return "delay must be 0 to 86400 seconds"
  end
  if answer.reason ~= nil and not decide.is_reason(answer.reason) then
    return "reason must be a text of 1 to 64 bytes"
  end
end

-- { restart =, delay =, reason = }
function decide.restart(e, engine, exit, history)
  local ok, answer, _ = policy.restart(engine, exit, history)
  local why = not ok and answer or check_restart(answer)
  if ok and why then
    policy.nonsense("restart")
  end
  if why then
    fell_back(e, "restart", why)
    local fine
    fine, answer = pcall(shipped_restart, engine, exit, history)
    if not fine then
      answer = { restart = false, reason = "PolicyRefused" }
    end
  else
    said[e.id .. "/restart"] = nil
  end
  return answer
end

-- interval, timeout, failures of the health policy that is in force
function decide.health_numbers()
  local interval, timeout, failures = policy.health()
  if not interval then
    return shipped_health.interval, shipped_health.timeout, shipped_health.failures
  end
  return interval, timeout, failures
end

-- true, or false and why
function decide.probe(e, engine, timeout)
  local ok, fine, why = policy.probe(engine, timeout)
  if ok and type(fine) == "boolean" then
    said[e.id .. "/health"] = nil
    return fine, why
  end
  if not ok and why == "ETIMEDOUT" then
    return false, ("the probe did not answer within %g seconds"):format(timeout)
  end
  if ok then
    policy.nonsense("health")
  end
  fell_back(e, "health", ok and "probe must return true, or false and why" or fine)
  return shipped_health.probe(engine)
end

-- "restart", "stop" or "ignore"
function decide.unhealthy(e, engine, why)
  local ok, action = policy.unhealthy(engine, why)
  if ok and (action == "restart" or action == "stop" or action == "ignore") then
    return action
  end
  if ok then
    policy.nonsense("health")
  end
  fell_back(e, "health", ok and "unhealthy must return restart, stop or ignore" or action)
  return shipped_health.unhealthy(engine, why)
end

return decide
