-- bench/remote.lua - figures of the shared store on this machine: `build/rucat run bench/remote.lua
-- [NAME...]`, from the top of the tree, after a release build with `cmake --build build --target
-- bench_load`. Prints a table for docs/benchmarks.md. SPEC_SURREAL is the SurrealDB (spec/support/surreal.lua).
-- Names: reads, writes, feed, idle, takeover; without one all of them. ENGINES=N (1000).

package.path = "spec/?.lua;" .. package.path
local fault_proxy = require("support.fault_proxy")
local figures = require("support.figures")
local server = require("support.server")
local surreal = require("support.surreal")

local row, workers, cpu = figures.row, figures.workers, figures.cpu

local ENGINES = math.tointeger(tonumber(os.getenv("ENGINES") or 1000))

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- What the endpoints of external engines lead to: something that accepts.
local function listener()
  local p = assert(rucat.process.spawn({ argv = { "/usr/bin/python3", "-c", [[
import asyncio
async def serve(reader, writer):
    await reader.read(1)
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())]] } }))
  local port = server.eventually(function()
    return (p:output()):match("%d+")
  end, 10)
  return p, "tcp://127.0.0.1:" .. port
end

local function fill(s, count, endpoint)
  workers(8, function(w)
    for i = w, count, 8 do
      s:create({ name = "e" .. i, type = "base", platform = "external", endpoint = endpoint })
    end
  end)
  server.eventually(function()
    local up = 0
    local after
    repeat
      local page = s:get("/v1/engines?limit=1000&state=Running" .. (after and "&cursor=" .. after or ""))
      up, after = up + #page.engines, page.next_cursor
    until not after or after == rucat.json.null
    return up == count, up .. " run"
  end, 300, "that all run")
end

local function replica(db, more, through)
  local config = { limits = { engines = 20000 } }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return server.start({ mode = "remote", config = db:config(config, config.store, through) })
end

local benches = {}

-- GETs of a known engine at a fixed rate: CPU of the server, alternating between the two modes.
function benches.reads()
  local db <close> = surreal.start()
  local endpoint_process, endpoint = listener()
  local remote <close> = replica(db)
  local here <close> = server.start()
  local us, p50 = { remote = {}, here = {} }, { remote = {}, here = {} }
  for _, s in ipairs({ remote, here }) do
    fill(s, 100, endpoint)
  end
  for _ = 1, 5 do
    for name, s in pairs({ remote = remote, here = here }) do
      local before = cpu(s.pid)
      local port = s.address:match(":(%d+)$")
      local exit, out = server.run({ server.build .. "/bench_load", "rate", port, "/v1/engines/e7", "8000", "4", "32" })
      assert(exit.code == 0)
      local median_us, _, _, answers, errors = out:match("([%d.]+) ([%d.]+) ([%d.]+) (%d+) (%d+)")
      assert(errors == "0", out)
      table.insert(us[name], (cpu(s.pid) - before) * 1e6 / tonumber(answers))
      table.insert(p50[name], tonumber(median_us))
    end
  end
  endpoint_process:kill("KILL")
  row("GET of a known engine, mode remote beside local, CPU per request, median of 5",
    ("%.1f us, local %.1f us: %.2fx; p50 %.0f us, local %.0f us"):format(median(us.remote), median(us.here),
      median(us.remote) / median(us.here), median(p50.remote), median(p50.here)), "memory speed: 1x")
end

