-- The command line client against a real server: what it prints, and its exit codes.

local support = require("support.server")

local UP = { run = "echo up on 4321; exec sleep 1000", ready = "up on (%d+)" }

describe("rucat", function()
  local s

  setup(function()
    s = support.start({ scripts = { ["policies/restart.lua"] =
      "return function() return { restart = false } end" } })
  end)

  teardown(function()
    s:stop()
  end)

  after_each(function()
    for _, e in ipairs(s:get("/v1/engines").engines) do
      s:json("DELETE", "/v1/engines/" .. e.name)
    end
    support.eventually(function()
      return #s:get("/v1/engines").engines == 0
    end, 20)
  end)

  local function up(name, config)
    s:create({ name = name, config = config or UP })
    return s:until_state(name, "Running", "Ready")
  end

  describe("create", function()
    it("prints the name, and with --wait the way to Running", function()
      local code, out, err = s:cli("create", "a", "--type", "test", "-C", "run=echo up; exec sleep 1000",
                                   "--config=ready=up", "--label", "team=red", "--env", "X=1", "--wait")
      assert.are.equal(0, code, err)
      assert.matches("^a\n", out)
      assert.matches("a is Running", out, 1, true)
      local e = s:engine("a")
      assert.are.same({ team = "red" }, e.labels)
      assert.are.same({ X = "1" }, e.env)
      assert.are.equal("Running", e.state)
    end)

    it("keeps numbers, truth values and text apart", function()
      local code, _, err = s:cli("create", "a", "--type=test", "-C", "i=5", "-C", "f=1.5", "-C", "t=true",
                                 "-C", "v=4.10", "-C", "m=4g", "-C", "e=a=b", "-C", "z=007", "-C", "n=")
      assert.are.equal(0, code, err)
      local config = s:engine("a").config
      assert.are.same({ i = 5, f = 1.5, t = true, v = "4.10", m = "4g", e = "a=b", z = "007", n = "" }, config)
      assert.are.equal("integer", math.type(config.i))
    end)

    it("reads an engine from a file or its input, and lays options over it", function()
      local body = '{"name":"f","type":"test","labels":{"a":"1","b":"2"},"version":null}'
      support.write(s.dir .. "/e.json", body)
      assert.are.equal(0, (s:cli("create", "-f", s.dir .. "/e.json", "--label", "b=3")))
      assert.are.same({ a = "1", b = "3" }, s:engine("f").labels)
      assert.are.equal(0, (s:cli("create", "g", "-f", "-", { input = body })))
      assert.are.equal("g", s:engine("g").name)
      for input, word in pairs({ ["{"] = "line 1", ["[]"] = "object", ["7"] = "object", [""] = "-f" }) do
        local code, _, err = s:cli("create", "h", "-f", "-", { input = input })
        assert.are.equal(1, code, input)
        assert.matches(word, err, 1, true)
      end
      local code, _, err = s:cli("create", "h", "-f", "/nowhere.json")
      assert.are.equal(1, code)
      assert.matches("/nowhere.json", err, 1, true)
    end)

    it("shows what the server refuses, field by field", function()
      local code, out, err = s:cli("create", "Bad Name", "--type", "nope!")
      assert.are.equal(1, code)
      assert.are.equal("", out)
      assert.matches("^rucat: ", err)
      assert.matches("\n  name: ", err)
      assert.matches("\n  type: ", err)
      up("a")
      code, out, err = s:cli("create", "a", "--type", "test")
      assert.are.equal("", out)
      assert.are.equal(1, code)
      assert.matches("^rucat: ", err)
    end)

    it("ends with 1 when it cannot come up, saying why", function()
      local code, out, err = s:cli("create", "a", "--type", "test", "-C", "run=echo no disk; exit 1", "-C",
                                   "ready=x", "--wait")
      assert.are.equal(1, code)
      assert.matches("^a\n", out)
      assert.matches("StartFailed", err)
      assert.matches("no disk", err)
    end)

    it("prints JSON, and only JSON, with -o json", function()
      local code, out, err = s:cli("create", "a", "--type", "test", "-o", "json", "--wait")
      assert.are.equal(0, code, err)
      assert.are.equal("Running", rucat.json.decode(out).state)
    end)
  end)

  describe("list", function()
    it("prints a table", function()
      local e = up("a")
      s:create({ name = "a-much-longer-name", config = { run = "exec sleep 1000", ready = "no" } })
      local code, out, err = s:cli("list")
      assert.are.equal(0, code)
      assert.are.equal("", err)
      local lines = {}
      for line in out:gmatch("[^\n]+") do
        lines[#lines + 1] = line
      end
      assert.are.equal(3, #lines)
      assert.are.same({ "NAME", "TYPE", "PLATFORM", "STATE", "HEALTH", "REASON", "RESTARTS", "AGE", "ENDPOINT" },
                      (function() local t = {} for w in lines[1]:gmatch("%S+") do t[#t + 1] = w end return t end)())
      assert.matches("^a +test +local +Running +%a+ +Ready +0 +%d+s +" .. e.endpoint:gsub("%p", "%%%0") .. "$",
                     lines[2])
      local at = lines[1]:find("TYPE", 1, true)
      assert.are.equal(at, (lines[2]:find("test", 1, true)))
      assert.are.equal(at, (lines[3]:find("test", 1, true)))
    end)

    it("prints JSON: an array, empty too", function()
      local _, out = s:cli("list", "-o", "json")
      assert.are.equal("[]\n", out)
      up("a")
      local code = s:cli("list", "-o=json")
      assert.are.equal(2, code)
      code, out = s:cli("list", "-ojson")
      assert.are.equal(0, code)
      local list = rucat.json.decode(out)
      assert.are.equal(1, #list)
      assert.are.same(s:engine("a").id, list[1].id)
      assert.matches('"env": {}', out, 1, true)
      assert.matches('"version": null', out, 1, true)
    end)

    it("filters", function()
      up("a")
      local function names(...)
        local _, out = s:cli("list", "-o", "json", ...)
        return #rucat.json.decode(out)
      end
      assert.are.equal(1, names("--state", "running"))
      assert.are.equal(0, names("--state=Stopped"))
      assert.are.equal(0, names("--type", "spark"))
      assert.are.equal(0, names("--label", "a=b"))
    end)
  end)

  it("get prints fields or JSON", function()
    local e = up("a")
    local code, out = s:cli("get", "a")
    assert.are.equal(0, code)
    assert.matches("Name: +a\n", out)
    assert.matches("State: +Running\n", out)
    assert.matches("Endpoint: +" .. e.endpoint:gsub("%p", "%%%0"), out)
    code, out = s:cli("get", e.id, "-o", "json")
    assert.are.equal(0, code)
    local got = rucat.json.decode(out)
    assert.are.equal(e.id, got.id)
    s:json("POST", "/v1/engines/a/stop?wait=20s")
    out = select(2, s:cli("get", "a"))
    assert.matches("Exit: +signal SIGTERM\n", out)
    assert.matches("Stopped: +%d", out)
  end)

  it("connect prints the endpoint, or why there is none", function()
    local e = up("a")
    local code, out = s:cli("connect", "a")
    assert.are.equal(0, code)
    assert.are.equal(e.endpoint .. "\n", out)
    s:cli("stop", "a", "--wait")
    local err
    code, out, err = s:cli("connect", "a")
    assert.are.equal(1, code)
    assert.are.equal("", out)
    assert.matches("Stopped", err)
  end)

  it("logs prints what the engine wrote, or its end", function()
    s:create({ name = "a", config = { run = "echo one; echo two; echo three; exec sleep 1000", ready = "three" } })
    s:until_state("a", "Running")
    assert.are.equal("one\ntwo\nthree\n", (select(2, s:cli("logs", "a"))))
    assert.are.equal("three\n", (select(2, s:cli("logs", "a", "-n", "1"))))
    assert.are.equal("two\nthree\n", (select(2, s:cli("logs", "-n2", "a"))))
    assert.are.equal("", (select(2, s:cli("logs", "a", "--tail=0"))))
  end)

  it("start, stop, restart and delete do so, and wait when told to", function()
    up("a", { run = "trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.02; done", ready = "up" })
    local code, out = s:cli("stop", "a", "--wait")
    assert.are.equal(0, code)
    assert.matches("a is Stopped", out, 1, true)
    code, out = s:cli("start", "a", "--wait", "--timeout", "20s")
    assert.are.equal(0, code)
    assert.matches("a is Running", out, 1, true)
    assert.are.equal(2, s:engine("a").epoch)
    code = s:cli("restart", "a", "--wait")
    assert.are.equal(0, code)
    assert.are.equal(3, s:engine("a").epoch)
    code, out = s:cli("restart", "a")
    assert.are.equal(0, code)
    assert.matches("a", out)
    assert.are.equal(0, (s:cli("wait", "a"))) -- the new one, not the old one
    assert.are.equal(4, s:engine("a").epoch)
    code, out = s:cli("delete", "a", "--wait")
    assert.are.equal(0, code)
    assert.matches("deleted", out)
    assert.are.equal(3, (s:cli("get", "a")))
  end)

  describe("get", function()
    it("says why an engine is as it is, what happens next and who did it", function()
      assert.equal(0, (s:cli("create", "told", "--type", "test", "--ttl", "2h", "--idle-timeout", "20m", "--wait")))
      local code, out = s:cli("get", "told")
      assert.equal(0, code)
      assert.matches("Next: +it is stopped when nobody has used it for 20m\n +it is stopped 120m after", out)
      assert.matches("\nEvents:\n  %S+  told  Pending  Starting  %(anonymous%)\n", out)
      assert.equal(0, (s:cli("stop", "told", "--wait")))
      out = select(2, s:cli("get", "told"))
      assert.matches("Next: +nothing, until somebody starts it: rucat start told\n", out)
      assert.matches("  told  Running %-> Stopped  StoppedByUser  %(monitor%)\n$", out)
      s:cli("create", "failing", "--type", "test", "-C", "run=echo one; echo two; exit 9")
      s:until_state("failing", "Stopped", "Exited")
      out = select(2, s:cli("get", "failing"))
      assert.matches("exit code 9 ...", out, 1, true) -- the last output is in -o json and in the log
      assert.equal(0, (s:cli("delete", "failing", "--wait")))
    end)
  end)

  describe("wait", function()
    it("prints a line for each change", function()
      s:create({ name = "a", config = { run = "sleep 0.3; echo up; exec sleep 1000", ready = "up" } })
      local code, out, err = s:cli("wait", "a", "--for", "Running")
      assert.are.equal(0, code, err)
      assert.matches("a: Pending (Starting)\n", out, 1, true)
      assert.matches("\na is Running %(after %d+%.%d s%)\n$", out)
      assert.is_nil(out:find("\r", 1, true))
      assert.is_nil(out:find("\27", 1, true))
    end)

    it("draws a line on a terminal", function()
      s:create({ name = "a", config = { run = "sleep 0.5; echo up; exec sleep 1000", ready = "up" } })
      local exit, out = support.run({ "script", "-qefc", support.binary .. " wait a", "/dev/null" },
                                    { env = { RUCAT_URL = s.url, TERM = "xterm" }, input = "" })
      assert.are.same({ code = 0 }, exit)
      assert.matches("\r%[.*===.*%] a Pending %(Starting%) %d+%.%ds\27%[K", out)
      assert.matches("a is Running", out)
    end)

    it("ends with 1 as soon as no start is due", function()
      s:create({ name = "a", config = { run = "echo no disk; exit 3", ready = "x" } })
      local began = rucat.clock.monotonic()
      local code, _, err = s:cli("wait", "a", "--timeout", "60")
      assert.are.equal(1, code)
      assert.is_true(rucat.clock.monotonic() - began < 20)
      assert.matches("StartFailed", err)
      assert.matches("no disk", err)
    end)

    it("ends with 4 when the time is over", function()
      s:create({ name = "a", config = { run = "exec sleep 1000", ready = "x" } })
      local code, _, err = s:cli("wait", "a", "--timeout=300ms")
      assert.are.equal(4, code)
      assert.matches("a is still Pending", err, 1, true)
      assert.are.equal(4, (s:cli("stop", "a", "--wait", "--timeout=0")))
    end)

    it("ends with 3 when there is no such engine, but Deleted is fine", function()
      assert.are.equal(3, (s:cli("wait", "none")))
      assert.are.equal(3, (s:cli("wait", "none", "--for", "Stopped")))
      assert.are.equal(0, (s:cli("wait", "none", "--for", "deleted")))
    end)

    it("survives a restart of the server", function()
      local other <close> = support.start()
      local flag = other.dir .. "/go"
      other:create({ name = "a", config = {
        run = ("while ! test -e %s; do sleep 0.02; done; echo up; exec sleep 1000"):format(flag), ready = "up" } })
      other:until_state("a", "Pending")
      local waiting = assert(rucat.process.spawn({ argv = { support.binary, "wait", "a", "--timeout", "30" },
                                                   env = { RUCAT_URL = other.url } }))
      support.eventually(function()
        return (waiting:output()):find("Pending", 1, true)
      end)
      other:term()
      other:start_again({ "--listen", other.address })
      support.write(flag, "")
      assert.are.same({ code = 0 }, waiting:wait(20))
      waiting:close()
    end)
  end)

  it("reload prints what changed, or why not", function()
    local code, out = s:cli("reload")
    assert.are.equal(0, code)
    assert.matches("generation %d+ is serving\n  nothing changed\n", out)
    s:scripts({ ["templates/new_local.lua"] = support.TEMPLATE })
    code, out = s:cli("reload")
    assert.are.equal(0, code)
    assert.matches("new_local.lua", out, 1, true)
    s:scripts({ ["templates/new_local.lua"] = "return (" })
    local err
    code, out, err = s:cli("reload")
    assert.are.equal(1, code)
    assert.are.equal("", out)
    assert.matches("new_local.lua:1:", err, 1, true)
    s:scripts({ ["templates/new_local.lua"] = false })
    code, out = s:cli("reload", "-o", "json")
    assert.are.equal(0, code)
    assert.is_table((rucat.json.decode(out)))
  end)

  it("ends with 3 for an engine that is not there", function()
    for _, name in ipairs({ "get", "start", "stop", "restart", "delete", "logs", "connect" }) do
      local code, out, err = s:cli(name, "none")
      assert.are.equal(3, code, name)
      assert.are.equal("", out)
      assert.matches("^rucat: .*none", err)
    end
  end)

  it("ends with 2 and one line for wrong usage, naming the argument", function()
    for words, named in pairs({
      ["get"] = "ENGINE", ["get a b"] = "'b'", ["list x"] = "'x'", ["create"] = "NAME",
      ["get a --nonsense"] = "--nonsense", ["list -o yaml"] = "yaml", ["wait a --for Sleeping"] = "Sleeping",
      ["wait a --timeout soon"] = "soon", ["logs a -n x"] = "'x'", ["create a -C x"] = "KEY=VALUE",
      ["create a --type"] = "--type", ["create a --wait=1"] = "--wait", ["events a b"] = "'b'",
      ["events -n x"] = "'x'", ["list --url nowhere"] = "--url", ["list -x"] = "-x",
      ["top x"] = "'x'", ["top -n 0"] = "-n",
    }) do
      local argv = {}
      for word in words:gmatch("%S+") do
        argv[#argv + 1] = word
      end
      local code, out, err = s:cli(table.unpack(argv))
      assert.are.equal(2, code, words)
      assert.are.equal("", out)
      assert.matches(named, err, 1, true)
      assert.matches("^rucat: [^\n]+\n$", err)
    end
  end)

  it("ends with 1 and the URL when nobody answers", function()
    for _, words in ipairs({ { "list" }, { "wait", "a" }, { "create", "a" }, { "reload" } }) do
      local code, _, err = s:cli(words[1], words[2], { env = { RUCAT_URL = "http://127.0.0.1:1" } })
      assert.are.equal(1, code)
      assert.matches("http://127.0.0.1:1", err, 1, true)
      assert.matches("^rucat: [^\n]+\n$", err)
    end
    assert.are.equal(0, (s:cli("list", "--url", s.url .. "/", { env = { RUCAT_URL = "http://127.0.0.1:1" } })))
  end)

  it("sends a token", function()
    local other <close> = support.start({ scripts = { ["handlers/who.lua"] =
      "return { ['GET /v1/engines/who'] = function(req) return 200, { name = req.headers.authorization } end }" } })
    local function name(...)
      local _, out = other:cli("get", "who", "-o", "json", ...)
      return rucat.json.decode(out).name
    end
    assert.are.equal("Bearer abc", name({ env = { RUCAT_TOKEN = "abc" } }))
    support.write(other.dir .. "/token", "  def\n")
    assert.are.equal("Bearer def", name("--token-file", other.dir .. "/token", { env = { RUCAT_TOKEN = "abc" } }))
    assert.is_nil(name())
    local code, _, err = other:cli("list", "--token-file", "/nowhere")
    assert.are.equal(1, code)
    assert.matches("/nowhere", err, 1, true)
  end)

  it("lets nothing of an engine play with the terminal", function()
    s:create({ name = "a", config = { run = "printf '\\033[2Jbad\\007'; exit 1", ready = "x" } })
    s:until_engine("a", function(e)
      return e.desired == "Stopped"
    end)
    for _, words in ipairs({ { "list" }, { "get", "a" }, { "wait", "a" } }) do
      local _, out, err = s:cli(words[1], words[2])
      assert.is_nil((out .. err):find("[\27\7]"))
    end
  end)
end)
