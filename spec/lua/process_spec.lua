-- rucat.process: programs of a script.

local support = require("support.server")

describe("rucat.process", function()
  local function spawn(options)
    local p = assert(rucat.process.spawn(options))
    finally(function()
      p:close()
    end)
    return p
  end

  it("gives code and output", function()
    local p = spawn({ argv = { "/bin/sh", "-c", "echo out; echo err >&2; exit 3" } })
    assert.are.same({ code = 3 }, p:wait(10))
    local out, err = p:output()
    assert.are.equal("out\n", out)
    assert.are.equal("err\n", err)
    assert.are.same({ code = 3 }, p:wait(10)) -- again
  end)

  it("gives the signal that ended it", function()
    local p = spawn({ argv = { "sleep", "1000" } })
    assert.is_true(p:kill("KILL"))
    assert.are.same({ signal = "SIGKILL" }, p:wait(10))
    assert.is_nil((p:kill("KILL")))
  end)

  it("hands over arguments as they are", function()
    local words = { "a b", "$HOME", "*", "", "'\"\\", "ä" }
    local p = spawn({ argv = { "printf", "%s\\n", table.unpack(words) } })
    p:wait(10)
    assert.are.equal(table.concat(words, "\n") .. "\n", (p:output()))
  end)

  it("hands over input, environment and directory", function()
    local p = spawn({ argv = { "/bin/sh", "-c", "cat; echo $X; pwd; echo ${HOME-none}" },
                      input = "in\0put\n", env = { X = "y z" }, cwd = "/" })
    p:wait(10)
    assert.are.equal("in\0put\ny z\n/\nnone\n", (p:output()))
  end)

  it("fails to start what is not there, by name", function()
    local p, why, code = rucat.process.spawn({ argv = { "/nowhere/at/all" } })
    assert.is_nil(p)
    assert.matches("/nowhere/at/all", why)
    assert.is_string(code)
    assert.is_nil((rucat.process.spawn({ argv = { "true" }, cwd = "/nowhere" })))
  end)

  it("refuses wrong use, naming the option", function()
    for _, case in ipairs({
      { {}, "argv" }, { { argv = {} }, "argv" }, { { argv = "ls" }, "argv" },
      { { argv = { 1 } }, "argv" }, { { argv = { "x" }, shell = true }, "shell" },
      { { argv = { "x" }, env = { X = 1 } }, "env" }, { { argv = { "x" }, stdout = "no" }, "stdout" },
    }) do
      local ok, why = pcall(rucat.process.spawn, case[1])
      assert.is_false(ok)
      assert.matches(case[2], why)
    end
  end)

  it("times out waiting, and can be waited for again", function()
    local p = spawn({ argv = { "sleep", "1000" } })
    local exit, why, code = p:wait(0.05)
    assert.is_nil(exit)
    assert.is_string(why)
    assert.is_string(code)
    p:kill("TERM")
    assert.are.same({ signal = "SIGTERM" }, p:wait(10))
  end)

  it("keeps the end of an output that is too long", function()
    local p = spawn({ argv = { "/bin/sh", "-c", "yes aaaaaaaa | head -c 500000; echo end" },
                      keep = 1000 })
    p:wait(20)
    local out = p:output()
    assert.is_true(#out <= 1000, #out)
    assert.matches("end\n$", out)
  end)

  it("is not over before a grandchild has let go of the output", function()
    local p = spawn({ argv = { "/bin/sh", "-c", "(sleep 0.1; echo late) & exit 0" } })
    assert.are.same({ code = 0 }, p:wait(10))
    assert.are.equal("late\n", (p:output()))
  end)

  it("ends the process when it is closed", function()
    local p = assert(rucat.process.spawn({ argv = { "sleep", "1000" } }))
    local pid = p:pid()
    p:close()
    p:close()
    support.eventually(function()
      local stat = support.read("/proc/" .. pid .. "/stat")
      return stat == nil or stat:match("%) (%a)") == "Z"
    end)
    assert.has_error(function()
      p:wait(1)
    end)
  end)

  it("leaves no zombie", function()
    local list = {}
    for i = 1, 20 do
      list[i] = spawn({ argv = { "true" } })
    end
    for _, p in ipairs(list) do
      assert.are.same({ code = 0 }, p:wait(10))
      assert.is_nil(support.read("/proc/" .. p:pid() .. "/stat"))
    end
  end)
end)
