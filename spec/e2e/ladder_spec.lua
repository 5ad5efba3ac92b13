-- The stop ladder as this machine has it (see support/ladder.lua), and how the end of a driver is told.

local server = require("support.server")
local ladder = require("support.ladder")

local null = rucat.json.null

local busted = { describe = describe, it = it, setup = setup, teardown = teardown, assert = assert }
ladder.declare(busted, "the stop ladder ends", nil)

describe("the end of a driver", function()
  local s

  setup(function() s = server.start(ladder.options()) end)
  teardown(function() s:stop() end)

  -- As a shell and a container would say it: what a program gives to exit() is its code, also when it
  -- looks like "128 and a signal".
  it("is told as it was: codes and signals", function()
    local cases = {
      { "exit 0", 0 }, { "exit 1", 1 }, { "exit 126", 126 }, { "exit 127", 127 }, { "exit 137", 137 },
      { "exit 143", 143 }, { "exit 255", 255 },
      { "signal 1", nil, "SIGHUP" }, { "signal 2", nil, "SIGINT" }, { "signal 3", nil, "SIGQUIT" },
      { "signal 6", nil, "SIGABRT" }, { "signal 9", nil, "SIGKILL" }, { "signal 11", nil, "SIGSEGV" },
      { "signal 13", nil, "SIGPIPE" }, { "signal 15", nil, "SIGTERM" },
    }
    for i, case in ipairs(cases) do
      ladder.create(s, "c" .. i, case[1])
    end
    for i, case in ipairs(cases) do
      local e = s:until_engine("c" .. i, function(x) return x.state == "Stopped" end, 20)
      assert.are.same({ case[1], case[2] or null, case[3] or null }, { case[1], e.exit.code, e.exit.signal })
    end
  end)
end)
