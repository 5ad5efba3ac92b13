-- rucat.surreal: SurrealDB's types in Lua and back, on the real database; waiting, failing, bounds.

local server = require("support.server")
local surreal = require("support.surreal")

-- Runs a piece of Lua in a handler: { value = ... } or { raised = ... }.
local RUN = [[
local function plain(value)
  if type(value) == "userdata" then
    return { kind = value.kind, text = value.kind ~= "bytes" and tostring(value) or nil }
  end
  return value
end
return { ["POST /v1/run"] = function(req)
  local s, q = rucat.surreal, rucat.surreal.query
  local code = CODE
  local ok, a, b, c = pcall(code[tonumber(req.body)], s, q)
  if not ok then
    return 200, { raised = a }
  end
  return 200, { value = plain(a), second = plain(b), third = plain(c) }
end }
]]

-- The cases of a server: { [name] = { code, check } }, all of them in one script.
local function run(s, cases)
  local list = {}
  for i, case in ipairs(cases) do
    list[i] = "function(s, q) " .. case[1] .. " end"
  end
  s:scripts({ ["handlers/run.lua"] = (RUN:gsub("CODE", function()
    return "{" .. table.concat(list, ",\n") .. "}"
  end)) })
  local status, report = s:reload()
  assert.equal(200, status, rucat.json.encode(report))
  for i, case in ipairs(cases) do
    local answer
    status, answer = s:json("POST", "/v1/run", tostring(i))
    assert.equal(200, status, case[1] .. rucat.json.encode(answer))
    if type(case[2]) == "function" then
      case[2](answer)
    else
      assert.is_nil(answer.raised, case[1])
      assert.same(case[2], answer.value, case[1])
    end
  end
end

local function raises(what)
  return function(answer)
    assert.matches(what, answer.raised or rucat.json.encode(answer))
  end
end

local function fails(code, what)
  return function(answer)
    assert.is_nil(answer.raised)
    assert.is_nil(answer.value)
    assert.equal(code, answer.third, answer.second)
    assert.matches(what, answer.second)
  end
end

