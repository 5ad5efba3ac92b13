---@meta

---The server itself.
---@class rucat.server
rucat.server = {}

---What this server is: its id, where it listens, its mode and version, the processors of this machine,
---the roles of this process; in mode remote also which replica it is.
---@return { cpus: integer, instance: string, listen: string, mode: "embedded"|"local"|"remote", version: string, roles: string[], replica: string? }
function rucat.server.info() end

---Can it serve: is the store reachable, is it not stopping?
---@return boolean ready
---@return string? why
function rucat.server.ready() end

---Which generation of scripts serves, its files, the last error.
---@return { generation: integer, source: string, files: { name: string, path: string }[], last_error: string?, last_error_at: string? }
function rucat.server.scripts() end

---Waits. Reloads scripts and configuration, as `rucat reload` does.
---@return table? report what changed
---@return table|string|nil failed { errors = lines of "FILE:LINE: what" }, or a message
---@return rucat.Code? code
function rucat.server.reload() end

---A copy of a group of the configuration: "limits", "spark", "defaults", ...
---@param group string
---@return table<string, rucat.Json>
function rucat.server.config(group) end

---The names of the templates there are, as one text: "external, sail_local, spark_local".
---@return string
function rucat.server.templates() end

---Is there a template for that type on that platform?
---@param type string
---@param platform string
---@return boolean
function rucat.server.has_template(type, platform) end

---The routes of this generation (not in the console).
---@return { route: string, file: string, doc: table? }[]
function rucat.server.routes() end
