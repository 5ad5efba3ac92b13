-- rucat.tcp: does something accept there?

local support = require("support.server")

describe("rucat.tcp", function()
  local listener, port

  setup(function()
    listener = assert(rucat.process.spawn({ argv = { "python3", "-uc", [[
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1])
while True:
    c, _ = s.accept()
    data = c.recv(65536)
    if data:
        c.sendall(b"got " + data)
    c.close()
]] } }))
    port = support.eventually(function()
      return math.tointeger(tonumber((listener:output())))
    end)
  end)

  teardown(function()
    listener:close()
  end)

  it("connects to what listens, by address and by name", function()
    assert.is_true((rucat.tcp.connect("127.0.0.1", port, 5)))
    assert.is_true((rucat.tcp.connect("localhost", port, 5)))
  end)

  it("tells of what does not", function()
    local ok, why, code = rucat.tcp.connect("127.0.0.1", 1, 5)
    assert.is_nil(ok)
    assert.is_string(why)
    assert.are.equal("ECONNREFUSED", code)
    assert.is_nil((rucat.tcp.connect("no-such-host.invalid", 1, 5)))
  end)

  it("gives up in time", function()
    local began = rucat.clock.monotonic()
    local ok = rucat.tcp.connect("192.0.2.1", 9, 0.2)
    assert.is_nil(ok)
    assert.is_true(rucat.clock.monotonic() - began < 5)
  end)

  it("exchanges bytes", function()
    assert.are.equal("got a\0b", rucat.tcp.exchange("127.0.0.1", port, "a\0b", 5))
  end)

  it("refuses wrong use", function()
    for _, bad in ipairs({ 0, 65536, -1, 1.5 }) do
      assert.has_error(function()
        rucat.tcp.connect("127.0.0.1", bad, 1)
      end)
    end
    assert.has_error(function()
      rucat.tcp.connect()
    end)
  end)
end)
