---@meta

---For handlers: asking the operator's auth and admission policies.
---@class rucat.policy
rucat.policy = {}

---May that user do that? Nil and the three values that the handler hands on (`return status, problem,
---headers`) if not: 403, 404 when the user may not even read the engine, 503 when the policy failed.
---@param user rucat.User
---@param verb rucat.Verb
---@param engine rucat.Engine? nil for "create" and "admin"
---@return boolean ok
---@return integer? status
---@return table? problem
---@return table<string, string>? headers
function rucat.policy.allow(user, verb, engine) end

---The request as the admission policy lets it in; nil and what the handler hands on if it does not.
---@param request rucat.Request
---@param user rucat.User
---@return rucat.Request? request
---@return integer? status
---@return table? problem
---@return table<string, string>? headers
function rucat.policy.admit(request, user) end
