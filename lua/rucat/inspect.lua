-- inspect.lua - any value as a text that a person can read, within bounds: keys sorted, strings
-- quoted, tables on one line where they fit, cut at a depth, a number of items and a size.
--
--     inspect({ b = 1, a = { 2, 3 } })          -- { a = { 2, 3 }, b = 1 }

local DEPTH <const> = 8
local ITEMS <const> = 1000 -- of one table
local BYTES <const> = 64 * 1024
local KEYS <const> = 10000 -- that are sorted

local names = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }
local reserved = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do
  reserved[word] = true
end

local function escape(byte)
  return names[byte] or ("\\x%02x"):format(byte:byte())
end

-- Quoted and escaped; bytes that are no UTF-8 become \xNN.
local function quote(s)
  if #s > BYTES - 100 then
    return quote(s:sub(1, BYTES - 100)) .. " ... (cut)"
  end
  return '"' .. s:gsub('[%c"\\]', escape):gsub(utf8.len(s) and "[\0]" or "[\x80-\xff]", escape) .. '"'
end

local function key_text(key)
  if type(key) == "string" then
    return key:match("^[%a_][%w_]*$") and not reserved[key] and key or "[" .. quote(key) .. "]"
  end
  return "[" .. tostring(key) .. "]"
end

local order = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local left, right = order[type(a)] or 4, order[type(b)] or 4
  if left ~= right then
    return left < right
  elseif left < 3 then
    return a < b
  end
  return tostring(a) < tostring(b)
end

-- The keys beyond the list part, sorted; whether there are more than we look at. `pairs` may be a
-- metamethod's.
local function keys_of(t, list)
  local keys = {}
  for key in pairs(t) do
    if not (math.type(key) == "integer" and key >= 1 and key <= list) then
      if #keys == KEYS then
        return keys, true
      end
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, before)
  return keys
end

local function plain(value)
  local kind = type(value)
  if kind == "string" then
    return quote(value)
  elseif value == rucat.json.null then
    return "null"
  elseif kind == "table" then
    return nil
  end
  local ok, text = pcall(tostring, value)
  return ok and text or "<" .. kind .. ">"
end

-- A table's items as texts. `state`: left (bytes that may still come), path (tables we are in).
local render

local function items_of(t, state, depth, indent)
  local items, list = {}, rawlen(t)
  local keys, more = keys_of(t, list)
  local function add(text)
    items[#items + 1] = text
    state.left = state.left - #text - 2
  end
  for i = 1, list do
    if #items == ITEMS or state.left <= 0 then
      add("... (" .. list - i + 1 .. " more)")
      return items
    end
    add(render(rawget(t, i), state, depth + 1, indent + 2))
  end
  for i, key in ipairs(keys) do
    if #items >= ITEMS or state.left <= 0 then
      add("... (" .. #keys - i + 1 .. (more and " and more)" or " more)"))
      return items
    end
    local name = key_text(key)
    add(name .. " = " .. render(t[key], state, depth + 1, indent + 2))
  end
  if more then
    add("... (more)")
  end
  return items
end

function render(value, state, depth, indent)
  local text = plain(value)
  if text then
    return text
  end
  local meta = getmetatable(value)
  if depth > 0 and type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, said = pcall(tostring, value)
    return ok and said or "<table>"
  elseif state.path[value] then
    return "<the table again>"
  elseif depth >= DEPTH then
    return "{...}"
  end
  state.path[value] = true
  local items = items_of(value, state, depth, indent)
  state.path[value] = nil
  if #items == 0 then
    return "{}"
  end
  local long = 4 + indent + 2 * #items
  for _, item in ipairs(items) do
    long = long + #item + (item:find("\n", 1, true) and state.width or 0)
  end
  if long <= state.width then
    return "{ " .. table.concat(items, ", ") .. " }"
  end
  local pad = (" "):rep(indent + 2)
  return "{\n" .. pad .. table.concat(items, ",\n" .. pad) .. "\n" .. (" "):rep(indent) .. "}"
end

-- The text of a value; `width` in columns (80).
return function(value, width)
  local state = { left = BYTES, path = {}, width = math.max(width or 80, 20) }
  local text = render(value, state, 0, 0)
  if #text > BYTES then
    text = text:sub(1, (utf8.offset(text, 0, BYTES) or BYTES) - 1) .. "\n... (cut at 64 KiB)"
  end
  return text
end
