-- spec/support/replicas.lua - several servers on one real SurrealDB.
--
--     local cluster <close> = replicas.start(2)
--     local a, b = cluster[1], cluster[2]
--     cluster:started("x")              -- { pid, ... } of all drivers that ever were, by "ENGINE EPOCH"

local server = require("support.server")
local surreal = require("support.surreal")

local replicas = { missing = surreal.missing }
replicas.__index = replicas

-- Seconds. Short, so that the specs are; long enough for a machine that is slow.
replicas.LEASE = server.sanitized and 6 or 2

-- Every driver leaves a line with its engine, epoch and pid, and says that it is up.
replicas.TEMPLATE = [[
return { submit = function(engine, ctx)
  local c = engine.config
  local script = 'echo "$1 $2 $$" >> "$3"; echo up on 4321; ' .. (c.run or "exec sleep 1000")
  return {
    driver = "process",
    argv = { "/bin/sh", "-c", script, "sh", engine.id, tostring(ctx.epoch), c.trace },
    ready = { log = "up on (%d+)", timeout = 20 },
    stop = { signal = "TERM", grace = 3 },
  }
end }
]]

-- A further server; options as server.start's.
function replicas:add(options)
  options = options or {}
  local config = self.db:config({
    listen = "127.0.0.1:0",
    monitor = { interval = 1, lease = replicas.LEASE },
    role = options.role,
    limits = { starts = 32 },
  }, { poll = 0.1 })
  for name, value in pairs(options.config or {}) do
    config[name] = value
  end
  local scripts = { ["templates/test_local.lua"] = replicas.TEMPLATE }
  for name, text in pairs(options.scripts or {}) do
    scripts[name] = text
  end
  local s = server.start({ mode = "remote", config = config, scripts = scripts, prefix = options.prefix,
                           template = false, wait = options.wait })
  self[#self + 1] = s
  return s
end

-- So many servers on a new database.
function replicas.start(n, options)
  local dir = server.tempdir()
  local self = setmetatable({ db = surreal.start(), dir = dir, trace = dir .. "/trace" }, replicas)
  local fine, why = pcall(function()
    for _ = 1, n do
      self:add(options)
    end
    if n > 0 then
      self:wait_all(n)
    end
  end)
  if not fine then
    self:stop()
    error(why, 2)
  end
  return self
end

-- The replica that a server is.
function replicas.id(s)
  return (server.read(s.state_dir .. "/replica") or ""):match("^%S+")
end

-- Waits until each of them knows of n that are alive, and its own lease holds.
function replicas:wait_all(n)
  for _, s in ipairs(self) do
    if not s.gone then
      self.until_alive(s, n)
    end
  end
end

function replicas.until_alive(s, n, seconds)
  server.eventually(function()
    local answer = s:http("GET", "/metrics").body
    return answer:find('rucat_replicas{state="alive"} ' .. n .. "\n", 1, true)
      and answer:find("rucat_lease_held 1\n", 1, true), answer:match("rucat_replicas[^\n]*\n")
  end, seconds or 4 * replicas.LEASE, n .. " replicas that are alive")
end

-- Creates an engine that leaves its trace.
function replicas:create(s, name, config)
  config = config or {}
  config.trace = self.trace
  return s:create({ name = name, config = config })
end

-- The pids of all drivers that ever were started: { ["ENGINE EPOCH"] = { pid, ... } }.
function replicas:started()
  local list = {}
  for engine, epoch, pid in (server.read(self.trace) or ""):gmatch("(%S+) (%d+) (%d+)\n") do
    local key = engine .. " " .. epoch
    list[key] = list[key] or {}
    table.insert(list[key], math.tointeger(tonumber(pid)))
  end
  return list
end

-- The one pid of that engine and epoch; raises when it was started more than once.
function replicas:pid(e, epoch)
  local pids = self:started()[e.id .. " " .. (epoch or e.epoch)] or {}
  assert(#pids == 1, ("epoch %d of %s was started %d times"):format(epoch or e.epoch, e.name, #pids))
  return pids[1]
end

-- No epoch of any engine was started twice.
function replicas:check_once()
  for key, pids in pairs(self:started()) do
    assert(#pids == 1, key .. " was started " .. #pids .. " times")
  end
end

function replicas.alive(pid)
  local stat = server.read("/proc/" .. pid .. "/stat")
  return stat ~= nil and not stat:match("^%d+ %(.*%) [ZX]")
end

-- Stops a server as it is (SIGSTOP), and lets it go on.
function replicas.pause(s)
  server.run({ "kill", "-STOP", tostring(s.pid) })
end

function replicas.go_on(s)
  server.run({ "kill", "-CONT", tostring(s.pid) })
end

-- kill -9, and not asked again.
function replicas.kill9(s)
  s:kill9()
  s.gone = true
end

function replicas:stop()
  local trouble
  for _, s in ipairs(self) do
    pcall(replicas.go_on, s)
    local fine, why = pcall(s.stop, s)
    trouble = trouble or not fine and why
  end
  self.db:stop()
  if not os.getenv("SPEC_KEEP") then
    server.run({ "rm", "-rf", self.dir })
  end
  if trouble then
    error(trouble, 2)
  end
end

replicas.__close = function(self)
  self:stop()
end

return replicas
