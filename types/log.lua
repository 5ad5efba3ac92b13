---@meta

---Lines for the server's log, in the group "script", with the id of the request that is served. One
---argument is written as `tostring` has it; more are a format and what it needs (string.format).
---@class rucat.log
rucat.log = {}

---A line of level debug.
---@param format any
---@param ... any
function rucat.log.debug(format, ...) end

---A line of level info.
---@param format any
---@param ... any
function rucat.log.info(format, ...) end

---A line of level warn.
---@param format any
---@param ... any
function rucat.log.warn(format, ...) end

---A line of level error.
---@param format any
---@param ... any
function rucat.log.error(format, ...) end
