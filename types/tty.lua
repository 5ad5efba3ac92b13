---@meta

---The terminal that a tool (`rucat run`, the command line client) writes to. Not in the server.
---@class rucat.tty
rucat.tty = {}

---Is that a terminal?
---@param fd? integer 1 (output) without it
---@return boolean
function rucat.tty.isatty(fd) end

---The size of the terminal.
---@return integer? columns nil: there is no terminal
---@return integer? lines
function rucat.tty.size() end

---From now on Ctrl-C and SIGTERM end this job wherever it waits; what it has to close (`<close>`) is
---closed, and the exit code is 128 and the signal's number.
function rucat.tty.interruptible() end
