-- spec/support/server.lua - a real `rucat serve` for a spec: on a port of its own, with a directory
-- of its own for state, configuration and scripts; gone without a trace at the end.
--
--     local s <close> = server.start({ scripts = { ["templates/x_local.lua"] = "return ..." } })
--     local status, engine = s:json("POST", "/v1/engines", { name = "a", type = "x" })
--     local code, out, err = s:cli("list")
--
-- Nothing here sleeps as a means of synchronisation: everything waits for a condition that can be
-- seen, with a deadline (`eventually`).

local server = {}
server.__index = server

server.build = os.getenv("SPEC_BUILD") or "build"
server.binary = server.build .. "/rucat"
server.sanitized = server.build:find("sanitize", 1, true) ~= nil

-- A template for tests: what the driver does comes from the engine's config.
server.TEMPLATE = [[
return { submit = function(engine, ctx)
  local c = engine.config
  return {
    driver = "process",
    argv = c.missing and { c.missing } or { "/bin/sh", "-c", c.run or "echo port 0; exec sleep 1000" },
    env = engine.env,
    ready = (c.ready or c.timeout or c.port) and {
      log = c.ready, tcp = c.tcp, port = c.port, timeout = c.timeout or 20,
    } or nil,
    stop = { signal = c.signal or "TERM", grace = c.grace or 5 },
  }
end }
]]

-- ---- small helpers ----

-- Calls fn until it gives something true, at most that many seconds; gives it.
function server.eventually(fn, seconds, what)
  local limit = rucat.clock.monotonic() + (seconds or 10) * (server.sanitized and 3 or 1)
  local last
  while true do
    local got, why = fn()
    if got then
      return got, why
    end
    last = why
    if rucat.clock.monotonic() > limit then
      error((what or "it") .. " has not come true in " .. (seconds or 10) .. " s"
        .. (last and ": " .. tostring(last) or ""), 2)
    end
    rucat.timer.sleep(0.02)
  end
end

-- Runs a program to its end: exit ({code=} or {signal=}), stdout, stderr.
function server.run(argv, options)
  local spec = { argv = argv, keep = 8 * 1024 * 1024 }
  for name, value in pairs(options or {}) do
    spec[name] = value
  end
  local timeout = spec.timeout or 60
  spec.timeout = nil
  local p = assert(rucat.process.spawn(spec))
  local exit, why = p:wait(timeout)
  local out, err = p:output()
  p:close()
  if not exit then
    error(table.concat(argv, " ") .. ": " .. why .. "\n" .. out .. err, 2)
  end
  return exit, out, err
end

function server.tempdir()
  local _, out = server.run({ "mktemp", "-d", (os.getenv("TMPDIR") or "/tmp") .. "/rucat-spec-XXXXXX" })
  return (out:gsub("\n$", ""))
end

function server.write(path, text)
  local dir = path:match("^(.*)/")
  local file = io.open(path, "w")
  if not file then
    server.run({ "mkdir", "-p", dir })
    file = assert(io.open(path, "w"))
  end
  assert(file:write(text))
  assert(file:close())
end

function server.read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a")
  if file then
    file:close()
  end
  return text
end

function server.exists(path)
  return (server.run({ "test", "-e", path })).code == 0
end

