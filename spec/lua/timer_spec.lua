-- rucat.timer: sleep, after, every.

local eventually = require("support.server").eventually

describe("rucat.timer", function()
  local timer, clock = rucat.timer, rucat.clock

  it("sleeps at least as long as it was told", function()
    local began = clock.monotonic()
    timer.sleep(0.05)
    local took = clock.monotonic() - began
    assert.is_true(took >= 0.049, took)
    assert.is_true(took < 5, took)
  end)

  it("sleeps zero seconds", function()
    timer.sleep(0)
  end)

  it("refuses what is no time", function()
    for _, bad in ipairs({ -1, "x", {}, 0 / 0, math.huge, false }) do
      assert.has_error(function()
        timer.sleep(bad)
      end)
    end
    assert.has_error(function()
      timer.sleep()
    end)
    assert.has_error(function()
      timer.after(1)
    end)
    assert.has_error(function()
      timer.every(0, print)
    end)
  end)

  it("does not sleep in a coroutine of the script", function()
    local co = coroutine.create(function()
      timer.sleep(0.01)
    end)
    local ok, why = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("rucat.timer.sleep", why)
  end)

  it("sleeps inside pcall, and errors come through it", function()
    local ok, why = pcall(function()
      timer.sleep(0.01)
      error("after")
    end)
    assert.is_false(ok)
    assert.matches("after", why)
  end)

  it("does not break when a sort or gsub callback sleeps", function()
    assert.has_error(function()
      table.sort({ 3, 1, 2 }, function(a, b)
        timer.sleep(0.01)
        return a < b
      end)
    end)
    assert.has_error(function()
      ("abc"):gsub(".", function()
        timer.sleep(0.01)
      end)
    end)
    timer.sleep(0.01) -- and the job goes on
  end)

  it("calls a function after a while, once", function()
    local count = 0
    timer.after(0.01, function()
      count = count + 1
    end)
    assert.are.equal(0, count)
    eventually(function()
      return count == 1
    end)
    timer.sleep(0.05)
    assert.are.equal(1, count)
  end)

  it("calls a function again and again until it is cancelled", function()
    local count, t = 0, nil
    t = timer.every(0.01, function()
      count = count + 1
      if count == 3 then
        t:cancel()
      end
    end)
    eventually(function()
      return count == 3
    end)
    timer.sleep(0.05)
    assert.are.equal(3, count)
    t:cancel() -- again is fine
  end)

  it("goes on after a function of `every` that failed", function()
    local count = 0
    local t = timer.every(0.01, function()
      count = count + 1
      error("once more")
    end)
    eventually(function()
      return count >= 2
    end)
    t:cancel()
  end)

  it("does not let the calls of `every` pile up", function()
    local inside, most, count = 0, 0, 0
    local t = timer.every(0.001, function()
      inside = inside + 1
      most = math.max(most, inside)
      timer.sleep(0.01)
      inside = inside - 1
      count = count + 1
    end)
    eventually(function()
      return count >= 3
    end)
    t:cancel()
    assert.are.equal(1, most)
  end)

  it("has a bound on timers", function()
    local list, why, code = {}, nil, nil
    for i = 1, 1100 do
      local t
      t, why, code = timer.after(600, print)
      if not t then
        break
      end
      list[i] = t
    end
    for _, t in ipairs(list) do
      t:cancel()
    end
    assert.is_string(why)
    assert.is_string(code)
    timer.after(600, print):cancel()
  end)
end)
