-- `rucat serve`, `rucat check` and their configuration: what is refused, and how that is said.

local support = require("support.server")

local function run(argv, env)
  local words = { support.binary, table.unpack(argv) }
  local all = { HOME = "/nonexistent", ASAN_OPTIONS = os.getenv("ASAN_OPTIONS"),
                UBSAN_OPTIONS = os.getenv("UBSAN_OPTIONS") }
  for name, value in pairs(env or {}) do
    all[name] = value
  end
  local exit, out, err = support.run(words, { env = all, timeout = 20 })
  return exit.code, out, err
end

describe("the configuration", function()
  local dir

  setup(function()
    dir = support.tempdir()
  end)

  teardown(function()
    support.run({ "rm", "-rf", dir })
  end)

  -- What check and serve say of a configuration; both must end with 1.
  local function refused(text, env)
    support.write(dir .. "/rucat.lua", text)
    local code, out, err = run({ "check", "-c", dir .. "/rucat.lua" }, env)
    assert.are.equal(1, code, text .. out .. err)
    local argv = { "serve", "-c", dir .. "/rucat.lua", "--state-dir", dir .. "/s" }
    if not text:find("listen", 1, true) then -- a flag would be laid over it
      table.move({ "--listen", "127.0.0.1:0" }, 1, 2, #argv + 1, argv)
    end
    local again, _, words = run(argv, env)
    assert.are.equal(1, again, text .. words)
    return out .. err
  end

  it("that is no Lua is refused with FILE:LINE", function()
    assert.matches("rucat.lua:2:", refused("return {\n  listen = = 3\n}"), 1, true)
    assert.matches("rucat.lua:3:", refused("\n\nerror('later')"), 1, true)
    assert.matches("rucat.lua", refused("return 7"), 1, true)
    assert.matches("rucat.lua", refused(""), 1, true)
  end)

  it("of unknown keys is refused, saying what was meant", function()
    local text = refused("return {\n  mode = 'local',\n  lisen = '127.0.0.1:0',\n}")
    assert.matches("lisen", text)
    assert.matches("did you mean 'listen'", text, 1, true)
    assert.matches("rucat.lua", text, 1, true)
    assert.matches("spark.hom", refused("return { spark = { hom = '/x' } }"), 1, true)
  end)

  it("of keys that this build does not have is refused by name", function()
    for key, value in pairs({ tls = "{ cert = 'a', key = 'b' }", kubernetes = "{}",
                              public_url = "'http://x'" }) do
      local text = refused(("return { %s = %s }"):format(key, value))
      assert.matches(key, text, 1, true)
      assert.matches("not supported in this build", text, 1, true)
    end
    assert.matches("surreal", refused("return { store = { kind = 'surreal' } }"))
    assert.matches("remote", refused("return { mode = 'remote' }"))
  end)

  it("of wrong values is refused by name", function()
    for text, word in pairs({
      ["listen = 3000"] = "listen", ["listen = 'nowhere'"] = "listen", ["mode = 'fast'"] = "mode",
      ["limits = { body = -1 }"] = "limits.body", ["limits = { body = 'x' }"] = "limits.body",
      ["limits = 7"] = "limits", ["scripts = 'x'"] = "scripts", ["log = { level = 'loud' }"] = "log.level",
      ["spark = { homes = { ['4.1'] = 7 } }"] = "spark.homes", ["auth = 'open'"] = "auth",
    }) do
      assert.matches(word, refused("return { " .. text .. " }"), 1, true)
    end
  end)

  it("in the environment is refused in the same way, and unknown names are warned of", function()
    assert.matches("RUCAT_MODE", refused("return {}", { RUCAT_MODE = "fast" }) .. " RUCAT_MODE mode")
    support.write(dir .. "/rucat.lua", "return {}")
    local code, out, err = run({ "check", "-c", dir .. "/rucat.lua" }, { RUCAT_LISTNE = "x" })
    assert.are.equal(0, code, err)
    assert.matches("RUCAT_LISTNE", out .. err)
    code, out, err = run({ "check", "-c", dir .. "/rucat.lua" },
                         { RUCAT_URL = "x", RUCAT_TOKEN = "y", RUCAT_INSTANCE = "z" })
    assert.are.equal(0, code, err)
    assert.is_nil((out .. err):find("RUCAT_", 1, true))
  end)

  it("that is not there is said to be", function()
    local code, out, err = run({ "serve", "-c", dir .. "/none.lua" })
    assert.are.equal(1, code)
    assert.matches("none.lua", out .. err, 1, true)
  end)

  it("that is shipped is fine", function()
    local code, out, err = run({ "check" })
    assert.are.equal(0, code, out .. err)
  end)

  it("asks for auth = \"none\" in writing away from the loopback", function()
    assert.matches("auth", refused("return { listen = '0.0.0.0:0' }"))
    support.write(dir .. "/rucat.lua", "return { listen = '0.0.0.0:3000' }")
    assert.are.equal(1, (run({ "check", "-c", dir .. "/rucat.lua" })))
    support.write(dir .. "/rucat.lua", "return { listen = '0.0.0.0:3000', auth = 'none' }")
    assert.are.equal(0, (run({ "check", "-c", dir .. "/rucat.lua" })))
  end)
end)

describe("rucat check", function()
  it("names FILE:LINE of each broken script", function()
    local dir = support.tempdir()
    finally(function()
      support.run({ "rm", "-rf", dir })
    end)
    support.write(dir .. "/x/templates/a_local.lua", "return {\nsubmit = 1 }")
    support.write(dir .. "/x/handlers/b.lua", "return { ['GET nowhere'] = print }")
    support.write(dir .. "/x/policies/restart.lua", "local a\nlocal b = (")
    support.write(dir .. "/x/policies/.hidden.lua", "broken (")
    support.write(dir .. "/x/policies/notes.txt", "broken (")
    support.write(dir .. "/rucat.lua", ("return { scripts = { %q } }"):format(dir .. "/x"))
    local code, out, err = run({ "check", "-c", dir .. "/rucat.lua" })
    assert.are.equal(1, code)
    local text = out .. err
    assert.matches("a_local.lua", text, 1, true)
    assert.matches("b.lua", text, 1, true)
    assert.matches("restart.lua:2:", text, 1, true)
    assert.is_nil(text:find("hidden", 1, true))
    assert.is_nil(text:find("notes", 1, true))
  end)
end)

describe("rucat serve", function()
  it("says that a port is taken", function()
    local s <close> = support.start()
    local dir = support.tempdir()
    finally(function()
      support.run({ "rm", "-rf", dir })
    end)
    local code, out, err = run({ "serve", "--listen", s.address, "--state-dir", dir .. "/s" })
    assert.are.equal(1, code)
    assert.matches(s.address, out .. err, 1, true)
    assert.matches("in use", out .. err, 1, true)
  end)

  it("takes flags over the environment over the file", function()
    local s <close> = support.start({ config = { log = { level = "debug" }, defaults = { type = "x" } },
                                      env = { RUCAT_DEFAULTS_TYPE = "test" } })
    local status, e = s:json("POST", "/v1/engines", { name = "d" })
    assert.are.equal(201, status, rucat.json.encode(e))
    assert.are.equal("test", e.type)
    s:term()
    s:start_again({ "--mode", "embedded" })
    assert.are.equal(0, #s:get("/v1/engines").engines)
  end)

  it("refuses wrong flags with exit code 2", function()
    for _, argv in ipairs({ { "serve", "--nonsense" }, { "serve", "x" }, { "serve", "--role" },
                            { "check", "--mode", "local" }, { "nonsense" }, {}, { "run" } }) do
      local code, _, err = run(argv)
      assert.are.equal(2, code, table.concat(argv, " "))
      assert.is_true(#err > 0)
    end
    assert.are.equal(1, (run({ "serve", "--mode", "fast" })))
    for role, wrong in pairs({ monitor = "a role alone needs mode 'remote'", cook = "'role' has 'cook'" }) do
      local code, _, err = run({ "serve", "--role", role })
      assert.are.equal(1, code)
      assert.is_truthy(err:find(wrong, 1, true), err)
    end
  end)

  it("has help for each command", function()
    for _, name in ipairs({ "serve", "check", "run", "create", "list", "get", "start", "stop", "restart",
                            "delete", "wait", "logs", "connect", "reload" }) do
      for _, flag in ipairs({ "-h", "--help" }) do
        local code, out = run({ name, flag })
        assert.are.equal(0, code, name)
        assert.matches("rucat " .. name, out, 1, true)
      end
    end
    local code, out = run({ "-h" })
    assert.are.equal(0, code)
    assert.matches("serve", out)
    code, out = run({ "version" })
    assert.are.equal(0, code)
    assert.matches("^rucat %d+%.%d+%.%d+\n$", out)
  end)

  it("logs JSON lines when its output is no terminal", function()
    local s <close> = support.start()
    s:json("GET", "/v1/engines")
    s:term()
    for line in s:output():gmatch("[^\n]+") do
      local entry = rucat.json.decode(line)
      assert.is_table(entry, line)
      assert.is_string(entry.msg)
      assert.is_truthy(rucat.clock.parse(entry.at))
    end
  end)

  it("takes changed keys that are live at a reload, and names those that are not", function()
    local s <close> = support.start()
    local text = support.read(s.config_file)
    support.write(s.config_file, (text:gsub("^return {",
      'return { defaults = { type = "test" }, limits = { engines = 7 }, ')))
    local status, report = s:reload()
    assert.are.equal(200, status)
    local said = rucat.json.encode(report)
    assert.matches("defaults.type", said, 1, true)
    assert.matches("limits.engines", said, 1, true)
    assert.matches("needs a restart", said, 1, true)
    assert.are.equal("test", (select(2, s:json("POST", "/v1/engines", { name = "d" }))).type)
    support.write(s.config_file, "return { broken")
    status, report = s:reload()
    assert.are.equal(422, status)
    assert.matches("rucat.lua:1:", rucat.json.encode(report), 1, true)
    assert.are.equal(200, s:http("GET", "/readyz").status)
  end)

  it("answers 503 when there is no room for more engines", function()
    local s <close> = support.start({ config = { limits = { engines = 2 } } })
    s:create({ name = "a" })
    s:create({ name = "b" })
    local status, problem = s:json("POST", "/v1/engines", { name = "c", type = "test" })
    assert.is_true(status == 503 or status == 429 or status == 409, status)
    assert.is_string(problem.detail)
  end)

  it("drops half a request in bounded time, and answers what is no HTTP", function()
    local s <close> = support.start({ config = { limits = { head_time = 0.3, body_time = 0.3 } } })
    local began = rucat.clock.monotonic()
    s:raw("GET / HT")
    s:raw("POST /v1/engines HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      .. "Content-Length: 100\r\n\r\n{")
    assert.is_true(rucat.clock.monotonic() - began < 8)
    assert.matches("^HTTP/1.1 400", s:raw("nonsense\r\n\r\n"))
    assert.matches("^HTTP/1.1 4%d%d", s:raw("GET / HTTP/1.1\r\nHost: localhost\r\nX: " .. ("y"):rep(20000)
      .. "\r\n\r\n"))
  end)
end)
