-- spec/support/surreal.lua - a real SurrealDB for a spec: on a port of its own, in memory or on a
-- directory of its own; can be killed and started again on the same port and data.
--
--     local db <close> = surreal.start({ storage = "file" })
--     local s <close> = server.start({ mode = "remote", config = db:config() })
--     db:kill9()
--     db:start_again()
--     local rows = db:sql("SELECT * FROM engine")[1].result
--
-- SPEC_SURREAL is the command (`surreal`, or spec/support/surreal_node/surreal, which is the same engine
-- from npm); without it the one that test.sh has put into the cache. `surreal.missing` is why there is
-- none, else nil; `surreal.what` says which it is, once one has run.

local server = require("support.server")

local surreal = {}
surreal.__index = surreal

surreal.user, surreal.password = "root", "a 'quoted' wörd"

local function find()
  local name = os.getenv("SPEC_SURREAL") or ""
  if name == "" then
    local cache = os.getenv("RUCAT_CACHE")
      or (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or "/tmp") .. "/.cache") .. "/rucat"
    name = cache .. "/surreal/surreal"
  end
  local file = io.open(name, "rb")
  if file then
    file:close()
    return name
  end
  return nil, name .. " is not there (SPEC_SURREAL)"
end

local command, missing = find()
surreal.command, surreal.missing = command, missing

-- True where the engine runs behind the stand-in for HTTP: what only the server itself does (texts of
-- refusals, limits) is not the same there.
surreal.stand_in = command ~= nil and command:find("surreal_node", 1, true) ~= nil

-- Says once which it is.
local function tell(self)
  if not surreal.what then
    surreal.what = assert(rucat.http.request({ url = self.url .. "/version" })).body
      .. (surreal.stand_in and ", the engine of npm @surrealdb/node" or "")
    io.write("# SurrealDB is ", surreal.what, " (", command, ")\n")
    io.flush()
  end
end

-- A port that nobody listens on, below those that the kernel gives to clients: nobody gets it by chance
-- while the database is down.
function surreal.free_port()
  local _, out = server.run({ "/usr/bin/python3", "-c", [[
import random, socket
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", random.randrange(20000, 32000)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
]] })
  return math.tointeger(tonumber(out))
end

function surreal:spawn()
  local argv = { command, "start", "--bind", "127.0.0.1:" .. self.port, "--user", surreal.user, "--pass",
                 surreal.password, "--log", "warn", self.storage }
  local env = { HOME = self.dir, PATH = os.getenv("PATH") }
  for _, name in ipairs({ "RUCAT_CACHE", "XDG_CACHE_HOME", "SPEC_SURREAL_NODE" }) do
    env[name] = os.getenv(name)
  end
  env.SPEC_SURREAL_NODE = env.SPEC_SURREAL_NODE or (os.getenv("RUCAT_CACHE")
    or (os.getenv("XDG_CACHE_HOME") or (os.getenv("HOME") or "/tmp") .. "/.cache") .. "/rucat") .. "/surreal-node"
  self.process = assert(rucat.process.spawn({ argv = argv, env = env, keep = 1024 * 1024 }))
  self.pid = self.process:pid()
end

function surreal:output()
  local out, err = self.process:output()
  return out .. err
end

-- Waits until it answers; false when its process has ended (the port was taken).
function surreal:wait_ready()
  return server.eventually(function()
    if self.process:wait(0) then
      return true
    end
    local answer, why = rucat.http.request({ url = self.url .. "/health", timeout = 2, fresh = true })
    return answer and answer.status == 200, why or answer.status
  end, 30, "SurrealDB's /health") and not self.process:wait(0)
end

