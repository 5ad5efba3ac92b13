---@meta

---Does something listen there?
---@class rucat.tcp
rucat.tcp = {}

---Waits. Connects and closes again. Names are resolved without stopping the server.
---@param host string
---@param port number
---@param seconds? rucat.Seconds 3 without it
---@return boolean? ok
---@return string? message
---@return rucat.Code? code "ECONNREFUSED", "ETIMEDOUT", ...
function rucat.tcp.connect(host, port, seconds) end

---Waits. How many connections there are to a port of this machine: the number that are established,
---seen from the side that accepted them.
---@param port integer
---@return integer? count
---@return string? message
---@return rucat.Code? code
function rucat.tcp.connections(port) end

---Waits. For `rucat run` only: sends bytes and returns all that came back until the peer closed.
---@param host string
---@param port integer
---@param bytes string
---@param seconds? rucat.Seconds 5 without it
---@return string? reply at most 16 MiB
---@return string? message
---@return rucat.Code? code
function rucat.tcp.exchange(host, port, bytes, seconds) end
