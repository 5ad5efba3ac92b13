-- rucat under a service manager: it says when it is ready and when it stops, that it is alive, and
-- a restart with the manager's socket refuses no connection.

local server = require("spec.support.server")

describe("a service manager", function()
  local s, dir

  lazy_setup(function()
    dir = server.tempdir()
    s = server.start({ prefix = { "/usr/bin/python3", "spec/support/manager.py", dir .. "/port", dir .. "/pid",
      "400000" }, env = { PATH = os.getenv("PATH"), PYTHONUNBUFFERED = "1" } })
  end)
  lazy_teardown(function()
    s:stop()
    server.run({ "rm", "-rf", dir })
  end)

  local function told()
    return (s.process:output())
  end

  it("hands a socket over, which serves instead of `listen`", function()
    assert.equal("127.0.0.1:" .. server.read(dir .. "/port"), s.address)
    assert.equal(200, (s:http("GET", "/healthz")).status)
  end)

  it("is told that it is ready, and again and again that it lives", function()
    server.eventually(function()
      return told():find("READY=1 STATUS=serving http://" .. s.address, 1, true)
        and select(2, told():gsub("WATCHDOG=1", "")) >= 3
    end, 10)
  end)

  it("restarts it without a refused connection, and engines live on", function()
    assert.equal(201, (s:json("POST", "/v1/engines", { name = "stays", type = "test" })))
    local before = server.eventually(function()
      local _, engine = s:json("GET", "/v1/engines/stays")
      return engine.state == "Running" and engine
    end, 10)
    local first, done, refused, answered = server.read(dir .. "/pid"), false, {}, 0
    local client = rucat.timer.every(0.001, function()
      local answer, why, code = rucat.http.request({ url = s.url .. "/v1/engines/stays", timeout = 20, fresh = true })
      if answer and answer.status == 200 then
        answered = answered + 1
      elseif code == "ECONNREFUSED" then
        refused[#refused + 1] = why
      end
    end)
    server.run({ "kill", "-HUP", tostring(s.pid) })
    server.eventually(function()
      done = server.read(dir .. "/pid") ~= first and told():match("ended 0.*READY=1") ~= nil
      return done
    end, 20)
    local at = answered
    server.eventually(function()
      return answered > at + 5
    end, 20)
    client:cancel()
    assert.same({}, refused)
    assert.matches("STOPPING=1", told(), 1, true)
    local _, engine = s:json("GET", "/v1/engines/stays")
    assert.equal("Running", engine.state)
    assert.equal(before.epoch, engine.epoch)
    assert.equal(202, (s:json("DELETE", "/v1/engines/stays")))
    server.eventually(function()
      return (s:json("GET", "/v1/engines/stays")) == 404
    end, 10)
  end)
end)

describe("the units", function()
  it("name what there is", function()
    local service, socket = server.read("etc/rucat.service"), server.read("etc/rucat.socket")
    assert.matches("\nType=notify\n", service, 1, true)
    assert.matches("\nKillMode=process\n", service, 1, true)
    assert.matches("\nDelegate=yes\n", service, 1, true)
    assert.matches("\nListenStream=127.0.0.1:3000\n", socket, 1, true)
  end)
end)
