-- rucat/cli/events.lua - `rucat events [ENGINE] [-f]`: what happened, and what happens.

local client = require("rucat.cli.client")
local colour = require("rucat.cli.colour")
local follow = require("rucat.cli.follow")
local json = require("rucat.cli.json")
local text = require("rucat.cli.text")

local BEFORE = 10 -- events that are shown before those that are followed, unless -n says otherwise
local SILENCE = 60 -- seconds; the server says something every 15

local function word(value)
  local given = text.given(value)
  return given and given ~= "" and text.plain(given) or nil
end

-- "2026-11-23T02:14:27.592Z  team-a  Pending -> Running  Ready  message (by user)"
local function line(event)
  local from, to = word(event.from), word(event.to)
  local what
  if to and from and from ~= to then
    what = from .. " -> " .. colour.paint(to, colour.of_state(to))
  elseif to then
    what = colour.paint(to, colour.of_state(to))
  else
    what = word(event.kind) or "-"
  end
  local parts = { colour.paint(word(event.at) or "-", "dim"), word(event.name) or word(event.engine) or "-", what }
  local reason = word(event.reason)
  parts[#parts + 1] = reason and colour.paint(reason, colour.of_reason(reason))
  -- The first line; of a driver's last output the rest is in its log and in -o json.
  local message = text.given(event.message)
  local first = type(message) == "string" and word(message:match("^[^\n]*"))
  parts[#parts + 1] = first and first .. (message:find("\n.") and " ..." or "") or nil
  local by = word(event.by)
  parts[#parts + 1] = by and colour.paint("(" .. by .. ")", "dim")
  return table.concat(parts, "  ") .. "\n"
end

local function path_of(given, query)
  return (given.ENGINE and client.path(given.ENGINE, "/events") or "/v1/events") .. client.query(query)
end

-- Calls each(event) for all there are, in their order.
local function pages(server, given, after, each)
  local cursor = after
  repeat
    local page = server:json("GET", path_of(given, { { "limit", 1000 }, { "cursor", cursor } }))
    for _, event in ipairs(type(page.events) == "table" and page.events or {}) do
      each(event)
    end
    cursor = text.given(page.next_cursor)
  until not cursor
end

-- The last `most` events (nil: all).
local function newest(server, given, most)
  local list, first = rucat.json.array({}), 1
  pages(server, given, nil, function(event)
    list[#list + 1] = event
    if most and #list - first + 1 > 2 * most + 1000 then
      list = table.move(list, #list - most + 1, #list, 1, rucat.json.array({}))
    end
  end)
  if most and #list > most then
    list = table.move(list, #list - most + 1, #list, 1, rucat.json.array({}))
  end
  return list
end

-- Calls each(data) for the events of a stream of server-sent events, until it ends, or is silent for
-- longer than a server that lives is.
local function each_sent(stream, each)
  local rest = ""
  for piece in function() return stream:read(SILENCE) end do
    rest = rest .. piece
    local at = 1
    for block, after in rest:gmatch("(.-)\n\n()") do
      at = after
      local data = {}
      for part in block:gmatch("data: ?([^\n]*)") do
        data[#data + 1] = part
      end
      each(rucat.json.decode(table.concat(data, "\n")))
    end
    rest = rest:sub(at)
  end
end

-- The stream is opened first and the past asked for then, so that nothing falls between the two;
-- what comes twice is known by its id, ids sort by time.
local function follow_events(server, given)
  local last
  local function show(event)
    if type(event) ~= "table" or type(event.id) ~= "string" or (last and event.id <= last) then
      return
    end
    last = event.id
    follow.write(given.output and rucat.json.encode(event) .. "\n" or line(event))
  end
  follow.keep(server, function()
    return path_of(given, {}), { accept = "text/event-stream", ["last-event-id"] = last }
  end, function(stream, again)
    if not last then
      for _, event in ipairs(newest(server, given, not again and (given.tail or BEFORE) or nil)) do
        show(event)
      end
    end
    each_sent(stream, show)
    if given.ENGINE then -- an engine that is deleted has no more events
      local answer = server:try("GET", client.path(given.ENGINE))
      return answer ~= nil and answer.status == 404
    end
  end)
end

local events = {}

-- The last `most` events of an engine, as lines.
function events.last(server, engine, most)
  local lines = {}
  for i, event in ipairs(newest(server, { ENGINE = engine }, most)) do
    lines[i] = line(event)
  end
  return lines
end

function events.run(server, given)
  if given.follow then
    return follow_events(server, given)
  end
  local list = newest(server, given, given.tail)
  if given.output then
    io.write(json.text(list))
    return
  end
  for _, event in ipairs(list) do
    io.write(line(event))
  end
end

return events
