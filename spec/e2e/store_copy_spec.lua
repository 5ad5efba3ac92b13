-- rucat store copy: everything of one store in another, checked, and begun again at any time.

local server = require("support.server")

local function copy(from, to, ...)
  local exit, out, err = server.run({ server.binary, "store", "copy", "--from", from, "--to", to, ... },
    { env = { HOME = "/tmp" } })
  return exit.code, out, err
end

-- A server with that many engines that nothing runs for, ended: its database.
local function filled(dir, count)
  local s <close> = server.start({ config = { store = { kind = "sqlite", path = dir .. "/a.db" } } })
  for i = 1, count do
    s:create({ name = "e" .. i, type = "spark", platform = "external", endpoint = "sc://127.0.0.1:1",
               labels = { text = "ünï „" .. i .. "“ 01k2345:x 2026-01-01T00:00:00Z" } })
  end
  s:until_state("e" .. count, "Running")
  assert.equal(0, s:term().code)
end

local function sqlite(path, text)
  local exit, out, err = server.run({ "/usr/bin/python3", "-c", [[
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for row in db.execute(sys.argv[2]): print(*row)
db.commit()
]], path, text })
  assert.equal(0, exit.code, err)
  return out
end

local function with_dir(fn)
  return function()
    local dir = server.tempdir()
    local ok, why = pcall(fn, dir)
    server.run({ "rm", "-rf", dir })
    if not ok then
      error(why, 0)
    end
  end
end

