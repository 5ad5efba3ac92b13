-- rucat.clock: times, durations, ids.

describe("rucat.clock", function()
  local clock = rucat.clock

  it("goes forward", function()
    local a = clock.monotonic()
    assert.is_true(clock.monotonic() >= a)
    assert.is_true(math.abs(clock.now() - os.time()) < 5)
  end)

  it("writes and reads times", function()
    assert.are.equal("1970-01-01T00:00:00.000Z", clock.text(0))
    assert.are.equal("2026-02-28T23:59:59.999Z", clock.text(clock.parse("2026-02-28T23:59:59.999Z")))
    assert.is_true(math.abs(clock.parse(clock.text()) - clock.now()) < 5)
  end)

  it("refuses what is no time", function()
    for _, bad in ipairs({ "", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
                           "2026-01-01T25:00:00Z", "2026-01-01", "2026-01-01T00:00:00Zx" }) do
      local value, why = clock.parse(bad)
      assert.is_nil(value, bad)
      assert.is_string(why)
    end
  end)

  it("reads durations", function()
    for text, seconds in pairs({ ["10ms"] = 0.01, ["30s"] = 30, ["5m"] = 300, ["2h"] = 7200,
                                 ["1d"] = 86400, ["7"] = 7, ["1.5"] = 1.5, ["0"] = 0 }) do
      assert.are.equal(seconds, clock.duration(text), text)
    end
    for _, bad in ipairs({ "", "s", "-1", "1e3", "0x10", " 1", "1 s", "inf", "nan", "1.2.3", "9y" }) do
      local value, why, code = clock.duration(bad)
      assert.is_nil(value, bad)
      assert.is_string(why)
      assert.are.equal("INVALID", code)
    end
  end)

  it("makes a different uuid each time", function()
    local a, b = clock.uuid(), clock.uuid()
    assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", a)
    assert.are_not.equal(a, b)
  end)
end)
