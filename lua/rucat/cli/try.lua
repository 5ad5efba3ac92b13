-- rucat/cli/try.lua - `rucat try FILE`: what would that policy have decided? It runs here, in a state as a
-- server makes for its scripts, and is asked again what was recorded (replay.lua), or samples.

local asking = require("rucat.cli.asking")
local client = require("rucat.cli.client")
local colour = require("rucat.cli.colour")
local json = require("rucat.cli.json")
local replay = require("rucat.cli.replay")
local samples = require("rucat.cli.samples")
local text = require("rucat.cli.text")

local DAY = 86400

-- The kind and, when it is not the one that serves, the file: "restart", or "x/restart.lua".
local function which(name)
  local kind = name:match("([^/]+)%.lua$") or name
  if not asking[kind] then
    client.fail(2, "%s: a policy is restart, health, admission, auth or idle; its file is named so", text.plain(name))
  end
  return kind, name:match("%.lua$") and name or nil
end

-- Asks each case. Its `would` or `error` is filled in. What the policy keeps in rucat.state is this
-- process's: recorded cases follow upon one another, samples have nothing to do with each other.
local function ask_all(box, kind, cases, apart)
  for _, case in ipairs(cases) do
    for _, key in ipairs(apart and rucat.state.keys() or {}) do
      rucat.state.delete(key)
    end
    box:at(case.at)
    case.would, case.error = asking[kind].ask(box, case)
    if case.would and case.did then
      case.differs = asking[kind].differs(case.did, case.would)
    end
  end
  box:at()
end

local function count(cases)
  local n = { asked = #cases, otherwise = 0, changed = 0, failed = 0 }
  for _, case in ipairs(cases) do
    n.failed = n.failed + (case.error and 1 or 0)
    n.otherwise = n.otherwise + (case.differs == "!" and 1 or 0)
    n.changed = n.changed + (case.differs == "~" and 1 or 0)
  end
  return n
end

local function would_text(kind, case)
  return case.would and asking[kind].say(case.would) or "FAILS: " .. text.plain(case.error)
end

local function paint(cell, _, row)
  if row == 1 then
    return colour.paint(cell, "bold")
  end
  return cell:find("^FAILS") and colour.paint(cell, "red") or cell == "!" and colour.paint(cell, "yellow") or cell
end

local function show_replay(kind, cases, since)
  local rows = { { "", "TIME", "ENGINE", kind == "restart" and "EXIT" or "REQUEST", "DID", "WOULD" } }
  for _, case in ipairs(cases) do
    rows[#rows + 1] = {
      case.error and "!" or case.differs, (rucat.clock.text(case.at):gsub("%.%d+Z$", "Z")), text.plain(case.name),
      text.plain(case.what), asking[kind].say(case.did) .. (case.note and " [" .. case.note .. "]" or ""),
      would_text(kind, case),
    }
  end
  if #cases > 0 then
    io.write(text.table(rows, paint))
  end
  local n = count(cases)
  io.write(("%d recorded in %s, %d decided otherwise (!), %d %s (~), %d failed\n"):format(n.asked, text.age(since),
    n.otherwise, n.changed, kind == "admission" and "changed" or "at another time", n.failed))
  io.write(replay.left_out[kind], "\n")
end

local function show_samples(kind, cases)
  local rows = { { "CASE", "WHAT", "ANSWER" } }
  for _, case in ipairs(cases) do
    rows[#rows + 1] = { case.name, case.what, would_text(kind, case) }
  end
  io.write(text.table(rows, paint))
end

local function show_json(kind, file, cases)
  local list = rucat.json.array {}
  for i, case in ipairs(cases) do
    list[i] = {
      at = rucat.clock.text(case.at), name = case.name, what = case.what, did = case.did, would = case.would,
      error = case.error, differs = case.differs ~= nil and case.differs ~= "" or nil, note = case.note,
    }
  end
  io.write(json.text({ policy = kind, file = file, cases = list, summary = count(cases) }))
end

return function(server, given)
  local kind, file = which(given.FILE)
  if not given.samples and replay.cannot[kind] then
    client.fail(2, "%s; --samples asks it about samples", replay.cannot[kind])
  end
  local box <close>, why = rucat.sandbox.open { -- luacheck: ignore
    config = given.config, files = file and { ["policies/" .. kind .. ".lua"] = file } or nil,
  }
  if not box then
    io.stderr:write(why, "\n")
    return 1
  end
  local now, since = rucat.clock.now(), given.since or DAY
  local cases = given.samples and samples[kind](now) or replay.cases(server, kind, now - since, given.engine)
  ask_all(box, kind, cases, given.samples)
  if given.output then
    show_json(kind, file, cases)
  elseif given.samples then
    show_samples(kind, cases)
  else
    show_replay(kind, cases, since)
  end
  return count(cases).failed > 0 and 1 or 0
end
