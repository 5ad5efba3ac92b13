-- answers.lua: is what a policy answered an answer? For reconcile, and for `rucat try`.

local answers = {}

-- A reason is a word or two: what a policy or template gives as one is shown and counted.
function answers.is_reason(value)
  return type(value) == "string" and #value >= 1 and #value <= 64 and not value:find("%c")
end

-- What is wrong with the answer of a restart policy; nil when nothing is.
function answers.restart(answer)
  if type(answer) ~= "table" or type(answer.restart) ~= "boolean" then
    return "it must return { restart = true|false, ... }"
  end
  local delay = answer.delay
  if delay ~= nil and (type(delay) ~= "number" or delay < 0 or delay > 86400 or delay ~= delay) then
    return "delay must be 0 to 86400 seconds"
  end
  if answer.reason ~= nil and not answers.is_reason(answer.reason) then
    return "reason must be a text of 1 to 64 bytes"
  end
end

return answers