-- Requests to the database, counted on the way there, for each change of a record.
function benches.writes()
  local db <close> = surreal.start()
  local proxy <close> = fault_proxy.start(db.port)
  local endpoint_process, endpoint = listener()
  -- the feed, the leases and the probes make no requests meanwhile
  local quiet = { monitor = { lease = 120, interval = 60 }, store = { poll = 10, resync = 3600 } }
  local s <close> = replica(db, quiet, proxy.port)
  fill(s, 1, endpoint)
  rucat.timer.sleep(1)
  local function writes()
    local sum = 0
    for op, count in s:http("GET", "/metrics").body:gmatch('rucat_store_seconds_count{op="(%a+)"} (%d+)') do
      sum = sum + (op == "update" and tonumber(count) or 0)
    end
    return sum
  end
  proxy:set("watch UPDATE $rid MERGE $row")
  local before, revs = writes(), s:engine("e1").rev
  local began = rucat.clock.monotonic()
  for _ = 1, 100 do
    assert(s:json("POST", "/v1/engines/e1/stop?wait=10s") == 202)
    assert(s:json("POST", "/v1/engines/e1/start?wait=10s") == 202)
  end
  local seconds = rucat.clock.monotonic() - began
  local changes, done = s:engine("e1").rev - revs, writes() - before
  endpoint_process:kill("KILL")
  row(("%d state changes with their events, one after the other"):format(changes),
    ("%.2f requests each (%.2f tries), %.1f ms a change through a proxy in Python"):format(
      proxy:stats().watched / changes, done / changes, seconds * 1000 / changes), "one round trip")
end

-- From the answer to a write on one replica until the other one shows it.
function benches.feed()
  local db <close> = surreal.start()
  local endpoint_process, endpoint = listener()
  local a <close> = replica(db)
  local b <close> = replica(db)
  fill(a, 10, endpoint)
  local took = {}
  for i = 1, 50 do
    -- A change, not a new engine: one that is not known is asked for in the store at once.
    local _, after = a:json("POST", "/v1/engines/e1/" .. (i % 2 == 1 and "stop" or "start"))
    local began = rucat.clock.monotonic()
    while b:engine("e1").rev < after.rev do
      rucat.timer.sleep(0.002)
    end
    took[i] = rucat.clock.monotonic() - began
  end
  endpoint_process:kill("KILL")
  local middle = median(took)
  row("a change by one replica until another one shows it, median and worst of 50",
    ("%.0f ms, %.0f ms"):format(middle * 1000, took[#took] * 1000), "<= 1 s")
end

-- Everything at rest: nobody asks, probes as shipped.
function benches.idle()
  local db <close> = surreal.start()
  local endpoint_process, endpoint = listener()
  local a <close> = replica(db)
  local b <close> = replica(db)
  fill(a, ENGINES, endpoint)
  rucat.timer.sleep(20)
  local before = { cpu(a.pid), cpu(b.pid), cpu(db.pid) }
  local began = rucat.clock.monotonic()
  rucat.timer.sleep(60)
  local seconds = rucat.clock.monotonic() - began
  local function percent(i, pid)
    return (cpu(pid) - before[i]) / seconds * 100
  end
  local first, second, base = percent(1, a.pid), percent(2, b.pid), percent(3, db.pid)
  endpoint_process:kill("KILL")
  row(("%d engines on two replicas at rest for 60 s, probes every 10 s"):format(ENGINES),
    ("%.1f %% and %.1f %% of a core (SurrealDB %.1f %%)"):format(first, second, base), "< 5 %")
end

-- kill -9 of the replica that keeps everything.
function benches.takeover()
  local db <close> = surreal.start()
  local endpoint_process, endpoint = listener()
  local a <close> = replica(db)
  fill(a, ENGINES, endpoint)
  local b <close> = replica(db) -- luacheck: ignore 211
  rucat.timer.sleep(20) -- b has waited its first lease
  local keeper = db:ask("SELECT VALUE keeper FROM engine LIMIT 1")[1]
  local began = rucat.clock.monotonic()
  a:kill9()
  local first
  server.eventually(function()
    local left = db:ask("SELECT count() FROM engine WHERE keeper = '" .. keeper .. "' GROUP ALL")
    left = left[1] and left[1].count or 0
    first = first or left < ENGINES and rucat.clock.monotonic() - began
    rucat.timer.sleep(0.1)
    return left == 0, left .. " are left"
  end, 120, "that all are taken over")
  local seconds = rucat.clock.monotonic() - began
  endpoint_process:kill("KILL")
  row(("take-over of %d engines after kill -9, lease of 15 s"):format(ENGINES),
    ("the first after %.1f s, all after %.1f s"):format(first, seconds), "<= 30 s: two leases")
end

local names = arg and #arg > 0 and arg or { "reads", "writes", "feed", "idle", "takeover" }
for _, name in ipairs(names) do
  assert(benches[name], name .. ": no such figure")()
end
