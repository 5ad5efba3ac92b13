-- The console by its client: -e, a file, lines of standard input, a terminal (tmux). What a peer
-- that behaves badly gets is in spec/unit/console_test.c.

local support = require("support.server")

local UP = { run = "echo up; exec sleep 1000", ready = "up" }

describe("the console", function()
  local s, socket

  setup(function()
    s = support.start()
    socket = s.state_dir .. "/console"
    s:create({ name = "team-a", config = UP })
    s:until_state("team-a", "Running")
  end)

  teardown(function()
    s:stop()
  end)

  local function argv(...)
    return { support.binary, "console", "-s", socket, ... }
  end

  local function env()
    return { HOME = s.dir, LANG = "C.UTF-8", PATH = os.getenv("PATH"),
             ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") }
  end

  -- The exit code, standard output, standard error.
  local function console(words, input)
    local exit, out, err = support.run(argv(table.unpack(words)), { env = env(), input = input or "" })
    return exit.code or exit.signal, out, err
  end

  local function eval(code)
    local exit, out, err = console({ "-e", code })
    assert.are.equal("", err)
    assert.are.equal(0, exit)
    return (out:gsub("\n$", ""))
  end

  local function fails(code)
    local exit, out, err = console({ "-e", code })
    assert.are.equal(1, exit)
    return err, out
  end

  describe("prints", function()
    it("the values of an expression, nothing for a statement", function()
      assert.are.equal('2\n"hi\\n"\nnil\n1.5', eval("1 + 1, 'hi\\n', nil, 1.5"))
      assert.are.equal("", eval("local x = 1"))
      assert.are.equal("5", eval("#'a line that begins with #'  - 20"))
    end)

    it("tables with sorted keys, null, cycles and objects", function()
      assert.are.equal('{ 1, 2, a = {}, b = true, ["b c"] = null, ["end"] = "\\xff" }',
        eval([[{ 1, 2, b = true, a = {}, ["b c"] = rucat.json.null, ["end"] = "\xff" }]]))
      assert.are.equal("{ me = <the table again> }", eval("(function() local t = {} t.me = t return t end)()"))
      assert.matches("^function: builtin", (eval("print"):gsub("0x%x+", "builtin")))
      assert.matches("^{ {\n?.*{%.%.%.}", eval("{{{{{{{{{{{{{1}}}}}}}}}}}}}"):gsub("%s+", " "), 1)
    end)

    it("no more than 64 KiB of it", function()
      local out = eval([[(function() local t = {} for i = 1, 1e5 do t[i] = "item " .. i end return t end)()]])
      assert.is_true(#out < 66000)
      assert.matches("99000 more", out, 1, true)
      assert.matches("... (cut)", eval("('x'):rep(1e6)"), 1, true)
      assert.is_true(#eval("setmetatable({}, { __index = 1 })") < 100)
      assert.is_true(#eval([[(function() local t = {}
        for i = 1, 900 do t[i] = {} for j = 1, 900 do t[i][j] = "x" end end return t end)()]]) < 66000)
    end)

    it("errors with where they came from", function()
      local err = fails("local function f() error('boom') end\nf()")
      assert.matches("^%-e:1: boom\nstack traceback:\n", err)
      assert.matches("-e:2: in main chunk", err, 1, true)
      assert.are.equal("there is no engine 'nobody'\n", (fails("engine('nobody')")))
      assert.matches("unknown name 'nobody'", fails("nobody"))
      assert.matches("unexpected symbol near ')'", fails(")"), 1, true)
      assert.matches("ends too early", fails("for i = 1, 2 do"))
      assert.matches("value", fails("error({})"), 1, true)
      assert.matches("bad format", fails("setmetatable({}, { __pairs = function() error('bad format') end })"))
    end)
  end)

  it("has engines as objects", function()
    assert.matches("NAME .*\nteam%-a +test +local +Running", eval("engines()"))
    assert.matches("^Name: +team%-a\n", eval('engine("team-a")'))
    assert.are.equal('"Running"', eval('engine("team-a").state'))
    assert.are.equal("up", eval('engine("team-a").logs'))
    assert.matches("Pending %-> Running, Ready", eval('engine("team-a").events'))
    assert.matches("^Name: .*State: +Stopped", eval('engine("team-a"):stop():wait("stop", 20)'))
    assert.matches("no engines", eval('engines("Running")'))
    assert.matches("^Name: .*State: +Running", eval('engine("team-a"):start():wait(20)'))
    assert.matches("^Name: .*State: +Running", eval('engine("team-a"):restart():wait("restart", 20)'))
    assert.matches("has no field 'colour'", fails('engine("team-a").colour'))
    assert.matches("read%-only", fails('engine("team-a").state = "x"'))
    assert.matches("console:", eval('engine("team-a").events'), 1, true)
  end)

  it("deletes and waits for it", function()
    s:create({ name = "short", config = UP })
    assert.are.equal("true", eval('engine("short"):delete():wait(20)'))
    assert.matches("no engine 'short'", fails('engine("short")'))
    s:create({ name = "broken", config = { missing = "/nonexistent" } })
    assert.matches("broken is Stopped: ", fails('engine("broken"):wait("start", 30)'))
    eval('engine("broken"):delete():wait(20)')
  end)

  it("reloads, and says what is broken", function()
    assert.matches("generation = %d+", eval("reload()"))
    s:scripts({ ["handlers/bad.lua"] = "return {" })
    assert.matches("bad.lua:1:", fails("reload()"), 1, true)
    s:scripts({ ["handlers/bad.lua"] = false })
    eval("reload()")
    assert.matches("handlers/engines.lua", eval("scripts()"), 1, true)
  end)

  it("shows metrics, jobs and levels", function()
    assert.matches("^rucat_engines{.*\n?", eval("metrics('^rucat_engines{')"))
    assert.matches("monitor +in the system", eval("jobs()"))
    eval("log.level('store', 'debug')")
    assert.are.equal("debug", eval("log.level('store')"))
    eval("log.level('store', 'info')")
    assert.matches("no such group", fails("log.level('nobody', 'info')"))
  end)

  it("has a word of help for every primitive and each of its functions", function()
    local out = eval([[
      for name, module in pairs(rucat) do
        print("P " .. name)
        for key, value in pairs(type(module) == "table" and module or {}) do
          local full = "rucat." .. name .. "." .. key
          if type(value) == "function" then
            print(pcall(help, full) and "ok" or "missing " .. full)
          elseif type(value) == "table" then
            for inner in pairs(value) do
              print(pcall(help, full .. "." .. inner) and "ok" or "missing " .. full .. "." .. inner)
            end
          end
        end
      end]])
    assert.is_nil(out:match("missing [^\n]+"))
    local list = support.read("src/lua/prims.def")
    for name, kinds in list:gmatch('\nRUC_PRIM%((%w+), [%w_]+, "(%w+)"%)') do
      if kinds:find("C", 1, true) then
        assert.matches("P " .. name .. "\n", out .. "\n", 1, true)
        assert.matches("rucat." .. name, eval(("help('rucat.%s')"):format(name)), 1, true)
      end
    end
    for _, name in ipairs({ "engines", "engine", "events", "log", "unfollow", "reload", "scripts",
                            "metrics", "jobs", "help", "print" }) do
      assert.is_true(#eval(("help('%s')"):format(name)) > 20)
    end
  end)

  it("runs a file, whose errors have its lines", function()
    local path = s.dir .. "/try.lua"
    support.write(path, "#!/usr/bin/env rucat console\nlocal n = 0\n"
      .. "for _ in ipairs(engines()) do n = n + 1 end\nreturn n\n")
    local exit, out = console({ path })
    assert.are.equal(0, exit)
    assert.are.equal("1\n", out)
    support.write(path, "local x = 1\nerror('here')\n")
    local code, _, err = console({ path })
    assert.are.equal(1, code)
    assert.matches("try.lua:2: here", err, 1, true)
    assert.are.equal(1, (console({ s.dir .. "/none.lua" })))
    support.write(path, ("-"):rep(2 * 1024 * 1024))
    local _, _, long = console({ path })
    assert.matches("try.lua", long, 1, true)
  end)

  it("takes lines of standard input, several for one where it must", function()
    local code, out, err = console({}, "x = 1\nfor i = 1, 2 do\n  x = x + i\nend\nx\nnobody\nprint('on')\nx +")
    assert.are.equal("4\non\n", out)
    assert.matches("unknown name 'nobody'", err, 1, true)
    assert.matches("stdin: the code ends too early", err, 1, true)
    assert.are.equal(1, code)
    assert.are.equal(0, (console({}, "1\n")))
    code, out, err = console({}, ("x"):rep(10 * 1024 * 1024) .. "\n1 + 1\n")
    assert.are.equal(1, code)
    assert.are.equal("2\n", out)
    assert.matches("at most 1 MiB", err, 1, true)
  end)

  it("says plainly that there is no server", function()
    local exit, out, err = support.run({ support.binary, "console", "-s", s.dir .. "/none", "-e", "1" },
      { env = env() })
    assert.are.equal(1, exit.code)
    assert.are.equal("", out)
    assert.are.equal("rucat: no server has its console at " .. s.dir .. "/none\n", err)
    assert.are.equal(2, support.run({ support.binary, "console", "-x" }, { env = env() }).code)
    assert.are.equal(2, support.run({ support.binary, "console", "-e", "1", "file" }, { env = env() }).code)
  end)

  it("finds the socket by the configuration's environment", function()
    local here = env()
    here.RUCAT_STATE_DIR = s.state_dir
    local exit, out = support.run({ support.binary, "console", "-e", "1 + 1" }, { env = here })
    assert.are.equal(0, exit.code)
    assert.are.equal("2\n", out)
  end)

  it("writes every line into the log, with who typed it", function()
    eval("local secretless = 12345")
    support.eventually(function()
      return s:output():find("root?.-uid %d+, pid %d+%): local secretless = 12345") ~= nil
        or s:output():find("%(uid %d+, pid %d+%): local secretless = 12345") ~= nil
    end, 5, "the line in the log")
    eval("log.level('error')")
    eval("local quiet = 777")
    support.eventually(function()
      return s:output():find("local quiet = 777", 1, true)
    end, 5, "the line in the log, whatever its level")
    eval("log.level('info')")
  end)

  it("ends a line by SIGINT, and nothing else", function()
    local p <close> = assert(rucat.process.spawn({ argv = argv("-e", "rucat.timer.sleep(1000) --[[sleeper]]"),
                                                   env = env() }))
    support.eventually(function()
      return s:output():find("sleeper", 1, true)
    end, 10, "the line running")
    p:kill("INT")
    assert.are.same(1, p:wait(10).code)
    local _, err = p:output()
    assert.matches("interrupted", err)
    assert.are.equal("2", eval("1 + 1"))
  end)

  it("ends the line of a client that was killed", function()
    local p <close> = assert(rucat.process.spawn({ argv = argv("-e", "rucat.timer.sleep(1000) --[[orphan]]"),
                                                   env = env() }))
    support.eventually(function()
      return s:output():find("orphan", 1, true)
    end, 10, "the line running")
    p:kill("KILL")
    support.eventually(function()
      local _, n = eval("jobs()"):gsub("in a console", "")
      return n == 1
    end, 10, "only our own job left")
  end)

  it("follows engines and the log while other lines run", function()
    local p <close> = assert(rucat.process.spawn({
      argv = argv("-e", "events.follow('team-a') log.follow('info') print('ready') rucat.timer.sleep(1000)"),
      env = env(), keep = 1024 * 1024 }))
    local function until_out(what)
      support.eventually(function()
        return (p:output()):find(what)
      end, 20, what)
    end
    until_out("ready")
    eval('engine("team-a"):stop():wait("stop", 20)')
    until_out("%d%d:%d%d:%d%d team%-a: Running %-> Stopped, StoppedByUser")
    until_out("engine team%-a %(")
    eval('engine("team-a"):start():wait("start", 20)')
    p:kill("INT")
    assert.are.equal(1, p:wait(10).code)
  end)

  it("on a terminal edits, completes, follows and keeps a history", function()
    if support.run({ "sh", "-c", "command -v tmux" }, { env = env() }).code ~= 0 then
      return pending("tmux is not there")
    end
    local server_socket = s.dir .. "/tmux"
    local function tmux(...)
      local exit, out, err = support.run({ "tmux", "-S", server_socket, ... }, { env = env() })
      assert(exit.code == 0, err)
      return out
    end
    local function screen(what)
      return support.eventually(function()
        local out = tmux("capture-pane", "-p", "-J")
        return out:find(what) and out, out
      end, 20, "on the screen: " .. what)
    end
    local function keys(text, ...)
      tmux("send-keys", "-l", text)
      if ... then
        tmux("send-keys", ...)
      end
    end
    tmux("-f", "/dev/null", "new-session", "-d", "-x", "20", "-y", "50",
      table.concat(argv(), " ") .. "; echo left with $?; sleep 1000")
    local ok, why = pcall(function()
      screen("rucat> $?")
      keys("engine('te", "Tab")
      screen("team%-a")
      keys("').sta", "Tab")
      screen("'%)%.sta")
      keys("te", "Enter")
      screen('"Running"')
      keys("for i = 1, 2 do", "Enter")
      screen("%->")
      keys("print(i * 21) end", "Enter")
      screen("\n42\n")
      keys("events.follow()", "Enter")
      screen("following")
      keys("'half a li")
      screen("half a li")
      eval('engine("team-a"):stop():wait("stop", 20)')
      screen("StoppedByUser.*'half a li") -- told above what is typed, which is still there
      keys("ne'", "Enter")
      screen('"half a line"')
      keys("rucat.timer.sleep(1000)", "Enter")
      support.eventually(function()
        return s:output():find("rucat.timer.sleep%(1000%)\"")
      end, 10)
      tmux("send-keys", "C-c")
      screen("interrupted")
      keys("never run", "C-c")
      screen("%^C\n")
      tmux("send-keys", "Up", "Up", "Enter") -- half a line again
      screen('"half a line".*"half a line"')
      tmux("send-keys", "C-d")
      screen("left with 0")
    end)
    tmux("kill-server")
    assert(ok, why)
    local history = assert(support.read(s.dir .. "/.local/state/rucat/console_history"))
    assert.matches("half", history)
    local _, mode = support.run({ "stat", "-c", "%a", s.dir .. "/.local/state/rucat/console_history" })
    assert.are.equal("600\n", mode)
    eval('engine("team-a"):start():wait("start", 20)')
  end)
end)

describe("a console of a server that stops", function()
  it("is told so and ends", function()
    local s <close> = support.start({ config = { console = "admin.sock" } })
    local p <close> = assert(rucat.process.spawn({
      argv = { support.binary, "console", "-s", s.state_dir .. "/admin.sock", "-e",
               "print('ready') rucat.timer.sleep(1000)" },
    }))
    support.eventually(function()
      return (p:output()):find("ready")
    end, 10)
    assert.are.equal(0, s:term().code)
    assert.are.equal(1, p:wait(10).code)
    local _, err = p:output()
    assert.matches("rucat: the server is stopping", err)
  end)

  it("that was killed leaves a socket that the next one clears; another file is left alone", function()
    local s <close> = support.start()
    s:kill9()
    s:start_again()
    assert.are.equal(0, s:term().code)
    os.remove(s.state_dir .. "/console")
    support.write(s.state_dir .. "/console", "mine")
    s:spawn()
    assert.are.equal(1, s:wait_exit().code)
    assert.matches("it is there and is no socket", s:output())
    assert.are.equal("mine", support.read(s.state_dir .. "/console"))
  end)
end)
