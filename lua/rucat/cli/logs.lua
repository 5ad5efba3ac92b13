-- rucat/cli/logs.lua - `rucat logs ENGINE [-f]`.
--
-- A log has no numbers by which it could be gone on with after the server was away. So the last
-- lines that were printed are remembered, more than that are asked for, and what comes after them is
-- new. Lines that a server's absence made too many (over OVERLAP) are lost to the follower; they
-- are in the log.

local client = require("rucat.cli.client")
local follow = require("rucat.cli.follow")

local REMEMBER = 4096 -- bytes of what was printed last
local OVERLAP = 2000 -- lines that are asked for anew
local QUIET, LONGEST = 0.3, 2 -- seconds: the old lines come in one go
local ENDS = { "%[rucat: the server is stopping%]\n$", "%[rucat: the engine is deleted%]\n$" }

-- What of `text` is new to somebody who has seen a text that ends with `seen`. The shorter the end
-- of it that has to do, the more lines may be told twice, but none is left out.
local function news(text, seen)
  local last
  local at = text:find(seen, 1, true)
  while at do
    last = at + #seen
    at = text:find(seen, at + 1, true)
  end
  if last then
    return text:sub(last)
  end
  local shorter = seen:match("\n(.+)$")
  return shorter and news(text, shorter) or text
end

-- Reads what is there of the old lines: until it is quiet.
local function read_old(stream)
  local parts, limit = {}, rucat.clock.monotonic() + LONGEST
  while true do
    local piece, _, code = stream:read(QUIET)
    parts[#parts + 1] = piece
    if not piece or rucat.clock.monotonic() > limit then
      return table.concat(parts), piece == nil and code ~= "ETIMEDOUT"
    end
  end
end

local function follow_log(server, given)
  local name, seen = given.ENGINE, ""
  local marker -- the server's last words in this stream

  local function out(text)
    follow.write(text)
    seen = (seen .. text):sub(-REMEMBER)
  end

  -- A piece that may end with a marker: that is not part of the log.
  local function show(text)
    for _, pattern in ipairs(ENDS) do
      local at = text:find(pattern)
      if at then
        marker, text = text:sub(at), text:sub(1, at - 1)
      end
    end
    out(text)
  end

  local function request()
    local lines = given.tail
    if seen ~= "" then
      lines = OVERLAP
    end
    return client.path(name, "/logs" .. client.query({ { "follow", "true" }, { "tail", lines } })), {}
  end

  follow.keep(server, request, function(stream, again)
    marker = nil
    if again and seen ~= "" then
      local text, over = read_old(stream)
      show(news(text, seen))
      if over then
        return false
      end
    end
    for piece in function() return stream:read() end do
      show(piece)
    end
    return marker ~= nil and marker:find("deleted", 1, true) ~= nil
  end)
end

return function(server, given)
  if given.output then
    client.fail(2, "logs has no -o json; rucat logs -h says how")
  elseif given.follow then
    return follow_log(server, given)
  end
  local query = client.query({ { "tail", given.tail } })
  io.write(server:call("GET", client.path(given.ENGINE, "/logs" .. query)).body)
end
