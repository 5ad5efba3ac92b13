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

  it("finds many drivers again after kill -9, each once", function()
    local n = server.sanitized and 15 or 100
    local s2 <close> = server.start(ladder.options())
    local pids = {}
    for i = 1, n do
      ladder.create(s2, "m" .. i, "closed", { grace = 5 })
    end
    for i = 1, n do
      local e = s2:until_state("m" .. i, "Running", nil, 60)
      pids[e.id] = status_of(s2, e).driver.pid
    end
    s2:kill9()
    s2:start_again()
    server.eventually(function() return s2:output():find("looked for " .. n .. " drivers: ", 1, true) end, 20, "all")
    for i = 1, n do
      local e = s2:engine("m" .. i)
      assert.are.same({ "Running", 1, pids[e.id] }, { e.state, e.epoch, status_of(s2, e).driver.pid })
    end
    assert.are.equal(2 * n, #s2:drivers())
    s2:json("POST", "/v1/engines/m1/stop?wait=20s")
    assert.are.equal(2 * n - 2, #s2:drivers())
  end)

  it("cycles of start and stop leave descriptors, memory and children as they were", function()
    local s2 <close> = server.start(ladder.options())
    for i = 1, 4 do
      ladder.create(s2, "c" .. i, "closed", { grace = 5 })
    end
    local function cycles(n)
      local left, failed = 4, nil
      for i = 1, 4 do
        rucat.timer.after(0, function()
          local fine, why = pcall(function()
            for _ = 1, n do
              assert.are.equal(202, (s2:json("POST", "/v1/engines/c" .. i .. "/start?wait=20s")))
              assert.are.equal(202, (s2:json("POST", "/v1/engines/c" .. i .. "/stop?wait=20s")))
            end
          end)
          left, failed = left - 1, failed or not fine and why
        end)
      end
      server.eventually(function() return left == 0 end, 120, "the end of the cycles")
      assert(not failed, failed)
    end
    local function look()
      local _, fds = server.run({ "ls", "/proc/" .. s2.pid .. "/fd" })
      local _, children = server.run({ "ps", "-o", "pid=", "--ppid", tostring(s2.pid) })
      local rss = (server.read("/proc/" .. s2.pid .. "/status") or ""):match("\nVmRSS:%s*(%d+)")
      return select(2, fds:gsub("\n", "")), select(2, children:gsub("\n", "")), tonumber(rss)
    end
    cycles(server.sanitized and 3 or 10) -- the history of an engine is full, pools are warm
    local fds, _, rss = look()
    cycles(server.sanitized and 5 or 60)
    local fds2, children, rss2
    server.eventually(function()
      fds2, children, rss2 = look()
      return fds2 <= fds + 2 and children == 0, ("%d to %d descriptors, %d children"):format(fds, fds2, children)
    end, 10, "that nothing is left")
    if not server.sanitized then
      assert(rss2 - rss < 4096, ("VmRSS from %d to %d kB"):format(rss, rss2))
    end
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
