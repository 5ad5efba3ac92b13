-- rucat.http: requests to others, and the shape of a problem.

local support = require("support.server")

local ECHO = [[
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do(self):
        n = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(n).decode("latin-1")
        if self.path == "/slow":
            import time; time.sleep(30)
        if self.path == "/away":
            self.send_response(302); self.send_header("location", "/echo")
            self.send_header("content-length", "0"); self.end_headers(); return
        if self.path == "/big":
            out = b"x" * 3000000
        else:
            out = json.dumps({"method": self.command, "path": self.path, "body": body,
                              "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("X-One", "1"); self.send_header("x-one", "2")
        self.send_header("content-length", str(len(out))); self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(out)
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
s = S(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
]]

describe("rucat.http", function()
  local listener, url

  setup(function()
    listener = assert(rucat.process.spawn({ argv = { "python3", "-uc", ECHO } }))
    local port = support.eventually(function()
      return (listener:output()):match("^(%d+)\n")
    end)
    url = "http://127.0.0.1:" .. port
  end)

  teardown(function()
    listener:close()
  end)

  local function echo(options)
    options.url = url .. (options.url or "/echo")
    local answer = assert(rucat.http.request(options))
    return rucat.json.decode(answer.body), answer
  end

  it("asks and gives status, headers and body", function()
    local seen, answer = echo({ headers = { ["X-Mine"] = "a b" } })
    assert.are.equal(200, answer.status)
    assert.are.equal("GET", seen.method)
    assert.are.equal("a b", seen.headers["x-mine"])
    assert.are.equal("1, 2", answer.headers["x-one"])
  end)

  it("sends a body with each method", function()
    for _, method in ipairs({ "POST", "PUT", "PATCH", "DELETE" }) do
      local seen = echo({ method = method, body = "b\1dy" })
      assert.are.equal(method, seen.method)
      assert.are.equal("b\1dy", seen.body)
    end
    assert.are.equal("", echo({ method = "POST", body = "" }).body)
  end)

  it("asks for a head without waiting for a body", function()
    local answer = assert(rucat.http.request({ url = url .. "/echo", method = "HEAD", timeout = 5 }))
    assert.are.equal(200, answer.status)
    assert.are.equal("", answer.body)
  end)

  it("gives an answer that is no success as an answer", function()
    assert.are.equal(404, (assert(rucat.http.request({ url = url .. "/gone" }))).status)
  end)

  it("follows a redirection only when told to", function()
    local answer = assert(rucat.http.request({ url = url .. "/away" }))
    assert.are.equal(302, answer.status)
    answer = assert(rucat.http.request({ url = url .. "/away", follow_redirects = true }))
    assert.are.equal(200, answer.status)
  end)

  it("gives up in time", function()
    local began = rucat.clock.monotonic()
    local answer, why, code = rucat.http.request({ url = url .. "/slow", timeout = 0.2 })
    assert.is_nil(answer)
    assert.is_string(why)
    assert.are.equal("ETIMEDOUT", code)
    assert.is_true(rucat.clock.monotonic() - began < 5)
  end)

  it("bounds the answer", function()
    local answer, _, code = rucat.http.request({ url = url .. "/big", max_body = 1000 })
    assert.is_nil(answer)
    assert.are.equal("TOOBIG", code)
    assert.are.equal(3000000, #(assert(rucat.http.request({ url = url .. "/big" }))).body)
  end)

  it("tells of a server that is not there", function()
    local answer, why, code = rucat.http.request({ url = "http://127.0.0.1:1/", timeout = 5 })
    assert.is_nil(answer)
    assert.is_string(why)
    assert.is_string(code)
  end)

  it("speaks http and https only", function()
    for _, bad in ipairs({ "file:///etc/hostname", "ftp://127.0.0.1/", "gopher://x/", "nonsense", "" }) do
      assert.is_nil((rucat.http.request({ url = bad, timeout = 5 })), bad)
    end
  end)

  it("refuses a header that would end the head", function()
    local ok, answer = pcall(rucat.http.request, { url = url .. "/echo",
                                                   headers = { ["x-a"] = "1\r\nx-b: 2" } })
    assert.is_true(not ok or answer == nil)
  end)

  it("refuses wrong use, naming the option", function()
    for _, case in ipairs({ { {}, "url" }, { { url = url, nonsense = 1 }, "nonsense" },
                            { { url = url, headers = { a = 1 } }, "headers" },
                            { { url = url, timeout = "soon" }, "timeout" } }) do
      local ok, why = pcall(rucat.http.request, case[1])
      assert.is_false(ok)
      assert.matches(case[2], why)
    end
  end)

  it("asks many at once from timers", function()
    local done, bad = 0, 0
    for i = 1, 20 do
      rucat.timer.after(0, function()
        local answer = rucat.http.request({ url = url .. "/" .. i, timeout = 20 })
        if not answer or rucat.json.decode(answer.body).path ~= "/" .. i then
          bad = bad + 1
        end
        done = done + 1
      end)
    end
    support.eventually(function()
      return done == 20
    end, 20)
    assert.are.equal(0, bad)
  end)

  it("makes problems", function()
    local status, problem, headers = rucat.http.problem(422, "wrong", { { field = "a", message = "b" } })
    assert.are.equal(422, status)
    assert.are.equal("application/problem+json", headers["content-type"])
    assert.are.same({ field = "a", message = "b" }, problem.errors[1])
    assert.are.equal("wrong", problem.detail)
    assert.are.equal(422, problem.status)
    assert.has_error(function()
      rucat.http.problem(200)
    end)
  end)
end)
