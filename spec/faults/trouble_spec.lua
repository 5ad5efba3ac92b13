-- What the machine may do to us: processes that cannot be killed, rucat-engines that hang, no more
-- descriptors, processes or disk; and signals in the middle of a start.

local server = require("support.server")
local ladder = require("support.ladder")

local null = rucat.json.null
local MISBEHAVE = server.build .. "/fixtures/misbehave"

local function run_dir(s, e)
  return ("%s/engines/%s/%d"):format(s.state_dir, e.id, e.epoch)
end

local function status_of(s, e)
  return rucat.json.decode(server.read(run_dir(s, e) .. "/status.json") or "") or {}
end

describe("a rucat-engine that hangs", function()
  it("is done without, and the driver ends", function()
    -- the first request is hello; the second, stop, is never answered
    local s <close> = server.start(ladder.options({ FAILPOINTS_ENGINE = "re.rpc.request=delay:1000000@2" }))
    ladder.create(s, "x", "leader 5", { grace = 1 })
    s:until_state("x", "Running")
    local _, e = s:json("POST", "/v1/engines/x/stop?wait=60s")
    assert.are.same({ "Stopped", "Stopped", "StoppedByUser" }, { e.state, e.desired, e.reason })
    assert.are.same({ null, null }, { e.exit.code, e.exit.signal }) -- nobody knows
    assert.are.same({}, s:drivers())
    local log = s:output()
    for _, what in ipairs({ "it is continued", "its driver is signalled by the server", "it is killed" }) do
      assert(log:find("x: rucat-engine does not answer: " .. what, 1, true), what)
    end
  end)
end)