-- The processes whose environment or command line holds that text: { pid, ... }.
function server.processes(text)
  local _, out = server.run({ "ls", "/proc" })
  local list = {}
  for pid in out:gmatch("%f[^\n\0]%d+%f[\n]") do
    local words = (server.read("/proc/" .. pid .. "/environ") or "") .. "\0"
      .. (server.read("/proc/" .. pid .. "/cmdline") or "")
    local state = (server.read("/proc/" .. pid .. "/stat") or ""):match("^%d+ %(.*%) (%a)")
    if words:find(text, 1, true) and state ~= "Z" and state ~= "X" then
      list[#list + 1] = math.tointeger(tonumber(pid))
    end
  end
  return list
end

-- ---- start ----

local function lua_value(value)
  if type(value) == "table" then
    local parts = {}
    for key, item in pairs(value) do
      local left = type(key) == "string" and "[" .. ("%q"):format(key) .. "]=" or ""
      parts[#parts + 1] = left .. lua_value(item)
    end
    return "{" .. table.concat(parts, ", ") .. "}"
  end
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local function environment(self, extra)
  local env = { HOME = self.dir, LANG = "C.UTF-8" }
  for _, name in ipairs({ "ASAN_OPTIONS", "UBSAN_OPTIONS", "JAVA_HOME", "TMPDIR" }) do
    env[name] = os.getenv(name)
  end
  for name, value in pairs(extra or {}) do
    env[name] = value or nil
  end
  return env
end

-- Starts the process; does not wait for it.
function server:spawn(argv)
  local words = table.move(self.prefix, 1, #self.prefix, 1, {})
  table.move({ server.binary, "serve", "-c", self.config_file }, 1, 4, #words + 1, words)
  table.move(argv or {}, 1, #(argv or {}), #words + 1, words)
  os.remove(self.state_dir .. "/address")
  self.process = assert(rucat.process.spawn({
    argv = words, env = environment(self, self.env), keep = 16 * 1024 * 1024,
  }))
  self.pid = self.process:pid()
end

function server:wait_ready(seconds)
  server.eventually(function()
    local exit = self.process:wait(0)
    if exit then
      error("the server ended: " .. rucat.json.encode(exit) .. "\n" .. self:output(), 0)
    end
    self.address = (server.read(self.state_dir .. "/address") or ""):match("%S+")
    if not self.address then
      return false, "no address"
    end
    self.url = "http://" .. self.address
    local answer, why = rucat.http.request({ url = self.url .. "/readyz", timeout = 2 })
    return answer and answer.status == 200, answer and answer.body or why
  end, seconds or 15, "the server's readiness")
  return self
end

-- Writes scripts: { ["policies/x.lua"] = text, ... }; false removes one.
function server:scripts(files)
  for name, text in pairs(files) do
    if text then
      server.write(self.script_dir .. "/" .. name, text)
    else
      os.remove(self.script_dir .. "/" .. name)
    end
  end
end

-- The default budgets of time (src/core/config.h) for a build that is three times slower.
local function slow_budgets()
  local budgets = {}
  for kind, seconds in pairs({ load = 0.5, handler = 0.3, policy = 0.1, probe = 0.2, template = 0.2, timer = 0.2,
                               console = 0.5 }) do
    budgets[kind] = { time = 3 * seconds }
  end
  return budgets
end

-- Options: mode ("local"), config (a table laid over ours, or a whole text), scripts, env, template
-- (false: without "test_local.lua"), prefix (a program and its
-- arguments that start ours), wait (false: do not wait until it is ready).
function server.start(options)
  options = options or {}
  local dir = server.tempdir()
  local self = setmetatable({
    dir = dir,
    state_dir = dir .. "/s",
    script_dir = dir .. "/scripts",
    config_file = dir .. "/rucat.lua",
    env = options.env,
    prefix = options.prefix or {},
  }, server)
  local config = {
    mode = options.mode or "local",
    listen = "127.0.0.1:0",
    state_dir = self.state_dir,
    scripts = { self.script_dir },
    sail = { command = os.getenv("SPEC_SAIL") },
    watch = { mode = "off" }, -- a spec says when to reload; reload_spec.lua tries what is the default
    budgets = server.sanitized and slow_budgets() or nil,
  }
  server.write(self.script_dir .. "/templates/.keep", "")
  if options.template ~= false then
    self:scripts({ ["templates/test_local.lua"] = server.TEMPLATE })
  end
  self:scripts(options.scripts or {})
  if type(options.config) == "string" then
    server.write(self.config_file, options.config)
  else
    for key, value in pairs(options.config or {}) do
      config[key] = value
    end
    server.write(self.config_file, "return " .. lua_value(config) .. "\n")
  end
  self:spawn()
  if options.wait ~= false then
    local ok, why = pcall(self.wait_ready, self)
    if not ok then
      self:stop()
      error(why, 2)
    end
  end
  return self
end

-- ---- requests ----

-- One request; the whole answer { status, body, headers }.
function server:http(method, path, body, headers)
  return assert(rucat.http.request({
    url = self.url .. path, method = method, body = body, headers = headers, timeout = 60,
    max_body = 32 * 1024 * 1024,
  }))
end

-- One request with JSON: status, the decoded body (nil when it is no JSON), headers.
function server:json(method, path, value, headers)
  local all = {}
  for name, text in pairs(headers or {}) do
    all[name] = text
  end
  if value ~= nil then
    all["content-type"] = all["content-type"] or "application/json"
  end
  local body = type(value) == "string" and value or value ~= nil and rucat.json.encode(value) or nil
  local answer = self:http(method, path, body, all)
  return answer.status, (rucat.json.decode(answer.body)), answer.headers
end

function server:get(path)
  local status, value = self:json("GET", path)
  return status == 200 and value or nil, status
end

function server:engine(name)
  return self:get("/v1/engines/" .. name)
end

-- Bytes as they are, on a connection of their own; all that comes back.
function server:raw(bytes)
  local host, port = self.address:match("^(.*):(%d+)$")
  return assert(rucat.tcp.exchange(host, math.tointeger(tonumber(port)), bytes, 10))
end

-- Creates an engine (of the test template unless `type` says another); must be 201.
function server:create(body)
  body.type = body.type or "test"
  local status, engine = self:json("POST", "/v1/engines", body)
  if status ~= 201 then
    error("create answered " .. status .. ": " .. rucat.json.encode(engine), 2)
  end
  return engine
end

-- Waits until fits(engine) is true; the engine.
function server:until_engine(name, fits, seconds, what)
  return server.eventually(function()
    local engine = self:engine(name)
    if engine and fits(engine) then
      return engine
    end
    return false, engine and rucat.json.encode(engine) or "there is none"
  end, seconds or 10, what or name)
end

function server:until_state(name, state, reason, seconds)
  return self:until_engine(name, function(e)
    return e.state == state and (reason == nil or e.reason == reason)
  end, seconds, ("%s: %s (%s)"):format(name, state, reason or "any reason"))
end

function server:until_gone(name, seconds)
  return server.eventually(function()
    local _, status = self:engine(name)
    return status == 404, "still there"
  end, seconds or 10, name .. " being gone")
end

-- The command line client of this server: exit code, stdout, stderr. A last table is options.
function server:cli(...)
  local argv = { server.binary, ... }
  local options = type(argv[#argv]) == "table" and table.remove(argv) or {}
  local env = environment(self, { RUCAT_URL = self.url })
  for name, value in pairs(options.env or {}) do
    env[name] = value
  end
  local exit, out, err = server.run(argv, { env = env, input = options.input or "" })
  return exit.code or exit.signal, out, err
end

-- ---- the process ----

function server:output()
  local out, err = self.process:output()
  return out .. err
end

function server:signal(name)
  assert(self.process:kill(name))
end

function server:wait_exit(seconds)
  local exit, why = self.process:wait((seconds or 20) * (server.sanitized and 2 or 1))
  if not exit then
    error("the server: " .. why .. "\n" .. self:output(), 2)
  end
  return exit
end

-- SIGTERM, and how it ended.
function server:term(seconds)
  self:signal("TERM")
  return self:wait_exit(seconds)
end

function server:kill9()
  self:signal("KILL")
  return self:wait_exit()
end

function server:start_again(argv)
  self:check_output()
  self.process:close()
  self:spawn(argv)
  return self:wait_ready()
end

-- Asks for a new generation; the status and the report.
function server:reload()
  return self:json("POST", "/v1/admin/reload")
end

-- The processes of this server's engines, helpers too.
function server:drivers()
  local list = {}
  for _, pid in ipairs(server.processes(self.dir)) do
    if pid ~= self.pid then
      list[#list + 1] = pid
    end
  end
  return list
end

function server:until_no_driver(seconds)
  server.eventually(function()
    local list = self:drivers()
    return #list == 0, table.concat(list, " ")
  end, seconds or 10, "that no process of an engine is left")
end

-- What a sanitizer says is a failure wherever it is said: by the server, or by a rucat-engine.
function server:check_output()
  local text = self:output()
  if server.sanitized then
    text = text .. select(2, server.run({ "find", self.state_dir, "-name", "helper.log", "-exec", "cat",
                                          "{}", "+" }))
  end
  local at = text:find("AddressSanitizer", 1, true) or text:find("LeakSanitizer", 1, true)
    or text:find(": runtime error: ", 1, true)
  if at then
    error("the sanitizer complains:\n" .. text:sub(math.max(1, at - 200), at + 6000), 2)
  end
end

-- Ends it and all that belongs to it; raises when the sanitizer had something to say.
function server:stop()
  if self.stopped then
    return
  end
  self.stopped = true
  if not self.process:wait(0) then
    self.process:kill("TERM")
    if not self.process:wait(15) then
      self.process:kill("KILL")
      self.process:wait(5)
    end
  end
  for _ = 1, 50 do
    local list = self:drivers()
    if #list == 0 then
      break
    end
    for _, pid in ipairs(list) do
      server.run({ "kill", "-KILL", tostring(pid) })
    end
    rucat.timer.sleep(0.02)
  end
  local ok, why = pcall(self.check_output, self)
  self.process:close()
  if not os.getenv("SPEC_KEEP") then
    server.run({ "rm", "-rf", self.dir })
  end
  if not ok then
    error(why, 2)
  end
end

server.__close = function(self)
  self:stop()
end

return server
