-- rucat/cli/client.lua - requests to the server, and what its refusals look like on a terminal.

local text = require("rucat.cli.text")

local client = {}
client.__index = client

local DEFAULT_URL = "http://127.0.0.1:3000"
local LARGEST = 64 * 1024 * 1024

local function fail(exit, words, ...)
  error({ exit = exit, text = select("#", ...) > 0 and words:format(...) or words }, 0)
end
client.fail = fail

local function read_token(path)
  if path == nil then
    return os.getenv("RUCAT_TOKEN")
  end
  local file, why = io.open(path, "r")
  if not file then
    fail(1, "--token-file %s", why)
  end
  local line = file:read("l")
  file:close()
  return line or fail(1, "--token-file %s: the file is empty", path)
end

-- A client by the options --url and --token-file, else by the environment.
function client.new(given)
  local from_environment = os.getenv("RUCAT_URL")
  if from_environment == "" then
    from_environment = nil
  end
  local url = given.url or from_environment or DEFAULT_URL
  if not url:match("^https?://[^/]") then
    fail(2, "%s must begin with http:// or https://, not '%s'",
         given.url and "--url" or "RUCAT_URL", url)
  end
  local token = read_token(given.token_file)
  if token then
    token = token:match("^%s*(.-)%s*$")
    if token:find("[%c ]") then
      fail(1, "the token holds characters that no token has")
    end
  end
  return setmetatable({ url = url:gsub("/+$", ""), token = token ~= "" and token or nil }, client)
end

local function encode(value)
  return (value:gsub("[^%w%-._~]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end
client.encode = encode

-- "/v1/engines/NAME" and what comes after it.
function client.path(name, rest)
  return "/v1/engines/" .. encode(name) .. (rest or "")
end

-- "?a=b&c=d" of what is not nil, in the order given: { {"limit", 100}, ... }
function client.query(list)
  local parts = {}
  for _, pair in ipairs(list) do
    if pair[2] ~= nil then
      parts[#parts + 1] = pair[1] .. "=" .. encode(tostring(pair[2]))
    end
  end
  return #parts > 0 and "?" .. table.concat(parts, "&") or ""
end

-- One request. The answer { status, body, headers }; nil and why when nobody answered.
function client:try(method, path, body, timeout)
  local headers = { accept = "application/json" }
  if self.token then
    headers.authorization = "Bearer " .. self.token
  end
  if body then
    headers["content-type"] = "application/json"
  end
  return rucat.http.request({
    url = self.url .. path,
    method = method,
    headers = headers,
    body = body,
    timeout = timeout or 30,
    max_body = LARGEST,
  })
end

function client:unreachable(why)
  fail(1, "cannot reach %s: %s", self.url, why or "no answer")
end

-- What a problem (RFC 9457) says: its detail, then a line for each field.
function client.problem(answer)
  local problem = rucat.json.decode(answer.body)
  if type(problem) ~= "table" then
    return ("the answer was %d: %s"):format(answer.status, answer.body:sub(1, 200))
  end
  local words = type(problem.detail) == "string" and problem.detail or problem.title
  local lines = { type(words) == "string" and words or ("the answer was " .. answer.status) }
  for _, item in ipairs(type(problem.errors) == "table" and problem.errors or {}) do
    if type(item) == "table" and not lines[1]:find(tostring(item.message), 1, true) then -- not twice
      local field = type(item.field) == "string" and item.field ~= "" and item.field .. ": " or ""
      lines[#lines + 1] = ("  %s%s"):format(field, tostring(item.message))
    end
  end
  return table.concat(lines, "\n")
end

-- Ends the command with what the server refused: 404 with exit code 3, the engine named.
function client.refuse(answer, path)
  if answer.status ~= 404 then
    fail(1, "%s", client.problem(answer))
  end
  local name = path:match("^/v1/engines/([^/?]+)")
  name = name and name:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  fail(3, "%s%s", name and text.plain(name) .. ": " or "", client.problem(answer))
end

-- One request that must be answered by 2xx; what is not ends the command.
function client:call(method, path, body, timeout)
  local answer, why = self:try(method, path, body, timeout)
  if not answer then
    self:unreachable(why)
  end
  if answer.status < 200 or answer.status > 299 then
    client.refuse(answer, path)
  end
  local stale = answer.headers["x-rucat-stale"]
  if stale and not self.said_stale then
    self.said_stale = true
    io.stderr:write(("rucat: the server's store does not answer: this is as it was %s s ago\n"):format(stale))
  end
  return answer
end

-- The same, the body being JSON of the kind we expect.
function client:json(method, path, body, timeout)
  local answer = self:call(method, path, body, timeout)
  return self:decode(answer), answer
end

function client:decode(answer)
  local value, why = rucat.json.decode(answer.body)
  if type(value) ~= "table" then
    fail(1, "%s did not answer as rucat does: %s", self.url, why or "not an object")
  end
  return value
end

return client
