---@meta

-- What the kinds of scripts are given and what they return. To let an editor complete, write above a
-- function what it takes:
--
--     ---@param engine rucat.Engine
--     ---@param exit rucat.Exit
--     ---@param history rucat.PastExit[]
--     ---@return rucat.RestartDecision
--     return function(engine, exit, history) ... end
--
-- or above a table what it is:
--
--     ---@type rucat.HealthPolicy
--     local policy = { ... }
--     return policy

-- ---- what there is ----

---An engine: the record as clients see it. Read-only; templates alone see real secrets in `config` and
---`env`, everybody else "***".
---@class rucat.Engine
---@field id string 26 characters, sorts by time
---@field name string
---@field type string "spark", "sail", ...
---@field platform string "local", "external", ...
---@field version string?
---@field state "Pending"|"Running"|"Stopped" what is seen
---@field desired "Running"|"Stopped"|"Deleted" what is wanted
---@field reason string why it is in this state: "Starting", "Ready", "BackOff", ...
---@field message string more about it, for people
---@field health "healthy"|"unhealthy"|"unknown"
---@field endpoint string? "sc://...", once there is one
---@field ui string? "http://..."
---@field config table<string, string|number|boolean>
---@field labels table<string, string>
---@field env table<string, string>
---@field app rucat.App? a batch job instead of a server
---@field epoch integer raised by each start
---@field rev integer raised by each change
---@field restarts integer automatic ones since somebody asked for the start
---@field next_start_at string? RFC 3339, while a start is due
---@field exit { code: integer?, signal: string?, oom: boolean? } how the last driver ended
---@field owner string
---@field keeper string mode remote: the id of the replica that reconciles it; else ""
---@field idle_timeout rucat.Seconds?
---@field ttl rucat.Seconds?
---@field created_at string RFC 3339
---@field started_at string?
---@field stopped_at string?
---@field heartbeat_at string?

---@class rucat.App
---@field resource string a jar or a Python file
---@field class string?
---@field args string[]?

---@class rucat.Event
---@field id string sorts by time
---@field engine string
---@field name string
---@field epoch integer
---@field at string RFC 3339
---@field kind "state"|"policy"|"health"|"request"
---@field from string?
---@field to string?
---@field reason string
---@field message string
---@field by string user, policy or monitor

---@class rucat.User
---@field name string
---@field role "admin"|"user"|"viewer"

---@alias rucat.Verb "create"|"read"|"start"|"stop"|"delete"|"connect"|"logs"|"admin"

