-- rucat/cli/commands.lua - the commands: what each takes (see args.lua) and does. `run` gets the
-- server and what was given; it returns an exit code, or nothing for 0.

local client = require("rucat.cli.client")
local create = require("rucat.cli.create")
local events = require("rucat.cli.events")
local json = require("rucat.cli.json")
local logs = require("rucat.cli.logs")
local show = require("rucat.cli.show")
local text = require("rucat.cli.text")
local top = require("rucat.cli.top")
local wait = require("rucat.cli.wait")

local commands = {
  order = {
    "create", "list", "get", "start", "stop", "restart", "delete", "wait", "logs", "events", "top",
    "connect", "replicas", "reload", "try", "completion",
  },
}

local TIMEOUT = 120

local wait_options = {
  { "--wait", about = "wait until it is so" },
  { "--timeout", value = "TIME", kind = "duration", about = "how long to wait (120s)" },
}

local function with_wait(options)
  return table.move(wait_options, 1, #wait_options, #options + 1, options)
end

-- Everything that prints an engine or a line of text about it.
local function tell(given, engine, line)
  io.write(given.output and json.text(engine) or line .. "\n")
end

-- ---- create, list, get ----

commands.create = {
  about = "create an engine and start it",
  more = "-C takes true, false and numbers as such and anything else as text. Options override FILE.",
  positional = { "[NAME]" },
  options = with_wait({
    { "--type", value = "TYPE", about = "spark, sail, ..." },
    { "--platform", value = "PLATFORM", about = "local, external, ..." },
    { "--version", value = "VERSION", about = "of the engine, such as 4.1" },
    { "--config", short = "-C", value = "KEY=VALUE", kind = "pair", many = true,
      about = "a setting of the engine; may be repeated" },
    { "--label", value = "KEY=VALUE", kind = "pair", many = true, about = "may be repeated" },
    { "--env", value = "KEY=VALUE", kind = "pair", many = true,
      about = "environment of the engine; may be repeated" },
    { "--endpoint", value = "URL", about = "of an engine of platform external" },
    { "--idle-timeout", value = "TIME", about = "stop it when nobody has used it so long: 30m, 2h" },
    { "--ttl", value = "TIME", about = "stop it so long after it was asked to start" },
    { "--app", value = "FILE", about = "run this jar or Python file to its end instead of a server" },
    { "--class", value = "CLASS", about = "of the jar" },
    { "--arg", value = "TEXT", many = true, about = "for the app; may be repeated" },
    { "--file", short = "-f", value = "FILE", about = "the engine as JSON; - is standard input" },
  }),
}

function commands.create.run(server, given)
  local body = rucat.json.encode(create.body(given))
  local engine = server:json("POST", "/v1/engines", body)
  if not given.output then
    io.write(text.plain(engine.name), "\n")
    io.flush()
  end
  if given.wait then
    engine = wait(server, engine.name, "Running", given.timeout or TIMEOUT,
                  { seen = true, to_stderr = given.output })
  end
  if given.output then
    io.write(json.text(engine))
  end
end

commands.list = {
  about = "list the engines",
  options = {
    { "--state", value = "STATE", one_of = { "Pending", "Running", "Stopped" },
      about = "only those that are Pending, Running or Stopped" },
    { "--type", value = "TYPE", about = "only those of that type" },
    { "--platform", value = "PLATFORM", about = "only those of that platform" },
    { "--label", value = "KEY=VALUE", about = "only those with that label" },
  },
}

function commands.list.run(server, given)
  local engines, cursor = rucat.json.array({}), nil
  repeat
    local page = server:json("GET", "/v1/engines" .. client.query({
      { "limit", 1000 }, { "cursor", cursor }, { "state", given.state }, { "type", given.type },
      { "platform", given.platform }, { "label", given.label },
    }))
    if type(page.engines) ~= "table" then
      client.fail(1, "%s did not answer as rucat does", server.url)
    end
    table.move(page.engines, 1, #page.engines, #engines + 1, engines)
    cursor = text.given(page.next_cursor)
  until not cursor
  io.write(given.output and json.text(engines) or show.list(engines))
end

commands.get = {
  about = "show an engine: why it is in its state, who did it, what happens next",
  positional = { "ENGINE" },
}

function commands.get.run(server, given)
  local engine = server:json("GET", client.path(given.ENGINE))
  io.write(given.output and json.text(engine) or show.engine(engine, events.last(server, engine.id, 5)))
end

-- ---- start, stop, restart, delete, wait ----

-- A command that asks for a change and, with --wait, waits for `goal`.
local function verb(about, request, word, goal, more)
  return {
    about = about,
    positional = { "ENGINE" },
    options = with_wait(more or {}),
    run = function(server, given)
      local options = { seen = true, to_stderr = given.output }
      if request == "restart" and given.wait then
        options.after_epoch = server:json("GET", client.path(given.ENGINE)).epoch
      end
      local method = request and "POST" or "DELETE"
      local path = client.path(given.ENGINE, request and "/" .. request) .. (given.force and "?force=true" or "")
      local answer = server:call(method, path)
      local engine = answer.body ~= "" and server:decode(answer) or { name = given.ENGINE }
      if given.wait then
        engine = wait(server, given.ENGINE, goal, given.timeout or TIMEOUT, options)
        if given.output and engine then
          io.write(json.text(engine))
        end
        return
      end
      tell(given, engine, text.plain(engine.name) .. ": " .. word)
    end,
  }
end

local function by_force()
  return { { "--force", about = "also when its host is lost (HostLost): the driver there is given up" } }
end

commands.start = verb("start an engine that is stopped", "start", "starting", "Running")
commands.stop = verb("stop an engine", "stop", "stopping", "Stopped", by_force())
commands.restart = verb("stop an engine and start it anew", "restart", "restarting", "Running")
commands.delete = verb("stop an engine and remove all it had", nil, "deleting", "Deleted", by_force())

commands.wait = {
  about = "wait until an engine is Running, Stopped or Deleted",
  more = "Ends with 1 as soon as that cannot come any more, with 4 when the time is over.",
  positional = { "ENGINE" },
  options = {
    { "--for", value = "STATE", one_of = { "Running", "Stopped", "Deleted" },
      about = "Running, Stopped or Deleted (Running)" },
    { "--timeout", value = "TIME", kind = "duration", about = "how long (120s)" },
  },
}

function commands.wait.run(server, given)
  local engine = wait(server, given.ENGINE, given["for"] or "Running", given.timeout or TIMEOUT,
                      { to_stderr = given.output })
  if given.output and engine then
    io.write(json.text(engine))
  end
end

-- ---- logs, events, top, connect ----

commands.logs = {
  about = "print what an engine wrote",
  more = "With -f, goes on over restarts of the engine and of the server, until Ctrl-C or the engine is deleted.",
  positional = { "ENGINE" },
  options = {
    { "--tail", short = "-n", value = "LINES", kind = "count", about = "the last lines only" },
    { "--follow", short = "-f", about = "go on with what comes" },
  },
  run = logs,
}

commands.events = {
  about = "print what happened to the engines, or to one",
  more = "With -f, goes on with what happens, after the last 10 (-n); -o json is then an object a line.",
  positional = { "[ENGINE]" },
  options = {
    { "--tail", short = "-n", value = "NUMBER", kind = "count", about = "the last ones only" },
    { "--follow", short = "-f", about = "go on with what happens" },
  },
  run = events.run,
}

commands.top = {
  about = "watch the engines: state, health, uptime, restarts, CPU and memory of each",
  more = "Redrawn in place on a terminal until Ctrl-C; elsewhere printed once.\n"
    .. "%CPU is of one processor, since the last look; at the first, since the start.",
  options = {
    { "--number", short = "-n", value = "TIMES", kind = "count", about = "look that often, then end" },
    { "--delay", short = "-d", value = "TIME", kind = "duration", about = "between two looks (2s)" },
  },
  run = top,
}

commands.connect = {
  about = "print the URL that a client of the engine connects to",
  positional = { "ENGINE" },
}

function commands.connect.run(server, given)
  local engine = server:json("GET", client.path(given.ENGINE))
  local endpoint = text.given(engine.endpoint)
  if given.output then
    io.write(json.text({ endpoint = endpoint or rucat.json.null }))
  elseif endpoint then
    io.write(text.plain(endpoint), "\n")
  end
  if not endpoint then
    client.fail(1, "%s has no endpoint: it is %s (%s)", text.plain(engine.name),
                text.plain(engine.state), text.plain(text.given(engine.reason) or "-"))
  end
end

-- ---- replicas, reload ----

commands.replicas = { about = "list the servers that share the store" }

function commands.replicas.run(server, given)
  local answer = server:json("GET", "/v1/admin/replicas")
  io.write(given.output and json.text(answer.replicas) or show.replicas(answer.replicas))
end

commands.reload = { about = "have the server read its scripts and configuration anew" }

local function entries(list, write)
  for _, item in ipairs(type(list) == "table" and list or {}) do
    write(item)
  end
end

-- One entry of a report: a text, or an object whose fields are known.
local function entry(item)
  if type(item) ~= "table" then
    return text.plain(item)
  end
  local where = text.given(item.key) or text.given(item.field) or text.given(item.file)
    or text.given(item.name) or text.given(item.path)
  local what = text.given(item.note) or text.given(item.message) or text.given(item.change)
  return text.plain(where or "?") .. (what and ": " .. text.plain(what) or "")
end

function commands.reload.run(server, given)
  local answer, why = server:try("POST", "/v1/admin/reload", nil, 60)
  if not answer then
    server:unreachable(why)
  end
  local fine = answer.status == 200
  if not fine and answer.status ~= 422 then
    client.fail(1, "%s", client.problem(answer))
  end
  local report = server:decode(answer)
  if given.output then
    io.write(json.text(report))
    return fine and 0 or 1
  end
  if not fine then
    io.stderr:write("rucat: ", client.problem(answer), "\n")
    return 1
  end
  local function write(item)
    io.write("  ", entry(item), "\n")
  end
  io.write(("generation %s is serving\n"):format(tostring(report.generation)))
  entries(report.changed, write)
  entries(report.config, write)
  if #(report.changed or {}) == 0 and #(report.config or {}) == 0 then
    io.write("  nothing changed\n")
  end
end

-- ---- try ----

commands.try = {
  about = "what a policy file would have decided about what happened",
  more = "FILE is restart.lua, admission.lua or auth.lua, wherever it lies, or just restart: the one that the\n"
    .. "configuration names. It runs here; the server is asked for its events only. ! is another decision,\n"
    .. "~ a small difference. Exit code 1 when the file is broken, raises or answers nonsense.",
  positional = { "FILE" },
  options = {
    { "--since", value = "TIME", kind = "duration", about = "how far back (24h)" },
    { "--engine", value = "NAME", about = "only that engine" },
    { "--config", short = "-c", value = "FILE", about = "the configuration that names the script directories" },
    { "--samples", about = "ask about samples, with no server; also health and idle" },
  },
  run = function(server, given) return require("rucat.cli.try")(server, given) end,
}

-- ---- completion ----

commands.completion = {
  about = "print the completion of commands, options and engines for bash or zsh",
  more = "bash: source <(rucat completion bash)      zsh: source <(rucat completion zsh)",
  positional = { "SHELL" },
  local_only = true,
}

function commands.completion.run(_, given)
  local script = require("rucat.cli.completion")(given.SHELL, commands)
  if not script then
    client.fail(2, "there is completion for bash and zsh, not '%s'", text.plain(given.SHELL))
  end
  io.write(script)
end

return commands
