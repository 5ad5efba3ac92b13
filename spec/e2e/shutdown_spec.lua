-- SIGTERM to a server with everything in flight at once (CONTRACT 8): what waits is ended with a last
-- word, requests finish, engines that start or run are found again by the next server.

local support = require("spec.support.server")

local SLOW = [[
return { ["GET /v1/slow/{seconds}"] = function(req)
  rucat.timer.sleep(tonumber(req.params.seconds))
  return 200, "slept"
end }
]]

-- A curl that follows; its output as it comes.
local function curl(s, ...)
  return assert(rucat.process.spawn({ argv = { "curl", "-sN", "--max-time", "60", ... } }))
end

local function in_background(fn)
  local result = {}
  rucat.timer.after(0, function()
    result.answer, result.why, result.code = fn()
    result.done = true
  end)
  return result
end

describe("SIGTERM with everything in flight", function()
  it("ends what waits, finishes requests, and loses no engine", function()
    local s <close> = support.start({ scripts = { ["handlers/slow.lua"] = SLOW },
      config = { monitor = { interval = 0.2 }, limits = { drain = 8 } } })
    s:create({ name = "up", config = { run = "echo up; exec sleep 1000", ready = "up" } })
    s:create({ name = "starting", config = { run = "while ! test -e go; do sleep 0.05; done; echo up; exec sleep 1000",
      ready = "up", timeout = 60 } })
    s:create({ name = "stopping", config = { run = "trap 'sleep 2; exit 0' TERM; echo up; while :; do sleep 0.05; done",
      ready = "up", grace = 20 } })
    s:until_state("up", "Running")
    s:until_state("stopping", "Running")

    local slow = in_background(function()
      return rucat.http.request({ url = s.url .. "/v1/slow/1.5", timeout = 30, fresh = true })
    end)
    local held = in_background(function()
      return rucat.http.request({ url = s.url .. "/v1/engines/starting/start?wait=60s", method = "POST",
        timeout = 30, fresh = true })
    end)
    local log <close> = curl(s, s.url .. "/v1/engines/up/logs?follow=true")
    local events <close> = curl(s, s.url .. "/v1/events", "-H", "accept: text/event-stream", "-H",
      "last-event-id: 00000000000000000000000000")
    local console <close> = assert(rucat.process.spawn({ argv = { support.binary, "console", "-s",
      s.state_dir .. "/console", "-e", "print('here') rucat.timer.sleep(1000)" } }))
    assert.equal(202, (s:json("POST", "/v1/engines/stopping/stop")))
    support.eventually(function()
      return (log:output()):find("up", 1, true) and (events:output()):find("StoppedByUser", 1, true) ~= nil
        or (events:output()):find("Stopping", 1, true) and (console:output()):find("here", 1, true)
    end, 10, "that all are connected")
    local _, jobs = s:cli("console", "-s", s.state_dir .. "/console", "-e", "jobs()")
    assert.is_truthy(jobs)
    support.eventually(function()
      local _, text = s:cli("console", "-s", s.state_dir .. "/console", "-e", "jobs()")
      return text:find("slow", 1, true)
    end, 10, "that the slow request is under way")

    s:signal("TERM")
    support.eventually(function() -- at once: they do not wait for the slow request
      return held.done and log:wait(0) and events:wait(0) and console:wait(0)
    end, 1.4, "that what waits is ended")
    assert.equal(202, held.answer.status)
    assert.same({ code = 0 }, log:wait(0))
    assert.same({ code = 0 }, events:wait(0))
    assert.equal(1, console:wait(0).code)
    local refused = rucat.http.request({ url = s.url .. "/readyz", timeout = 5, fresh = true })
    assert.is_true(refused == nil or refused.status == 503)
    assert.same({ code = 0 }, s:wait_exit(15))
    support.eventually(function()
      return slow.done
    end, 5)
    assert.equal(200, slow.answer and slow.answer.status, slow.why)
    assert.equal("slept", slow.answer.body)

    s:start_again()
    local _, up = s:json("GET", "/v1/engines/up")
    assert.equal("Running", up.state)
    assert.equal(1, up.epoch)
    local starting = s:engine("starting")
    assert.equal("Pending", starting.state)
    support.write(s.state_dir .. "/engines/" .. starting.id .. "/data/go", "")
    starting = s:until_state("starting", "Running")
    assert.equal(1, starting.epoch)
    local stopping = s:until_state("stopping", "Stopped", "StoppedByUser")
    assert.equal(0, stopping.exit.code)
  end)

  it("is hurried by a second one", function()
    local s <close> = support.start({ scripts = { ["handlers/slow.lua"] = SLOW }, config = { limits = { drain = 60 } } })
    local slow = in_background(function()
      return rucat.http.request({ url = s.url .. "/v1/slow/50", timeout = 60, fresh = true })
    end)
    support.eventually(function()
      local _, text = s:cli("console", "-s", s.state_dir .. "/console", "-e", "jobs()")
      return text:find("slow", 1, true)
    end, 10)
    s:signal("TERM")
    support.eventually(function()
      return s:output():find("stopping", 1, true)
    end, 5)
    assert.is_nil(s.process:wait(0.2))
    s:signal("TERM")
    s:wait_exit(8)
    support.eventually(function()
      return slow.done
    end, 5)
    assert.is_nil(slow.answer)
  end)
end)
