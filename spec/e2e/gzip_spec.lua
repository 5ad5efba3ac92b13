-- Large answers go out gzipped to those who take it, and to nobody else.

local support = require("support.server")

describe("an answer", function()
  local s

  setup(function()
    s = support.start({ scripts = { ["handlers/test.lua"] = [[
return {
  ["GET /v1/test/text"] = function(req) return 200, ("words and words\n"):rep(tonumber(req.query.n)), { vary = "accept" } end,
  ["GET /v1/test/noise"] = function()
    local t = {}
    for i = 1, 20000 do t[i] = string.char(math.random(0, 255)) end
    return 200, table.concat(t)
  end,
  ["GET /v1/test/picture"] = function() return 200, ("x"):rep(10000), { ["content-type"] = "image/png" } end,
  ["GET /v1/test/failed"] = function() return rucat.http.problem(422, ("x"):rep(10000)) end,
}]] } })
    s:create({ name = "a", config = { run = "exec sleep 1000", note = ("n"):rep(10000) } })
  end)

  teardown(function()
    s:stop()
  end)

  -- curl's own view: the headers (lower case), the bytes as they came, and the body as it is meant.
  local function get(path, accept, ...)
    local raw = s.dir .. "/raw"
    local exit, head, err = support.run({ "curl", "-s", "-D-", "-o", raw, "-H", "accept-encoding: " .. accept,
                                          s.url .. path, ... })
    assert.are.equal(0, exit.code, err)
    local bytes = support.read(raw)
    if head:lower():find("content-encoding: gzip", 1, true) then
      return head:lower(), bytes, (select(2, support.run({ "gunzip", "-c", raw })))
    end
    return head:lower(), bytes, bytes
  end

  it("that is large is gzipped for who takes that", function()
    local plain = ("words and words\n"):rep(10000)
    for _, accept in ipairs({ "gzip", "br, gzip;q=0.5", "*", "deflate, GZIP; q=1.0" }) do
      local head, raw, text = get("/v1/test/text?n=10000", accept)
      assert.matches("content%-encoding: gzip\r\n", head, nil, nil, accept)
      assert.matches("vary: accept, accept%-encoding\r\n", head)
      assert.matches("content%-length: " .. #raw .. "\r\n", head)
      assert.is_true(#raw < #plain / 20)
      assert.are.equal(plain, text)
    end
  end)

  it("goes out as it is to others, and says that it may differ", function()
    for _, accept in ipairs({ "identity", "br", "gzip;q=0", "gzip;q=0, *;q=0.1", "*;q=0", "xgzip", "gzip2" }) do
      local head, raw = get("/v1/test/text?n=10000", accept)
      assert.is_nil(head:find("content-encoding", 1, true), accept)
      assert.matches("vary: accept, accept%-encoding\r\n", head)
      assert.are.equal(160000, #raw)
    end
  end)

  it("that is small, noise, a picture or a problem goes out as it is", function()
    local head = get("/v1/test/text?n=10", "gzip")
    assert.is_nil(head:find("content-encoding", 1, true))
    assert.matches("vary: accept\r\n", head)
    local noise, raw = get("/v1/test/noise", "gzip")
    assert.is_nil(noise:find("content-encoding", 1, true))
    assert.are.equal(20000, #raw)
    assert.is_nil((get("/v1/test/picture", "gzip")):find("content-encoding", 1, true))
    assert.is_nil((get("/v1/test/failed", "gzip")):find("content-encoding", 1, true))
  end)

  it("that is an engine keeps its tag", function()
    local head, _, text = get("/v1/engines/a", "gzip")
    assert.matches("content%-encoding: gzip\r\n", head)
    assert.matches('etag: w/"%d+"\r\n', head)
    assert.are.equal(10000, #rucat.json.decode(text).config.note)
    local list
    head, _, list = get("/v1/engines", "gzip")
    assert.matches("content%-encoding: gzip\r\n", head)
    assert.are.equal("a", rucat.json.decode(list).engines[1].name)
  end)

  it("to a follower is not held back by it", function()
    local curl = assert(rucat.process.spawn({ argv = { "curl", "-sN", "-i", "--max-time", "30", "-H",
      "accept-encoding: gzip", "-H", "accept: text/event-stream", s.url .. "/v1/events" } }))
    support.eventually(function()
      return (curl:output()):find("text/event-stream", 1, true)
    end)
    s:create({ name = "b", config = {} })
    support.eventually(function()
      return (curl:output()):find('"name":"b"', 1, true)
    end)
    assert.is_nil((curl:output()):lower():find("content-encoding", 1, true))
    curl:close()
  end)

  it("whose reader goes away leaves nothing behind", function()
    for _ = 1, 20 do
      support.run({ "curl", "-s", "-o", "/dev/null", "--max-time", "0.005", "-H", "accept-encoding: gzip",
                    s.url .. "/v1/test/text?n=200000" })
    end
    assert.are.equal(200, s:http("GET", "/readyz").status)
  end)
end)
