-- Following logs and events: over restarts of the engine and new generations, up to the server's end.

local support = require("support.server")

describe("a follower", function()
  local s, curls

  before_each(function()
    curls = {}
    s = support.start()
  end)

  after_each(function()
    for _, curl in ipairs(curls) do
      curl:close()
    end
    s:stop()
  end)

  local function follow(path, ...)
    local curl = assert(rucat.process.spawn({ argv = { "curl", "-sN", "--max-time", "60", s.url .. path, ... } }))
    curls[#curls + 1] = curl
    return curl
  end

  local function until_seen(curl, pattern, seconds)
    return support.eventually(function()
      local text = curl:output()
      return text:find(pattern) and text, text
    end, seconds or 15, pattern)
  end

  local TICK = "echo epoch $RUCAT_EPOCH is up; while :; do sleep 0.05; echo tick; done"

  it("of a log sees what comes, over a restart of the engine and a reload", function()
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    local curl = follow("/v1/engines/a/logs?follow=true")
    until_seen(curl, "epoch 1 is up\ntick\ntick\n")
    assert.are.equal(200, (s:reload()))
    s:json("POST", "/v1/engines/a/restart?wait=20s")
    local text = until_seen(curl, "epoch 2 is up\ntick\n")
    assert.are.equal(2, select(2, text:gsub("is up", "")))
  end)

  it("of a log may begin with its last lines, or with none", function()
    s:create({ name = "a", config = { run = "echo one; echo two; echo three; exec sleep 1000", ready = "three" } })
    s:until_state("a", "Running")
    local last = follow("/v1/engines/a/logs?follow=true&tail=1")
    local none = follow("/v1/engines/a/logs?follow=true&tail=0")
    until_seen(last, "three")
    s:json("POST", "/v1/engines/a/restart?wait=20s")
    assert.are.equal("three\none\ntwo\nthree\n", until_seen(last, "one\ntwo\nthree\n"))
    assert.are.equal("one\ntwo\nthree\n", until_seen(none, "three\n"))
  end)

  it("of a log ends when the engine is deleted", function()
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    local curl = follow("/v1/engines/a/logs?follow=true")
    until_seen(curl, "tick")
    s:json("DELETE", "/v1/engines/a")
    assert.are.same({ code = 0 }, curl:wait(20))
  end)

  it("of events sees each as it happens, as SSE", function()
    local all = follow("/v1/events", "-H", "accept: text/event-stream", "-i")
    until_seen(all, "content%-type: text/event%-stream")
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:create({ name = "b", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    s:until_state("b", "Running")
    local one = follow("/v1/engines/a/events", "-H", "accept: text/event-stream", "-i")
    until_seen(one, "content%-type")
    s:json("POST", "/v1/engines/a/stop?wait=20s")
    s:json("POST", "/v1/engines/b/stop?wait=20s")
    local text = until_seen(all, '"name":"b"[^\n]*StoppedByUser')
    assert.matches('"name":"a"', text, 1, true)
    text = until_seen(one, "StoppedByUser")
    assert.is_nil(text:find('"name":"b"', 1, true))
    for block in text:gsub("^.-\r\n\r\n", ""):gmatch("(id:.-)\n\n") do
      local id, kind, data = block:match("^id: ?(%S+)\nevent: ?(%a+)\ndata: ?(.*)$")
      assert.is_string(data, block)
      local event = rucat.json.decode(data)
      assert.are.equal(id, event.id)
      assert.are.equal(kind, event.kind)
    end
  end)

  it("of events goes on after the last one it has seen", function()
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    s:json("POST", "/v1/engines/a/stop?wait=20s")
    local list = s:get("/v1/engines/a/events?limit=1000").events
    assert.is_true(#list >= 3)
    local curl = follow("/v1/engines/a/events", "-H", "accept: text/event-stream", "-H",
                        "last-event-id: " .. list[2].id)
    local text = until_seen(curl, list[#list].id)
    assert.is_nil(text:find(list[2].id, 1, true))
    assert.is_truthy(text:find(list[3].id, 1, true))
    assert.are.equal(422, s:http("GET", "/v1/events", nil, { accept = "text/event-stream",
                                                             ["last-event-id"] = "nonsense" }).status)
  end)

  it("is ended by the end of the server, at once and in order", function()
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    local log = follow("/v1/engines/a/logs?follow=true")
    local events = follow("/v1/events", "-H", "accept: text/event-stream")
    until_seen(log, "tick")
    support.eventually(function()
      s:json("POST", "/v1/engines/a/start")
      return (events:output()) ~= ""
    end)
    local began = rucat.clock.monotonic()
    assert.are.same({ code = 0 }, s:term())
    assert.is_true(rucat.clock.monotonic() - began < 8)
    assert.are.same({ code = 0 }, log:wait(10))
    assert.are.same({ code = 0 }, events:wait(10))
  end)

  it("that goes away leaves nothing behind", function()
    s:create({ name = "a", config = { run = TICK, ready = "is up" } })
    s:until_state("a", "Running")
    local list = {}
    for i = 1, 10 do
      list[i] = follow("/v1/engines/a/logs?follow=true")
    end
    for i = 1, 10 do
      until_seen(list[i], "tick")
      list[i]:kill("KILL")
      list[i]:wait(5)
    end
    support.eventually(function()
      local _, out = support.run({ "ls", "/proc/" .. s.pid .. "/fd" })
      local count = select(2, out:gsub("\n", ""))
      return count < 40, count
    end)
    assert.are.equal(200, s:http("GET", "/readyz").status)
  end)
end)
