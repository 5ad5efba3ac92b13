-- bench/supervision.lua - figures of supervision on this machine: `build/rucat run bench/supervision.lua
-- [NAME...]`, from the top of the tree, after a release build. Prints a table for docs/benchmarks.md.
-- Names: reattach, helper, cycles, bomb, idle, crash, storm; without one all of them. CYCLES=N, ENGINES=N.

package.path = "spec/?.lua;" .. package.path
local figures = require("support.figures")
local server = require("support.server")
local ladder = require("support.ladder")

local row, workers = figures.row, figures.workers

local TRACED = server.build .. "/fixtures/traced"

local function field(pid, file, name)
  local text = server.read(("/proc/%s/%s"):format(pid, file)) or ""
  return math.tointeger(tonumber(text:match("\n" .. name .. ":%s*(%d+)"))) or 0
end

local function percentile(list, p)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * p))]
end

local SCRIPTS = {
  ["templates/light_local.lua"] = figures.TEMPLATE,
  ["policies/restart.lua"] = "return function() return { restart = true, delay = 0 } end",
}

local function light(n, options)
  options = options or {}
  options.scripts = options.scripts or SCRIPTS
  local s = server.start(options)
  workers(8, function(w)
    for i = w, n, 8 do
      s:create({ name = "e" .. i, type = "light", config = { program = TRACED } })
    end
  end)
  server.eventually(function()
    local count = 0
    for state in s:http("GET", "/v1/engines?limit=1000&state=Running").body:gmatch('"state":"(%a+)"') do
      count = count + (state == "Running" and 1 or 0)
    end
    return count == math.min(n, 1000), count .. " run"
  end, 120)
  return s
end

local benches = {}

