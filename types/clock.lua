---@meta

---What time it is. Nothing here waits.
---@class rucat.clock
rucat.clock = {}

---Seconds since 1970 (UTC), with milliseconds as a fraction. It jumps when somebody sets the clock:
---measure with `monotonic`.
---@return number seconds
function rucat.clock.now() end

---Seconds on a clock that only goes forward; says nothing by itself, differences do.
---@return number seconds
function rucat.clock.monotonic() end

---A moment as RFC 3339 text, in UTC with milliseconds: "2026-11-23T01:02:03.456Z".
---@param seconds? number since 1970; without it now
---@return string
function rucat.clock.text(seconds) end

---Reads such a text. No other form is understood.
---@param text string
---@return number? seconds since 1970
---@return string? message
---@return rucat.Code? code "INVALID"
function rucat.clock.parse(text) end

---Reads a duration: "90", "10ms", "30s", "5m", "2h", "1d".
---@param text string
---@return rucat.Seconds? seconds
---@return string? message
---@return rucat.Code? code "INVALID"
function rucat.clock.duration(text) end

---A random UUID (version 4), lower case.
---@return string
function rucat.clock.uuid() end

---When an id of ours (an engine's, an event's: 26 characters, ULID) was made; without one: the newest
---id that this server knows of, which is ahead of the clock where that was set back. Raises on other text.
---@param id? string
---@return number seconds since 1970
function rucat.clock.id_time(id) end
