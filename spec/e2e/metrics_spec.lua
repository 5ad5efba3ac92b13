-- /metrics, read by a strict parser of the text format (0.0.4): every line is a HELP, a TYPE or a
-- sample of the family that was announced last; no series twice; histograms are whole and rise.

local support = require("support.server")

-- The labels between braces as a list of { name, value }; fails on anything else.
local function read_labels(text)
  local labels, at = {}, 1
  while at <= #text do
    local name, stop = text:match('^([%a_][%w_]*)="()', at)
    assert(name, "labels: " .. text)
    local value = {}
    while text:sub(stop, stop) ~= '"' do
      local c = text:sub(stop, stop)
      assert(c ~= "", "a label's value has no end: " .. text)
      if c == "\\" then
        c = text:sub(stop, stop + 1)
        assert(c == "\\\\" or c == '\\"' or c == "\\n", "escape in " .. text)
      end
      value[#value + 1] = c
      stop = stop + #c
    end
    labels[#labels + 1] = { name, table.concat(value) }
    at = stop + 1
    assert(at > #text or text:sub(at, at) == ",", "after a label: " .. text)
    at = at + 1
  end
  return labels
end

local function key_of(labels)
  local parts = {}
  for _, label in ipairs(labels) do
    if label[1] ~= "le" then
      parts[#parts + 1] = label[1] .. "=" .. label[2]
    end
  end
  table.sort(parts)
  return table.concat(parts, ",")
end

local function label(sample, name)
  for _, pair in ipairs(sample.labels) do
    if pair[1] == name then
      return pair[2]
    end
  end
end

-- { [family] = { type =, help =, samples = { { name =, labels =, value = } } } }
local function parse(text)
  local families, family, name, seen = {}, nil, nil, {}
  assert(text:sub(-1) == "\n", "the last line has no end")
  for line in text:gmatch("([^\n]*)\n") do
    local help, words = line:match("^# HELP ([%a_:][%w_:]*) (.+)$")
    local kind_of, kind = line:match("^# TYPE ([%a_:][%w_:]*) (%l+)$")
    if help then
      assert(not families[help], help .. " is announced twice")
      name, family = help, { help = words, samples = {} }
      families[name] = family
    elseif kind_of then
      assert(kind_of == name and not family.type, "TYPE without its HELP: " .. line)
      assert(kind == "counter" or kind == "gauge" or kind == "histogram", line)
      family.type = kind
    else
      local metric, rest = line:match("^([%a_:][%w_:]*)(.*)$")
      assert(metric, "not a line of the format: " .. line)
      local inside, number = rest:match("^{(.*)} (%S+)$")
      number = number or rest:match("^ (%S+)$")
      local value = number == "+Inf" and math.huge or tonumber(number)
      assert(value, "not a sample: " .. line)
      local labels = read_labels(inside or "")
      local suffix = metric:sub(#name + 1)
      assert(metric:sub(1, #name) == name and (suffix == "" and family.type ~= "histogram" or
        family.type == "histogram" and (suffix == "_bucket" or suffix == "_sum" or suffix == "_count")),
        "a sample of another family: " .. line)
      local id = line:match("^(.*) %S+$")
      assert(not seen[id], id .. " is there twice")
      seen[id] = true
      assert(family.type == "gauge" or value >= 0, "below 0: " .. line)
      table.insert(family.samples, { name = metric, suffix = suffix, labels = labels, value = value })
    end
  end
  return families
end

local function check_histogram(name, family)
  local series = {}
  for _, sample in ipairs(family.samples) do
    local s = series[key_of(sample.labels)] or { below = -1, bound = -math.huge }
    series[key_of(sample.labels)] = s
    if sample.suffix == "_bucket" then
      local le = label(sample, "le")
      local bound = le == "+Inf" and math.huge or tonumber(le)
      assert.is_true(bound > s.bound, name .. ": buckets must rise")
      assert.is_true(sample.value >= s.below, name .. ": counts must not fall")
      s.bound, s.below = bound, sample.value
    else
      s[sample.suffix] = sample.value
    end
  end
  for key, s in pairs(series) do
    assert.are.equal(math.huge, s.bound, name .. "{" .. key .. "} has no +Inf")
    assert.are.equal(s._count, s.below, name .. "{" .. key .. "}: +Inf is not the count")
    assert.is_number(s._sum)
  end
end

describe("/metrics", function()
  local s, families

  local function value(name, wanted)
    for _, sample in ipairs(families[name].samples) do
      local fits = true
      for key, is in pairs(wanted or {}) do
        fits = fits and label(sample, key) == is
      end
      if fits and sample.suffix ~= "_bucket" and sample.suffix ~= "_sum" then
        return sample.value
      end
    end
  end

  setup(function()
    s = support.start()
    assert(s:json("POST", "/v1/engines", { name = "counted", type = "test" }) == 201)
    s:until_state("counted", "Running", "Ready")
    for _ = 1, 5 do
      s:http("GET", "/v1/engines/counted")
    end
    s:http("GET", "/v1/engines/nobody")
    s:http("GET", "/no/such/path")
    local answer = s:http("GET", "/metrics")
    assert.matches("text/plain", answer.headers["content-type"], 1, true)
    families = parse(answer.body)
  end)

  teardown(function()
    s:stop()
  end)

  it("has every family of the contract", function()
    local wanted = {
      rucat_engines = "gauge", rucat_engine_transitions_total = "counter",
      rucat_engine_restarts_total = "counter", rucat_engine_start_seconds = "histogram",
      rucat_http_requests_total = "counter", rucat_http_request_seconds = "histogram",
      rucat_gateway_streams = "gauge", rucat_gateway_bytes_total = "counter",
      rucat_policy_seconds = "histogram", rucat_policy_errors_total = "counter",
      rucat_script_generation = "gauge", rucat_script_load_errors_total = "counter",
      rucat_scripts_broken = "gauge", rucat_scripts_error = "gauge",
      rucat_store_seconds = "histogram", rucat_store_errors_total = "counter",
      rucat_engine_own_seconds = "histogram",
      process_cpu_seconds_total = "counter", process_start_time_seconds = "gauge",
      process_resident_memory_bytes = "gauge", process_open_fds = "gauge", process_max_fds = "gauge",
    }
    for name, kind in pairs(wanted) do
      assert.is_table(families[name], name)
      assert.are.equal(kind, families[name].type, name)
    end
  end)

  it("has histograms that are whole", function()
    for name, family in pairs(families) do
      if family.type == "histogram" then
        check_histogram(name, family)
      end
    end
  end)

  it("counted what was done", function()
    assert.are.equal(1, value("rucat_engines", { state = "Running", type = "test", platform = "local" }))
    assert.are.equal(1, value("rucat_engine_transitions_total",
      { from = "Pending", to = "Running", reason = "Ready" }))
    assert.are.equal(1, value("rucat_engine_start_seconds"))
    assert.are.equal(1, value("rucat_engine_own_seconds", { span = "exec" }))
    assert.are.equal(1, value("rucat_engine_own_seconds", { span = "running" }))
    local gets = value("rucat_http_requests_total", { route = "/v1/engines/{id}", code = "200" })
    assert.is_true(gets >= 6, gets)
    assert.are.equal(1, value("rucat_http_requests_total", { route = "/v1/engines/{id}", code = "404" }))
    assert.are.equal(1, value("rucat_http_requests_total", { route = "", code = "404" }))
    assert.is_true(value("rucat_policy_seconds", { policy = "auth" }) >= 7)
    assert.is_true(value("rucat_store_seconds", { op = "update" }) >= 1)
    assert.is_true(value("process_resident_memory_bytes") > 1e6)
  end)

  it("is refused by the parser when it is broken", function()
    for _, bad in ipairs({
      "x 1\n", "# HELP a b\n# TYPE a gauge\na 1", "# HELP a b\n# TYPE a gauge\na{l=\"x} 1\n",
      "# HELP a b\n# TYPE a gauge\na 1\na 1\n", "# HELP a b\n# TYPE a counter\na -1\n",
      "# HELP a b\n# TYPE a gauge\nb 1\n", "# HELP a b\n# TYPE a gauge\na{l=\"\\x\"} 1\n",
    }) do
      assert.has_error(function() parse(bad) end)
    end
  end)
end)