describe("a driver that cannot be killed", function()
  it("is KillIncomplete as long as it is there, and Stopped after that", function()
    local s <close> = server.start(ladder.options())
    local dir = s.dir .. "/hang"
    server.run({ "mkdir", dir })
    local fuse <close> = setmetatable({ p = assert(rucat.process.spawn({
      argv = { server.build .. "/fixtures/fuse_hang", dir } })) }, {
      __close = function(self)
        self.p:kill("KILL")
        self.p:wait(5)
        self.p:close()
        server.run({ "umount", "-l", dir })
      end })
    local mounted = server.eventually(function()
      local exit = fuse.p:wait(0)
      return (fuse.p:output()):find("mounted", 1, true) and "yes" or exit and "no"
    end, 10, "the mount")
    if mounted == "no" then
      pending("no FUSE file system may be mounted")
      return
    end
    ladder.create(s, "x", "look " .. dir .. "/nothing", { grace = 0.1 })
    local e = s:until_state("x", "Running")
    local pid = status_of(s, e).driver.pid
    server.eventually(function()
      return (server.read("/proc/" .. pid .. "/wchan") or ""):find("request_wait", 1, true)
    end, 5, "that it hangs")
    s:json("POST", "/v1/engines/x/stop")
    e = s:until_engine("x", function(x) return x.reason == "KillIncomplete" end, 30)
    assert.are.same({ "Running", "Stopped" }, { e.state, e.desired })
    assert(#server.processes(dir .. "/nothing") > 0) -- it is true
    fuse.p:kill("KILL") -- the file system lets go
    e = s:until_engine("x", function(x) return x.state == "Stopped" end, 30)
    assert.are.equal("StoppedByUser", e.reason)
    assert(e.exit.signal == "SIGKILL" or e.exit.signal == "SIGTERM") -- whichever it meets first
  end)
end)

describe("a signal in the middle of a start", function()
  -- between fork and exec of the driver there is a second in which things happen
  local function start_slowly()
    local s = server.start(ladder.options({ FAILPOINTS_ENGINE = "re.child.exec=delay:1000" }))
    local e = ladder.create(s, "x", "closed", { grace = 5 })
    server.eventually(function() return status_of(s, e).driver end, 10, "the fork")
    return s, e
  end

  it("TERM to the server: the driver comes up under the next one", function()
    local s <close>, e = start_slowly()
    assert.are.same({ code = 0 }, s:term())
    local pid = status_of(s, e).driver.pid
    s.env = {}
    s:start_again()
    e = s:until_state("x", "Running")
    assert.are.same({ 1, pid }, { e.epoch, status_of(s, e).driver.pid })
  end)

  it("TERM to rucat-engine: it ends, and the engine's start is over", function()
    local s <close>, e = start_slowly()
    server.run({ "kill", "-TERM", tostring(status_of(s, e).helper.pid) })
    e = s:until_engine("x", function(x) return x.state == "Stopped" end, 20)
    assert.are.equal("SIGTERM", e.exit.signal)
    assert.are.same({}, s:drivers())
  end)

  it("KILL to rucat-engine: nothing is ever executed", function()
    local s <close>, e = start_slowly()
    local status = status_of(s, e)
    server.run({ "kill", "-KILL", tostring(status.helper.pid) })
    e = s:until_engine("x", function(x) return x.state == "Stopped" end, 20)
    assert.are.same({ null, null }, { e.exit.code, e.exit.signal })
    assert.are.same({}, s:drivers())
    assert.is_nil(server.read(run_dir(s, e) .. "/log"):find("ready", 1, true))
  end)

  it("stop over the API: it never becomes Running", function()
    local s <close> = start_slowly()
    local _, e = s:json("POST", "/v1/engines/x/stop?wait=20s")
    assert.are.same({ "Stopped", "StoppedByUser" }, { e.state, e.reason })
    assert.are.same({}, s:drivers())
  end)
end)

describe("no more of", function()
  it("descriptors: what cannot be started says so, and all is well when there are some again", function()
    local s <close> = server.start(ladder.options())
    ladder.create(s, "first", "closed", { grace = 5 })
    s:until_state("first", "Running")
    local _, list = server.run({ "ls", "/proc/" .. s.pid .. "/fd" })
    local most = 0
    for fd in list:gmatch("%d+") do
      most = math.max(most, tonumber(fd))
    end
    local limit = most + 4
    server.run({ "prlimit", "--pid", tostring(s.pid), ("--nofile=%d:20000"):format(limit) })
    -- it answers, or refuses; it does not end
    for i = 1, 6 do
      rucat.http.request({ url = s.url .. "/v1/engines", method = "POST", timeout = 5,
        headers = { ["content-type"] = "application/json" }, body = rucat.json.encode({
          name = "n" .. i, type = "bad", config = { program = MISBEHAVE, args = "closed", grace = 5 } }) })
    end
    server.run({ "prlimit", "--pid", tostring(s.pid), "--nofile=20000:20000" })
    assert.is_nil((s.process:wait(0)))
    assert.are.equal("Running", s:engine("first").state)
    for i = 1, 6 do
      local e = s:engine("n" .. i)
      if e then
        s:json("POST", "/v1/engines/n" .. i .. "/start?wait=20s")
        s:until_state("n" .. i, "Running", nil, 20)
      end
    end
    ladder.create(s, "last", "closed", { grace = 5 })
    s:until_state("last", "Running")
  end)

  it("processes: EAGAIN from fork, in the server and in rucat-engine, is StartFailed with the reason", function()
    for _, env in ipairs({ { FAILPOINTS = "helper.spawn=error:11@1" }, { FAILPOINTS_ENGINE = "re.fork=error:11" } }) do
      local s <close> = server.start(ladder.options(env))
      ladder.create(s, "x", "closed")
      local e = s:until_engine("x", function(x) return x.state == "Stopped" end)
      assert.are.equal("StartFailed", e.reason)
      assert(e.message:find("temporarily unavailable", 1, true), e.message)
      assert.are.same({}, s:drivers())
    end
  end)

  it("disk: drivers run on, what is lost is counted, the store says 503 and comes back", function()
    local dir = server.tempdir()
    if server.run({ "mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", dir }).code ~= 0 then
      server.run({ "rmdir", dir })
      pending("no tmpfs may be mounted")
      return
    end
    local mounted <close> = setmetatable({}, { __close = function() -- luacheck: ignore
      server.run({ "umount", "-l", dir })
      server.run({ "rmdir", dir })
    end })
    local options = ladder.options()
    options.config = { state_dir = dir .. "/s", monitor = { interval = 1 } }
    options.wait = false
    local s <close> = server.start(options)
    s.state_dir = dir .. "/s"
    s:wait_ready()
    local progress = s.dir .. "/progress"
    local e = ladder.create(s, "flood", "flood " .. progress, { grace = 5 })
    s:until_state("flood", "Running")
    local function written()
      return (string.unpack("<I8", server.read(progress)))
    end
    server.eventually(function() return written() > 16 << 20 end, 20, "that the disk is full")
    server.eventually(function()
      return s:output():find("flood: its log cannot be written, output is dropped", 1, true)
    end, 10, "that the loss is told")
    assert(status_of(s, e).dropped == nil or status_of(s, e).dropped >= 0)
    local before = written()
    server.eventually(function() return written() > before + (4 << 20) end, 10, "that the driver writes on")
    local status = s:json("POST", "/v1/engines", { name = "more", type = "bad",
      labels = { text = ("x"):rep(60000) }, config = { program = MISBEHAVE, args = "closed", more = ("y"):rep(900000) } })
    assert(status == 503 or status == 201 or status == 422, tostring(status))
    assert.are.equal("Running", s:engine("flood").state)
    -- There is room until the flood has filled it again.
    local stopped = server.eventually(function()
      server.run({ "sh", "-c", ": > " .. run_dir(s, e) .. "/log" })
      local code, answer = s:json("POST", "/v1/engines/flood/stop?wait=20s")
      assert(code == 202 or code == 503, tostring(code))
      return code == 202 and answer.state == "Stopped" and answer, rucat.json.encode(answer)
    end, 30)
    assert.are.same({ "Stopped", "SIGTERM" }, { stopped.state, stopped.exit.signal })
    assert(status_of(s, e).dropped > 0)
    ladder.create(s, "after", "closed", { grace = 5 })
    s:until_state("after", "Running")
    s:json("POST", "/v1/engines/after/stop?wait=20s")
  end)
end)

describe("a log that may not be written", function()
  it("(chattr +i) does not stall its driver", function()
    local s <close> = server.start(ladder.options())
    local progress = s.dir .. "/progress"
    local e = ladder.create(s, "x", "flood " .. progress, { grace = 5 })
    s:until_state("x", "Running")
    local log = run_dir(s, e) .. "/log"
    if server.run({ "chattr", "+i", log }).code ~= 0 then
      pending("no file can be made immutable here")
      return
    end
    local before = string.unpack("<I8", server.read(progress))
    local fine, why = pcall(server.eventually, function()
      return string.unpack("<I8", server.read(progress)) > before + (8 << 20)
    end, 10, "that the driver writes on")
    server.run({ "chattr", "-i", log })
    assert(fine, why)
  end)
end)
