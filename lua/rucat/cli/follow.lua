-- rucat/cli/follow.lua - what goes on until it is ended: a stream of the server that is opened again
-- when the server has been away. Ctrl-C ends the command quietly (exit code 130), and so does a
-- reader that has gone (`rucat logs x -f | head`, exit code 141).

local client = require("rucat.cli.client")

local follow = {}

local FIRST, MOST = 0.1, 2 -- seconds between two tries
local PATIENCE = 60 -- seconds that the server may be away

-- Writes to standard output at once.
function follow.write(words)
  local ok = words == "" or (io.stdout:write(words) and io.stdout:flush())
  if not ok then
    error({ exit = 141 }, 0)
  end
end

-- Opens one stream: it, or nil and why where it is worth another try.
local function open(server, path, headers)
  local all = { authorization = server.token and "Bearer " .. server.token or nil }
  for name, value in pairs(headers) do
    all[name] = value
  end
  local stream, why = rucat.http.stream({ url = server.url .. path, headers = all, timeout = 30 })
  if not stream then
    return nil, why
  elseif stream.status == 200 then
    return stream
  end
  local parts, piece = {}, stream:read(10)
  while piece and #parts < 64 do
    parts[#parts + 1] = piece
    piece = stream:read(10)
  end
  local answer = { status = stream.status, body = table.concat(parts), headers = stream.headers }
  stream:close()
  if answer.status == 503 then
    return nil, client.problem(answer)
  end
  client.refuse(answer, path)
end

-- Keeps a stream open: request() gives path and headers for each opening; take(stream, again) reads
-- it to its end, `again` being true when it is not the first, and says whether that was all. A server
-- that is not there the first time is a failure at once.
function follow.keep(server, request, take)
  rucat.tty.interruptible()
  local again, since, pause, told = false, nil, FIRST, false
  while true do
    local path, headers = request()
    local stream, why = open(server, path, headers)
    local now = rucat.clock.monotonic()
    if stream then
      local all_there_is
      do
        local held <close> = stream
        all_there_is = take(held, again)
      end
      if all_there_is then
        return
      end
      again, since, told, pause = true, nil, false, FIRST
    elseif not again then
      server:unreachable(why)
    else
      since = since or now
      if now - since > PATIENCE then
        server:unreachable(why)
      elseif not told then
        told = true
        io.stderr:write(("rucat: %s is away; trying again for %d s\n"):format(server.url, PATIENCE))
      end
    end
    rucat.timer.sleep(pause)
    pause = since and math.min(MOST, pause * 2) or pause
  end
end

return follow
