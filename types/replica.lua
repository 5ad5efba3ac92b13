---@meta

---This server and the others that share its store (mode remote).
---@class rucat.replica
rucat.replica = {}

---A server on the store. `host` is the same for servers that can see each other's processes; `left` are
---the seconds that its lease still holds (negative: over since).
---@class rucat.Replica
---@field id string
---@field name string of its machine
---@field url string where other replicas reach it
---@field host string
---@field roles string[]
---@field version string
---@field engines integer how many it keeps
---@field alive boolean
---@field left number?
---@field self boolean

---May other servers share the store?
---@return boolean
function rucat.replica.shared() end

---The id of this one, the same over restarts; "" where there is only one.
---@return string
function rucat.replica.id() end

---All of them, also those whose lease has been over for less than a day.
---@return rucat.Replica[]
function rucat.replica.list() end

---Who has what an engine has written: "" when that is on this host, else the url of a replica there.
---@param engine rucat.Engine
---@return string? url
---@return string? message
---@return rucat.Code? code
function rucat.replica.route(engine) end

---For handlers: an answer that is given by the replica of route(), asked with this same request.
---@param engine rucat.Engine
---@return userdata body
function rucat.replica.forward(engine) end
