---@meta

---Waiting, now and then.
---@class rucat.timer
rucat.timer = {}

---Waits; the server goes on meanwhile.
---@param seconds rucat.Seconds
---@return boolean ok
function rucat.timer.sleep(seconds) end

---Calls `fn` once, in a job of its own. The timer belongs to the script generation it was made in and
---ends with it. At most 1000 timers in a generation.
---@param seconds rucat.Seconds
---@param fn fun()
---@return rucat.timer.Timer? timer
---@return string? message
---@return rucat.Code? code "FULL"
function rucat.timer.after(seconds, fn) end

---Calls `fn` again and again; the next time is counted from the end of the last.
---@param seconds rucat.Seconds at least 0.001
---@param fn fun()
---@return rucat.timer.Timer? timer
---@return string? message
---@return rucat.Code? code "FULL"
function rucat.timer.every(seconds, fn) end

---@class rucat.timer.Timer
local Timer = {}

---Twice is fine; a call that is under way goes on.
function Timer:cancel() end
