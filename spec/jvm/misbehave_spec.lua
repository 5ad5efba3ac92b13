-- JVMs that misbehave, as small programs of spec/fixtures/java: skipped without javac.

local server = require("support.server")

if os.getenv("SPEC_JVM") ~= "1" then
  pending("misbehaving JVMs: SPEC_JVM is not set")
  return
end

local function path_of(program)
  local _, out = server.run({ "sh", "-c", 'if [ -n "$JAVA_HOME" ] && [ -x "$JAVA_HOME/bin/$0" ]; then echo "$JAVA_HOME/bin/$0"; '
    .. 'else command -v "$0"; fi', program }, { env = { PATH = os.getenv("PATH"), JAVA_HOME = os.getenv("JAVA_HOME") } })
  return out:match("%S+")
end

local java, javac = path_of("java"), path_of("javac")
if not java or not javac then
  pending("misbehaving JVMs: no javac, which a JDK has and a JRE has not")
  return
end

local SCRIPTS = {
  ["templates/java_local.lua"] = [[return { submit = function(engine, ctx)
    return { argv = { engine.config.java, "-Xmx64m", "-cp", engine.config.classes, engine.config.class },
      endpoint = engine.config.ready and "http://127.0.0.1:%d" or nil,
      ready = { log = engine.config.ready or "^ready", timeout = 60 }, stop = { signal = "TERM", grace = 1 } } end }]],
  ["policies/health.lua"] = [[return { interval = 0.3, timeout = 5, failures = 2,
    probe = function(engine)
      if not engine.endpoint then return true end
      local answer, why = rucat.http.request { url = engine.endpoint .. "/", timeout = 2 }
      return answer ~= nil, why
    end,
    unhealthy = function() return "restart" end }]],
}

describe("a JVM", function()
  local s, classes

  lazy_setup(function()
    s = server.start({ scripts = SCRIPTS })
    classes = s.dir .. "/classes"
    local exit, out, err = server.run({ javac, "-d", classes, "spec/fixtures/java/ClosesOutput.java",
      "spec/fixtures/java/OutlivesOom.java" }, { timeout = 120, env = { PATH = os.getenv("PATH") } })
    assert.same({ code = 0 }, exit, out .. err)
  end)
  lazy_teardown(function() s:stop() end)

  local function create(name, class, ready)
    s:create({ name = name, type = "java", config = { java = java, classes = classes, class = class, ready = ready } })
    return s:until_engine(name, function(e) return e.health == "healthy" end, 60)
  end

  it("that closes its output lives on, is well, and stops as any other", function()
    create("closes", "ClosesOutput")
    local status, e = s:json("POST", "/v1/engines/closes/stop?wait=30s")
    assert.same({ 202, "Stopped", "StoppedByUser", 143, 1 }, { status, e.state, e.reason, e.exit.code, e.epoch })
    s:until_no_driver(5)
  end)

  it("that does not end when its memory has run out is found unhealthy, ended and started again", function()
    local e = create("oom", "OutlivesOom", "^port (%d+)")
    rucat.http.request({ url = e.endpoint .. "/leak", timeout = 0.1 }) -- no answer comes
    local after = s:until_engine("oom", function(x) return x.epoch == 2 and x.health == "healthy" end, 60)
    assert.are_not.equal(e.endpoint, after.endpoint)
    local status = rucat.json.decode(server.read(("%s/engines/%s/1/status.json"):format(s.state_dir, e.id)))
    assert.equal("SIGKILL", status.exit.signal) -- its hook did not let TERM end it
    local told
    for _, event in ipairs(s:get("/v1/engines/oom/events").events) do
      told = told or event.kind == "policy" and event.reason == "Unhealthy" and event.message
    end
    assert.matches("^restart: ", told)
    s:json("POST", "/v1/engines/oom/stop?wait=30s")
    s:until_no_driver(5)
  end)
end)
