-- REST from outside: what a request gets, good or bad. Engines here are of the test template, or are
-- never started at all.

local support = require("support.server")

describe("REST", function()
  local s

  setup(function()
    s = support.start()
  end)

  teardown(function()
    s:stop()
  end)

  -- The message that a validation gives for that field; fails when there is none.
  local function field_error(body, field, status)
    local code, problem, headers = s:json("POST", "/v1/engines", body)
    assert.are.equal(status or 422, code, rucat.json.encode(problem))
    assert.matches("application/problem+json", headers["content-type"], 1, true)
    assert.are.equal(code, problem.status)
    assert.is_string(problem.title)
    for _, item in ipairs(problem.errors or {}) do
      if item.field == field then
        assert.is_string(item.message)
        return item.message, problem
      end
    end
    error(("no error for '%s' in %s"):format(field, rucat.json.encode(problem)))
  end

  it("creates, shows, lists and removes an engine", function()
    local status, engine, headers = s:json("POST", "/v1/engines", {
      name = "shape", type = "test", config = { a = "x", n = 3, f = 1.5, yes = true },
      labels = { team = "red" }, env = { MODE = "fast" },
    })
    assert.are.equal(201, status)
    assert.matches("/v1/engines/" .. engine.id .. "$", headers.location)
    assert.are.equal(26, #engine.id)
    assert.are.equal("local", engine.platform)
    assert.are.same({ a = "x", n = 3, f = 1.5, yes = true }, engine.config)
    assert.are.equal("integer", math.type(engine.config.n))
    assert.are.same({ team = "red" }, engine.labels)
    for _, field in ipairs({ "version", "app", "idle_timeout", "ttl", "stopped_at", "next_start_at" }) do
      assert.are.equal(rucat.json.null, engine[field], field)
    end
    for _, field in ipairs({ "state", "desired", "reason", "message", "health", "epoch", "rev",
                             "restarts", "exit", "owner", "created_at", "heartbeat_at", "endpoint",
                             "ui", "started_at" }) do
      assert.is_not_nil(engine[field], field)
    end
    assert.are.equal("anonymous", engine.owner)
    assert.is_truthy(rucat.clock.parse(engine.created_at))
    assert.are.same(engine.id, s:engine("shape").id)
    assert.are.same("shape", s:engine(engine.id).name)
    s:until_state("shape", "Running", "Ready")

    local list = s:get("/v1/engines")
    assert.are.equal(1, #list.engines)
    assert.are.equal("shape", list.engines[1].name)
    assert.are.equal(rucat.json.null, list.next_cursor)

    local code, _, empty = s:json("DELETE", "/v1/engines/shape")
    assert.are.equal(202, code)
    assert.is_table(empty)
    s:until_gone("shape")
    assert.matches('"engines":[]', (s:http("GET", "/v1/engines").body:gsub("%s", "")), 1, true)
    assert.are.equal(404, (s:json("DELETE", "/v1/engines/shape")))
  end)

  it("lists in pages, and by filters", function()
    for i = 1, 5 do
      s:create({ name = "page-" .. i, labels = { n = i % 2 == 0 and "even" or "odd" },
                 config = { run = "exec sleep 1000" } })
    end
    finally(function()
      for i = 1, 5 do
        s:json("DELETE", "/v1/engines/page-" .. i)
      end
      for i = 1, 5 do
        s:until_gone("page-" .. i)
      end
    end)
    local seen, cursor, pages = {}, nil, 0
    repeat
      local page = s:get("/v1/engines?limit=2" .. (cursor and "&cursor=" .. cursor or ""))
      for _, engine in ipairs(page.engines) do
        seen[#seen + 1] = engine.name
      end
      assert.is_true(#page.engines <= 2)
      cursor = page.next_cursor ~= rucat.json.null and page.next_cursor or nil
      pages = pages + 1
    until not cursor or pages > 10
    assert.are.same({ "page-1", "page-2", "page-3", "page-4", "page-5" }, seen)
    assert.are.equal(2, #s:get("/v1/engines?label=n%3Deven").engines)
    assert.are.equal(1, #s:get("/v1/engines?name=page-3").engines)
    assert.are.equal(0, #s:get("/v1/engines?type=spark").engines)
    assert.are.equal(5, #s:get("/v1/engines?type=test&platform=local").engines)
    for _, query in ipairs({ "limit=0", "limit=1001", "limit=x", "state=Sleeping", "nonsense=1" }) do
      assert.are.equal(422, (s:json("GET", "/v1/engines?" .. query)), query)
    end
  end)

  it("refuses a name that is taken", function()
    s:create({ name = "taken", config = { run = "exec sleep 1000" } })
    local status, problem = s:json("POST", "/v1/engines", { name = "taken", type = "test" })
    assert.are.equal(409, status)
    assert.matches("name", problem.detail)
    s:json("DELETE", "/v1/engines/taken")
    s:until_gone("taken")
  end)

  it("names each field that is wrong, missing or not known", function()
    field_error({}, "name")
    field_error({ name = "x", type = "test", colour = "red" }, "colour")
    for _, bad in ipairs({ "", "A", "-a", "a-", "a_b", "a b", ("a"):rep(64), "ä", "a/b", "a\n", 5,
                           true, {}, rucat.json.null }) do
      field_error({ name = bad, type = "test" }, "name")
    end
    for _, case in ipairs({
      { "type", "UPPER" }, { "type", 1 }, { "type", ("t"):rep(33) }, { "type", "../x" },
      { "platform", "a b" }, { "platform", false }, { "version", 4.1 }, { "version", {} },
      { "config", "x" }, { "config", rucat.json.array({ 1 }) }, { "labels", 3 }, { "env", "PATH=1" },
      { "labels", { a = 1 } }, { "env", { A = true } }, { "env", { ["A=B"] = "x" } },
    }) do
      local body = { name = "wrong", type = "test" }
      body[case[1]] = case[2]
      local _, problem = s:json("POST", "/v1/engines", body)
      assert.are.equal(422, problem.status, rucat.json.encode(body))
      local found
      for _, item in ipairs(problem.errors or {}) do
        found = found or item.field:sub(1, #case[1]) == case[1]
      end
      assert.is_true(found, case[1] .. " in " .. rucat.json.encode(problem))
    end
    assert.are.equal(422, (s:json("POST", "/v1/engines",
      { name = "wrong", type = "test", config = { a = { b = 1 } } })))
    assert.are.equal(404, (s:json("GET", "/v1/engines/wrong")))
  end)

  it("names several wrong fields at once", function()
    local _, problem = s:json("POST", "/v1/engines", { name = "B!", type = 7, extra = 1 })
    local fields = {}
    for _, item in ipairs(problem.errors) do
      fields[item.field] = true
    end
    assert.are.same({ name = true, type = true, extra = true }, fields)
  end)

  it("takes durations as numbers and as texts, and says what it took in seconds", function()
    local took = {}
    for i, value in ipairs({ 60, 0.5, "90", "1500ms", "30s", "5m", "2h", "1d", "1.5h" }) do
      local status, engine = s:json("POST", "/v1/engines", { name = "timed-" .. i, type = "test", ttl = value })
      assert.are.equal(201, status)
      took[i] = engine.ttl
      s:json("DELETE", "/v1/engines/timed-" .. i)
    end
    assert.are.same({ 60, 0.5, 90, 1.5, 30, 300, 7200, 86400, 5400 }, took)
    assert.are.equal("integer", math.type(took[5]))
    for _, value in ipairs({ 0, -1, "0s", "5 m", "soon", "", "1e3", "1.2345s", true, 1e10, "1.5ms" }) do
      assert.matches("expected a duration", field_error({ name = "x", type = "test", idle_timeout = value },
        "idle_timeout"), 1, true)
    end
  end)

  it("names what is wrong with a batch job", function()
    local function of(app)
      return field_error({ name = "job", type = "test", app = app }, "app")
    end
    assert.matches("expected an object", of("x.jar"), 1, true)
    assert.matches("resource: expected", of({ class = "a.B" }), 1, true)
    assert.matches("resource: expected", of({ resource = "--conf" }), 1, true)
    assert.matches("class: expected", of({ resource = "x.jar", class = "a b" }), 1, true)
    assert.matches("args: expected a list", of({ resource = "x.jar", args = "a" }), 1, true)
    assert.matches("args: item 2: expected a text", of({ resource = "x.jar", args = { "a", 1 } }), 1, true)
    assert.matches("unknown field 'main'", of({ resource = "x.jar", main = "a" }), 1, true)
    assert.matches("not for platform external", field_error({ name = "job", type = "test", platform = "external",
      endpoint = "sc://127.0.0.1:1", app = { resource = "x.jar" } }, "app"), 1, true)
  end)

  it("names the templates there are when there is none for a type", function()
    local status, problem = s:json("POST", "/v1/engines", { name = "x", type = "flink" })
    assert.are.equal(422, status)
    local text = rucat.json.encode(problem)
    assert.matches("flink", text)
    assert.matches("sail_local", text, 1, true)
    assert.matches("test_local", text, 1, true)
  end)

  it("answers 400 to what is no JSON", function()
    for _, body in ipairs({ "{", "", "nope", '{"name":"a",}', '{"name":"a","name":"b"}', "[1,2", "NaN",
                            '{"name":"\xff"}' }) do
      local status, problem = s:json("POST", "/v1/engines", body)
      assert.are.equal(400, status, body)
      assert.are.equal(400, problem.status)
      assert.is_string(problem.detail)
    end
    for _, body in ipairs({ "[]", "1", '"x"', "null" }) do
      assert.are.equal(422, (s:json("POST", "/v1/engines", body)), body)
    end
  end)

  it("answers 415 to a body that is of another type", function()
    assert.are.equal(415, (s:json("POST", "/v1/engines", '{"name":"a"}',
                                  { ["content-type"] = "text/plain" })))
    assert.are.equal(422, (s:json("POST", "/v1/engines", '{}',
                                  { ["content-type"] = "application/json; charset=utf-8" })))
  end)

  it("answers 413 to a body that is too large", function()
    local body = '{"name":"' .. ("a"):rep(1024 * 1024 + 10) .. '"}'
    local answer = s:raw(("POST /v1/engines HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
      .. "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body)
    assert.matches("^HTTP/1.1 413", answer)
  end)

  it("makes one engine of one Idempotency-Key, over a restart of the server too", function()
    local o <close> = support.start()
    local function create(key, name)
      return o:json("POST", "/v1/engines", ('{"name":"%s","type":"test"}'):format(name),
                    { ["idempotency-key"] = key })
    end
    local status, first = create("k1", "once")
    assert.are.equal(201, status)
    local again, same = create("k1", "once")
    assert.are.equal(201, again)
    assert.are.equal(first.id, same.id)
    assert.are.equal(422, (create("k1", "other")))
    assert.are.equal(409, (create("k2", "once")))
    assert.are.equal(422, (create(("x"):rep(256), "long")))
    assert.are.equal(422, (create("x y", "space")))
    o:kill9()
    o:start_again()
    again, same = create("k1", "once")
    assert.are.equal(201, again)
    assert.are.equal(first.id, same.id)
    assert.are.equal(1, #o:get("/v1/engines").engines)
  end)

  it("makes one engine of many requests at once for a name", function()
    local created, refused, other = 0, 0, 0
    for _ = 1, 20 do
      rucat.timer.after(0, function()
        local status = s:json("POST", "/v1/engines", { name = "race", type = "test" })
        if status == 201 then
          created = created + 1
        elseif status == 409 then
          refused = refused + 1
        else
          other = other + 1
        end
      end)
    end
    support.eventually(function()
      return created + refused + other == 20
    end, 20)
    assert.are.same({ 1, 19, 0 }, { created, refused, other })
    s:json("DELETE", "/v1/engines/race")
    s:until_gone("race")
  end)

  it("answers 404 and 405 with Allow", function()
    for _, path in ipairs({ "/nope", "/v1/nope", "/v1/engines/", "/v1/engines/none", "/v1/engines/none/logs",
                            "/v1/engines/none/events", "/v1/engines/a%2Fb", "/v2/engines" }) do
      local status, problem = s:json("GET", path)
      assert.are.equal(404, status, path)
      assert.are.equal(404, problem.status)
    end
    for _, verb in ipairs({ "start", "stop", "restart" }) do
      assert.are.equal(404, (s:json("POST", "/v1/engines/none/" .. verb)))
    end
    local status, _, headers = s:json("PUT", "/v1/engines", {})
    assert.are.equal(405, status)
    assert.matches("GET", headers.allow)
    assert.matches("POST", headers.allow)
    status, _, headers = s:json("GET", "/v1/engines/none/start")
    assert.are.equal(405, status)
    assert.are.equal("POST", (headers.allow:gsub(",?%s*OPTIONS,?%s*", "")))
  end)

  it("gives an ETag, 304 and 412", function()
    s:create({ name = "tag", config = { run = "exec sleep 1000" } })
    finally(function()
      s:json("DELETE", "/v1/engines/tag")
      s:until_gone("tag")
    end)
    -- its first probe is a change too: after that it stays as it is
    local engine = s:until_engine("tag", function(e) return e.health == "healthy" end)
    local answer = s:http("GET", "/v1/engines/tag")
    assert.matches('^W/"%d+"$', answer.headers.etag)
    assert.is_true(tonumber(answer.headers.etag:match("%d+")) >= engine.rev)
    local same = s:http("GET", "/v1/engines/tag", nil, { ["if-none-match"] = answer.headers.etag })
    assert.are.equal(304, same.status)
    assert.are.equal("", same.body)
    assert.are.equal(200, s:http("GET", "/v1/engines/tag", nil, { ["if-none-match"] = 'W/"1"' }).status)
    assert.are.equal(412, (s:json("POST", "/v1/engines/tag/stop", nil, { ["if-match"] = 'W/"1"' })))
    assert.are.equal(412, (s:json("DELETE", "/v1/engines/tag", nil, { ["if-match"] = 'W/"1"' })))
    assert.are.equal("Running", s:engine("tag").state)
    local status
    for _ = 1, 5 do -- the first probe may have changed the engine since it was looked at
      answer = s:http("GET", "/v1/engines/tag")
      status = s:json("POST", "/v1/engines/tag/stop", nil, { ["if-match"] = answer.headers.etag })
      if status ~= 412 then
        break
      end
    end
    assert.are.equal(202, status)
  end)

  it("answers HEAD as GET without a body", function()
    for _, path in ipairs({ "/v1/engines", "/healthz", "/readyz", "/metrics", "/" }) do
      local head = s:http("HEAD", path)
      assert.are.equal(200, head.status, path)
      assert.are.equal("", head.body)
    end
    local got = s:http("GET", "/healthz")
    assert.are.equal(tostring(#got.body), s:http("HEAD", "/healthz").headers["content-length"])
  end)

  it("says that it is alive, ready and welcome", function()
    assert.matches("^ok", s:http("GET", "/healthz").body)
    assert.matches("^ok", s:http("GET", "/readyz").body)
    assert.matches("^welcome to rucat", s:http("GET", "/").body)
  end)

  it("refuses another Host and a foreign Origin", function()
    local function ask(headers)
      return s:raw("GET /v1/engines HTTP/1.1\r\nConnection: close\r\n" .. headers .. "\r\n"):match("^HTTP/1.1 (%d+)")
    end
    assert.are.equal("200", ask("Host: localhost:3000\r\n"))
    assert.are.equal("200", ask("Host: 127.0.0.1\r\n"))
    assert.are.equal("200", ask("Host: [::1]:80\r\n"))
    assert.are.equal("403", ask("Host: evil.example\r\n"))
    assert.are.equal("403", ask("Host: localhost.evil.example\r\n"))
    assert.are.equal("403", ask("Host: localhost\r\nOrigin: http://evil.example\r\n"))
    assert.are.equal("403", ask("Host: localhost\r\nOrigin: null\r\n"))
    assert.are.equal("403", ask("Host: localhost:3000\r\nOrigin: http://localhost:8080\r\n"))
    assert.are.equal("200", ask("Host: localhost\r\nOrigin: http://localhost\r\n"))
    assert.are.equal("400", ask(""))
  end)

  it("never shows a secret", function()
    s:create({ name = "secret", config = { run = "exec sleep 1000", ["my.PASSWORD"] = "hunter2" },
               env = { API_TOKEN = "hunter3" } })
    s:until_state("secret", "Running")
    finally(function()
      s:json("DELETE", "/v1/engines/secret")
      s:until_gone("secret")
    end)
    for _, path in ipairs({ "/v1/engines/secret", "/v1/engines", "/v1/events", "/v1/engines/secret/events" }) do
      local body = s:http("GET", path).body
      assert.is_nil(body:find("hunter", 1, true), path)
    end
    local engine = s:engine("secret")
    assert.are.equal("***", engine.config["my.PASSWORD"])
    assert.are.equal("***", engine.env.API_TOKEN)
    assert.is_nil(s:output():find("hunter", 1, true))
  end)

  it("answers many requests on one connection, in order", function()
    local one = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    local answer = s:raw(one:rep(20) .. "GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    local _, count = answer:gsub("HTTP/1.1 200", "")
    assert.are.equal(20, count)
    assert.matches("HTTP/1.1 404", answer)
  end)

  it("has metrics that Prometheus reads", function()
    local answer = s:http("GET", "/metrics")
    assert.matches("^text/plain", answer.headers["content-type"])
    local typed, seen = {}, {}
    for line in answer.body:gmatch("[^\n]+") do
      local name, kind = line:match("^# TYPE ([%w_:]+) (%a+)$")
      if name then
        assert.is_nil(typed[name], "twice: " .. name)
        typed[name] = kind
      elseif line:sub(1, 1) ~= "#" then
        local metric, labels, value = line:match("^([%a_:][%w_:]*)(%b{}) (%S+)$")
        if not metric then
          metric, value = line:match("^([%a_:][%w_:]*) (%S+)$")
        end
        assert.is_truthy(metric, line)
        assert.is_truthy(tonumber(value) or value == "+Inf" or value == "NaN", line)
        local base = metric:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
        assert.is_truthy(typed[metric] or typed[base], "no TYPE: " .. line)
        assert.is_nil(seen[metric .. (labels or "")], "twice: " .. line)
        seen[metric .. (labels or "")] = true
      end
    end
    assert.are.equal("\n", answer.body:sub(-1))
    for _, name in ipairs({ "rucat_engines", "rucat_engine_transitions_total", "rucat_http_requests_total",
                            "rucat_script_generation", "rucat_store_seconds", "process_resident_memory_bytes",
                            "rucat_engine_start_seconds", "rucat_http_request_seconds" }) do
      assert.is_truthy(typed[name], name)
    end
  end)
end)