function benches.reattach()
  local n = math.tointeger(tonumber(os.getenv("ENGINES") or 1000))
  local s <close> = light(n)
  local found, whole = {}, {}
  for _ = 1, 5 do
    s:kill9()
    local began = rucat.clock.now()
    s:start_again()
    local at, seconds = server.eventually(function()
      local when, took = s:output():match('"at":"([^"]+)"[^\n]*looked for ' .. n .. ' drivers: ([%d.]+) s')
      return when, tonumber(took)
    end, 60, "that all are found")
    found[#found + 1], whole[#whole + 1] = seconds, rucat.clock.parse(at) - began
  end
  row(("re-attach of %d engines after kill -9, median of 5"):format(n),
    ("%.2f s (from exec of the server: %.2f s)"):format(percentile(found, 0.5), percentile(whole, 0.5)), "<= 1 s")
end

function benches.helper()
  local s <close> = light(10)
  local most, helpers = 0, {}
  for _, pid in ipairs(s:drivers()) do
    if (server.read("/proc/" .. pid .. "/comm") or "") == "rucat-engine\n" then
      helpers[#helpers + 1] = pid
      most = math.max(most, field(pid, "status", "VmRSS"))
    end
  end
  local function count()
    local sum = 0
    for _, pid in ipairs(helpers) do
      sum = sum + field(pid, "status", "voluntary_ctxt_switches")
    end
    return sum
  end
  local switches = count()
  rucat.timer.sleep(60)
  row("rucat-engine: VmRSS, the largest of 10", ("%.1f MB"):format(most / 1024), "<= 3 MB")
  row("rucat-engine: wake-ups, beat of 10 s", ("%.1f a minute"):format((count() - switches) / #helpers), "6: its beat")
end

function benches.idle()
  local s <close> = light(100)
  rucat.timer.sleep(5)
  local before = field(s.pid, "status", "voluntary_ctxt_switches")
  rucat.timer.sleep(60)
  local count = field(s.pid, "status", "voluntary_ctxt_switches") - before
  row("wake-ups of an idle server with 100 engines, probes every 10 s",
    ("%.0f a minute, %.2f per engine and probe"):format(count, count / 600), "<= 1 per probe")
end

function benches.cycles()
  local n = math.tointeger(tonumber(os.getenv("CYCLES") or 10000))
  local s <close> = light(8)
  local function look()
    local _, out = server.run({ "ls", "/proc/" .. s.pid .. "/fd" })
    local _, ps = server.run({ "ps", "-o", "stat=", "--ppid", tostring(s.pid) })
    return select(2, out:gsub("\n", "")), field(s.pid, "status", "VmRSS"), select(2, ps:gsub("Z", ""))
  end
  local function some(count)
    workers(8, function(w)
      for _ = 1, count // 8 do
        assert(s:json("POST", "/v1/engines/e" .. w .. "/stop?wait=30s") == 202)
        assert(s:json("POST", "/v1/engines/e" .. w .. "/start?wait=30s") == 202)
      end
    end)
  end
  some(n // 10)
  local fds, rss = look()
  local began = rucat.clock.monotonic()
  some(n - n // 10)
  local seconds = rucat.clock.monotonic() - began
  rucat.timer.sleep(1)
  local fds2, rss2, zombies = look()
  row(("%d start/stop cycles, 8 at a time"):format(n),
    ("%.0f a second; descriptors %d to %d, VmRSS %.1f to %.1f MB, zombies %d"):format(
      (n - n // 10) / seconds, fds, fds2, rss / 1024, rss2 / 1024, zombies), "flat")
end

function benches.bomb()
  for _, size in ipairs({ 23, 150 }) do
    local s <close> = server.start(ladder.options())
    local took = {}
    for i = 1, 9 do
      local e = ladder.create(s, "b" .. i, "bomb " .. size, { grace = 0.2 })
      s:until_state("b" .. i, "Running", nil, 60)
      ladder.stop(s, "b" .. i)
      took[i] = rucat.json.decode(server.read(("%s/engines/%s/1/status.json"):format(s.state_dir, e.id))).kill_took_ms
    end
    row(("first SIGKILL until nothing is left of a bomb of %d processes, median and worst of 9"):format(size),
      ("%d ms, %d ms"):format(percentile(took, 0.5), percentile(took, 1)), "<= 50 ms")
  end
end

function benches.crash()
  local s <close> = light(1)
  local took = {}
  for i = 1, 20 do
    local e = s:until_state("e1", "Running")
    local path = ("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch)
    local status = rucat.json.decode(server.read(path))
    local began = rucat.clock.now()
    server.run({ "kill", "-KILL", tostring(status.driver.pid) })
    local after = s:until_engine("e1", function(x) return x.epoch == e.epoch + 1 and x.state == "Running" end)
    took[i] = rucat.clock.parse(after.started_at) - began
  end
  row("restart after a crash: kill -9 of the driver to the next one ready, median of 20",
    ("%.0f ms"):format(percentile(took, 0.5) * 1000))
end

-- 500 requests a second, while nothing happens and from the moment in which all drivers crash. In two
-- ways: as the shipped policy has it (all come back at once), and when they do not come back, which is
-- what the crash alone costs.
function benches.storm()
  local n = math.tointeger(tonumber(os.getenv("ENGINES") or 200))
  local s <close> = light(n, { scripts = { ["templates/light_local.lua"] = SCRIPTS["templates/light_local.lua"] } })
  local port = s.address:match(":(%d+)$")
  local function rate(seconds, at_once)
    local p <close> = assert(rucat.process.spawn({ argv = { server.build .. "/bench_load", "rate", port,
      "/v1/engines/e1", "500", tostring(seconds), "16" } }))
    if at_once then
      at_once()
    end
    p:wait(60)
    local p50, p99, most, answers, errors = (p:output()):match("([%d.]+) ([%d.]+) ([%d.]+) (%d+) (%d+)")
    assert(tonumber(errors) == 0 and tonumber(answers) > 0, "errors")
    return tonumber(p50), tonumber(p99), tonumber(most)
  end
  local function ids()
    local list = { "-KILL" }
    for _, pid in ipairs(s:drivers()) do
      if server.read("/proc/" .. pid .. "/comm") == "traced\n" then
        list[#list + 1] = tostring(pid)
      end
    end
    return list
  end
  rucat.timer.sleep(3)
  local idle, storm, back = {}, {}, {}
  for i = 1, 3 do
    local _, p99 = rate(5)
    idle[i] = p99
    local list = ids()
    table.insert(list, 1, "kill")
    local began, last = rucat.clock.now(), nil
    _, p99 = rate(5, function() server.run(list) end)
    storm[i] = p99
    server.eventually(function()
      local up, page = 0, s:get("/v1/engines?limit=1000&state=Running")
      for _, e in ipairs(page.engines) do
        up = up + (e.epoch == i + 1 and e.reason == "Ready" and 1 or 0)
        last = math.max(last or 0, rucat.clock.parse(e.started_at))
      end
      return up == n
    end, 60)
    back[i] = last - began
  end
  row(("%d drivers killed at once: p99 of GET at 500/s for 5 s, median of 3"):format(n),
    ("%.0f us, at rest %.0f us: %.1fx; all back after %.1f s"):format(percentile(storm, 0.5), percentile(idle, 0.5),
      percentile(storm, 0.5) / percentile(idle, 0.5), percentile(back, 0.5)), "<= 2x")
end

local names = arg and #arg > 0 and arg or { "reattach", "helper", "idle", "cycles", "bomb", "crash", "storm" }
for _, name in ipairs(names) do
  assert(benches[name], name .. ": no such figure")()
end
