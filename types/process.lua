---@meta

---Programs that a script runs and waits for. (Drivers of engines are not started here but by
---templates.) argv only, never a shell.
---@class rucat.process
rucat.process = {}

---@class rucat.process.Options
---@field argv string[] the program and its arguments, 1 to 256; looked for in PATH
---@field env? table<string, string> its whole environment beside PATH
---@field cwd? string
---@field input? string what it reads on stdin
---@field stdout? "collect"|"null"|"inherit"
---@field stderr? "collect"|"null"|"inherit"
---@field keep? integer bytes of each output that are kept, the newest; 1 MiB without it

---Starts it. It is killed when its handle is closed or collected while it runs.
---@param options rucat.process.Options
---@return rucat.process.Process? process
---@return string? message
---@return rucat.Code? code
function rucat.process.spawn(options) end

---@class rucat.process.Process
local Process = {}

---Waits for its end (and for that of its output). One job at a time.
---@param seconds? rucat.Seconds a day without it
---@return { code: integer?, signal: string? }? exit one of the two
---@return string? message
---@return rucat.Code? code "ETIMEDOUT": it still runs
function Process:wait(seconds) end

---Sends a signal: "TERM", "KILL", ... or its number.
---@param signal? string|integer "TERM" without it
---@return boolean? ok
---@return string? message
---@return rucat.Code? code "ESRCH": it has ended
function Process:kill(signal) end

---What it wrote so far (what is kept of it).
---@return string stdout
---@return string stderr
function Process:output() end

---The number of the process.
---@return integer pid
function Process:pid() end

---Gives the handle back; kills what still runs.
function Process:close() end
