-- What changes on disk is live: by file change alone, in each way that editors, deployments and
-- Kubernetes change files; and never more than what changed, nor less than what served.

local server = require("support.server")

local function handler(word)
  return ("return { ['GET /word'] = function() return 200, %q end }\n"):format(word)
end

local function start(options)
  options = options or {}
  options.scripts = options.scripts or { ["handlers/word.lua"] = handler("one") }
  options.config = options.config or {}
  options.config.watch = options.config.watch or { mode = "auto" }
  return server.start(options)
end

local function word(s)
  local answer = s:http("GET", "/word")
  return answer.status == 200 and answer.body or tostring(answer.status)
end

local function until_word(s, wanted, seconds)
  server.eventually(function()
    local is = word(s)
    return is == wanted, is
  end, seconds or 10, "the word " .. wanted)
end

local function scripts_of(s)
  return s:get("/v1/admin/scripts")
end

local function until_error(s, pattern)
  return server.eventually(function()
    local text = scripts_of(s).last_error
    return type(text) == "string" and text:find(pattern) and text, tostring(text)
  end, 10, "the error " .. pattern)
end

local function until_mended(s)
  server.eventually(function()
    local text = scripts_of(s).last_error
    return text == rucat.json.null, tostring(text)
  end, 10, "that the error is gone")
end

local function sh(s, script)
  local exit, out, err = server.run({ "/bin/sh", "-ec", script }, { cwd = s.dir })
  assert.are.equal(0, exit.code, out .. err)
  return out
end

