-- writing.lua: how reconcile writes what it has decided.

local engines, driver, clock = rucat.store.engines, rucat.driver, rucat.clock
local null = rucat.json.null
local keeper = require("rucat.keeper")

local MESSAGE_MAX = 8192 -- bytes

local writing = {}

-- What a script has to say, as a record can hold it.
function writing.words_of(value)
  return (tostring(value):sub(1, MESSAGE_MAX):gsub("\0", "?"))
end

-- A plain table of what clients see of an engine, for policies.
function writing.copy(e)
  local engine = {}
  for name, value in pairs(e) do engine[name] = value end
  return engine
end

-- Writes changes on the record as it was seen. Nil when somebody else was faster (their change has
-- put the engine on the agenda again) or the store did not take it (it is looked at again soon).
function writing.write(e, fields, note)
  if not keeper.may_decide() then
    return nil -- fenced in the middle of a look: when the lease is renewed all are looked at
  end
  local after, why, code = engines.change(e, fields, note)
  if not after and code ~= "CONFLICT" and code ~= "NOTFOUND" then
    rucat.log.error("engine %s: %s was not written: %s", e.name, fields.reason or "a change", why)
    driver.put(e.id, 1)
  end
  return after
end

-- The fields of an engine that has no driver any more, and is not to have one.
function writing.stopped(reason, message)
  return {
    state = "Stopped", desired = "Stopped", reason = reason, message = message or "",
    health = "unknown", endpoint = null, ui = null, next_start_at = null, ending = "",
    stopped_at = clock.text(),
  }
end

return writing
