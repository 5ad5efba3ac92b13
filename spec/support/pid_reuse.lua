-- spec/support/pid_reuse.lua - run as a tool inside a pid namespace of its own, where the next pid can
-- be chosen: what happens when the number of a driver that is gone belongs to somebody else when the
-- server comes back. Prints "fine" at the end. See spec/e2e/identity_spec.lua.

package.path = "spec/?.lua;" .. package.path
local server = require("support.server")
local ladder = require("support.ladder")

local function status_of(s, e)
  return rucat.json.decode(server.read(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch)))
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

-- A process of nobody's business with that number.
local function stranger(pid)
  for _ = 1, 200 do
    write("/proc/sys/kernel/ns_last_pid", tostring(pid - 1))
    local p = assert(rucat.process.spawn({ argv = { "sleep", "1000" } }))
    if p:pid() == pid then
      return p
    end
    p:kill("KILL")
    p:wait(5)
    p:close()
  end
  error("no process got the number " .. pid)
end

local function gone(pid)
  server.eventually(function() return not server.read("/proc/" .. pid .. "/stat") end, 10, "that " .. pid .. " is gone")
end

-- Server and rucat-engine are killed, the driver's number is used again, the server comes back.
local function reuse(mangle)
  local s <close> = server.start(ladder.options())
  local e = ladder.create(s, "x", "closed", { grace = 1 })
  s:until_state("x", "Running")
  local status = status_of(s, e)
  s:kill9()
  server.run({ "kill", "-KILL", tostring(status.helper.pid) })
  gone(status.driver.pid)
  gone(status.helper.pid)
  local other = stranger(status.driver.pid)
  if mangle then
    mangle(s, e, status)
  end
  s:start_again()
  local after = s:until_engine("x", function(x) return x.state == "Stopped" end, 20)
  assert(after.message:find("rucat-engine was killed", 1, true), rucat.json.encode(after))
  assert(after.exit.code == rucat.json.null and after.exit.signal == rucat.json.null)
  assert(other:wait(0) == nil, "the stranger was killed")
  other:kill("KILL")
  other:wait(5)
  other:close()
end

-- The machine has another boot id than the status says; the number is that of a living process.
local function other_boot()
  local s <close> = server.start(ladder.options())
  local e = ladder.create(s, "x", "closed", { grace = 1 })
  s:until_state("x", "Running")
  local status = status_of(s, e)
  s:kill9()
  server.run({ "kill", "-KILL", tostring(status.helper.pid) })
  gone(status.driver.pid)
  local other = stranger(status.driver.pid)
  -- as if it were the very same process, but for the boot
  local stat = server.read("/proc/" .. status.driver.pid .. "/stat")
  local fields = {}
  for word in stat:match("%) (.*)"):gmatch("%S+") do
    fields[#fields + 1] = word
  end
  status.driver.start = math.tointeger(tonumber(fields[20]))
  status.driver.pidfd_ino = 0
  server.write(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch), rucat.json.encode(status))
  write(s.dir .. "/boot_id", "00000000-1111-2222-3333-444444444444\n")
  local exit = server.run({ "mount", "--bind", s.dir .. "/boot_id", "/proc/sys/kernel/random/boot_id" })
  assert(exit.code == 0)
  s:start_again()
  local after = s:until_engine("x", function(x) return x.state == "Stopped" end, 20)
  assert(after.message:find("the machine was restarted", 1, true), rucat.json.encode(after))
  assert(other:wait(0) == nil, "the stranger was killed")
  server.run({ "umount", "/proc/sys/kernel/random/boot_id" })
  other:kill("KILL")
  other:wait(5)
  other:close()
end

reuse()
-- as an older kernel would have it: without the inodes of pidfds
reuse(function(s, e, status)
  status.driver.pidfd_ino, status.helper.pidfd_ino = 0, 0
  server.write(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch), rucat.json.encode(status))
end)
other_boot()
print("fine")
