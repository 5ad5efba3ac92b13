---@meta

---The hands of the shipped reconcile loop (lua/rucat/monitor.lua). Not in operators' scripts: what is
---here may change with any version.
---@class rucat.driver
rucat.driver = {}

---What is seen of an engine's driver; nil when there is none here.
---@param id string
---@return table? seen
function rucat.driver.seen(id) end

---Is there a driver here?
---@param id string
---@return boolean
function rucat.driver.has(id) end

---Starts one.
---@param engine rucat.Engine
---@param plan rucat.Plan
---@return boolean? ok
---@return string? message
---@return rucat.Code? code
function rucat.driver.start(engine, plan) end

---Takes over what runs already, by its run directory.
---@param engine rucat.Engine
---@return boolean? ok
---@return string? message
---@return rucat.Code? code
function rucat.driver.adopt(engine) end

---Asks for its end.
---@param id string
---@return boolean? ok
---@return string? message
---@return rucat.Code? code
function rucat.driver.stop(id) end

---Lets go of a driver that has ended.
---@param id string
function rucat.driver.forget(id) end

---The directories of an engine and of one of its starts.
---@param id string
---@param epoch integer
---@param base string? the state directory; default: our own
---@return string data
---@return string run
function rucat.driver.dirs(id, epoch, base) end

---A port of 127.0.0.1 that is free.
---@return integer? port
---@return string? message
---@return rucat.Code? code
function rucat.driver.port() end

---The sockets that listen on a port of this machine: the same text means the same sockets.
---@param port integer
---@return string? sockets "" when none does
---@return string? message
---@return rucat.Code? code
function rucat.driver.listeners(port) end

---Waits. Does somebody of that driver listen there? nil: it cannot be told.
---@param port integer
---@param pid integer of the driver
---@param instance string
---@return boolean? ours
---@return string? who else: "process 12 (name)"
function rucat.driver.owner(port, pid, instance) end

---Looks at that engine again after so many seconds.
---@param id string
---@param seconds? rucat.Seconds
function rucat.driver.put(id, seconds) end

---Waits for an engine that is to be looked at.
---@return string id
function rucat.driver.next() end

---Runs a function in a job of its own.
---@param fn fun(...: any)
---@param ... any
function rucat.driver.spawn(fn, ...) end

---Waits. Removes the run directories of old epochs.
---@param id string
---@param base string? the state directory; default: our own
function rucat.driver.prune(id, base) end

---Waits. Removes all that an engine had.
---@param id string
---@param base string? the state directory; default: our own
function rucat.driver.remove(id, base) end

---Counts an automatic restart.
function rucat.driver.count_restart() end

---Notes how long a start took.
---@param seconds rucat.Seconds
function rucat.driver.count_start(seconds) end

---Notes how much of a start was our own.
---@param what string
---@param seconds rucat.Seconds
function rucat.driver.count_own(what, seconds) end

---Ends drivers in our own state directory whose epoch is over: others have gone on without this replica.
---@param id string? of one engine; default: of all
function rucat.driver.sweep(id) end

---Counts an engine that was taken over from a replica whose lease was over.
function rucat.driver.count_takeover() end
