-- Health probes against services that answer late, by half, or that are somebody else's.

local server = require("support.server")

local sail = os.getenv("SPEC_SAIL") or ""

-- The shipped probe, more often and less patient.
local HEALTH = [[
local spark_connect = require("rucat.spark_connect")
return {
  interval = 0.2, timeout = 1.5, failures = 2,
  probe = function(engine)
    local port = tonumber(engine.endpoint:match(":(%d+)$"))
    local ok, why = rucat.tcp.connect("127.0.0.1", port, 1)
    if ok then
      ok, why = spark_connect.answers("127.0.0.1", port, engine.labels.patience and tonumber(engine.labels.patience) or 5)
    end
    if ok then return true end
    return false, why
  end,
  unhealthy = function(engine, why) return engine.labels.then_do or "ignore" end,
}]]

local PLAIN = HEALTH:gsub("rucat.tcp.connect.-\n", "true\n"):gsub("spark_connect.answers%(", "rucat.tcp.connect("):gsub(
  "interval = 0.2", "interval = 0.5")

-- Starts one: { process, ports, set(text) }.
local function faulty(dir, count, target)
  local path = dir .. "/faulty"
  local function set(text)
    server.write(path .. ".new", text .. "\n")
    assert(os.rename(path .. ".new", path))
  end
  set("silent")
  local process = assert(rucat.process.spawn({ argv = { "/usr/bin/python3", "spec/support/faulty.py", path,
    tostring(count), target and tostring(target) or nil } }))
  local ports = {}
  server.eventually(function()
    ports = {}
    for port in process:output():gmatch("port (%d+)\n") do
      ports[#ports + 1] = math.tointeger(tonumber(port))
    end
    return #ports == count, (select(2, process:output()))
  end, 20, "its ports")
  return setmetatable({ process = process, ports = ports, set = set, log = path .. ".log" }, {
    __close = function() process:close() end })
end

-- Closing it kills it.
local function start_sail()
  local process = assert(rucat.process.spawn({ argv = { sail, "spark", "server", "--ip", "127.0.0.1", "--port", "0" } }))
  local port = server.eventually(function()
    local out, err = process:output()
    return (out .. err):match("127%.0%.0%.1:(%d+)%.%.%.")
  end, 20, "sail")
  return process, math.tointeger(tonumber(port))
end

describe("a probe", function()
  local function watched(s, name, port, labels)
    return s:create({ name = name, type = "spark", platform = "external", labels = labels,
      endpoint = "sc://127.0.0.1:" .. port })
  end

  it("of what is slow, half-open, or another service tells what is wrong, and that it is right again", function()
    if sail == "" then
      pending("sail: SPEC_SAIL is not set")
      return
    end
    local process <close>, port = start_sail()
    assert(process)
    local s <close> = server.start({ scripts = { ["policies/health.lua"] = HEALTH } })
    local proxy <close> = faulty(s.dir, 1, port)
    proxy.set("pass")
    watched(s, "e", proxy.ports[1])
    local function healthy()
      s:until_engine("e", function(e) return e.health == "healthy" and e.message == "" end, 20)
    end
    for _, case in ipairs({
      { "slow 300", nil },
      { "slow 20000", "the probe did not answer within 1.5 seconds" },
      { "silent", "the probe did not answer within 1.5 seconds" },
      { "gone", "the probe did not answer within 1.5 seconds" },
      { "reset", "" },
      { "http", "" },
      { "other", "grpc-status 12" },
    }) do
      healthy()
      proxy.set(case[1])
      if case[2] then
        local e = s:until_engine("e", function(e) return e.health == "unhealthy" end, 30, case[1])
        assert.matches(case[2], e.message, 1, true)
        assert(#e.message > 5)
        assert.same({ "Running", 1 }, { e.state, e.epoch })
        proxy.set("pass")
      else -- late is not wrong
        local _, before = (server.read(proxy.log) or ""):gsub("\n", "")
        server.eventually(function()
          return select(2, server.read(proxy.log):gsub("\n", "")) > before + 6
        end, 30, "some probes")
        assert.equal("healthy", s:engine("e").health)
        proxy.set("pass")
      end
    end
    healthy()
  end)

  it("that hangs delays no other", function()
    local count, hang = 64, 8
    local s <close> = server.start({ scripts = { ["policies/health.lua"] = HEALTH }, config = { limits = { probes = 8 } } })
    local proxy <close> = faulty(s.dir, count)
    local lines = {}
    for i = 1, hang do
      lines[i] = i .. " silent"
    end
    proxy.set(table.concat(lines, "\n") .. "\nother")
    for i = 1, count do
      watched(s, "e" .. i, proxy.ports[i])
    end
    local function probed()
      local times = {}
      for number in (server.read(proxy.log) or ""):gmatch("conn (%d+)") do
        times[tonumber(number)] = (times[tonumber(number)] or 0) + 1
      end
      return times
    end
    -- Until all that hang are known to, they take turns with the others.
    server.eventually(function()
      local times = probed()
      for i = 1, hang do
        if (times[i] or 0) < 5 then
          return false, i .. " has not been asked"
        end
      end
      return true
    end, 60)
    local before = probed()
    server.eventually(function() -- two more of one that hangs
      return probed()[1] >= before[1] + 4
    end, 60)
    local after = probed()
    local least, most_hanging = math.huge, 0
    for i = 1, count do
      local times = (after[i] or 0) - (before[i] or 0)
      if i > hang then
        least = math.min(least, times)
      else
        most_hanging = math.max(most_hanging, times)
      end
    end
    -- Two connections a probe; one that hangs needs 1.7 s for each, the others 0.2 s.
    assert(least > 2 * most_hanging, ("%d against %d"):format(least, most_hanging))
  end)
end)

describe("the port of an engine", function()
  it("that another process has taken is noticed, whatever answers there", function()
    local s <close> = server.start({
      scripts = { ["policies/health.lua"] = PLAIN, ["templates/faulty_local.lua"] = [[return { submit = function(e, ctx)
        return { argv = { "/usr/bin/python3", e.config.program, ctx.run .. "/faulty" }, files = { faulty = "silent" },
          ready = { log = "port (%d+)" }, stop = { signal = "KILL" } }
        end }]] } })
    local _, here = server.run({ "pwd" })
    s:create({ name = "e", type = "faulty", config = { program = here:gsub("\n", "") .. "/spec/support/faulty.py" },
      labels = { then_do = "restart" } })
    local e = s:until_engine("e", function(x) return x.health == "healthy" end, 20)
    local port = e.endpoint:match(":(%d+)$")
    local pid = rucat.json.decode(server.read(("%s/engines/%s/1/status.json"):format(s.state_dir, e.id))).driver.pid
    server.run({ "kill", "-TERM", tostring(pid) })
    server.eventually(function()
      return s:http("GET", "/v1/engines/e/logs").body:find("closed", 1, true)
    end, 10)
    local thief <close> = assert(rucat.process.spawn({ argv = { "/usr/bin/python3", "-c", ([[
import socket, time
s = socket.create_server(("127.0.0.1", %s), reuse_port=False)
print("mine", flush=True)
time.sleep(1000)]]):format(port) } }))
    server.eventually(function() return thief:output() == "mine\n", (select(2, thief:output())) end, 10)
    local after = s:until_engine("e", function(x) return x.epoch == 2 and x.health == "healthy" end, 30)
    assert.are_not.equal(e.endpoint, after.endpoint)
    local told
    for _, event in ipairs(s:get("/v1/engines/e/events").events) do
      told = told or event.kind == "policy" and event.message
    end
    assert.matches("restart: port " .. port .. " is not its own any more: process " .. thief:pid() .. " (python3", told,
      1, true)
  end)
end)
