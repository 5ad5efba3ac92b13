-- rucat.lua: the configuration. A Lua file that returns a table; every key stands here with its
-- default. An unknown key is an error that names the file and the line.
--
-- The environment overrides a key (RUCAT_LISTEN, RUCAT_SPARK_HOME, RUCAT_LOG_LEVEL: nested keys are
-- joined by _), the command line overrides both. Durations are seconds, sizes are bytes. Keys marked
-- (live) are taken over by a reload; the others need a restart.

return {
  -- "local": engines live on without the server and are adopted by the next one.
  -- "embedded": engines end with the server, nothing is kept.
  -- "remote": as local, with SurrealDB as the store, which many servers may share (docs/modes.md).
  mode = "local",

  -- Where the REST API listens. Anything but a loopback address needs auth = "none" written out.
  listen = "127.0.0.1:3000",

  -- auth = "none",

  -- Where engines, logs and the store are kept. Default: /var/lib/rucat as root, else
  -- $XDG_STATE_HOME/rucat or ~/.local/state/rucat; embedded: a private temporary directory.
  -- state_dir = "/var/lib/rucat",

  -- What a request that names no type or platform means. (live)
  defaults = { type = "spark", platform = "local" },

  -- Which roles this process has: "server" (REST, console) and "monitor" (reconcile). Both, unless
  -- said otherwise; one alone needs mode "remote".
  role = { "server", "monitor" },

  -- Mode remote: where the other replicas reach this one, as "http://10.0.0.5:3000". Default: where it
  -- listens.
  -- peer_url = "http://rucat-0.rucat:3000",

  -- The store. Modes embedded and local: a SQLite file, by default rucat.db in the state directory.
  -- Mode remote: SurrealDB, kind = "surreal", with a user who may define tables there; the password is
  -- the first line of a file, never written here.
  store = {
    -- kind = "sqlite", path = "/var/lib/rucat/rucat.db",
    -- kind = "surreal", url = "http://127.0.0.1:8000", user = "rucat", password_file = "/etc/rucat/password",
    -- ca_file = "/etc/rucat/ca.pem", -- who signed its certificate, where the system does not know them
    namespace = "rucat",
    database = "rucat",
    connect_time = 15, -- seconds that a start waits for a database that is not there yet
    poll = 0.25,       -- seconds between two looks at what other replicas have changed
    resync = 30,       -- seconds between two comparisons of everything, heartbeats among it
  },

  spark = { -- (live)
    -- home = "/opt/spark",                          -- default: SPARK_HOME
    -- homes = { ["4.1"] = "/opt/spark-4.1" },       -- for engines that ask for a version
    -- java_home = "/usr/lib/jvm/default-java",      -- default: JAVA_HOME
    -- master = "local[*]",
  },

  sail = { command = "sail" }, -- (live) PyPI package pysail

  -- Anything here is handed to templates as ctx.config.templates. (live)
  templates = {},

  -- The socket of `rucat console`, mode 0600; a relative path is below state_dir.
  -- console = "console",

  -- Your own script directories; a file there shadows the shipped one of the same relative path.
  scripts = {
    -- "/etc/rucat/lua",
  },

  -- Script directories and this file are watched; what changes is live at once, if nothing is wrong.
  watch = { -- (live)
    mode = "auto", -- "poll": look now and then, as "auto" does where watching is not to be had
    interval = 5,  -- seconds between two looks then; "off": rucat reload, SIGHUP and so on only
  },

  monitor = {
    interval = 10, -- seconds between heartbeats
    lease = 15,    -- mode remote: seconds after which a replica that is not heard of counts as dead
  },

  limits = {
    engines = 10000,
    connections = 10000,
    head = 16384,          -- bytes of a request's head
    body = 1048576,        -- bytes of a request's body
    head_time = 10,        -- seconds
    body_time = 30,
    idle_time = 60,        -- of a kept connection
    drain = 10,            -- for requests in flight when the server stops (live)
    starts = 0,            -- drivers that may be starting at once; 0: twice the processors, at least 4 (live)
    probes = 64,           -- health probes at once, and as many again of engines that took long the last time (live)
    lua_memory = 67108864, -- bytes of one script generation (live)
    jobs = 10000,          -- requests, policy calls, timers at once (live)
    state = 4194304,       -- bytes of what scripts keep in rucat.state (live)
    state_keys = 10000,    -- values there (live)
    log_file = 67108864,   -- bytes of a driver's log before it is rotated; one older is kept (live, for all drivers)
    handler_time = 330,    -- seconds that a handler may wait for its answer, all in all (live)
    stall = 5,             -- seconds that the loop may stand still before the server starts itself
                           -- again in its own process; 0: for ever (live)
  },

  -- What one call of a script may use: seconds of CPU time, instructions (as far as they are
  -- counted: docs/lua.md), bytes that it keeps. At half there is a line in the log, at the whole it
  -- is stopped. 0: no bound. Waiting costs nothing. (live)
  budgets = {
    load     = { time = 0.5, instructions = 1e8, memory = 33554432 }, -- a file, while it is loaded
    handler  = { time = 0.3, instructions = 1e8, memory = 33554432 }, -- a request
    policy   = { time = 0.1, instructions = 2e7, memory = 8388608 },
    probe    = { time = 0.2, instructions = 5e7, memory = 16777216 }, -- of policies/health.lua
    template = { time = 0.2, instructions = 5e7, memory = 16777216 },
    timer    = { time = 0.2, instructions = 5e7, memory = 33554432 }, -- a call of its function
    console  = { time = 0.5, instructions = 2e8, memory = 33554432 }, -- a line
  },

  log = {
    level = "info",  -- debug, info, warn, error (live)
    format = "auto", -- text on a terminal, json elsewhere; or "text", "json"
    groups = {},     -- { store = "debug" } (live)
  },
}
