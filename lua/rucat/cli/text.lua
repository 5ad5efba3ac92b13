-- rucat/cli/text.lua - text for a terminal: tables aligned by width, ages, nothing that could play
-- with the terminal.

local text = {}

-- Characters that take two columns: East Asian wide ones and most pictures.
local WIDE = {
  { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xAC00, 0xD7A3 },
  { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 },
  { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD },
}
-- Those that take none: combining marks, joiners.
local NARROW = { { 0x300, 0x36F }, { 0x200B, 0x200F }, { 0xFE00, 0xFE0F } }

local function within(ranges, point)
  for _, range in ipairs(ranges) do
    if point >= range[1] and point <= range[2] then
      return true
    end
  end
end

local function columns(point)
  return within(NARROW, point) and 0 or within(WIDE, point) and 2 or 1
end

-- Without control characters: a message must not move the cursor. Invalid UTF-8 becomes "?".
function text.plain(value)
  local s = tostring(value)
  if not utf8.len(s) then
    s = s:gsub("[\x80-\xff]", "?")
  end
  return (s:gsub("%c", " "))
end

-- The same for text of several lines, which keep their breaks.
function text.lines(value)
  local list = {}
  for line in (tostring(value):gsub("\r?\n$", "") .. "\n"):gmatch("(.-)\r?\n") do
    list[#list + 1] = text.plain(line)
  end
  return list
end

function text.width(s)
  local n = 0
  for _, point in utf8.codes(s) do
    n = n + columns(point)
  end
  return n
end

-- The beginning of `s` that fits into `width` columns.
function text.cut(s, width)
  local n = 0
  for at, point in utf8.codes(s) do
    n = n + columns(point)
    if n > width then
      return s:sub(1, at - 1)
    end
  end
  return s
end

-- Rows of texts as aligned columns; the last one is not padded. `paint(cell, column, row)`, if given,
-- may put a colour around what is shown, which counts for nothing in the widths.
function text.table(rows, paint)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, text.width(cell))
    end
  end
  local lines = {}
  for at, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      local shown = paint and paint(cell, i, at) or cell
      cells[i] = i < #row and shown .. (" "):rep(widths[i] - text.width(cell)) or shown
    end
    lines[#lines + 1] = table.concat(cells, "  ") .. "\n"
  end
  return table.concat(lines)
end

-- 5s, 3m20s, 47m, 5h12m, 3d4h, 40d: two units while the first is small.
function text.age(seconds)
  local s = math.max(0, math.floor(seconds))
  if s < 120 then
    return s .. "s"
  elseif s < 600 then
    return ("%dm%ds"):format(s // 60, s % 60)
  elseif s < 3 * 3600 then
    return (s // 60) .. "m"
  elseif s < 86400 then
    return ("%dh%dm"):format(s // 3600, s % 3600 // 60)
  elseif s < 10 * 86400 then
    return ("%dd%dh"):format(s // 86400, s % 86400 // 3600)
  end
  return (s // 86400) .. "d"
end

-- 0, 512K, 3.4M, 120M, 2.1G: bytes, in powers of 1024.
function text.bytes(n)
  if n < 1024 then
    return ("%d"):format(n)
  end
  for _, unit in ipairs({ "K", "M", "G", "T" }) do
    n = n / 1024
    if n < 9.95 then
      return ("%.1f%s"):format(n, unit)
    elseif n < 1023.5 or unit == "T" then
      return ("%.0f%s"):format(n, unit)
    end
  end
end

-- JSON's null and what is not there are nil to us.
function text.given(value)
  if value ~= nil and value ~= rucat.json.null then
    return value
  end
end

-- Seconds since that RFC 3339 time; nil when there is none.
function text.since(at)
  local time = text.given(at) and rucat.clock.parse(at)
  return time and rucat.clock.now() - time
end

return text
