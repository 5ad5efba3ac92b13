-- rucat.http.stream: an answer that is read piece by piece.

local support = require("support.server")

-- /ticks sends "tick N" each time it is told to by GET /go; /big sends 4 MiB; /cut breaks off.
local LISTENER = [[
import http.server, threading
go = threading.Semaphore(0)
sent = 0
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data)); self.wfile.flush()
    def do_GET(self):
        global sent
        if self.path == "/go":
            go.release()
        if self.path in ("/go", "/sent"):
            body = str(sent).encode()
            self.send_response(200); self.send_header("content-length", str(len(body)))
            self.end_headers(); self.wfile.write(body); return
        if self.path == "/silent":
            threading.Event().wait(60)
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("X-One", "1"); self.send_header("x-one", "2")
        self.send_header("transfer-encoding", "chunked"); self.end_headers()
        if self.path == "/ticks":
            for i in range(3):
                go.acquire(); self.piece(b"tick %d\n" % i)
        if self.path == "/big":
            for i in range(512):
                self.piece(b"x" * 65536); sent = i + 1
        if self.path == "/cut":
            self.piece(b"half"); self.close_connection = True; return
        self.wfile.write(b"0\r\n\r\n")
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    daemon_threads = True
s = S(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
]]

describe("rucat.http.stream", function()
  local listener, url

  setup(function()
    listener = assert(rucat.process.spawn({ argv = { "python3", "-uc", LISTENER } }))
    local port = support.eventually(function()
      return (listener:output()):match("^(%d+)\n")
    end)
    url = "http://127.0.0.1:" .. port
  end)

  teardown(function()
    listener:close()
  end)

  local function go()
    assert(rucat.http.request({ url = url .. "/go" }))
  end

  it("gives the head at once and each piece as it comes", function()
    local stream <close> = assert(rucat.http.stream({ url = url .. "/ticks" }))
    assert.are.equal(200, stream.status)
    assert.are.equal("1, 2", stream.headers["x-one"])
    for i = 0, 2 do
      local piece, why, code = stream:read(0)
      assert.is_nil(piece)
      assert.is_string(why)
      assert.are.equal("ETIMEDOUT", code)
      go()
      assert.are.equal(("tick %d\n"):format(i), stream:read(20))
    end
    assert.are.same({ nil, n = 1 }, table.pack(stream:read(20)))
    assert.are.same({ nil, n = 1 }, table.pack(stream:read()))
  end)

  it("wakes a reader that waits without a bound", function()
    local stream <close> = assert(rucat.http.stream({ url = url .. "/ticks" }))
    rucat.timer.after(0.05, go)
    assert.are.equal("tick 0\n", stream:read())
  end)

  it("holds the peer back when the reader is slow, and loses nothing", function()
    local stream <close> = assert(rucat.http.stream({ url = url .. "/big" }))
    local before
    support.eventually(function() -- the peer has come to a halt
      local now = assert(rucat.http.request({ url = url .. "/sent" })).body
      local same = now == before
      before = now
      rucat.timer.sleep(0.1)
      return same and tonumber(now) > 0
    end)
    assert.is_true(tonumber(before) < 300, before)
    local bytes = 0
    for piece in function() return stream:read(20) end do
      assert.is_true(#piece <= 1024 * 1024)
      bytes = bytes + #piece
    end
    assert.are.equal(512 * 65536, bytes)
  end)

  it("gives what came, and then why it broke off", function()
    local stream <close> = assert(rucat.http.stream({ url = url .. "/cut" }))
    assert.are.equal("half", stream:read(20))
    local piece, why, code = stream:read(20)
    assert.is_nil(piece)
    assert.is_string(why)
    assert.is_string(code)
  end)

  it("gives an answer that is no success as an answer", function()
    local stream <close> = assert(rucat.http.stream({ url = url .. "/gone" }))
    assert.are.equal(404, stream.status)
    assert.is_nil((stream:read(20)))
  end)

  it("tells of a server that is not there, or says nothing", function()
    local stream, why, code = rucat.http.stream({ url = "http://127.0.0.1:1/" })
    assert.is_nil(stream)
    assert.is_string(why)
    assert.are.equal("ECONNREFUSED", code)
    stream, why, code = rucat.http.stream({ url = url .. "/silent", timeout = 0.1 })
    assert.is_nil(stream)
    assert.is_string(why)
    assert.are.equal("ETIMEDOUT", code)
    assert.is_nil((rucat.http.stream({ url = "file:///etc/hostname" })))
  end)

  it("is closed twice without harm, and raises when it is read then", function()
    local stream = assert(rucat.http.stream({ url = url .. "/ticks" }))
    stream:close()
    stream:close()
    assert.has_error(function()
      stream:read()
    end)
    assert(rucat.http.stream({ url = url .. "/ticks" }))
    collectgarbage()
    collectgarbage()
  end)

  it("is read by one at a time", function()
    local stream = assert(rucat.http.stream({ url = url .. "/ticks" }))
    local got
    rucat.timer.after(0, function()
      got = stream:read()
    end)
    rucat.timer.sleep(0.01)
    assert.has_error(function()
      stream:read()
    end)
    assert.has_error(function()
      stream:close()
    end)
    support.eventually(function()
      go() -- some go to readers that are closed
      return got ~= nil
    end)
    stream:close()
  end)
end)
