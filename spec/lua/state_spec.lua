-- rucat.state: values by name, copied, bounded; what it is for scripts of a server is in
-- spec/e2e/state_spec.lua.

local state = rucat.state

describe("rucat.state", function()
  before_each(function()
    for _, key in ipairs(state.keys()) do
      state.delete(key)
    end
  end)

  it("gives back what was kept, of each kind, exactly", function()
    for _, value in ipairs({ true, false, 0, -1, math.maxinteger, math.mininteger, 0.1, 1.0, -0.0, 1e300, "", "text",
      "nul \0 byte", "ümlaut", rucat.json.null }) do
      assert.is_true(state.set("k", value))
      local back = state.get("k")
      assert.are.equal(value, back)
      assert.are.equal(math.type(value), math.type(back))
    end
    local deep = { 1, 2.5, { a = { b = { "c", rucat.json.null } } }, rucat.json.array {} }
    assert.is_true(state.set("deep", { deep }))
    assert.are.same({ deep }, state.get("deep"))
    assert.is_true(state.set("empty", { object = {}, list = rucat.json.array {} }))
    assert.are.equal('{"list":[],"object":{}}', rucat.json.encode(state.get("empty")))
    assert.is_nil(state.get("nobody"))
  end)

  it("keeps copies: nobody shares a table", function()
    local t = { list = { 1 } }
    state.set("t", t)
    t.list[1] = 2
    local one = state.get("t")
    one.list[1] = 3
    assert.are.equal(1, state.get("t").list[1])
  end)

  it("raises for wrong use, and keeps what was there", function()
    state.set("k", 1)
    local cycle = {}
    cycle.cycle = cycle
    for _, value in ipairs({ print, coroutine.create(print), cycle, { print }, { [1.5] = 1, a = 2 }, 0 / 0, 1 / 0,
      "\xff", { "\xff" }, { ["\xff"] = 1 }, io.stdout }) do
      assert.is_false((pcall(state.set, "k", value)))
    end
    for _, key in ipairs({ "", ("k"):rep(257), true, {} }) do
      assert.is_false((pcall(state.get, key)))
      assert.is_false((pcall(state.set, key, 1)))
    end
    assert.is_false((pcall(state.set, "k")))
    assert.is_false((pcall(state.set, "k", nil)))
    for _, ttl in ipairs({ 0, -1, 0 / 0, 1 / 0, 1e10, "x", {} }) do
      assert.is_false((pcall(state.set, "k", 2, ttl)))
    end
    state.set("text", "x")
    assert.is_false((pcall(state.incr, "text")))
    assert.is_false((pcall(state.incr, "k", "x")))
    assert.are.equal(1, state.get("k"))
    assert.are.equal("x", state.get("text"))
  end)

  it("counts", function()
    assert.are.equal(1, state.incr("n"))
    assert.are.equal(2, state.incr("n"))
    assert.are.equal(1.5, state.incr("n", -0.5))
    assert.are.equal(1.5, state.get("n"))
    state.set("i", math.maxinteger)
    assert.are.equal(math.mininteger, state.incr("i"))
  end)

  it("lists keys by prefix, sorted, and forgets them", function()
    for _, key in ipairs({ "b/2", "a", "b/1", "b", "c\0d" }) do
      state.set(key, true)
    end
    assert.are.same({ "a", "b", "b/1", "b/2", "c\0d" }, state.keys())
    assert.are.same({ "b/1", "b/2" }, state.keys("b/"))
    assert.are.equal("[]", rucat.json.encode(state.keys("nothing")))
    assert.is_true(state.delete("b/1"))
    assert.is_false(state.delete("b/1"))
    assert.are.equal(4, state.usage().keys)
  end)

  it("forgets what has come to its end, and not before", function()
    state.set("short", 1, 0.05)
    state.set("long", 1, 100)
    state.incr("count", 1, 0.05)
    assert.are.equal(1, state.get("short"))
    local limit = rucat.clock.monotonic() + 5
    while state.get("short") or state.get("count") do
      assert.is_true(rucat.clock.monotonic() < limit)
      rucat.timer.sleep(0.01)
    end
    assert.are.same({ "long" }, state.keys())
    -- the time of a number counts from when it is made; a set begins anew, and without one it stays
    state.incr("count", 1, 100)
    state.incr("count", 1, 0.001)
    state.set("long", 2)
    rucat.timer.sleep(0.02)
    assert.are.equal(2, state.get("count"))
    assert.are.equal(2, state.get("long"))
  end)

  it("is full at its bounds, in bytes and in values, and says so", function()
    local ok, why, code = state.set("big", ("x"):rep(5 * 1024 * 1024))
    assert.is_nil(ok)
    assert.are.equal("FULL", code)
    assert.matches("limits.state", why)
    local half = ("x"):rep(2 * 1024 * 1024)
    assert.is_true(state.set("one", half))
    assert.is_nil((state.set("two", half)))
    assert.is_true(state.set("one", half)) -- in the place of what is there
    assert.is_true(state.set("short", half:sub(1, 1024 * 1024), 0.02))
    rucat.timer.sleep(0.05)
    assert.is_true(state.set("two", half:sub(1, 2 * 1024 * 1024 - 1000))) -- what has ended makes room
    state.delete("one")
    state.delete("two")
    local count = 0
    while state.set("k" .. count, 1) do
      count = count + 1
    end
    assert.are.equal(10000, count)
    assert.is_nil((state.incr("another")))
    assert.is_true(state.set("k1", 2))
    assert.are.equal(10000, state.usage().keys)
  end)
end)
