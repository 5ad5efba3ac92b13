---@meta

---Engines and their events. What is read comes from memory and does not wait.
---@class rucat.store
rucat.store = {}

---@class rucat.store.engines
rucat.store.engines = {}

---An engine as it is now: a read-only view that does not change when the engine does.
---@param id string its id or its name
---@return rucat.Engine? engine nil: there is none
function rucat.store.engines.get(id) end

---The same; where the store is shared with other servers (mode remote) and there is no such engine
---here, the store is asked, for another server may have made it just now. Waits then.
---@async
---@param id string its id or its name
---@return rucat.Engine? engine nil: there is none
---@return string? message
---@return rucat.Code? code "NOTFOUND", "STORE", "UNSURE"
function rucat.store.engines.fetch(id) end

---@class rucat.store.Filter
---@field state? "Pending"|"Running"|"Stopped"
---@field type? string
---@field platform? string
---@field name? string
---@field label? string "key" or "key=value"
---@field after? string an id: those made after it
---@field limit? integer at most (and without it) 1000

---The engines that fit all of the filter; read-only views.
---@param filter? rucat.store.Filter
---@return rucat.Engine[] engines in the order in which they were made
---@return boolean more there are more than `limit`
function rucat.store.engines.list(filter) end

---Waits. Makes an engine; what POST /v1/engines checks is the caller's to check (rucat.validate).
---Not in policies and templates.
---@param engine table the fields of the record
---@param by? string who, for the events
---@return rucat.Engine? engine
---@return string? message
---@return rucat.Code? code "EXISTS", "FULL", "INVALID", "STORE", "CLOSED"
function rucat.store.engines.create(engine, by) end

---Waits. Asks for a change, as POST /v1/engines/{id}/VERB and DELETE do.
---@param id string
---@param verb "start"|"stop"|"restart"|"delete"
---@param by? string who, for the events
---@param rev? integer only if the engine still has that rev
---@return rucat.Engine? engine
---@return string? message
---@return rucat.Code? code "NOTFOUND", "REFUSED", "CONFLICT", "STORE", "CLOSED"
function rucat.store.engines.verb(id, verb, by, rev) end

---Waits. The last lines that the engine's drivers wrote.
---@param id string
---@param lines? integer 0 to 100000; all without it, at most 1 MiB
---@return string? text
---@return string? message
---@return rucat.Code? code
function rucat.store.engines.logs(id, lines) end

---Waits. What the drivers of those engines use; engines that do not run here are left out.
---@param ids string[]
---@return table<string, { pid: integer, processes: integer, cpu_seconds: number, memory_bytes: integer }>? usage
---@return string? message
---@return rucat.Code? code
function rucat.store.engines.usage(ids) end

---Writes an event of that engine.
---@param engine rucat.Engine
---@param kind "state"|"policy"|"health"|"request"
---@param reason? string
---@param message? string
---@param by? string
function rucat.store.engines.note(engine, kind, reason, message, by) end

---For handlers, to be returned as the body: the answer waits until the engine is as the verb wants
---it, or no further start is due, or the time is over.
---@param id string
---@param verb "start"|"stop"|"restart"|"delete"
---@param seconds? rucat.Seconds
---@return userdata hold
function rucat.store.engines.hold(id, verb, seconds) end

---@class rucat.store.events
rucat.store.events = {}

---Waits. What happened, oldest first.
---@param filter? { engine: string?, after: string?, limit: integer?, newest_first: boolean? } `engine` an id; `after` an event's id
---@return rucat.Event[]? events
---@return boolean|string more or the message
---@return rucat.Code? code
function rucat.store.events.list(filter) end

---For handlers, to be returned as the body: an answer that goes on, of log lines or of events as they
---happen.
---@param what { logs: string?, lines: integer?, events: string?, after: string?, replay: boolean?, user: rucat.User? }
---@return userdata follower
function rucat.store.follow(what) end

---For handlers: Idempotency-Key (kept for 24 h).
---@class rucat.store.keys
rucat.store.keys = {}

---Claims a key for a request with that body.
---@param key string
---@param body string
---@return "new"|"same"|"other"|"busy"|"full" answer "other": that key came with another body
---@return table|string|nil token for a new one: to be the engine's field `idempotency`; for the same: the engine's id
function rucat.store.keys.claim(key, body) end

---The request made that engine.
---@param key string
---@param id string
function rucat.store.keys.settle(key, id) end

---The request made none: the key may be used again.
---@param key string
function rucat.store.keys.release(key) end