-- Options: storage ("memory", or "file": a directory of its own), port, wait (false: does not wait).
function surreal.start(options)
  assert(command, surreal.missing)
  options = options or {}
  local dir = server.tempdir()
  local self = setmetatable({ dir = dir, user = surreal.user, password = surreal.password }, surreal)
  self.storage = options.storage == "file" and "surrealkv://" .. dir .. "/data" or "memory"
  self.password_file = dir .. "/password"
  server.write(self.password_file, self.password .. "\n")
  server.run({ "chmod", "600", self.password_file })
  for try = 1, 5 do
    self.port = options.port or surreal.free_port()
    self.url = "http://127.0.0.1:" .. self.port
    self:spawn()
    if options.wait == false then
      return self
    end
    if self:wait_ready() then
      tell(self)
      return self
    end
    local text = self:output()
    self.process:close()
    if try == 5 or options.port then
      self.stopped = true
      server.run({ "rm", "-rf", dir })
      error("SurrealDB ended: " .. text, 2)
    end
  end
end

-- ---- what it is asked ----

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  return (text:gsub("..?.?", function(three)
    local a, b, c = three:byte(1, 3)
    local bits, out = a << 16 | (b or 0) << 8 | (c or 0), ""
    for i = 0, 3 do
      local at = bits >> (18 - 6 * i) & 63
      out = out .. (i <= #three and LETTERS:sub(at + 1, at + 1) or "=")
    end
    return out
  end))
end

-- Runs text; a list of { status =, result = }, one for each statement. As the root user, in the
-- namespace and database "rucat" unless others are named. For looking, and for what people do by hand.
function surreal:sql(text, namespace, database)
  local answer = assert(rucat.http.request({
    url = self.url .. "/sql", method = "POST", body = text, timeout = 30, fresh = true,
    headers = {
      accept = "application/json", authorization = "Basic " .. base64(self.user .. ":" .. self.password),
      ["surreal-ns"] = namespace or "rucat", ["surreal-db"] = database or "rucat",
    },
  }))
  local list = rucat.json.decode(answer.body)
  if answer.status ~= 200 or not list then
    error(("SurrealDB answered %d: %s"):format(answer.status, answer.body), 2)
  end
  return list
end

-- The first statement's result; raises when it failed.
function surreal:ask(text, namespace, database)
  local list = self:sql(text, namespace, database)
  for _, one in ipairs(list) do
    if one.status ~= "OK" then
      error(("SurrealDB: %s: %s"):format(text, tostring(one.result)), 2)
    end
  end
  return list[#list].result
end

-- The keys that a `rucat serve` needs for it; `through` is another way there (a proxy's port), `store` is
-- laid over its part.
function surreal:config(config, store, through)
  local all = { mode = "remote" }
  for name, value in pairs(config or {}) do
    all[name] = value
  end
  all.store = {
    kind = "surreal", url = "http://127.0.0.1:" .. (through or self.port), user = self.user,
    password_file = self.password_file,
  }
  for name, value in pairs(store or {}) do
    all.store[name] = value
  end
  return all
end

-- ---- its process ----

function surreal:kill9()
  self.process:kill("KILL")
  assert(self.process:wait(20))
end

-- Stops it without closing what is connected to it: it takes connections and answers nothing.
function surreal:pause()
  server.run({ "kill", "-STOP", tostring(self.pid) })
end

function surreal:go_on()
  server.run({ "kill", "-CONT", tostring(self.pid) })
end

-- On the same port, with the data it had (in memory: with none).
function surreal:start_again()
  if not self.process:wait(0) then
    self.process:kill("TERM")
    if not self.process:wait(20) then
      self:kill9()
    end
  end
  self.process:close()
  self:spawn()
  assert(self:wait_ready(), "SurrealDB did not come back")
end

function surreal:stop()
  if self.stopped then
    return
  end
  self.stopped = true
  if not self.process:wait(0) then
    self.process:kill("KILL") -- also when it is paused
    self.process:wait(20)
  end
  self.process:close()
  server.run({ "rm", "-rf", self.dir })
end

surreal.__close = function(self)
  self:stop()
end

return surreal