describe("store copy", function()
  it("brings engines, events and heartbeats over, and a server goes on with them", with_dir(function(dir)
    local s <close> = server.start({ config = { store = { kind = "sqlite", path = dir .. "/a.db" } } })
    s:create({ name = "one", config = { run = "echo up; exec sleep 1000" } })
    s:until_state("one", "Running")
    s:create({ name = "two", type = "spark", platform = "external", endpoint = "sc://127.0.0.1:1" })
    s:until_state("two", "Running")
    local one, two = s:engine("one"), s:engine("two")
    local events = s:get("/v1/events").events
    assert.equal(0, s:term().code)
    local code, out, err = copy(dir .. "/a.db", dir .. "/b.db")
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("engines: +2 copied, 0 there already", out)
    assert.matches("checked: 2 engines and %d+ events are the same in both", out)
    s.config_text = (server.read(s.config_file):gsub("/a%.db", "/b.db"))
    server.write(s.config_file, s.config_text)
    s:start_again()
    for name, before in pairs({ one = one, two = two }) do
      local after = s:engine(name)
      for _, key in ipairs({ "id", "created_at", "epoch", "state", "endpoint", "config" }) do
        assert.same(before[key], after[key], name .. "." .. key)
      end
    end
    assert.truthy(s:engine("one").state == "Running") -- adopted
    local there = {}
    for _, event in ipairs(s:get("/v1/events").events) do
      there[event.id] = event
    end
    for _, event in ipairs(events) do
      assert.same(event, there[event.id])
    end
    s:json("DELETE", "/v1/engines/one")
    s:until_gone("one")
  end))

  it("passes over what is there, names what differs, replaces it only when told to", with_dir(function(dir)
    filled(dir, 5)
    local a, b = dir .. "/a.db", dir .. "/b.db"
    assert.equal(0, (copy(a, b)))
    local code, out = copy(a, b)
    assert.equal(0, code)
    assert.matches("engines: +0 copied, 5 there already\n", out)
    assert.matches("events: +0 copied, %d+ there already\n", out)
    assert.matches("heartbeats: +0 written", out)
    sqlite(b, "UPDATE engine SET rev = rev + 3, doc = replace(doc, 'Running', 'running') WHERE name = 'e3'")
    sqlite(b, "DELETE FROM engine WHERE name = 'e4'")
    local err
    code, out, err = copy(a, b)
    assert.equal(1, code)
    assert.matches("engine 'e3' %(01%w+%) differs: revision, document %(revision %d+, there %d+%)", err)
    assert.matches("1 things are there and differ.*%-%-overwrite", err)
    assert.matches("engines: +1 copied, 3 there already, 1 differ\n", out)
    assert.is_nil(out:find("checked", 1, true))
    code, out, err = copy(a, b, "--overwrite", "-o", "json")
    assert.equal("", err)
    assert.equal(0, code)
    local summary = rucat.json.decode(out)
    assert.same({ copied = 0, there = 4, replaced = 1, different = 0, extra = 0, checked = 5 }, summary.engines)
    assert.is_true(summary.same)
    assert.equal(sqlite(a, "SELECT * FROM engine ORDER BY id"):gsub("\n%d+ ", "\n"),
                 (sqlite(b, "SELECT * FROM engine ORDER BY id"):gsub("\n%d+ ", "\n")))
    -- a name that another engine has, an event that was changed, an engine that only the target has
    sqlite(b, "DELETE FROM engine WHERE name = 'e5'")
    sqlite(b, "UPDATE engine SET id = '01m000000000000000000000zz', name = 'e5' WHERE name = 'e1'")
    sqlite(b, "UPDATE event SET doc = '{}' WHERE id = (SELECT min(id) FROM event)")
    code, out, err = copy(a, b, "--overwrite")
    assert.equal(1, code)
    assert.matches("engine 'e5' %(01%w+%): its name is another engine's there", err)
    assert.matches("event 01%w+ of engine 01%w+ differs", err)
    assert.matches("engines: +1 copied, 3 there already, 1 differ, 1 that only the target has\n", out)
  end))

  it("goes on where it was killed", with_dir(function(dir)
    filled(dir, 3)
    local a = dir .. "/a.db"
    -- 20,000 more of each, made by hand
    sqlite(a, [[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
      INSERT INTO engine(id, name, rev, state, desired, type, platform, owner, keeper, due_ms, doc)
      SELECT printf('01m%023d', i), 'n' || i, 1, 'Stopped', 'Stopped', 't', 'external', '', '', 0, '{"i":' || i || '}' FROM n]])
    sqlite(a, [[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
      INSERT INTO event(id, engine, at_ms, kind, doc)
      SELECT printf('01m%023d', i), printf('01m%023d', i), i, 'state', '{"i":' || i || '}' FROM n]])
    local total, kills, code, out = 20003, 0, nil, nil
    repeat
      local p = assert(rucat.process.spawn({
        argv = { server.binary, "store", "copy", "--from", a, "--to", dir .. "/b.db" }, env = { HOME = "/tmp" },
      }))
      -- a little later each time, so that it is killed at another place
      local exit = p:wait(0.02 + 0.03 * kills)
      if not exit then
        p:kill("KILL")
        p:wait(10)
        kills = kills + 1
      else
        code, out = exit.code, (p:output())
      end
      p:close()
    until exit
    assert.truthy(kills > 1)
    assert.equal(0, code)
    local copied, there = out:match("engines: +(%d+) copied, (%d+) there already\n")
    assert.equal(total, copied + there)
    assert.equal(tostring(total), (sqlite(dir .. "/b.db", "SELECT count(*) FROM engine"):gsub("\n", "")))
    assert.matches("checked: 20003 engines and 200%d%d events", out)
  end))

  it("refuses what a server has open, and what cannot be", with_dir(function(dir)
    local a = dir .. "/a.db"
    local s <close> = server.start({ config = { store = { kind = "sqlite", path = a } } })
    local code, out, err = copy(a, dir .. "/b.db")
    assert.equal(1, code)
    assert.matches("%-%-from: the database .*/a%.db is in use by another rucat", err)
    assert.equal("", out)
    assert.equal(0, s:term().code)
    server.write(dir .. "/other", "something else, which is no database at all and longer than a header\n")
    for _, case in ipairs({
      { 2, "%-%-from is missing", {} },
      { 2, "%-%-to is missing", { "--from", a } },
      { 2, "unexpected argument 'x'", { "--from", a, "--to", dir .. "/b.db", "x" } },
      { 2, "%-%-from and %-%-to are the same", { "--from", a, "--to", dir .. "/./a.db" } },
      { 2, "expected a file, or http:// or https://", { "--from", a, "--to", "ws://127.0.0.1:1" } },
      { 2, "/NAMESPACE/DATABASE", { "--from", a, "--to", "http://127.0.0.1:1/x" } },
      { 3, "nowhere: no such file", { "--from", dir .. "/nowhere", "--to", dir .. "/b.db" } },
      { 1, "is not a SQLite database", { "--from", a, "--to", dir .. "/other" } },
      { 1, "nothing: No such file", { "--from", a, "--to", "http://127.0.0.1:1", "--password-file", dir .. "/nothing" } },
    }) do
      local exit, _, text = server.run({ server.binary, "store", "copy", table.unpack(case[3]) }, { env = { HOME = "/tmp" } })
      assert.equal(case[1], exit.code, text)
      assert.matches(case[2], text)
    end
    assert.equal(2, (server.run({ server.binary, "store", "move" })).code)
    assert.equal(0, (server.run({ server.binary, "store", "copy", "-h" })).code)
  end))

  it("draws how far it is on a terminal only", with_dir(function(dir)
    filled(dir, 2)
    local _, out = server.run({ "script", "-qec", server.binary .. " store copy --from " .. dir .. "/a.db --to "
      .. dir .. "/b.db", "/dev/null" })
    assert.matches("engines: 0 engines, 0 events", out)
    assert.matches("checked: 2 engines", out)
  end))
end)
