-- rucat store copy: everything of one store in another, checked, and begun again at any time.

local fault_proxy = require("support.fault_proxy")
local server = require("support.server")
local surreal = require("support.surreal")

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
    -- 6,000 more of each, made by hand
    sqlite(a, [[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
      INSERT INTO engine(id, name, rev, state, desired, type, platform, owner, keeper, due_ms, doc)
      SELECT printf('01m%023d', i), 'n' || i, 1, 'Stopped', 'Stopped', 't', 'external', '', '', 0, '{"i":' || i || '}' FROM n]])
    sqlite(a, [[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
      INSERT INTO event(id, engine, at_ms, kind, doc)
      SELECT printf('01m%023d', i), printf('01m%023d', i), i, 'state', '{"i":' || i || '}' FROM n]])
    local total, kills, code, out = 6003, 0, nil, nil
    repeat
      local p = assert(rucat.process.spawn({
        argv = { server.binary, "store", "copy", "--from", a, "--to", dir .. "/b.db" }, env = { HOME = "/tmp" },
      }))
      -- a little later each time, so that it is killed at another place
      local exit = p:wait((0.01 + 0.02 * kills) * (server.sanitized and 5 or 1))
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
    assert.matches("checked: 6003 engines and 60%d%d events", out)
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

describe("a backup that is put back (docs/modes.md)", function()
  it("finds the drivers that run, also those it knows nothing of", with_dir(function(dir)
    local s <close> = server.start()
    s:create({ name = "one", config = { run = "exec sleep 1000" } })
    s:until_state("one", "Running")
    assert.equal(0, s:term().code)
    assert.equal(0, (copy(s.state_dir .. "/rucat.db", dir .. "/backup.db")))
    s:start_again()
    assert.equal(202, (s:json("POST", "/v1/engines/one/restart?wait=20s")))
    assert.equal(2, s:engine("one").epoch)
    s:create({ name = "two", config = { run = "exec sleep 1000" } })
    s:until_state("two", "Running")
    local id = s:engine("two").id
    assert.equal(0, s:term().code)
    local drivers = s:drivers()
    server.run({ "sh", "-c", 'cp "$1" "$2"; rm -f "$2"-wal "$2"-shm', "sh", dir .. "/backup.db", s.state_dir .. "/rucat.db" })
    s:start_again()
    s:until_engine("one", function(e)
      return e.epoch == 2 and e.state == "Running"
    end)
    s:until_state("two", "Running")
    assert.equal(id, s:engine("two").id)
    assert.same(drivers, s:drivers())
  end))
end)

describe("store copy with SurrealDB", function()
  -- fn(db, dir): a database and a directory, both gone afterwards.
  local function with_db(fn)
    return with_dir(function(dir)
      if surreal.missing then
        pending(surreal.missing)
        return
      end
      local db <close> = surreal.start()
      fn(db, dir)
    end)
  end

  local function flags(db)
    return "--user", db.user, "--password-file", db.password_file
  end

  it("goes there and back, with what servers did on either side", with_db(function(db, dir)
    filled(dir, 40)
    local a = dir .. "/a.db"
    local _
    local code, out, err = copy(a, db.url, flags(db))
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("engines: +40 copied", out)
    assert.matches("checked: 40 engines and %d+ events are the same in both", out)
    -- a server works on it
    do
      local s <close> = server.start({ mode = "remote", config = db:config() })
      s:until_state("e1", "Running")
      assert.equal("ünï „7“ 01k2345:x 2026-01-01T00:00:00Z", s:engine("e7").labels.text)
      assert.equal(202, (s:json("POST", "/v1/engines/e3/stop")))
      s:until_state("e3", "Stopped")
      assert.equal(0, s:term().code)
    end
    -- back: what the server changed differs, by the engine's name
    code, _, err = copy(db.url, a, flags(db))
    assert.equal(1, code)
    assert.matches("engine 'e3' %(01%w+%) differs", err)
    code, out, err = copy(db.url, a, "--overwrite", flags(db))
    assert.equal("", err)
    assert.equal(0, code, out)
    assert.matches("checked: 40 engines", out)
    -- and a server of mode local goes on with it
    local s <close> = server.start({ config = { store = { kind = "sqlite", path = a } } })
    assert.equal("Stopped", s:engine("e3").state)
    assert.equal("Running", s:engine("e4").state)
  end))

  it("goes on where the database went away", with_db(function(db, dir)
    filled(dir, 60)
    local proxy <close> = fault_proxy.start(db.port)
    local url = "http://127.0.0.1:" .. proxy.port
    proxy:set("cut if e30") -- the one engine that is not let through
    local code, _, err = copy(dir .. "/a.db", url, flags(db))
    assert.equal(1, code)
    assert.matches("writing to the target", err)
    assert.matches("begin again to go on", err)
    proxy:set("lost 10") -- answers that are lost are found out
    local out
    code, out, err = copy(dir .. "/a.db", url, flags(db))
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("checked: 60 engines", out)
    proxy:set("pass")
    code, out = copy(url .. "/rucat/rucat", dir .. "/c.db", flags(db))
    assert.equal(0, code)
    assert.matches("engines: +60 copied", out)
    code, out = copy(dir .. "/a.db", dir .. "/c.db")
    assert.equal(0, code)
    assert.matches("engines: +0 copied, 60 there already", out)
  end))

  it("says what is wrong with the database", with_db(function(db, dir)
    filled(dir, 1)
    local a = dir .. "/a.db"
    server.write(dir .. "/wrong", "not it\n")
    for _, case in ipairs({
      { 1, "password is wrong", a, db.url, "--user", db.user, "--password-file", dir .. "/wrong" },
      { 3, "there was no rucat in that namespace", db.url .. "/rucat/nothing", dir .. "/b.db", flags(db) },
      { 2, "%-%-from and %-%-to are the same", db.url, db.url .. "/rucat/rucat", flags(db) },
    }) do
      local code, _, err = copy(table.unpack(case, 3))
      assert.matches(case[2], err)
      assert.equal(case[1], code)
      assert.is_nil(err:find(db.password, 1, true))
    end
    local code, _, err = copy(a, "http://127.0.0.1:" .. surreal.free_port(), "-c", dir .. "/quick.lua")
    assert.equal(1, code)
    assert.matches("no such file", err)
    server.write(dir .. "/quick.lua", "return { store = { connect_time = 1 } }")
    code, _, err = copy(a, "http://127.0.0.1:" .. surreal.free_port(), "-c", dir .. "/quick.lua")
    assert.equal(1, code)
    assert.matches("is not reached", err)
  end))
end)
