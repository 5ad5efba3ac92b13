-- decide.lua: asks the operator's restart and health policies, and the shipped ones where those fail
-- (the engine's events then say so).

local engines, policy = rucat.store.engines, rucat.policy
local answers = require("rucat.answers")
local shipped_restart = require("policies.restart")
local shipped_health = require("policies.health")
local shipped_idle = require("policies.idle")

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
  for _, name in ipairs { "restart", "health", "idle", "template" } do
    said[id .. "/" .. name] = nil
  end
end

decide.is_reason = answers.is_reason

local function is_count(value)
  return type(value) == "number" and value >= 0 and value < math.huge
end

-- { restart =, delay =, reason = }, and true when the shipped policy had to say it
function decide.restart(e, engine, exit, history)
  local ok, answer, _ = policy.restart(engine, exit, history)
  local why = not ok and answer or answers.restart(answer)
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
  return answer, why ~= nil
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

-- Who uses it, as its template says: { streams =, idle_for = }; nil when it does not know.
function decide.activity(e, engine, timeout)
  local ok, activity, why = policy.activity(engine, timeout)
  if not ok then
    fell_back(e, "template", "activity: " .. activity)
    return nil
  end
  if activity == nil then
    return nil, why
  end
  if type(activity) ~= "table" or not is_count(activity.streams)
    or activity.idle_for ~= nil and not is_count(activity.idle_for) then
    fell_back(e, "template", "activity must return { streams = number, idle_for = seconds }")
    return nil
  end
  said[e.id .. "/template"] = nil
  return activity
end

-- "keep"; or "stop", why and a reason
function decide.idle(e, engine, activity)
  local ok, action, why, reason = policy.idle(engine, activity)
  if ok and (action == "keep" or action == "stop") then
    said[e.id .. "/idle"] = nil
    return action, why, decide.is_reason(reason) and reason or "IdleTimeout"
  end
  if ok then
    policy.nonsense("idle")
  end
  fell_back(e, "idle", ok and "check must return keep, or stop and why" or action)
  action, why, reason = shipped_idle.check(engine, activity)
  return action, why, reason or "IdleTimeout"
end

return decide
