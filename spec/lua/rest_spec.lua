-- rucat.fs, rucat.metrics, rucat.log, and what a tool sees of rucat at all.

local support = require("support.server")

describe("rucat.fs", function()
  local dir

  setup(function()
    dir = support.tempdir()
    support.write(dir .. "/a", "hello\0there")
    support.write(dir .. "/big", ("x"):rep(1024 * 1024 + 1))
    support.write(dir .. "/full", ("x"):rep(1024 * 1024))
  end)

  teardown(function()
    support.run({ "rm", "-rf", dir })
  end)

  it("reads a file", function()
    assert.are.equal("hello\0there", rucat.fs.read(dir .. "/a"))
  end)

  it("reads up to a MiB and no more", function()
    assert.are.equal(1024 * 1024, #rucat.fs.read(dir .. "/full"))
    local text, why, code = rucat.fs.read(dir .. "/big")
    assert.is_nil(text)
    assert.matches("big", why)
    assert.are.equal("TOOBIG", code)
  end)

  it("names a file that is not there, and refuses what is no file", function()
    local text, why, code = rucat.fs.read(dir .. "/none")
    assert.is_nil(text)
    assert.matches("none", why)
    assert.are.equal("ENOENT", code)
    assert.is_nil((rucat.fs.read(dir)))
    assert.is_nil((rucat.fs.read("/dev/zero")))
  end)
end)

describe("rucat.metrics", function()
  it("counts, sets and observes", function()
    local hits = rucat.metrics.counter("spec_hits_total", "Hits.", { "team" })
    hits:add(1, "red")
    hits:add(2.5, "red")
    hits:add(1, 'bl"ue\n')
    rucat.metrics.gauge("spec_level", "Level."):set(-3)
    local seconds = rucat.metrics.histogram("spec_seconds", "Seconds.", {}, { 0.1, 1 })
    seconds:observe(0.05)
    seconds:observe(0.5)
    seconds:observe(5)
    local text = rucat.metrics.render()
    assert.matches('# TYPE spec_hits_total counter', text, 1, true)
    assert.matches('spec_hits_total{team="red"} 3.5', text, 1, true)
    assert.matches('spec_hits_total{team="bl\\"ue\\n"} 1', text, 1, true)
    assert.matches("spec_level -3", text, 1, true)
    assert.matches('spec_seconds_bucket{le="0.1"} 1', text, 1, true)
    assert.matches('spec_seconds_bucket{le="1"} 2', text, 1, true)
    assert.matches('spec_seconds_bucket{le="+Inf"} 3', text, 1, true)
    assert.matches("spec_seconds_count 3", text, 1, true)
  end)

  it("refuses wrong names, wrong labels, another kind under the same name", function()
    for _, call in ipairs({
      function() rucat.metrics.counter("1x", "") end,
      function() rucat.metrics.counter("a b", "") end,
      function() rucat.metrics.counter("spec_l_total", "", { "a-b" }) end,
      function() rucat.metrics.counter("spec_hits_total2", "", { "a" }):add(1) end,
      function() rucat.metrics.counter("spec_hits_total3", ""):add("x") end,
      function() rucat.metrics.gauge("spec_hits_total", "Hits.", { "team" }) end,
    }) do
      assert.has_error(call)
    end
  end)
end)

describe("rucat.log", function()
  it("writes lines of each level, formatted", function()
    local dir = support.tempdir()
    finally(function()
      support.run({ "rm", "-rf", dir })
    end)
    support.write(dir .. "/x.lua", [[
rucat.log.error("one %s %d", "x", 2)
rucat.log.warn("100% sure")
rucat.log.info("two\nlines")
rucat.log.info({})
return 7]])
    local exit, out, err = support.run({ support.binary, "run", dir .. "/x.lua" })
    assert.are.same({ code = 7 }, exit)
    assert.matches("one x 2", out .. err, 1, true)
    assert.matches("100%% sure", out .. err)
    assert.is_nil((out .. err):find("\nlines", 1, true))
  end)
end)

describe("rucat run", function()
  local function run(text, ...)
    local dir = support.tempdir()
    finally(function()
      support.run({ "rm", "-rf", dir })
    end)
    support.write(dir .. "/x.lua", text)
    support.write(dir .. "/beside.lua", "return 'beside'")
    local exit, out, err = support.run({ support.binary, "run", dir .. "/x.lua", ... })
    return exit.code, out, err
  end

  it("hands over arguments, and requires what lies beside the script", function()
    local code, out = run("local a, b = ... print(a, b, arg[1], #arg, (require('beside')))", "x y", "z")
    assert.are.equal(0, code)
    assert.are.equal("x y\tz\tx y\t2\tbeside\n", out)
  end)

  it("ends with 1 and a traceback when the script fails", function()
    local code, out, err = run("local function f() error('so wrong') end\nf()")
    assert.are.equal(1, code)
    assert.matches("x.lua:1: so wrong", out .. err, 1, true)
  end)

  it("names FILE:LINE of a script that does not parse", function()
    local code, out, err = run("local = 3")
    assert.are.equal(1, code)
    assert.matches("x.lua:1:", out .. err, 1, true)
  end)

  it("says so when there is no such script", function()
    local exit, out, err = support.run({ support.binary, "run", "/nowhere/x.lua" })
    assert.are.equal(1, exit.code)
    assert.matches("/nowhere/x.lua", out .. err, 1, true)
  end)

  it("is loud about a primitive that is not there", function()
    local code, out, err = run("rucat.htpp.request{}")
    assert.are.equal(1, code)
    assert.matches("rucat.htpp", out .. err, 1, true)
  end)

  it("ends although a timer still waits", function()
    local code, out = run("rucat.timer.every(1000, print) print('done')")
    assert.are.equal(0, code)
    assert.are.equal("done\n", out)
  end)
end)
