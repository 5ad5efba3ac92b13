-- The store of mode remote on a real SurrealDB: what is refused at the start and how that is said, users
-- and their rights, records that people edited by hand, a database that is exchanged under a server,
-- kill -9 of the database in the middle of writes. (The store's own promises: spec/unit/store_test.c.)

local server = require("support.server")
local surreal = require("support.surreal")
local fault_proxy = require("support.fault_proxy")

local EXTERNAL = { platform = "external", type = "spark", endpoint = "sc://127.0.0.1:1" }

local function external(name, more)
  local body = { name = name }
  for _, part in ipairs({ EXTERNAL, more or {} }) do
    for key, value in pairs(part) do
      body[key] = value
    end
  end
  return body
end

-- What `serve` says when it does not start: its output. It must end with 1, and name no password.
local function refused(db, store, through, seconds)
  local config = db:config({}, store, through)
  config.store.connect_time = config.store.connect_time or 2
  local s <close> = server.start({ mode = "remote", config = config, wait = false })
  local exit = assert(s.process:wait(seconds or 30), "it is still there: " .. s:output())
  local out = s:output()
  assert.are.equal(1, exit.code, out)
  assert.is_nil(out:find(surreal.password, 1, true), out)
  return out
end

local function says(text, ...)
  for _, words in ipairs({ ... }) do
    assert.is_truthy(text:find(words, 1, true), words .. " is not in: " .. text)
  end
end

if surreal.missing then
  describe("the store in SurrealDB", function()
    pending("is not tried: " .. surreal.missing)
  end)
  return
end

describe("the store in SurrealDB", function()
  local db

  setup(function()
    db = surreal.start()
  end)

  teardown(function()
    db:stop()
  end)

  describe("is refused with a sentence", function()
    local function password_file(text)
      local path = db.dir .. "/other-password"
      server.write(path, text)
      server.run({ "chmod", "600", path })
      return path
    end

    it("when the password is wrong, at once", function()
      local began = rucat.clock.monotonic()
      local out = refused(db, { password_file = password_file("hunter2\n"), connect_time = 60 })
      says(out, 'refuses the user "root"', "the name or the password is wrong")
      assert.is_nil(out:find("hunter2", 1, true))
      assert.is_true(rucat.clock.monotonic() - began < 30)
    end)

    it("when the file of the password is not there or empty", function()
      says(refused(db, { password_file = "/nonexistent/pw" }), "/nonexistent/pw", "No such file")
      says(refused(db, { password_file = password_file("\n") }), "other-password", "first line")
    end)

    it("when nobody answers", function()
      local port = surreal.free_port()
      says(refused(db, { url = "http://127.0.0.1:" .. port, connect_time = 1 }),
        "http://127.0.0.1:" .. port .. " is not reached")
    end)

    it("when what answers is another program", function()
      local other <close> = server.start({ mode = "embedded" })
      says(refused(db, { url = other.url, connect_time = 60 }), other.url .. " is none",
        "another program")
      local proxy <close> = fault_proxy.start(db.port)
      proxy:set("garbage")
      says(refused(db, { connect_time = 60 }, proxy.port), "cannot be spoken to")
    end)

    it("when its certificate is not trusted", function()
      local key, cert = db.dir .. "/key.pem", db.dir .. "/cert.pem"
      server.run({ "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                   "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                   "-keyout", key, "-out", cert })
      local tls <close> = assert(rucat.process.spawn({ argv = { "/usr/bin/python3", "-c", [[
import http.server, ssl, sys
s = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain(sys.argv[1], sys.argv[2])
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_port, flush=True)
s.serve_forever()]], cert, key } }))
      local port = server.eventually(function()
        return tls:output():match("(%d+)\n")
      end)
      local url = "https://127.0.0.1:" .. port
      says(refused(db, { url = url, connect_time = 60 }), url .. " cannot be spoken to", "certificate")
      -- With its authority it is spoken to, and found to be no SurrealDB.
      says(refused(db, { url = url, ca_file = cert, connect_time = 60 }), url .. " is none")
      tls:kill("KILL")
    end)

    it("when the tables are of a newer rucat, which are left alone", function()
      do
        local s <close> = server.start({ mode = "remote", config = db:config({}, { database = "future" }) })
        s:create(external("one"))
      end
      db:ask("UPDATE meta:schema SET version = 99", "rucat", "future")
      says(refused(db, { database = "future", connect_time = 60 }), "newer rucat", "schema 99")
      assert.are.equal(99, db:ask("SELECT VALUE version FROM meta:schema", "rucat", "future")[1])
    end)

    it("when the user may not make the tables, or is another database's", function()
      db:ask("DEFINE NAMESPACE IF NOT EXISTS mine; USE NS mine; DEFINE DATABASE IF NOT EXISTS d; USE DB d;"
        .. "DEFINE USER OVERWRITE looker ON DATABASE PASSWORD 'pw' ROLES VIEWER;"
        .. "DEFINE USER OVERWRITE writer ON DATABASE PASSWORD 'pw' ROLES EDITOR", "mine", "d")
      local file = password_file("pw\n")
      local out = refused(db, { namespace = "mine", database = "d", user = "looker", password_file = file,
                                connect_time = 60 })
      says(out, "cannot be made", "permission")
      says(refused(db, { user = "writer", password_file = file, connect_time = 60 }), "refuses the user")
      -- With the role it may.
      local s <close> = server.start({ mode = "remote", config = db:config({}, {
        namespace = "mine", database = "d", user = "writer", password_file = file }) })
      s:create(external("by-writer"))
      assert.are.equal("by-writer", db:ask("SELECT VALUE name FROM engine", "mine", "d")[1])
    end)
  end)

  it("makes the tables that `rucat schema` prints, and takes them as they are made by hand", function()
    local exit, out = server.run({ server.binary, "schema" })
    assert.are.equal(0, exit.code)
    db:ask("DEFINE NAMESPACE IF NOT EXISTS rucat; USE NS rucat; DEFINE DATABASE IF NOT EXISTS by_hand", "rucat", "by_hand")
    db:ask(out, "rucat", "by_hand")
    db:ask(out, "rucat", "by_hand") -- twice does no harm
    local s <close> = server.start({ mode = "remote", config = db:config({}, { database = "by_hand" }) })
    s:create(external("there"))
    local made <close> = server.start({ mode = "remote", config = db:config({}, { database = "by_rucat" }) })
    made:create(external("there"))
    for _, table in ipairs({ "engine", "event", "beat", "replica", "meta" }) do
      assert.are.same(db:ask("INFO FOR TABLE " .. table, "rucat", "by_hand"),
        db:ask("INFO FOR TABLE " .. table, "rucat", "by_rucat"))
    end
  end)

  it("says which record somebody edited into nonsense, and goes on with the others", function()
    local store = { database = "edited" }
    local good, bad
    do
      local s <close> = server.start({ mode = "remote", config = db:config({}, store) })
      good, bad = s:create(external("good")), s:create(external("bad"))
      s:until_state("good", "Running")
      s:until_state("bad", "Running")
    end
    db:ask("UPDATE engine:" .. bad.id .. " SET rev = -4", "rucat", "edited")
    db:ask("CREATE engine:7 CONTENT object::extend((SELECT * OMIT id FROM ONLY engine:" .. good.id
      .. "), { name: 'seven', notes: [] })", "rucat", "edited")
    local s <close> = server.start({ mode = "remote", config = db:config({}, store) })
    assert.are.equal("good", s:engine("good").name)
    local list = s:get("/v1/engines").engines
    assert.are.equal(1, #list)
    says(s:output(), "engine:" .. bad.id .. " of the database is not as rucat writes them (rev)")
    assert.are.equal(-4, db:ask("SELECT VALUE rev FROM engine:" .. bad.id, "rucat", "edited")[1])
    s:create(external("another"))
  end)

  it("goes on when the database was emptied under it, and says so", function()
    local store = { database = "emptied" }
    local s <close> = server.start({ mode = "remote", config = db:config({}, store) })
    s:create(external("before"))
    s:until_state("before", "Running")
    db:ask("REMOVE DATABASE emptied", "rucat", "emptied")
    server.eventually(function()
      return s:output():find("is not the one it was", 1, true)
    end, 30, "the loud line")
    server.eventually(function()
      local status = s:json("POST", "/v1/engines", external("after"))
      return status == 201, status
    end, 30, "a create")
    assert.are.equal("after", db:ask("SELECT VALUE name FROM engine WHERE name = 'after'", "rucat", "emptied")[1])
  end)

  it("keeps apart from others who use the same server", function()
    -- SurrealDB 3.0 keeps what requests without a session say of namespace and user in one place.
    local s <close> = server.start({ mode = "remote", config = db:config({}, { database = "apart" }) })
    local stop = false
    local others = {}
    for i = 1, 4 do
      others[i] = rucat.timer.every(0.001, function()
        if not stop then
          rucat.http.request({
            url = db.url .. "/rpc", method = "POST", body = '{"id":1,"method":"ping","params":[]}',
            headers = { ["content-type"] = "application/json", accept = "application/json",
                        ["surreal-ns"] = "other" .. i, ["surreal-db"] = "other" },
          })
        end
      end)
    end
    for i = 1, 60 do
      s:create(external("e" .. i))
    end
    stop = true
    for _, timer in ipairs(others) do
      timer:cancel()
    end
    assert.are.equal(60, db:ask("SELECT VALUE count FROM (SELECT count() FROM engine GROUP ALL)", "rucat", "apart")[1])
  end)
end)

describe("kill -9 of a SurrealDB on a disk", function()
  it("loses no write that was acknowledged, and makes none twice", function()
    local db <close> = surreal.start({ storage = "file" })
    local s <close> = server.start({ mode = "remote", config = db:config() })
    local taken = {}
    for round = 1, 3 do
      local names, over = {}, 0
      for i = 1, 12 do
        names[i] = ("r%d-%d"):format(round, i)
      end
      rucat.timer.after(0.02 * round, function()
        server.run({ "kill", "-9", tostring(db.pid) })
      end)
      for _, name in ipairs(names) do
        rucat.timer.after(0, function()
          local ok, status = pcall(s.json, s, "POST", "/v1/engines", external(name))
          taken[name] = ok and status == 201 or nil
          over = over + 1
        end)
      end
      assert(db.process:wait(20), "it is still there")
      db:start_again() -- those who wait for an answer find out what became of it
      server.eventually(function()
        return over == #names, over
      end, 60, "the answers")
      server.eventually(function()
        return s:http("GET", "/readyz").status == 200
      end, 30, "readiness")
    end
    local stored = {}
    for _, name in ipairs(db:ask("SELECT VALUE name FROM engine")) do
      assert.is_nil(stored[name])
      stored[name] = true
    end
    for name in pairs(taken) do
      assert.is_true(stored[name], name .. " was acknowledged")
    end
    -- Each record has been made by one event.
    local made = db:ask("SELECT engine, count() AS n FROM event WHERE doc CONTAINS '\"from\":null' GROUP BY engine")
    for _, one in ipairs(made) do
      assert.are.equal(1, one.n)
    end
    local list = s:get("/v1/engines?limit=1000").engines
    server.eventually(function()
      list = s:get("/v1/engines?limit=1000").engines
      local count = 0
      for _ in pairs(stored) do
        count = count + 1
      end
      return #list == count, #list
    end, 90, "what is known to be what is stored")
  end)
end)
