-- rucat/cli/samples.lua - questions to ask a policy where nothing was recorded: what an operator would
-- want to know of a file before it serves. The shape of a case is in asking.lua.

local replay = require("rucat.cli.replay")

local samples = {}

local function engine(changes)
  local e = {
    id = "01h00000000000000000000000", name = "sample", type = "spark", platform = "local",
    state = "Running", desired = "Running", reason = "Ready", message = "", health = "healthy",
    endpoint = "sc://127.0.0.1:1", config = {}, labels = {}, env = {}, owner = "somebody", epoch = 1,
    rev = 1, restarts = 0, created_at = "2026-01-01T00:00:00.000Z",
  }
  for key, value in pairs(changes or {}) do
    e[key] = value
  end
  return e
end

-- As many ends before, one after the other.
local function ends(count, exit, now, apart)
  local list = rucat.json.array {}
  for i = 1, count do
    list[i] = { at = now - i * (apart or 30), exit = exit, uptime = exit.uptime }
  end
  return list
end

function samples.restart(now)
  local up = { code = 1, phase = "running", uptime = 60 }
  local never = { code = 1, phase = "starting", uptime = 0 }
  local function exit(changes)
    local copy = { code = 1, phase = "running", uptime = 60 }
    for key, value in pairs(changes) do
      copy[key] = value ~= false and value or nil
    end
    return copy
  end
  local list = {
    { "the first crash", up, 0 },
    { "a server that ended by itself", exit { code = 0 }, 0 },
    { "a batch job that is done", exit { code = 0 }, 0, { app = { resource = "job.py" } } },
    { "a batch job that failed", exit { code = 1 }, 0, { app = { resource = "job.py" } } },
    { "killed", exit { code = false, signal = "SIGKILL", oom = false }, 0 },
    { "out of memory", exit { code = 137, oom = true }, 0 },
    { "ended by TERM", exit { code = 143 }, 0 },
    { "it never came up", never, 0 },
    { "the fifth time it never came up", never, 4, nil, never },
    { "after a day up", exit { uptime = 86400 }, 0 },
    { "the third crash in a row", up, 2, nil, up },
    { "the eleventh crash in 10 minutes", up, 10, nil, up },
    { "the twentieth, one an hour", up, 19, nil, up, 3600 },
  }
  local cases = {}
  for i, one in ipairs(list) do
    cases[i] = {
      at = now, name = one[1], what = replay.exit_text(one[2]),
      args = { engine(one[4]), one[2], ends(one[3], one[5] or up, now, one[6]) },
    }
  end
  return cases
end

local function user(name, role)
  return { name = name, role = role }
end

function samples.admission(now)
  local function case(name, who, counts, request)
    request.name = request.name or "sample"
    request.type, request.platform = request.type or "spark", request.platform or "local"
    return { at = now, name = name, what = ("%s (%s), %d engines"):format(who.name, who.role, counts),
             args = { request, who, { engines = counts, running = counts } } }
  end
  return {
    case("the first engine of a user", user("ann", "user"), 0, {}),
    case("the hundredth of a user", user("ann", "user"), 99, {}),
    case("the first of an admin", user("root", "admin"), 0, {}),
    case("the hundredth of an admin", user("root", "admin"), 99, {}),
    case("by a viewer", user("vic", "viewer"), 0, {}),
    case("with labels and settings", user("ann", "user"), 1,
      { labels = { team = "a" }, config = { ["spark.executor.memory"] = "64g" } }),
    case("another type", user("ann", "user"), 1, { type = "sail", version = "1.0" }),
    case("an engine elsewhere", user("ann", "user"), 1,
      { platform = "external", endpoint = "sc://10.0.0.1:15002" }),
  }
end

function samples.auth(now)
  local cases = {}
  local mine, other = engine({ owner = "ann" }), engine({ owner = "bob" })
  for _, who in ipairs({ user("root", "admin"), user("ann", "user"), user("vic", "viewer") }) do
    for _, verb in ipairs({ "create", "admin" }) do
      cases[#cases + 1] = { at = now, name = ("%s (%s)"):format(who.name, who.role), what = verb,
                            verbs = { verb }, args = { who } }
    end
    for _, verb in ipairs({ "read", "start", "stop", "delete", "connect", "logs" }) do
      for _, one in ipairs({ mine, other }) do
        cases[#cases + 1] = { at = now, name = ("%s (%s)"):format(who.name, who.role),
                              what = verb .. " an engine of " .. one.owner, verbs = { verb }, args = { who, one } }
      end
    end
  end
  return cases
end

function samples.health(now)
  local function case(name, field, changes, why)
    return { at = now, name = name, what = field, field = field, args = { engine(changes), why } }
  end
  local list = {
    case("nothing listens there", "probe", { endpoint = "sc://127.0.0.1:1" }),
    case("not well", "unhealthy", {}, "port 1 of 127.0.0.1: connection refused"),
    case("one of somebody else, not well", "unhealthy", { platform = "external" }, "it does not answer"),
  }
  local none = case("no endpoint", "probe")
  none.args[1].endpoint = nil
  table.insert(list, 1, none)
  return list
end

function samples.idle(now)
  local function case(name, field, changes, second)
    return { at = now, name = name, what = field, field = field, args = { engine(changes), second } }
  end
  return {
    case("used just now", "check", { idle_timeout = 600 }, { streams = 1, idle_for = 0 }),
    case("idle, not long enough", "check", { idle_timeout = 600 }, { streams = 0, idle_for = 300 }),
    case("idle for too long", "check", { idle_timeout = 600 }, { streams = 0, idle_for = 700 }),
    case("idle, no timeout asked for", "check", {}, { streams = 0, idle_for = 1e6 }),
    case("somebody connects", "wake_on_connect", { state = "Stopped" }, user("ann", "user")),
  }
end

return samples
