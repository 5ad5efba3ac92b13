-- spark_connect.lua: does a Spark Connect server answer? One real unary call: AnalyzePlan that asks
-- for the version of Spark (spark/connect/base.proto), over gRPC (HTTP/2, one message framed by a
-- flag byte and its length, the outcome in the trailer grpc-status).

local spark_connect = {}

-- A field of protobuf with a text or a message in it; none here is longer than 127 bytes.
local function field(number, content)
  return string.char(number << 3 | 2, #content) .. content
end

-- Per engine and server one session, so that asking again makes no new one.
local session = "72756361-7400-4000-8000-6865616c7468" -- a UUID: "rucat", "health"

local REQUEST = field(1, session) .. field(2, field(1, "rucat")) .. field(3, "rucat") .. field(10, "")

-- True; or false and why. Waits.
function spark_connect.answers(host, port, seconds)
  local answer, why = rucat.http.request {
    url = ("http://%s:%d/spark.connect.SparkConnectService/AnalyzePlan"):format(
      host:find(":", 1, true) and "[" .. host .. "]" or host, port),
    method = "POST", http2 = true, fresh = true, timeout = seconds,
    headers = { ["content-type"] = "application/grpc", te = "trailers" },
    body = "\0" .. string.pack(">s4", REQUEST),
  }
  if not answer then
    return false, why
  elseif answer.status ~= 200 then
    return false, "HTTP status " .. answer.status
  end
  local status = answer.headers["grpc-status"]
  if status ~= "0" then
    return false, ("grpc-status %s %s"):format(status or "missing", answer.headers["grpc-message"] or "")
  end
  return true
end

return spark_connect