describe("rucat.surreal without a database", function()
  it("makes values, compares them, has their text and JSON", function()
    local s <close> = server.start()
    local U = "018f0c9a-0000-7000-8000-00000000abcd"
    run(s, {
      { "return tostring(s.record('engine', '01k2abc'))", "engine:01k2abc" },
      { "return tostring(s.record('a b', '12'))", "`a b`:`12`" },
      { "return tostring(s.record('a', 'x`\\\\y'))", "a:`x\\`\\\\y`" },
      { "return tostring(s.record('a', -5))", "a:-5" },
      { "return tostring(s.record('a', { 1, 'x', { a = true } }))", "a:[1, 'x', { a: true }]" },
      { "return tostring(s.record('a', s.uuid('" .. U:upper() .. "')))", "a:u'" .. U .. "'" },
      { "return tostring(s.record('a', s.range('b', 'c')))", "a:'b'..'c'" },
      { "local r = s.record('a', 7); return { r.kind, r.table, r.id, r.text }", { "record", "a", 7, "a:7" } },
      { "return { s.record('a', 1) == s.record('a', 1), s.record('a', 1) == s.record('a', '1') }", { true, false } },
      { "return tostring(s.datetime('2026-01-02T03:04:05.678Z'))", "2026-01-02T03:04:05.678Z" },
      { "return tostring(s.datetime('2026-01-02T03:04:05Z'))", "2026-01-02T03:04:05Z" },
      { "return tostring(s.datetime('1969-12-31T23:59:59.000000001Z'))", "1969-12-31T23:59:59.000000001Z" },
      { "return s.datetime('2026-01-02T03:04:05')", raises("seconds since 1970") },
      { "return s.datetime('2026-01-02T03:04:05.Z')", raises("seconds since 1970") },
      { "return tostring(s.datetime(1, 5))", "1970-01-01T00:00:01.000000005Z" },
      { "local d = s.datetime(-0.25); return { d.seconds, d.nanoseconds, d.time }", { -1, 750000000, -0.25 } },
      { "return tostring(s.duration(3600 + 1800, 500000))", "1h30m500us" },
      { "return { tostring(s.duration('1d')), tostring(s.duration(0)), s.duration(1.5).time }", { "1d", "0ns", 1.5 } },
      { "return { tostring(s.decimal('-12.50')), s.decimal('1').kind }", { "-12.50", "decimal" } },
      { "return s.bytes('x').sub", raises("a bytes of rucat.surreal has no field 'sub'") },
      { "return { #tostring(s.bytes('\\0\\255')), s.bytes('').kind, tostring(s.bytes('')) }", { 2, "bytes", "" } },
      { "return { tostring(s.set({ 1, 'a' })), #s.set({ 1, 2 }).values, #s.set({}).values }", { "{1, 'a'}", 2, 0 } },
      { "return { tostring(s.range(1, 3)), tostring(s.range(1, 3, { first_included = false, last_included = true })),"
        .. " tostring(s.range()) }", { "1..3", "1>..=3", ".." } },
      { "local r = s.range(1, nil); return { r.first, r.first_included, r.last == nil, r.last_included == nil }",
        { 1, true, true, true } },
      { "return { tostring(s.table('x-y')), tostring(s.none), s.none.kind }", { "`x-y`", "NONE", "none" } },
      -- in JSON
      { "return { s.record('a', 1), s.datetime(0), s.none }", { "a:1", "1970-01-01T00:00:00Z", rucat.json.null } },
      { "return rucat.json.encode(s.bytes('x'))", raises("no JSON") },
      -- wrong use
      { "return s.record('', 1)", raises("the name of a table") },
      { "return s.record('a', '')", raises("the id of a record") },
      { "return s.record('a', 1.5)", raises("the id of a record") },
      { "return s.record('a', { print })", raises("%[1%]: SurrealDB has no such thing as a function") },
      { "return s.datetime('yesterday')", raises("seconds since 1970") },
      { "return s.datetime(1, -1)", raises("nanoseconds") },
      { "return s.duration(-1)", raises("not negative") },
      { "return s.decimal('1e5')", raises("decimal") },
      { "return s.decimal('1.')", raises("decimal") },
      { "return s.uuid('x')", raises("36 characters") },
      { "return s.set({ a = 1 })", raises("a list") },
      { "return s.range(1, 2, { last = true })", raises("last") },
      { "return s.none.x", raises("a none of rucat.surreal has no field 'x'") },
      { "local t = {} for i = 1, 70 do t = { t } end return s.record('a', t)", raises("nested deeper than 64") },
      -- no database
      { "return q('RETURN 1')", fails("REFUSED", 'needs mode "remote"') },
      { "return q(5 .. '', 'x')", raises("a table of names and values") },
      { "return q('RETURN 1\\0')", raises("NUL") },
      { "return q('RETURN 1', {}, { tmeout = 1 })", raises("tmeout") },
    })
  end)
end)

