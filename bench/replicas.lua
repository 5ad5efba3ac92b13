-- bench/replicas.lua - figures of two replicas on one SurrealDB: `build/rucat run bench/replicas.lua
-- [NAME...]`, from the top of the tree, after a release build. Prints a table for docs/benchmarks.md.
-- Names: takeover, rest; without one all of them. ENGINES=N, LEASE=SECONDS.

package.path = "spec/?.lua;" .. package.path
local figures = require("support.figures")
local server = require("support.server")
local replicas = require("support.replicas")

local row, cpu = figures.row, figures.cpu

local N = math.tointeger(tonumber(os.getenv("ENGINES") or 1000))
local LEASE = tonumber(os.getenv("LEASE") or 15)
local TRACED = server.build .. "/fixtures/traced"

-- Two replicas with a lease as it is by default, the first of which keeps N engines that run.
local function two()
  local cluster = replicas.start(0)
  local options = { config = { monitor = { interval = 10, lease = LEASE }, limits = { starts = 64 } },
                    scripts = { ["templates/light_local.lua"] = figures.TEMPLATE } }
  local a, b = cluster:add(options), cluster:add(options)
  figures.workers(8, function(w)
    for i = w, N, 8 do
      a:create({ name = "e" .. i, type = "light", config = { program = TRACED } })
    end
  end)
  server.eventually(function()
    local list = cluster.db:ask("SELECT count() FROM engine WHERE state = 'Running' GROUP ALL")
    return list[1] and list[1].count == N, list[1] and list[1].count
  end, 300, "that all run")
  return cluster, a, b
end

local benches = {}

function benches.takeover()
  local cluster <close>, a, b = two()
  rucat.timer.sleep(LEASE) -- b may take what is others' only a lease after it came
  local used, began = cpu(b.pid), rucat.clock.monotonic()
  replicas.kill9(a)
  local id, first = replicas.id(b), nil
  server.eventually(function()
    local list = cluster.db:ask(("SELECT count() FROM engine WHERE keeper = '%s' GROUP ALL"):format(id))
    first = first or list[1] and list[1].count > 0 and rucat.clock.monotonic() - began
    return list[1] and list[1].count == N, list[1] and list[1].count
  end, 10 * LEASE, "that all are taken over")
  local seconds = rucat.clock.monotonic() - began
  row(("take-over of %d engines after kill -9 of their keeper, lease %g s"):format(N, LEASE),
    ("%.1f s, of which %.1f s until the first; %.1f s of CPU"):format(seconds, first, cpu(b.pid) - used),
    ("<= %g s"):format(2 * LEASE))
  server.eventually(function()
    return #b:http("GET", "/v1/stats?limit=1000").body:gsub('"pid":null', "") > 0
      and not b:http("GET", "/v1/stats?limit=1000").body:find('"pid":null', 1, true)
  end, 60, "that all drivers are followed")
  for _, e in ipairs(b:get("/v1/engines?limit=1000").engines) do
    assert(e.state == "Running" and e.epoch == 1, e.name .. " was restarted")
  end
end

function benches.rest()
  local cluster <close>, a, b = two()
  rucat.timer.sleep(20)
  local used, db, began = { cpu(a.pid), cpu(b.pid) }, cpu(cluster.db.pid), rucat.clock.monotonic()
  rucat.timer.sleep(60)
  local seconds = rucat.clock.monotonic() - began
  row(("two replicas at rest with %d engines"):format(N), ("%.2f %% and %.2f %% of a core; SurrealDB %.2f %%"):format(
    100 * (cpu(a.pid) - used[1]) / seconds, 100 * (cpu(b.pid) - used[2]) / seconds,
    100 * (cpu(cluster.db.pid) - db) / seconds), "< 5 %")
end

local names = #arg > 0 and arg or { "takeover", "rest" }
for _, name in ipairs(names) do
  assert(benches[name], "there is no bench " .. name)()
end