-- ---- handlers/*.lua ----

---What a handler is given. Fields are made when they are asked for.
---@class rucat.Req
---@field method string
---@field path string
---@field params table<string, string> of {name} in the route
---@field query table<string, string>
---@field headers table<string, string> names in lower case; repeated ones joined by ", "
---@field body string
---@field id string the request's id, as in the log
---@field peer string "127.0.0.1:54321"
---@field user rucat.User
local Req = {}

---The body as strict JSON; nil and the three values that the handler returns when it is not.
---@return rucat.Json value
---@return integer? status
---@return table? problem
---@return table<string, string>? headers
function Req:json() end

---Returns a status, a body (a text; a table or an engine, sent as JSON; nothing) and headers. May wait.
---@alias rucat.Handler fun(req: rucat.Req): integer, rucat.Json|rucat.Engine, table<string, string>?

---A handler file returns this: "METHOD /path/{param}" to function.
---@alias rucat.Handlers table<string, rucat.Handler>

-- ---- policies/restart.lua ----

---How a driver ended.
---@class rucat.Exit
---@field code integer? what it exited with
---@field signal string? "SIGKILL", ... if a signal ended it
---@field oom boolean? the kernel ended it for want of memory; nil: not known
---@field phase "starting"|"running" had it come up?
---@field uptime rucat.Seconds

---@class rucat.PastExit
---@field at number seconds since 1970
---@field exit rucat.Exit
---@field uptime rucat.Seconds

---@class rucat.RestartDecision
---@field restart boolean
---@field delay rucat.Seconds? 0 to 86400
---@field reason string? 1 to 64 bytes

---Called when a driver ended or never came up. Cannot wait.
---@alias rucat.RestartPolicy fun(engine: rucat.Engine, exit: rucat.Exit, history: rucat.PastExit[]): rucat.RestartDecision

-- ---- policies/health.lua ----

---@class rucat.HealthPolicy
---@field interval rucat.Seconds between two probes, 0.1 to 3600
---@field timeout rucat.Seconds of one, 0.1 to 300
---@field failures integer bad answers in a row until an engine is unhealthy
---@field probe fun(engine: rucat.Engine): boolean, string? true, or false and why; may wait
---@field unhealthy fun(engine: rucat.Engine, why: string): "restart"|"stop"|"ignore"

-- ---- policies/admission.lua ----

---What somebody asks for: the body of POST /v1/engines.
---@class rucat.Request
---@field name string
---@field type string?
---@field platform string?
---@field version string?
---@field config table<string, string|number|boolean>?
---@field app rucat.App?
---@field endpoint string? platform external: where it is
---@field labels table<string, string>?
---@field env table<string, string>?
---@field idle_timeout rucat.Seconds?
---@field ttl rucat.Seconds?

---@alias rucat.AdmissionPolicy fun(request: rucat.Request, user: rucat.User, counts: { engines: integer, running: integer }): rucat.Request?, string?, integer?

-- ---- policies/auth.lua ----

---True, or false and why. `engine` is nil for "create" and "admin". Cannot wait.
---@alias rucat.AuthPolicy fun(user: rucat.User, verb: rucat.Verb, engine: rucat.Engine?): boolean, string?

-- ---- policies/idle.lua ----

---@class rucat.Activity
---@field streams integer what is under way there now: queries, connections, a batch job
---@field idle_for rucat.Seconds since the last of them; 0 while there is one
---@field age rucat.Seconds since somebody asked for the start

---@class rucat.IdlePolicy
---@field check fun(engine: rucat.Engine, activity: rucat.Activity): "keep"|"stop", string?, string? "keep"; or "stop", why and a reason
---@field wake_on_connect fun(engine: rucat.Engine, user: rucat.User): boolean

-- ---- templates/*.lua ----

---What a template is told beside the engine.
---@class rucat.Context
---@field spark_home string? of the version that is asked for
---@field java_home string?
---@field dir string the engine's own directory, kept until it is deleted
---@field run string the directory of this start: plan, files, log
---@field epoch integer
---@field instance string a UUID, in the driver's environment as RUCAT_INSTANCE
---@field listen string where rucat listens
---@field mode "embedded"|"local"|"remote"
---@field port integer a port that is free, for an engine that cannot choose one
---@field config { spark: table, sail: table, kubernetes: table, templates: table } copies of the configuration's tables

---@class rucat.Plan
---@field driver? "process"|"external" "process" without it
---@field argv? string[] never a shell, never a secret
---@field env? table<string, string> added to PATH HOME LANG TZ JAVA_HOME SPARK_*
---@field cwd? string `ctx.dir` without it
---@field files? table<string, string> name to content, written 0600 into `ctx.run`: where secrets go
---@field ready? rucat.Ready
---@field stop? { signal: string?, grace: rucat.Seconds? } "TERM" and 30 without it
---@field endpoint? string for clients; %d stands for the port
---@field ui? string likewise

---When is the engine up? With nothing of it: as soon as the process is there.
---@class rucat.Ready
---@field log? string a Lua pattern for a line of the log; its capture is the port
---@field ui_log? string likewise, the port of the user interface
---@field tcp? boolean the port must accept
---@field port? integer where it is known beforehand
---@field ui_port? integer
---@field host? string "127.0.0.1" without it
---@field timeout? rucat.Seconds until it is given up

---@class rucat.Template
---@field submit fun(engine: rucat.Engine, ctx: rucat.Context): rucat.Plan?, string?, string? the plan; or nil, a reason and a message
---@field activity? fun(engine: rucat.Engine): { streams: integer, idle_for: rucat.Seconds? }? who uses it, nil: it does not know; may wait

-- ---- etc/rucat.lua is described where it is: every key in place ----
