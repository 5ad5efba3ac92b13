-- help.lua - the texts of help() in the console: one for each of the console's own names, one for
-- each primitive with a line for each of its functions. spec/e2e/console_spec.lua checks that none is
-- missing.

local overview = [==[
Lua 5.4: an expression prints its value, other lines run; a line that is not finished goes on.
  engines()                the engines; engines("Running"), engines{label="team=a"}
  engine("a")              one of them: its fields, and
    :start() :stop() :restart() :delete() :wait("start", 60)    .events  .logs  .logs(200)
  events(50)               the newest events       events.follow(), events.follow("a")
  log.follow("warn")       the server's log        log.level(), log.level("store", "debug")
  unfollow()               ends what is followed, as Ctrl-C does
  scripts()  reload()      the operator's files    metrics("engines"), jobs()
  rucat                    every primitive that scripts have: help("rucat")
  help("engine")           more about a name
Ctrl-C ends the line that runs, Ctrl-D the console; TAB completes.]==]

local names = {
  engines = [==[
engines([state or filter]) -> a list of engines, printed as a table
  filter = { state=, type=, platform=, name=, label="key=value", limit= }
  for _, e in ipairs(engines("Stopped")) do e:start() end]==],

  engine = [==[
engine(name or id) -> an engine; its fields are those of GET /v1/engines/{id}, always the newest
  e.state, e.reason, e.endpoint, e.config ...
  e:start()  e:stop()  e:restart()  e:delete()   ask for it and give e; an error when refused
  e:wait([verb or state [, seconds]])            until it is so (120 s); an error when it cannot be
  e.events                                       the newest events
  e.logs, e.logs(200)                            the last lines of its driver]==],

  events = [==[
events([n]) -> the newest events of all engines
  events.list([engine [, n]])   those of one
  events.follow([engine])       prints changes as they happen, until unfollow() or Ctrl-C]==],

  log = [==[
log.follow([level])          prints the server's log as it is written, until unfollow() or Ctrl-C
log.level()                  the level of each group
log.level(level)             sets that of all: debug, info, warn, error
log.level(group [, level])   one group: its level, or sets it]==],

  unfollow = [==[
unfollow()   ends events.follow() and log.follow()]==],

  reload = [==[
reload() -> what changed; an error with FILE:LINE: what when nothing did because a file is broken]==],

  scripts = [==[
scripts() -> the generation that serves, its files, the last error]==],

  metrics = [==[
metrics([pattern]) -> the metrics as Prometheus gets them; with a Lua pattern those lines only]==],

  jobs = [==[
jobs() -> what runs or waits in the server: requests, policies, timers, consoles]==],

  help = [==[
help([name])   help(), help("engine"), help("rucat.timer"), help("rucat.timer.sleep")]==],

  print = [==[
print(...)   writes to this console, also later, from timers]==],

  rucat = [==[
rucat: the primitives that scripts have, and rucat.version. help("rucat.timer") tells of one.
  rucat.clock    time, ids                      rucat.process  child processes
  rucat.fs       reading files                  rucat.server   the server itself
  rucat.http     requests to other servers      rucat.store    engines and events
  rucat.json     strict JSON                    rucat.tcp      does something listen there
  rucat.log      lines for the log              rucat.timer    waiting, now and then
  rucat.metrics  numbers for Prometheus         rucat.state    values that outlive calls
  rucat.replica  the servers on one store
  rucat.surreal  questions to SurrealDB (mode remote)
Wrong use raises; the world's failures return nil, message, code.]==],

  ["rucat.clock"] = [==[
rucat.clock.now() -> seconds since 1970, with a fraction
rucat.clock.monotonic() -> seconds on a clock that only goes forward
rucat.clock.text([seconds]) -> "2026-11-23T01:02:03.456Z"
rucat.clock.parse(text) -> seconds since 1970; nil, message, code
rucat.clock.duration(text) -> seconds of "10ms", "30s", "5m", "2h", "1d"; nil, message, code
rucat.clock.uuid() -> a random UUID
rucat.clock.id_time([id]) -> seconds since 1970 at which an id of ours (the newest) was made]==],

  ["rucat.fs"] = [==[
rucat.fs.read(name) -> text; nil, message, code. Waits. Files below the script directories and
  STATE_DIR/shared, at most 1 MiB]==],

  ["rucat.http"] = [==[
rucat.http.request{url=, method=, headers=, body=, timeout=, http2=} -> {status=, headers=, body=}; nil,
  message, code. Waits
rucat.http.stream{url=, method=, headers=, body=} -> stream; stream.status, stream:read() waits for
  the next piece (nil at the end), stream:close()
rucat.http.problem(status, detail [, errors [, title]]) -> status, body, headers for a handler]==],

  ["rucat.json"] = [==[
rucat.json.encode(value) -> text
rucat.json.decode(text) -> value; nil, message, code. Strict; integers stay integers
rucat.json.array(table) -> the same table, [] and not {} when it is empty
rucat.json.null   JSON's null]==],

  ["rucat.log"] = [==[
rucat.log.debug(format, ...)
rucat.log.info(format, ...)
rucat.log.warn(format, ...)
rucat.log.error(format, ...)   a line in the server's log; format as in string.format]==],

  ["rucat.metrics"] = [==[
rucat.metrics.counter(name, help [, labels]) -> c; c:add(n, label...)
rucat.metrics.gauge(name, help [, labels]) -> g; g:set(n, label...), g:add(n, label...)
rucat.metrics.histogram(name, help [, labels [, buckets]]) -> h; h:observe(n, label...)
rucat.metrics.render() -> all of them as text]==],

  ["rucat.process"] = [==[
rucat.process.spawn{argv=, env=, cwd=, input=, stdout=, stderr=, keep=} -> p; nil, message, code
  p:wait([seconds]) -> {code=, signal=}; nil, message, code. Waits
  p:kill([signal])  p:pid()  p:output() -> out, err  p:close()]==],

  ["rucat.replica"] = [==[
rucat.replica.shared() -> true where other servers may share the store
rucat.replica.id() -> the id of this one; "" where there is only one
rucat.replica.list() -> {id=, name=, url=, host=, roles=, version=, engines=, alive=, left=, self=} of each
rucat.replica.route(engine) -> "" when what it has written is on this host, else the url of who has it;
  nil, message, code when nobody that is alive has
rucat.replica.forward(engine)   for handlers: an answer that the replica of route() gives]==],

  ["rucat.server"] = [==[
rucat.server.info() -> {cpus=, instance=, listen=, mode=, version=, roles=, replica=}
rucat.server.ready() -> true; false, why
rucat.server.scripts() -> generation, files, last error
rucat.server.reload() -> what changed; nil, what is wrong. Waits
rucat.server.config(group) -> a copy of a group of the configuration: "limits", "spark"
rucat.server.templates() -> the names of the templates, as one text
rucat.server.has_template(type, platform) -> true or false]==],

  ["rucat.state"] = [==[
rucat.state.get(key) -> a copy of the value, or nil
rucat.state.set(key, value [, seconds]) -> true; nil, message, "FULL". What JSON can hold; with seconds,
  until then. One state for all scripts, in memory: it outlives calls and reloads, not the server
rucat.state.incr(key [, by [, seconds]]) -> the new number; nil, message, "FULL". 0 when there is none;
  the seconds count from when it is made
rucat.state.delete(key) -> whether there was one
rucat.state.keys([prefix]) -> a sorted list
rucat.state.usage() -> {keys=, bytes=}]==],

  ["rucat.store"] = [==[
rucat.store.engines.get(name or id) -> a view of the engine as it is now, or nil
rucat.store.engines.fetch(name or id) -> the same; asks a shared store where there is none here. Waits
rucat.store.engines.list{state=, type=, platform=, name=, label=, after=, limit=} -> views, more
rucat.store.engines.create(engine [, by]) -> view; nil, message, code. Waits
rucat.store.engines.verb(id, verb [, by]) -> view; nil, message, code. Waits. start, stop, restart,
  delete
rucat.store.engines.logs(id [, lines]) -> text; nil, message, code. Waits
rucat.store.engines.usage{id, ...} -> {[id]={cpu_seconds=, memory_bytes=, processes=, pid=}}; nil, message, code.
  Waits
rucat.store.engines.note(view, kind, reason, message [, by])   writes an event
rucat.store.engines.hold(id, verb, seconds)   for handlers: an answer that waits
rucat.store.events.list{engine=, after=, limit=, newest_first=} -> events, more. Waits
rucat.store.follow{logs= or events=, ...}   for handlers: an answer that goes on
rucat.store.keys.claim(key, body)   for handlers: Idempotency-Key
rucat.store.keys.settle(key, id)    the key made that engine
rucat.store.keys.release(key)       it made none]==],

  ["rucat.surreal"] = [==[
rucat.surreal.query(sql [, vars [, {timeout=, again=}]]) -> {{status="OK", result=} or {status="ERR", error=},
  ...}; nil, message, code. Waits. One for each statement; mode remote
rucat.surreal.record(table, id) -> a record id: r.table, r.id
rucat.surreal.table(name) -> a table's name as a value
rucat.surreal.datetime(seconds or text [, nanoseconds]) -> t.seconds, t.nanoseconds, t.time
rucat.surreal.duration(seconds or text [, nanoseconds]) -> the same fields
rucat.surreal.decimal(text) -> a decimal number
rucat.surreal.uuid(text) -> a uuid
rucat.surreal.bytes(data) -> bytes; a Lua string is text
rucat.surreal.set(list) -> s.values
rucat.surreal.range(first, last [, {first_included=, last_included=}]) -> r.first, r.last, ...
rucat.surreal.none   SurrealDB's NONE; all these values: v.kind, tostring(v)]==],

  ["rucat.tcp"] = [==[
rucat.tcp.connect(host, port [, seconds]) -> true; nil, message, code. Waits
rucat.tcp.connections(port) -> how many there are to that port of this machine; nil, message, code. Waits
rucat.tcp.exchange(host, port, text [, seconds]) -> all that came back; for `rucat run` only]==],

  ["rucat.timer"] = [==[
rucat.timer.sleep(seconds)   waits; the server goes on meanwhile
rucat.timer.after(seconds, fn) -> t; calls fn once, in a job of its own
rucat.timer.every(seconds, fn) -> t; calls fn again and again; t:cancel() ends either]==],
}

local help = { names = names }

-- The text for a name; nil when there is none. A function of a primitive has its line.
function help.of(name)
  if name == nil then
    return overview
  elseif type(name) ~= "string" then
    return nil
  elseif names[name] then
    return names[name]
  end
  local of, found = name:match("^(rucat%.[%w_]+)%."), {}
  for line in (names[of] or ""):gmatch("[^\n]+") do
    if line:sub(1, #name) == name and not line:find("^[%w_]", #name + 1) then
      found[1] = line
    elseif found[1] and line:find("^ ") then
      found[#found + 1] = line
    elseif found[1] then
      break
    end
  end
  return #found > 0 and table.concat(found, "\n") or nil
end

return help
