-- What rucat-engine and the server do for each other when one of them is in trouble.

local server = require("support.server")
local ladder = require("support.ladder")

local null = rucat.json.null

-- status.json of an engine's epoch.
local function status_of(s, e)
  return rucat.json.decode(server.read(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch)) or "")
end

describe("supervision", function()
  local s

  setup(function() s = server.start(ladder.options()) end)
  teardown(function() s:stop() end)

  it("a stopped rucat-engine is continued to do what it is told", function()
    local e = ladder.create(s, "still", "closed", { grace = 20 })
    s:until_state("still", "Running")
    server.run({ "kill", "-STOP", tostring(status_of(s, e).helper.pid) })
    local _, after = s:json("POST", "/v1/engines/still/stop?wait=30s")
    assert.are.same({ "Stopped", "StoppedByUser", "SIGTERM" }, { after.state, after.reason, after.exit.signal })
    assert(s:output():find("still: rucat-engine does not answer (it is stopped): it is continued", 1, true))
    s:json("DELETE", "/v1/engines/still")
  end)

  it("the driver's cgroup is its own, and gone when it is", function()
    local e = ladder.create(s, "group", "closed", { grace = 20 })
    s:until_state("group", "Running")
    local status = status_of(s, e)
    if status.cgroup == null then
      pending("no cgroup2 that may be written")
      return
    end
    assert.are.equal(status.driver.pid .. "\n", server.read(status.cgroup .. "/cgroup.procs"))
    assert(status.cgroup:find("/rucat-" .. status.instance, 1, true))
    s:json("POST", "/v1/engines/group/stop?wait=20s")
    assert(not server.exists(status.cgroup))
    -- and where rucat-engine cannot remove it any more, the server does
    s:json("POST", "/v1/engines/group/start?wait=20s")
    e = s:engine("group")
    status = status_of(s, e)
    server.run({ "kill", "-KILL", tostring(status.helper.pid) })
    s:until_engine("group", function(x) return x.state == "Stopped" end)
    assert(not server.exists(status.cgroup))
    s:json("DELETE", "/v1/engines/group")
  end)

  it("leaves no zombie", function()
    for i = 1, 5 do
      ladder.create(s, "z" .. i, i % 2 == 0 and "closed" or "leave 3")
    end
    for i = 1, 5 do
      s:until_state("z" .. i, i % 2 == 0 and "Running" or "Stopped")
      s:json("DELETE", "/v1/engines/z" .. i)
      s:until_gone("z" .. i)
    end
    server.eventually(function()
      local _, out = server.run({ "ps", "-o", "stat=,args=", "--ppid", tostring(s.pid) })
      return not out:find("%f[%w]Z"), out
    end, 5, "that no zombie is left")
  end)
end)

describe("a full disk or a log that cannot be written", function()
  it("never stalls the driver, and what is lost is counted", function()
    local s <close> = server.start(ladder.options())
    local progress = s.dir .. "/progress"
    local e = ladder.create(s, "flood", "flood " .. progress, { grace = 5 })
    s:until_state("flood", "Running")
    -- the log, and its directory, are taken away
    local run = ("%s/engines/%s/%d"):format(s.state_dir, e.id, e.epoch)
    server.run({ "rm", "-rf", run .. "/log", run .. "/log.1" })
    server.run({ "mkdir", run .. "/log" })
    server.run({ "mkdir", run .. "/log.1" })
    server.write(run .. "/log.1/in-the-way", "x")
    local function written()
      return (string.unpack("<I8", server.read(progress)))
    end
    for _ = 1, 5 do
      local before = written()
      server.eventually(function() return written() > before + (1 << 20) end, 5, "that the driver writes on")
    end
    e = s:engine("flood")
    assert.are.equal("Running", e.state)
    s:json("POST", "/v1/engines/flood/stop?wait=20s")
  end)
end)