describe("rucat.surreal", function()
  local db, s

  lazy_setup(function()
    if surreal.missing then
      return
    end
    db = surreal.start()
    s = server.start({ mode = "remote", config = db:config() })
  end)
  lazy_teardown(function()
    if s then
      s:stop()
      db:stop()
    end
  end)
  before_each(function()
    if surreal.missing then
      pending(surreal.missing)
    end
  end)

  it("brings every type to Lua", function()
    local U = "018f0c9a-0000-7000-8000-00000000abcd"
    local function of(sql, value)
      return { "return q('RETURN ' .. [==[" .. sql .. "]==])[1].result", value }
    end
    local function box(sql, kind, text)
      return of(sql, { kind = kind, text = text })
    end
    run(s, {
      of("1", 1), of("-9223372036854775808", math.mininteger), of("9223372036854775807", math.maxinteger),
      of("true", true), of("'ünï a:b 2026-01-01T00:00:00Z'", "ünï a:b 2026-01-01T00:00:00Z"),
      { "local r = q('RETURN [1, 1.0, 1.5]')[1].result return { math.type(r[1]), math.type(r[2]), r[3] }",
        { "integer", "float", 1.5 } },
      { "return { q('RETURN NONE')[1] }", { { status = "OK" } } },
      { "return { q('RETURN NULL')[1] }", { { status = "OK", result = rucat.json.null } } },
      { "local r = q('RETURN [1, NONE, 3]')[1].result return { #r, r[2] == s.none }", { 3, true } },
      of("{ a: NONE, b: NULL, c: [], d: {} }", { b = rucat.json.null, c = rucat.json.array(), d = {} }),
      { "return rucat.json.encode(q('RETURN { c: [], d: {} }')[1].result)", '{"c":[],"d":{}}' },
      box("a:b", "record", "a:b"), box("a:`12`", "record", "a:`12`"), box("a:12", "record", "a:12"),
      box("a:[1, 'x', { b: u'" .. U .. "' }]", "record", "a:[1, 'x', { b: u'" .. U .. "' }]"),
      box("d'2026-01-01T00:00:00.123456789Z'", "datetime", "2026-01-01T00:00:00.123456789Z"),
      box("1h30m", "duration", "1h30m"), box("1w2d3ns", "duration", "1w2d3ns"), box("0ns", "duration", "0ns"),
      box("1.50dec", "decimal", "1.5"), box("u'" .. U .. "'", "uuid", U),
      { "local b = q('RETURN <bytes>$t', { t = 'ab\\195\\188' })[1].result return { b.kind, tostring(b) }",
        { "bytes", "abü" } },
      { "local v = q('RETURN <set>[3, 1, 1]')[1].result return { v.kind, v.values, tostring(v) }",
        { "set", { 1, 3 }, "{1, 3}" } },
      box("1..3", "range", "1..3"), box("1>..=3", "range", "1>..=3"), box("..", "range", ".."),
      box("type::table('x-y')", "table", "`x-y`"),
    })
  end)

  it("gives every type back as it came, and as it was made", function()
    local U = "018f0c9a-0000-7000-8000-00000000abcd"
    local function same(sql)
      return { "local v = q([==[RETURN " .. sql .. "]==])[1].result; local r = q([==[RETURN [$v = " .. sql
        .. ", type::of($v)]]==], { v = v })[1].result; return r[1]", true }
    end
    local function made(lua, sql)
      return { "local r = q([==[RETURN [$v = " .. sql .. ", $v]]==], { v = " .. lua .. " })[1].result; return { r[1], r[2] == "
        .. lua .. " }", { true, true } }
    end
    run(s, {
      same("1"), same("1.5"), same("NULL"), same("[1, NONE, [], {}, 'x']"), same("{ a: { b: [1.0] } }"), same("a:b"),
      same("a:[1, { x: 2 }]"), same("d'2026-01-01T00:00:00.123456789Z'"), same("1h30m5ns"), same("12.50dec"),
      same("u'" .. U .. "'"), same("<bytes>'abc'"), same("<set>[3, 1]"), same("1>..=3"), same("a:1..3"), same("type::table('x')"),
      made("s.record('a', 'b-c')", "a:`b-c`"), made("s.record('a', { 1, 'x' })", "a:[1, 'x']"),
      made("s.datetime(1767225600, 5)", "d'2026-01-01T00:00:00.000000005Z'"), made("s.datetime('2026-01-01T00:00:00Z')",
      "d'2026-01-01T00:00:00Z'"), made("s.duration(90, 1)", "1m30s1ns"), made("s.decimal('1.5')", "1.5dec"),
      made("s.uuid('" .. U .. "')", "u'" .. U .. "'"), made("s.bytes('abc')", "<bytes>'abc'"),
      made("s.set({ 1, 3 })", "<set>[1, 3]"), made("s.range(1, 3, { last_included = true })", "1..=3"),
      made("s.range(nil, 3)", "..3"), made("s.table('x')", "type::table('x')"),
      { "return q('RETURN [$a = NONE, $b = NONE, $c = NULL, $d = [], $e = {}]', { b = s.none, c = rucat.json.null,"
        .. " d = rucat.json.array(), e = {} })[1].result", { true, true, true, true, true } },
      { "return q('RETURN type::of($x)', { x = 3.0 })[1].result", "float" },
      { "return q('RETURN type::of($x)', { x = 'a:b' })[1].result", "string" },
      { "return q('RETURN $x', { x = math.mininteger })[1].result", math.mininteger },
    })
  end)

  it("has a result for each statement; what fails says why", function()
    run(s, {
      { "return q('RETURN 1; THROW \"no\"; RETURN 3')", function(answer)
        local list = answer.value
        assert.equal(3, #list)
        assert.same({ status = "OK", result = 1 }, list[1])
        assert.equal("ERR", list[2].status)
        assert.matches("no", list[2].error)
        assert.is_nil(list[2].result)
        assert.same({ status = "OK", result = 3 }, list[3])
      end },
      { "return q('SELECT FROM WHERE')", fails("STORE", "[Pp]arse error") },
      { "return q([[RETURN { type: 'Point', coordinates: [1.0, 2.0] }; RETURN <point>(1.0, 2.0); RETURN 5]])",
        function(answer)
          assert.equal("ERR", answer.value[2].status)
          assert.matches("a geometry has no form in Lua", answer.value[2].error)
          assert.equal(5, answer.value[3].result)
        end },
      { "return q('RETURN $x', { x = print })", raises("x: SurrealDB has no such thing as a function") },
      { "return q('RETURN $x', { x = { y = { '\\255' } } })", raises("x%.y%[1%]: not UTF%-8") },
      { "return q('RETURN $x', { x = { [1] = 1, [3] = 3 } })", raises("a key of an object is not a text") },
      { "local t = {} t.t = t return q('RETURN $x', t)", raises("nested deeper than 64") },
      { "local t = {} for i = 1, 200001 do t[i] = i end return q('RETURN 1', { x = t })", raises("200,000 values") },
      { "return q('RETURN 1', { x = ('x'):rep(4194305) })", raises("more than 4 MiB") },
      { "local r = q('LET $t = array::range(0, 15000); RETURN [$t, $t, $t, $t, $t]')[2] return r.error or { #r.result, #r.result[5] }", { 5, 15000 } },
      { "return q('LET $t = array::range(0, 15000); RETURN [$t, $t, $t, $t, $t, $t, $t, $t, $t, $t, $t, $t, $t, $t]; RETURN 5')", function(answer)
        assert.equal("ERR", answer.value[2].status)
        assert.matches("more than 200000 values", answer.value[2].error)
      end },
      { "return q('SLEEP 3s', {}, { timeout = 0.3 })", fails("UNSURE", "") }, -- it may be carried out yet
      { "return q('SLEEP 3s', {}, { timeout = 0.3, again = true })", fails("STORE", "") },
    })
  end)

  it("keeps what it was given, and finds it by parameters", function()
    run(s, {
      { [[
        q("DEFINE TABLE IF NOT EXISTS note SCHEMALESS")
        q("CREATE $id CONTENT $note", { id = s.record("note", "n1"), note = {
          team = "red", at = s.datetime(1000.5), cost = s.decimal("0.10"), tags = rucat.json.array(), of = s.record("engine", "x"),
          text = "engine:not-a-record" } })
        local row = q("SELECT * FROM note WHERE team = $team AND at > $since", { team = "red", since = s.datetime(1000) })[1].result[1]
        assert(row.id == s.record("note", "n1") and row.of.id == "x" and row.at.time == 1000.5)
        return row]], {
        id = "note:n1", team = "red", at = "1970-01-01T00:16:40.500Z", cost = "0.1", tags = rucat.json.array(), of = "engine:x",
        text = "engine:not-a-record",
      } },
    })
    assert.same({ { text = "engine:not-a-record" } }, db:ask("SELECT text FROM note"))
  end)

  it("waits without holding anybody up, and is dropped with its job", function()
    s:scripts({ ["handlers/slow.lua"] = [[
      return { ["GET /v1/slow"] = function() return 200, rucat.surreal.query("SLEEP 30s; RETURN 1", nil, { timeout = 60 }) end }
    ]] })
    assert.equal(200, (s:reload()))
    local began = rucat.clock.monotonic()
    local answer, _, code = rucat.http.request({ url = s.url .. "/v1/slow", timeout = 0.5 })
    assert.is_nil(answer)
    assert.equal("ETIMEDOUT", code)
    assert.equal(200, s:http("GET", "/healthz").status)
    assert.is_true(rucat.clock.monotonic() - began < 20)
  end)

  it("works in the console", function()
    local exit, out, err = s:cli("console", "-s", s.state_dir .. "/console", "-e",
      'rucat.surreal.query("RETURN [1, a:b, 1h]")[1].result[2].table')
    assert.equal(0, exit, out .. err)
    assert.matches("a", out)
  end)
end)
