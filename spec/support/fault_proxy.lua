-- spec/support/fault_proxy.lua - a TCP proxy of the tests' own between rucat and its database
-- (fault_proxy.py, where the modes are told).
--
--     local proxy <close> = fault_proxy.start(db.port)
--     local s <close> = server.start({ mode = "remote", config = db:config({}, {}, proxy.port) })
--     proxy:set("lost 20 if UPDATE")
--     proxy:set("pass")

local server = require("support.server")

local fault_proxy = {}
fault_proxy.__index = fault_proxy

function fault_proxy.start(target)
  local self = setmetatable({}, fault_proxy)
  self.process = assert(rucat.process.spawn({
    argv = { "/usr/bin/python3", "spec/support/fault_proxy.py", tostring(target) },
  }))
  local ports = server.eventually(function()
    local out, err = self.process:output()
    local port, control = out:match("port (%d+) control (%d+)")
    return port and { port, control }, err
  end, 20, "the proxy's port")
  self.port = math.tointeger(tonumber(ports[1]))
  self.control = math.tointeger(tonumber(ports[2]))
  return self
end

-- One command; its answer.
function fault_proxy:set(line)
  local answer = assert(rucat.tcp.exchange("127.0.0.1", self.control, line .. "\n", 10))
  answer = answer:gsub("\n$", "")
  if answer == "not known" then
    error(line .. ": the proxy does not know that", 2)
  end
  return answer
end

-- { connections =, requests =, faults = } since it was started, watched = since `watch TEXT`.
function fault_proxy:stats()
  return rucat.json.decode(self:set("stats"))
end

function fault_proxy:stop()
  if self.process then
    self.process:kill("KILL")
    self.process:wait(10)
    self.process:close()
    self.process = nil
  end
end

fault_proxy.__close = fault_proxy.stop

return fault_proxy
