-- luacheck: globals core
-- haproxy.lua: the handler and the auth policy of bench/haproxy.cfg.
local peer = require("peer")
peer.load(os.getenv("RECORD"))

core.register_action("auth", { "http-req" }, function(txn)
  local engine = peer.engines[txn.f:path():match("^/v1/engines/([^/]+)$") or ""]
  txn:set_var("txn.allowed", engine ~= nil and
    peer.auth({ name = "anonymous", role = "admin" }, "read", engine))
end)

core.register_service("engine", "http", function(applet)
  local engine = peer.engines[applet.path:match("^/v1/engines/([^/]+)$") or ""]
  local tag = ('W/"%d"'):format(engine.rev)
  applet:set_status(200)
  applet:add_header("content-type", "application/json")
  applet:add_header("etag", tag)
  applet:add_header("content-length", tostring(#engine.json))
  applet:start_response()
  applet:send(engine.json)
end)
