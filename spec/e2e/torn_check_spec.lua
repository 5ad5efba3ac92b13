-- `rucat check` and the start of a server, with files that are wrong in each way there is.

local server = require("support.server")

local function check(config, scripts)
  local dir = server.tempdir()
  server.write(dir .. "/rucat.lua", (config or "return { scripts = { '%s/scripts' } }"):gsub("%%s", dir))
  server.write(dir .. "/scripts/.keep", "")
  for name, text in pairs(scripts or {}) do
    server.write(dir .. "/scripts/" .. name, text)
  end
  local exit, out, err = server.run({ server.binary, "check", "-c", dir .. "/rucat.lua" },
    { env = { HOME = dir, ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
  server.run({ "rm", "-rf", dir })
  return exit.code or exit.signal, (out .. err):gsub("%f[%g]" .. dir:gsub("%p", "%%%0"), "DIR"), dir
end

describe("rucat check", function()
  for _, call in ipairs({ 'store.engines.get("x")', "store.engines.list()", "store.events.list()",
    "server.templates()", 'server.has_template("a", "b")', "server.scripts()", "server.reload()",
    "server.ready()", 'policy.allow({}, "read", nil)', 'policy.admit({}, { name = "x" })',
    'store.engines.verb("x", "stop")', "store.engines.create({})", 'store.engines.logs("x")',
    "timer.sleep(1)" }) do
    it("names the line of a call that makes no sense while a file is loaded: " .. call, function()
      local code, text = check(nil, { ["handlers/x.lua"] = "\nrucat." .. call .. "\nreturn {}" })
      assert.are.equal(1, code, text)
      assert.matches("^DIR/scripts/handlers/x.lua:2: ", text)
      assert.matches("cannot be used while a file is loaded", text)
    end)
  end

  local scripts = {
    ["handlers/a.lua"] = { "return {", "handlers/a.lua:%d+: " },
    ["handlers/b.lua"] = { "return 5", "handlers/b.lua.*must return a table" },
    ["handlers/c.lua"] = { "return { ['GET'] = print }", "handlers/c.lua.*GET" },
    ["handlers/d.lua"] = { "return { ['GET /a/{}'] = print }", "handlers/d.lua.*GET /a/{}" },
    ["handlers/e.lua"] = { "return { ['GET /x'] = 5 }", "handlers/e.lua" },
    ["handlers/f.lua"] = { "return { ['GET /healthz'] = print }", "handlers/f.lua.*health.lua" },
    ["handlers/g.lua"] = { "error({})", "handlers/g.lua" },
    ["handlers/h.lua"] = { "return require('no.such')", "handlers/h.lua:1: module 'no.such'" },
    ["handlers/i.lua"] = { "\27Lua binary", "handlers/i.lua" },
    ["handlers/j.lua"] = { "require(('x'):rep(10000))", "handlers/j.lua:1: module" },
    ["handlers/k.lua"] = { "require('../../etc/passwd')", "handlers/k.lua:1: module" },
    ["handlers/l.lua"] = { "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e5) .. i end", "handlers/l.lua.*memory" },
    ["policies/nosuch.lua"] = { "return print", "policies/nosuch.lua.*not a policy" },
    ["policies/health.lua"] = { "return { interval = 0/0, timeout = 1, failures = 1, probe = print, unhealthy = print }",
      "policies/health.lua.*interval" },
    ["policies/idle.lua"] = { "return {}", "policies/idle.lua.*check" },
    ["policies/auth.lua"] = { "return {}", "policies/auth.lua.*function" },
    ["templates/UPPER.lua"] = { "return { submit = print }", "templates/UPPER.lua.*name" },
    ["templates/x_local.lua"] = { "return { submit = 5 }", "templates/x_local.lua.*submit" },
    ["lib/broken.lua"] = { "local = 5", "lib/broken.lua:1: " },
  }

  it("tells of all that is wrong at once", function()
    local files = {}
    for name, each in pairs(scripts) do files[name] = each[1] end
    local code, text = check(nil, files)
    assert.are.equal(1, code)
    for name, each in pairs(scripts) do
      assert(text:find(each[2]), name .. " is not told of in\n" .. text)
    end
  end)

  local configs = {
    ["return {"] = "DIR/rucat.lua:1: ",
    ["return 5"] = "must return a table",
    ["error('no')"] = "DIR/rucat.lua:1: no",
    ["\n\nreturn { listn = 'x' }"] = "DIR/rucat.lua:3: .*listen",
    ["return {\n listen = 5 }"] = "^DIR/rucat.lua:2: .*listen.*text",
    ["return {\n listen = {} }"] = "DIR/rucat.lua:2: ",
    ["return {\n listen = 'nowhere' }"] = "listen.*HOST:PORT",
    ["return {\n listen = '0.0.0.0:3000' }"] = "auth",
    ["return {\n mode = 'far' }"] = "mode",
    ["return {\n mode = 'remote' }"] = "needs 'store.url'",
    ["return {\n tls = { cert = 'x' } }"] = "DIR/rucat.lua:2: .*not supported in this build",
    ["return {\n spark = 5 }"] = "DIR/rucat.lua:2: .*spark",
    ["return {\n spark = {\n  hoem = 'x' } }"] = "DIR/rucat.lua:3: .*spark.home",
    ["return {\n spark = { 'x' } }"] = "DIR/rucat.lua.*spark",
    ["return {\n scripts = 'x' }"] = "DIR/rucat.lua:2: .*list",
    ["return {\n scripts = { 5 } }"] = "DIR/rucat.lua:2: .*list",
    ["return {\n limits = { body = -1 } }"] = "DIR/rucat.lua:2: .*body",
    ["return {\n limits = { body = 'big' } }"] = "DIR/rucat.lua:2: .*body",
    ["return {\n limits = { jobs = 1e300 } }"] = "jobs",
    ["return {\n limits = { engines = 0 } }"] = "engines",
    ["return {\n monitor = { interval = 0 } }"] = "interval",
    ["return {\n log = { level = 'loud' } }"] = "level",
    ["return {\n log = { groups = { nosuch = 'info' } } }"] = "log.groups",
    ["return {\n log = { groups = { store = 'loud' } } }"] = "log.groups",
    ["return { [1] = 2 }"] = "rucat.lua",
    ["return { [{}] = 2 }"] = "rucat.lua",
    ["return { templates = { f = print } }"] = "rucat.lua.*function",
    ["local t = {} t.t = t return { templates = t }"] = "rucat.lua",
    ["return { state_dir = 'a\\0b' }"] = "rucat.lua",
    ["os.execute('true') return {}"] = "DIR/rucat.lua:1",
    ["return { x = io.open('/etc/passwd') }"] = "DIR/rucat.lua:1",
    ["dofile('/etc/passwd') return {}"] = "DIR/rucat.lua:1",
  }
  for text, pattern in pairs(configs) do
    it("of the configuration " .. text:gsub("\n", " "), function()
      local code, said = check(text)
      assert.are.equal(1, code, said)
      assert(said:find(pattern), said)
      assert(not said:find("traceback"), said)
    end)
  end
end)

describe("rucat serve that cannot start", function()
  local function fails(config, env, files)
    local dir = server.tempdir()
    server.write(dir .. "/rucat.lua", (config:gsub("%%s", dir)))
    for name, text in pairs(files or {}) do
      server.write(dir .. "/" .. name, text)
    end
    local all = { HOME = dir, ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") }
    for name, text in pairs(env or {}) do all[name] = text end
    local exit, out, err = server.run({ server.binary, "serve", "-c", dir .. "/rucat.lua" },
      { env = all, timeout = 20 })
    server.run({ "rm", "-rf", dir })
    assert.are.equal(1, exit.code, out .. err)
    assert(not (out .. err):find("Sanitizer"), out .. err)
    return out .. err
  end

  it("says that the port is taken", function()
    local s <close> = server.start()
    local said = fails(("return { listen = '%s', state_dir = '%%s/s' }"):format(s.address))
    assert(said:find(s.address, 1, true) and said:find("in use"), said)
  end)

  it("says that the state directory is in use, too long, a file or not to be written", function()
    local s <close> = server.start()
    assert.matches("in use by another server", fails(("return { listen = '127.0.0.1:0', state_dir = '%s' }"):format(s.state_dir)))
    assert.matches("too long", fails(("return { listen = '127.0.0.1:0', state_dir = '%%s/%s' }"):format(("x"):rep(200))))
    assert.matches("f", fails("return { listen = '127.0.0.1:0', state_dir = '%s/f' }", nil, { f = "a file" }))
    assert.matches("/proc/x", fails("return { listen = '127.0.0.1:0', state_dir = '/proc/x' }"))
  end)

  it("says that the store is no database, or cannot be", function()
    local said = fails("return { listen = '127.0.0.1:0', state_dir = '%s/s' }", nil,
      { ["s/rucat.db"] = ("this is no database\n"):rep(200) })
    assert.matches("rucat.db", said)
    assert.matches("rucat.db", fails("return { listen = '127.0.0.1:0', state_dir = '%s/s' }", nil,
      { ["s/rucat.db/x"] = "" }))
    assert.matches("/proc/x.db", fails("return { listen = '127.0.0.1:0', state_dir = '%s/s', store = { path = '/proc/x.db' } }"))
  end)

  it("says which script directory is not there", function()
    assert.matches("/no/such", fails("return { listen = '127.0.0.1:0', state_dir = '%s/s', scripts = { '/no/such' } }"))
  end)

  it("says which variable of the environment is wrong", function()
    assert.matches("'listen'", fails("return { state_dir = '%s/s' }", { RUCAT_LISTEN = "nowhere" }))
    assert.matches("RUCAT_LIMITS_BODY", fails("return { state_dir = '%s/s' }", { RUCAT_LIMITS_BODY = "x" }))
  end)
end)
