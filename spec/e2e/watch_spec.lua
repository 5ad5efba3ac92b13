-- What the command line shows of things that go on: events, logs -f, top, wait on a terminal; and
-- completion.

local support = require("support.server")

local COUNT = "echo epoch $RUCAT_EPOCH; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"

describe("rucat", function()
  local s, running

  before_each(function()
    running = {}
    s = support.start()
  end)

  after_each(function()
    for _, p in ipairs(running) do
      p:close()
    end
    s:stop()
  end)

  local function env(extra)
    local all = { RUCAT_URL = s.url, TERM = "xterm", HOME = s.dir, LANG = "C.UTF-8",
      ASAN_OPTIONS = os.getenv("ASAN_OPTIONS"), UBSAN_OPTIONS = os.getenv("UBSAN_OPTIONS") }
    for name, value in pairs(extra or {}) do
      all[name] = value
    end
    return all
  end

  local function start(...)
    local p = assert(rucat.process.spawn({ argv = { support.binary, ... }, env = env() }))
    running[#running + 1] = p
    return p
  end

  -- The command as a person sees it; `rows` and `columns` of the terminal.
  local function on_terminal(command, columns, extra)
    local line = ("stty cols %d rows 20; exec %s %s"):format(columns or 80, support.binary, command)
    local p = assert(rucat.process.spawn({ argv = { "script", "-qfec", line, "/dev/null" }, env = env(extra) }))
    running[#running + 1] = p
    return p
  end

  local function until_seen(p, pattern, seconds)
    return support.eventually(function()
      local out, err = p:output()
      return out:find(pattern) and out, out .. err
    end, seconds or 15, pattern)
  end

  local function interrupted(p)
    p:kill("INT")
    assert.are.same({ code = 130 }, p:wait(10))
    local _, err = p:output()
    assert.are.equal("", err)
  end

  local function up(name, run)
    s:create({ name = name, config = { run = run or COUNT, ready = "epoch" } })
    return s:until_state(name, "Running", "Ready")
  end

  describe("events", function()
    it("prints what happened, of all or of one, the last ones", function()
      up("a")
      up("b")
      s:until_engine("a", function(e) return e.health == "healthy" end)
      s:until_engine("b", function(e) return e.health == "healthy" end)
      local code, out, err, _ = s:cli("events")
      assert.are.equal(0, code, err)
      assert.matches("a  Pending %-> Running  Ready", out)
      assert.matches("b  Pending %-> Running  Ready", out)
      assert.is_nil(out:find("\27", 1, true))
      _, out = s:cli("events", "a")
      assert.is_nil(out:find("  b  ", 1, true))
      _, out = s:cli("events", "a", "-n", "1")
      assert.are.equal(1, select(2, out:gsub("\n", "")))
      _, out = s:cli("events", "-n0")
      assert.are.equal("", out)
      _, out = s:cli("events", "a", "-o", "json")
      local list = rucat.json.decode(out)
      assert.are.equal("Pending", list[1].to)
      assert.are.equal("a", list[1].name)
      code, _, err = s:cli("events", "nobody")
      assert.are.equal(3, code)
      assert.matches("nobody", err)
    end)

    it("follows, over a restart of the server, until Ctrl-C", function()
      up("a")
      local p = start("events", "-f", "-o", "json")
      until_seen(p, '"Ready"')
      s:term()
      s:start_again({ "--listen", s.address })
      assert.are.equal(0, (s:cli("stop", "a", "--wait")))
      local out = until_seen(p, "StoppedByUser")
      local seen = {}
      for line in out:gmatch("[^\n]+") do
        local event = assert(rucat.json.decode(line))
        assert.is_nil(seen[event.id])
        seen[event.id] = true
      end
      for _, event in ipairs(s:get("/v1/events?limit=1000").events) do
        assert.is_true(seen[event.id], rucat.json.encode(event))
      end
      p:kill("INT")
      assert.are.same({ code = 130 }, p:wait(10))
    end)
  end)

  describe("logs -f", function()
    it("goes on over restarts of the engine and of the server, nothing left out or told twice", function()
      up("a")
      local p = start("logs", "a", "-f")
      until_seen(p, "line 5\n")
      s:term()
      s:start_again({ "--listen", s.address })
      s:until_state("a", "Running")
      local out = until_seen(p, "line 40\n", 20)
      assert.is_nil(out:find("[rucat", 1, true))
      local expected = 0
      for n in out:gmatch("line (%d+)\n") do
        expected = expected + 1
        assert.are.equal(expected, tonumber(n))
      end
      assert.are.equal(0, (s:cli("restart", "a", "--wait")))
      until_seen(p, "epoch 2\nline 1\n")
      p:kill("INT")
      assert.are.same({ code = 130 }, p:wait(10))
    end)

    it("begins with the last lines, and ends when the engine is deleted", function()
      up("a", "echo one; echo two; echo three; echo epoch; exec sleep 1000")
      local p = start("logs", "a", "-fn", "2")
      p:close() -- -fn is no option: it is -f with a value
      p = start("logs", "a", "-f", "-n2")
      assert.are.equal("three\nepoch\n", until_seen(p, "epoch\n"))
      assert.are.equal(0, (s:cli("delete", "a", "--wait")))
      assert.are.same({ code = 0 }, p:wait(20))
      assert.are.equal("three\nepoch\n", (p:output()))
      local code, _, err = s:cli("logs", "a", "-f")
      assert.are.equal(3, code)
      assert.matches("^rucat: a: ", err)
    end)

    it("ends quietly by Ctrl-C, and when nobody reads any more", function()
      up("a")
      local p = start("logs", "a", "-f")
      until_seen(p, "line 2\n")
      interrupted(p)
      local exit, out = support.run({ "sh", "-c", support.binary .. " logs a -f | head -n 1" }, { env = env() })
      assert.are.equal(0, exit.code)
      assert.are.equal("epoch 1\n", out)
    end)

    it("says so when there is no server", function()
      local code, _, err = s:cli("logs", "a", "-f", "--url", "http://127.0.0.1:1")
      assert.are.equal(1, code)
      assert.matches("cannot reach", err, 1, true)
    end)
  end)

  describe("top", function()
    it("tells what engines take, once where there is no terminal", function()
      up("busy", "echo epoch; (while :; do :; done) & exec sleep 1000")
      up("idle", "echo epoch; exec sleep 1000")
      s:create({ name = "gone", config = { run = "echo no; exit 1", ready = "x" } })
      s:cli("stop", "gone", "--wait")
      local stats = support.eventually(function()
        local now = s:get("/v1/engines/busy/stats")
        return now.cpu_seconds and now.cpu_seconds > 0.1 and now
      end)
      assert.are.equal(2, stats.processes)
      assert.is_true(stats.memory_bytes > 10000)
      local found = support.processes(s:engine("busy").id)
      assert.is_true(#found > 0)
      local code, out, err, _ = s:cli("top", "-n", "1")
      assert.are.equal(0, code, err)
      assert.matches("2 running, 0 pending, 1 stopped", out, 1, true)
      assert.matches("busy +test +Running .- 2 +" .. stats.pid .. " +Ready\nidle", out)
      assert.matches("gone +test +Stopped +%a+ +%- +%d+ +%- +%- +0 +%- ", out)
      _, out = s:cli("top", "-o", "json")
      local list = rucat.json.decode(out)
      assert.are.equal("busy", list[1].name)
      assert.is_true(list[1].cpu_percent > list[2].cpu_percent)
      assert.are.equal(rucat.json.null, list[3].pid)
      local all = s:get("/v1/stats").stats
      assert.are.equal(3, #all)
      assert.are.equal(404, (select(2, s:get("/v1/engines/nobody/stats"))))
    end)

    it("counts what a driver has let loose", function()
      up("a", "(setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &); echo epoch; exec sleep 1000")
      support.eventually(function()
        local now = s:get("/v1/engines/a/stats")
        return now.processes == 4, rucat.json.encode(now)
      end)
    end)

    it("redraws in place on a terminal, and gives the screen back", function()
      up("a")
      local p = on_terminal("top -d 0.1 -n 3")
      assert.are.same({ code = 0 }, p:wait(20))
      local out = p:output()
      assert.matches("^\27%[%?1049h", out)
      assert.are.equal(3, select(2, out:gsub("\27%[H", "")))
      assert.matches("\27%[32mRunning\27%[0m", out)
      assert.matches("\27%[%?25h\27%[%?1049l$", out)
    end)

    it("is cut to a narrow terminal, and without colour where that is asked", function()
      up("a-name-that-is-quite-long-for-this-terminal")
      local p = on_terminal("top -d 0.1 -n 2", 20, { NO_COLOR = "1" })
      assert.are.same({ code = 0 }, p:wait(20))
      local out = p:output()
      assert.is_nil(out:find("\27%[[%d;]+m"))
      for line in out:gsub("\27%[[?%d]*%a", ""):gmatch("[^\r\n]+") do
        assert.is_true(#line < 20, line)
      end
    end)
  end)

  describe("wait", function()
    it("draws a line on a terminal: state, reason and what the log said last", function()
      s:create({ name = "a", config = { ready = "done",
        run = "echo fetching things; while [ ! -e go ]; do sleep 0.02; done; echo done; exec sleep 1000" } })
      local p = on_terminal("wait a")
      until_seen(p, "a Pending %(Starting%) %d+%.%ds  \27%[2mfetching things\27%[0m\27%[K")
      support.write(s.state_dir .. "/engines/" .. s:engine("a").id .. "/data/go", "")
      assert.are.same({ code = 0 }, p:wait(20))
      assert.matches("\r\27%[Ka is Running %(after %d+%.%d s%)", (p:output()))
    end)

    it("is ended by Ctrl-C", function()
      s:create({ name = "a", config = { ready = "never", run = "exec sleep 1000" } })
      local p = start("wait", "a")
      until_seen(p, "Pending")
      interrupted(p)
    end)
  end)

  describe("completion", function()
    local function complete(...)
      local words = { ... }
      local quoted = {}
      for i, word in ipairs(words) do
        quoted[i] = "'" .. word .. "'"
      end
      local _, script = s:cli("completion", "bash")
      local exit, out, err = support.run({ "bash", "-c", script .. ([[
COMP_WORDS=(%s); COMP_CWORD=%d; _rucat; printf '%%s\n' "${COMPREPLY[@]}"]]):format(
        table.concat(quoted, " "), #words - 1) },
        { env = env({ PATH = support.build .. ":" .. (os.getenv("PATH") or "/usr/bin:/bin") }) })
      assert.are.equal(0, exit.code, err)
      assert.are.equal("", err)
      return (out:gsub("\n$", ""))
    end

    it("knows commands, options, their values and engines", function()
      up("team-a")
      up("other", "echo epoch; exec sleep 1000")
      assert.are.equal("create\nconnect\ncompletion\nconsole\ncheck", complete("rucat", "c"))
      assert.are.equal("team-a", complete("rucat", "stop", "t"))
      assert.are.equal("Running", complete("rucat", "wait", "team-a", "--for", "R"))
      assert.are.equal("--tail\n--token-file", complete("rucat", "logs", "--t"))
      assert.are.equal("logs", complete("rucat", "--url", s.url, "lo"))
      assert.are.equal("copy", complete("rucat", "store", ""))
      assert.are.equal("--overwrite", complete("rucat", "store", "copy", "--ov"))
    end)

    it("has a script for zsh, and none for others", function()
      local code, out = s:cli("completion", "zsh")
      assert.are.equal(0, code)
      assert.matches("^#compdef rucat\n", out)
      local refused, _, err = s:cli("completion", "fish")
      assert.are.equal(2, refused)
      assert.matches("fish", err)
    end)
  end)

  it("has a man page that names every command and option", function()
    local page = support.read("docs/rucat.1"):gsub("\\\\%-", "-"):gsub("\\", "")
    for _, name in ipairs(require("rucat.cli.commands").order) do
      assert.is_truthy(page:find("\n%.%u+ [^\n]*" .. name), name)
      local _, help = s:cli(name, "-h")
      for option in help:gmatch("(%-%-%l[%l-]+)") do
        local short = help:match("(%-%a), " .. option:gsub("%-", "%%-"))
        assert.is_truthy(page:find(option, 1, true) or short and page:find(short, 1, true), name .. " " .. option)
      end
    end
  end)

  it("takes options of all commands before the command", function()
    local code, out = s:cli("--url", s.url, "list", "-o", "json")
    assert.are.equal(0, code)
    assert.are.equal("[]\n", out)
  end)
end)
