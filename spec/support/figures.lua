-- figures.lua: what the benches in bench/ that are Lua share: a row of a table, clients at once, CPU time.

local server = require("support.server")

local figures = {}

-- The template of a driver that costs nearly nothing (spec/fixtures/traced).
figures.TEMPLATE = [[
return { submit = function(e, ctx)
  return { argv = { e.config.program, "run", ctx.dir, e.id }, ready = { log = "^ready" },
           stop = { signal = "TERM", grace = 5 } }
end }]]

-- Prints a row for docs/benchmarks.md.
function figures.row(what, measured, target)
  print(("| %s | %s | %s |"):format(what, measured, target or ""))
end

-- Runs fn(1) to fn(n) at once, in jobs of their own, until all are over; raises what one of them raised.
function figures.workers(n, fn)
  local left, failed = n, nil
  for i = 1, n do
    rucat.timer.after(0, function()
      local fine, why = xpcall(fn, debug.traceback, i)
      left, failed = left - 1, failed or not fine and why
    end)
  end
  while left > 0 do
    rucat.timer.sleep(0.01)
  end
  assert(not failed, failed)
end

-- Seconds of CPU that a process has used.
function figures.cpu(pid)
  local text = server.read("/proc/" .. pid .. "/stat"):match("^.*%) (.*)$")
  local fields = {}
  for word in text:gmatch("%S+") do
    fields[#fields + 1] = word
  end
  return (tonumber(fields[12]) + tonumber(fields[13])) / 100
end

return figures