describe("a script file that changes", function()
  it("is live without anybody asking: written, renamed over, new, removed", function()
    local s <close> = start()
    assert.are.equal("inotify", server.eventually(function()
      local how = scripts_of(s).watch
      return how ~= "off" and how
    end))
    until_word(s, "one")
    s:scripts({ ["handlers/word.lua"] = handler("two") })
    until_word(s, "two")
    server.write(s.script_dir .. "/handlers/.word.lua.swp", handler("half"))
    sh(s, "mv scripts/handlers/.word.lua.swp scripts/handlers/word.lua")
    until_word(s, "half")
    sh(s, "mv scripts/handlers/word.lua scripts/handlers/word.lua~")
    until_word(s, "404")
    sh(s, "mv scripts/handlers/word.lua~ scripts/handlers/word.lua")
    until_word(s, "half")
    -- folders that come later
    sh(s, "mkdir -p scripts/lib/deep/er")
    s:scripts({ ["lib/deep/er/text.lua"] = "return 'three'",
      ["handlers/word.lua"] = "return { ['GET /word'] = function() return 200, require('lib.deep.er.text') end }" })
    until_word(s, "three")
    s:scripts({ ["lib/deep/er/text.lua"] = "return 'four'" })
    until_word(s, "four")
    s:check_output()
  end)

  it("that is touched, or written with what it holds, makes no generation", function()
    local s <close> = start({ config = { log = { level = "debug" } } })
    local function looks()
      return select(2, s:output():gsub("were looked at: nothing has changed", ""))
    end
    server.eventually(function() return looks() >= 1 end)
    local before, seen = scripts_of(s).generation, looks()
    sh(s, "touch scripts/handlers/word.lua")
    server.eventually(function() return looks() > seen end)
    seen = looks()
    s:scripts({ ["handlers/word.lua"] = handler("one") })
    server.eventually(function() return looks() > seen end)
    assert.are.equal(before, scripts_of(s).generation)
    -- asked for, it is built all the same, and says that nothing changed
    local status, report = s:reload()
    assert.are.equal(200, status)
    assert.are.same({}, report.changed)
  end)

  it("and is broken changes nothing until it is whole, and says so everywhere", function()
    local s <close> = start()
    until_word(s, "one")
    local before = scripts_of(s).generation
    s:scripts({ ["handlers/word.lua"] = handler("two"):sub(1, 40) })
    until_error(s, "handlers/word.lua:%d+: ")
    assert.are.equal("one", word(s))
    local metrics = s:http("GET", "/metrics").body
    assert.matches("\nrucat_scripts_broken 1\n", metrics)
    assert.matches('\nrucat_scripts_error{error="/[^"]*/handlers/word.lua:%d+: [^\n]+"} 1\n', metrics)
    assert.matches("\nrucat_script_load_errors_total 1\n", metrics)
    assert.matches("handlers/word.lua:%d+: ", s:output())
    local code, _, err = s:cli("check", "-c", s.config_file)
    assert.are.equal(1, code)
    assert.matches("^/.*/handlers/word.lua:%d+: ", err)
    local exit, out, complaint = server.run({ server.binary, "console", "-s", s.state_dir .. "/console",
      "-e", "scripts().last_error" }, { env = { HOME = s.dir, ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
    assert.are.equal(0, exit.code, complaint)
    assert.matches("handlers/word.lua:%d+: ", out)
    s:scripts({ ["handlers/word.lua"] = handler("two") })
    until_word(s, "two")
    assert.are.equal(before + 1, scripts_of(s).generation)
    assert.are.equal(rucat.json.null, scripts_of(s).last_error)
    assert.matches("\nrucat_scripts_broken 0\n", s:http("GET", "/metrics").body)
    assert.is_nil(s:http("GET", "/metrics").body:find("rucat_scripts_error{", 1, true))
  end)

  it("and is put back as it was is no error any more, and no new generation", function()
    local s <close> = start()
    local before = scripts_of(s).generation
    s:scripts({ ["handlers/word.lua"] = "return {" })
    until_error(s, "word.lua:1:")
    s:scripts({ ["handlers/word.lua"] = handler("one") })
    until_mended(s)
    assert.are.equal(before, scripts_of(s).generation)
    assert.are.equal("one", word(s))
    assert.matches("\nrucat_scripts_broken 0\n", s:http("GET", "/metrics").body)
  end)

  it("by halves: each write may be the last one", function()
    local s <close> = start()
    local file = assert(io.open(s.script_dir .. "/handlers/word.lua", "w"))
    file:write("return { ['GET /word'] = function()")
    file:flush()
    until_error(s, "word.lua:1:")
    assert.are.equal("one", word(s))
    file:write(" return 200, 'whole' end }")
    file:flush() -- and left open
    until_word(s, "whole")
    file:close()
  end)
end)

describe("script directories", function()
  it("whose ..data is swapped, as Kubernetes does with a ConfigMap", function()
    local s <close> = start({ scripts = {}, template = false })
    -- A new ..data with that handler in it; what else is to be done; the old one goes.
    local function publish(number, name, also)
      local new = ("%s/..2026_%d"):format(s.script_dir, number)
      server.write(new .. "/" .. name, handler("map " .. number))
      sh(s, ("cd scripts; ln -s ..2026_%d ..data_tmp; mv -T ..data_tmp ..data; %s; rm -rf ..2026_%d"):format(
        number, also or "true", number - 1))
      until_word(s, "map " .. number)
    end
    publish(1, "word.lua", "rm -rf templates; mkdir handlers; ln -s ../..data/word.lua handlers/word.lua")
    publish(2, "word.lua")
    -- folders that are links into ..data, too
    publish(3, "handlers/word.lua", "rm -r handlers; ln -s ..data/handlers handlers")
    publish(4, "handlers/word.lua")
    assert.are.equal(rucat.json.null, scripts_of(s).last_error)
  end)

  it("that are links and are pointed elsewhere", function()
    local s <close> = start()
    sh(s, "mv scripts v1; cp -r v1 v2; ln -s v1 scripts")
    until_mended(s)
    server.write(s.dir .. "/v2/handlers/word.lua", handler("two"))
    sh(s, "ln -s v2 new; mv -T new scripts")
    until_word(s, "two")
    server.write(s.dir .. "/v2/handlers/word.lua", handler("three"))
    until_word(s, "three")
  end)

  it("that go away and come again", function()
    local s <close> = start()
    sh(s, "mv scripts away")
    until_error(s, "/scripts: No such file or directory")
    assert.are.equal("one", word(s))
    server.write(s.dir .. "/away/handlers/word.lua", handler("back"))
    sh(s, "mv away scripts")
    until_word(s, "back")
    sh(s, "rm -rf scripts")
    until_error(s, "/scripts: No such file or directory")
    sh(s, "mkdir scripts")
    until_word(s, "404") -- nothing of the operator's is there now
    s:scripts({ ["handlers/word.lua"] = handler("anew") })
    until_word(s, "anew")
  end)

  it("that are not there when the server starts on the last good ones", function()
    local s <close> = start()
    until_word(s, "one")
    s:term()
    sh(s, "mv scripts away")
    s:start_again()
    assert.are.equal("one", word(s))
    assert.are.equal("last good", scripts_of(s).source)
    assert.are.same({}, scripts_of(s).warnings) -- the copy of the shipped library is nobody's to mend
    assert.matches("\nrucat_scripts_broken 1\n", s:http("GET", "/metrics").body)
    server.write(s.dir .. "/away/handlers/word.lua", handler("late"))
    sh(s, "mv away scripts")
    until_word(s, "late")
    assert.are.equal("path", scripts_of(s).source)
  end)
end)

describe("the configuration file", function()
  it("that changes is live where a key is, and an error when it is broken", function()
    local s <close> = start()
    local text = server.read(s.config_file)
    local before = scripts_of(s).generation
    server.write(s.config_file, (text:gsub("^return {", "return { log = { level = 'debug' },")))
    server.eventually(function() return s:output():find('"level":"debug"', 1, true) end, 10, "a line of level debug")
    server.write(s.config_file, "return { colour = 'red' }")
    until_error(s, "rucat.lua:1: unknown key 'colour'")
    server.write(s.config_file, text)
    until_mended(s)
    assert.are.equal(before, scripts_of(s).generation)
  end)
end)

describe("the configuration file that is a link", function()
  it("into a ConfigMap is read anew when ..data is swapped", function()
    local s <close> = start()
    local text = server.read(s.config_file)
    s:term()
    sh(s, "mkdir ..1; mv rucat.lua ..1/; ln -s ..1 ..data; ln -s ..data/rucat.lua rucat.lua")
    s:start_again()
    server.write(s.dir .. "/..2/rucat.lua", (text:gsub("^return {", "return { limits = { drain = 7 },")))
    sh(s, "ln -s ..2 ..new; mv -T ..new ..data; rm -rf ..1")
    server.eventually(function()
      return s:output():find("1 keys of the configuration changed", 1, true), s:output()
    end)
    assert.are.equal(rucat.json.null, scripts_of(s).last_error)
  end)
end)

describe("watching", function()
  it("may be looking now and then", function()
    local s <close> = start({ config = { watch = { mode = "poll", interval = 0.2 } } })
    until_word(s, "one")
    server.eventually(function() return scripts_of(s).watch == "poll" end)
    s:scripts({ ["handlers/word.lua"] = handler("two") })
    until_word(s, "two")
    s:scripts({ ["handlers/word.lua"] = "return {" })
    until_error(s, "word.lua:1:")
    s:scripts({ ["handlers/word.lua"] = handler("three") })
    until_word(s, "three")
  end)

  it("may be off, and on again", function()
    local s <close> = start({ config = { watch = { mode = "off" } } })
    s:scripts({ ["handlers/word.lua"] = handler("two") })
    assert.are.equal("off", scripts_of(s).watch)
    assert.are.equal(200, (s:reload()))
    assert.are.equal("two", word(s))
    server.write(s.config_file, (server.read(s.config_file):gsub('"off"', '"auto"')))
    assert.are.equal(200, (s:reload()))
    server.eventually(function() return scripts_of(s).watch == "inotify" end)
    s:scripts({ ["handlers/word.lua"] = handler("three") })
    until_word(s, "three")
  end)

  it("where the kernel gives no watch is looking now and then, and says so", function()
    local dir = server.tempdir()
    finally(function() server.run({ "rm", "-rf", dir }) end)
    local can = server.run({ "unshare", "-Ur", "sh", "-c", "echo 0 > /proc/sys/user/max_inotify_instances" })
    if can.code ~= 0 then
      pending("no user namespaces here")
      return
    end
    server.write(dir .. "/lua/handlers/word.lua", handler("one"))
    server.write(dir .. "/rucat.lua", ("return { listen = '127.0.0.1:0', state_dir = '%s/s', scripts = { '%s/lua' }, "
      .. "watch = { interval = 0.2 } }"):format(dir, dir))
    local p <close> = assert(rucat.process.spawn({ argv = { "unshare", "-Ur", "sh", "-c",
      "echo 0 > /proc/sys/user/max_inotify_instances; exec " .. server.binary .. " serve -c " .. dir .. "/rucat.lua" },
      env = { HOME = dir, PATH = os.getenv("PATH"), ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } }))
    local function output()
      local out, err = p:output()
      return out .. err
    end
    local s = setmetatable({}, { __index = server })
    server.eventually(function()
      local address = (server.read(dir .. "/s/address") or ""):match("%S+")
      s.url = address and "http://" .. address
      local answer = s.url and rucat.http.request({ url = s.url .. "/readyz", timeout = 2 })
      return answer and answer.status == 200, output()
    end, 15)
    server.eventually(function() return output():find("scripts cannot be watched", 1, true) end)
    assert.are.equal("poll", scripts_of(s).watch)
    server.write(dir .. "/lua/handlers/word.lua", handler("two"))
    until_word(s, "two")
    p:kill("TERM")
    assert.are.same({ code = 0 }, p:wait(20))
  end)
end)

describe("what stands where a script is expected", function()
  local s

  setup(function()
    s = start()
    until_word(s, "one")
  end)

  teardown(function()
    s:stop()
  end)

  -- Each is told of within the watch, stops nothing, and is forgotten when it is gone.
  local odd = {
    ["a text that is not UTF-8"] = { "printf 'return 1 -- caf\\351' > scripts/odd.lua", "/odd.lua:1: not UTF%-8" },
    ["a folder"] = { "mkdir -p scripts/policies/restart.lua", "/policies/restart.lua: a folder where a file is expected" },
    ["a named pipe"] = { "mkfifo scripts/odd.lua", "/odd.lua: a named pipe where a file is expected" },
    ["a device"] = { "mknod scripts/odd.lua c 1 5 || ln -s /dev/zero scripts/odd.lua", "/odd.lua: a %a+ " },
    ["a link out of the roots"] = { "ln -s /etc/passwd scripts/odd.lua", "/odd.lua: a link out of the script directory" },
    ["a link to nowhere"] = { "ln -s nowhere scripts/odd.lua", "/odd.lua: a link that leads nowhere" },
    ["10 MB"] = { "truncate -s 10M scripts/odd.lua", "/odd.lua: 10485760 bytes, at most 1048576" },
    ["a name of odd bytes"] = { "touch \"$(printf 'scripts/odd\\n\\377.lua')\"", "/odd\\x0a\\xff.lua: the name" },
    ["10,000 files"] = { "mkdir scripts/many; seq -f 'scripts/many/%g.lua' 1 10000 | xargs touch", "one too many: at most 2000 script files" },
    ["a circle of requires"] = { [[mkdir -p scripts/handlers scripts/lib
      echo "return require('lib.b')" > scripts/lib/a.lua; echo "return require('lib.a')" > scripts/lib/b.lua
      echo "return require('lib.a')" > scripts/handlers/odd.lua]], "module 'lib.a' requires itself: lib.a %-> lib.b %-> lib.a" },
    ["a circle of folders"] = { "mkdir scripts/many; ln -s . scripts/many/again", "/many/again: a link to a folder that it is in" },
    ["bytecode"] = { "printf '\\033LuaT' > scripts/odd.lua", "/odd.lua: attempt to load a binary chunk" },
  }
  local names = {}
  for name in pairs(odd) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name .. " is refused with a clear error, and the rest serves on", function()
      sh(s, odd[name][1])
      until_error(s, odd[name][2])
      assert.are.equal("one", word(s))
      sh(s, "rm -rf scripts/odd* scripts/many scripts/policies scripts/lib scripts/handlers/odd.lua")
      until_mended(s)
      s:check_output()
    end)
  end

  it("unreadable is refused with a clear error", function()
    if server.run({ "setpriv", "--reuid=65534", "--clear-groups", "true" }).code ~= 0 then
      pending("only root can become somebody who may not read")
      return
    end
    local dir = server.tempdir()
    finally(function() server.run({ "rm", "-rf", dir }) end)
    server.write(dir .. "/lua/policies/auth.lua", "return function() return true end")
    server.write(dir .. "/rucat.lua", ("return { scripts = { '%s/lua' } }"):format(dir))
    sh({ dir = dir }, "chmod 755 .; chmod 0 lua/policies/auth.lua")
    local exit, out, err = server.run({ "setpriv", "--reuid=65534", "--clear-groups", server.binary, "check",
      "-c", dir .. "/rucat.lua" }, { env = { ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
    if err:find("cannot execute", 1, true) or err:find("setpriv", 1, true) or err:find("failed to execute", 1, true) then
      pending("the build cannot be run by somebody else here")
      return
    end
    assert.are.equal(1, exit.code, out .. err)
    assert.matches("/auth.lua: Permission denied", err, 1, true)
  end)
end)

describe("a self-test", function()
  local s

  setup(function()
    s = start()
  end)

  teardown(function()
    s:stop()
  end)

  local broken = {
    ["handlers/t.lua"] = { "return {\n self_test = function()\n  assert(1 == 2, 'one is not two')\n end }",
      "/handlers/t.lua:3: one is not two %(self_test%)" },
    ["policies/health.lua"] = { "return { interval = 1, timeout = 1, failures = 1, probe = print, unhealthy = print,\n"
      .. "self_test = function() return false, 'not well' end }", "/policies/health.lua:2: self_test says no: not well" },
    ["policies/admission.lua"] = { "local function ask(request) return request end\n\n"
      .. "return ask, function() return ask({}).name.first end", "/policies/admission.lua:3: attempt to index" },
    ["policies/auth.lua"] = { "return function() return true end, 5", "/policies/auth.lua:1: .*must be a function" },
    ["templates/t_local.lua"] = { "return { submit = print, self_test = function() error({}) end }",
      "/templates/t_local.lua:1: .*table value" },
    ["templates/u_local.lua"] = { "return { submit = print, self_test = 1 }", "/templates/u_local.lua:1: .*self_test" },
    ["policies/idle.lua"] = { "return { check = print, wake_on_connect = print,\nself_test = function() rucat.timer.sleep(1) end }",
      "/policies/idle.lua:2: .*cannot be used while a file is loaded" },
  }
  for name, case in pairs(broken) do
    it("that fails refuses the generation: " .. name, function()
      s:scripts({ [name] = case[1] })
      until_error(s, case[2])
      assert.are.equal("one", word(s))
      s:scripts({ [name] = false })
      until_mended(s)
    end)
  end

  it("that is true is run, and is no route", function()
    s:scripts({ ["handlers/t.lua"] = "local n = 0 return { self_test = function() n = n + 1 end, "
      .. "['GET /n'] = function() return 200, tostring(n) end }" })
    server.eventually(function() return s:http("GET", "/n").body == "1" end)
    assert.is_nil(s:http("GET", "/openapi.json").body:find("self_test"))
  end)
end)

describe("many reloads under load", function()
  it("lose no request and no memory", function()
    local times = 200 * (math.tointeger(tonumber(os.getenv("SPEC_TORTURE") or 1)) or 1)
    local s <close> = start({ config = { watch = { mode = "auto" } } })
    local function resident()
      return math.tointeger(tonumber(server.read("/proc/" .. s.pid .. "/status"):match("VmRSS:%s+(%d+)")))
    end
    local stop, asked, wrong, running = false, 0, {}, 0
    for _ = 1, 4 do
      running = running + 1
      rucat.timer.after(0, function()
        while not stop do
          local answer, why = rucat.http.request({ url = s.url .. "/word", timeout = 60 })
          asked = asked + 1
          if not answer or answer.status ~= 200 then
            wrong[#wrong + 1] = answer and answer.status or why
          end
        end
        running = running - 1
      end)
    end
    local early
    for i = 1, times do
      if i % 10 == 0 then
        s:scripts({ ["handlers/word.lua"] = handler("w" .. i) })
      end
      assert.are.equal(200, (s:reload()))
      if i == times // 4 then
        early = resident()
      end
    end
    local late = resident()
    stop = true
    server.eventually(function() return running == 0 end)
    assert.are.same({}, wrong)
    assert.is_true(asked > times)
    assert.are.equal("w" .. times, word(s))
    if not server.sanitized then
      assert.is_true(late - early < 4096, ("VmRSS %d KiB after %d reloads, %d KiB after %d"):format(
        early, times // 4, late, times))
    end
    if os.getenv("SPEC_VERBOSE") then
      print(("# %d reloads, %d requests meanwhile, VmRSS %d -> %d KiB"):format(times, asked, early, late))
    end
  end)
end)
