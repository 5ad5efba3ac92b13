-- validate.lua: is this a request for an engine? Names every field that is wrong, and says what was
-- expected. Also reads numbers and durations out of queries.

local null = rucat.json.null
local validate = {}

local function is_list(value)
  return type(value) == "table" and getmetatable(value) ~= nil
end

local function is_map(value)
  return type(value) == "table" and not is_list(value)
end

local function name_error(value, most)
  if type(value) ~= "string" or #value < 1 or #value > most or value:find("[^a-z0-9-]") then
    return ("1 to %d characters of a-z 0-9 and -"):format(most)
  end
end

local check = {}

function check.name(value)
  local wrong = name_error(value, 63)
  if wrong or value:find("^%-") or value:find("%-$") then
    return "expected 1 to 63 characters of a-z 0-9 and -, a letter or digit first and last"
  end
end

function check.type(value)
  local wrong = name_error(value, 32)
  return wrong and "expected " .. wrong
end

check.platform = check.type

function check.version(value)
  if type(value) ~= "string" or #value < 1 or #value > 32 or value:find("[^%w%.%-_+]") then
    return "expected a text of 1 to 32 letters, digits and . - _ +"
  end
end

local NAMED_MAX = 10 -- entries that are wrong, in one message

-- What is wrong with one entry of a map; nil when it is fine.
local function entry_error(key, item, types, expected)
  if #key < 1 or (utf8.len(key) or #key) > 256 or key:find("%c") then
    return "a key must be 1 to 256 characters without control characters"
  elseif not types[type(item)] then
    return ("'%s': expected %s"):format(key, expected)
  elseif type(item) == "string" and (#item > 65536 or item:find("\0", 1, true)) then
    return ("'%s': at most 65536 bytes, without NUL"):format(key)
  end
end

-- A map of at most `most` entries whose values are of the given types; `also(key)` may find more.
local function map_error(value, most, types, expected, also)
  if not is_map(value) then
    return "expected an object"
  end
  local count, wrong = 0, {}
  for key, item in pairs(value) do
    count = count + 1
    if type(key) ~= "string" then -- not from JSON, but from a policy
      return "expected an object"
    end
    wrong[#wrong + 1] = entry_error(key, item, types, expected) or also and also(key) or nil
  end
  if count > most then
    return ("at most %d entries"):format(most)
  end
  table.sort(wrong)
  local more = #wrong > NAMED_MAX and ("; and %d more"):format(#wrong - NAMED_MAX) or ""
  return #wrong > 0 and table.concat(wrong, "; ", 1, math.min(#wrong, NAMED_MAX)) .. more or nil
end

function check.config(value)
  return map_error(value, 1000, { string = true, number = true, boolean = true },
    "a string, number or boolean")
end

function check.labels(value)
  return map_error(value, 64, { string = true }, "a string")
end

function check.env(value)
  return map_error(value, 256, { string = true }, "a string", function(key)
    if not key:find("^[%a_][%w_]*$") then
      return ("'%s' is not the name of an environment variable"):format(key)
    elseif key == "RUCAT_INSTANCE" or key == "RUCAT_EPOCH" then
      return ("'%s' is set by rucat itself"):format(key)
    end
  end)
end

function check.endpoint(value)
  if type(value) ~= "string" or #value > 1024 or not value:find("^%a[%w+.-]*://[^%s%c/]+:%d+[^%s%c]*$") then
    return "expected an address as sc://HOST:PORT"
  end
end

-- A batch job: what is run, instead of a server.
function check.app(value)
  if not is_map(value) then
    return "expected an object { resource, class, args }"
  end
  for field in pairs(value) do
    if field ~= "resource" and field ~= "class" and field ~= "args" then
      return ("unknown field '%s'; there are resource, class, args"):format(field)
    end
  end
  local function plain(text, most)
    return type(text) == "string" and #text >= 1 and (utf8.len(text) or #text) <= most and not text:find("%c")
  end
  if not plain(value.resource, 4096) or value.resource:find("^[ -]") then
    return "resource: expected the path or address of a jar or a Python file"
  elseif value.class ~= nil and value.class ~= null
    and (not plain(value.class, 512) or not value.class:find("^[%a_$][%w_$.]*$")) then
    return "class: expected the name of a class"
  elseif value.args ~= nil and value.args ~= null then
    if not is_list(value.args) or #value.args > 200 then
      return "args: expected a list of at most 200 texts"
    end
    for i, arg in ipairs(value.args) do
      if type(arg) ~= "string" or (utf8.len(arg) or #arg) > 4096 or arg:find("\0", 1, true) then
        return ("args: item %d: expected a text of at most 4096 characters without NUL"):format(i)
      end
    end
  end
  local function given(field)
    return field ~= null and field or nil
  end
  return nil, { resource = value.resource, class = given(value.class), args = given(value.args) }
end

-- Digits before the unit, so that a schema can say the same.
local DIGITS = { ms = 12, s = 9, m = 7, h = 6, d = 4 }

-- A number of seconds, or a text with a unit. The second value: it in seconds.
function check.idle_timeout(value)
  local wrong = "expected a duration above 0: a number of seconds, or 10ms, 30s, 5m, 2h, 1d"
  local seconds = value
  if type(value) == "string" then
    local whole, rest, unit = value:match("^(%d+)(%.?%d*)(%a*)$")
    local most = DIGITS[unit == "" and "s" or unit or ""]
    if not most or #whole > most or rest == "." or #rest > (unit == "ms" and 0 or 4) then
      return wrong
    end
    seconds = rucat.clock.duration(value)
  end
  if type(seconds) ~= "number" or not (seconds >= 0.001 and seconds <= 1e9) then
    return wrong
  end
  return nil, math.tointeger(seconds) or seconds
end

check.ttl = check.idle_timeout

-- The same, as JSON Schema (for OpenAPI).

local array = rucat.json.array

-- null counts as not given, but for the name.
local may_be_null = array { "string", "null" }

local function name_schema(most, kind)
  return { type = kind or "string", minLength = 1, maxLength = most, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" }
end

local version_schema = { type = may_be_null, minLength = 1, maxLength = 32, pattern = "^[A-Za-z0-9._+-]+$" }
local word_schema = { type = "string", maxLength = 65536, pattern = "^[^\\u0000]*$" }

-- A map of at most `most` entries, whose keys are `names` or free and whose values are of `values`.
local function map_schema(most, values, names)
  return {
    type = array { "object", "null" }, maxProperties = most, additionalProperties = values,
    propertyNames = names or { minLength = 1, maxLength = 256, pattern = "^[^\\u0000-\\u001f\\u007f]+$" },
  }
end

local config_schema = map_schema(1000, { anyOf = array {
  word_schema, { type = "boolean" }, { type = "number" } } })

local app_schema = {
  type = array { "object", "null" }, required = array { "resource" }, additionalProperties = false,
  properties = {
    resource = { type = "string", minLength = 1, maxLength = 4096,
      pattern = "^[^\\u0000-\\u0020\\u007f-][^\\u0000-\\u001f\\u007f]*$" },
    class = { type = may_be_null, minLength = 1, maxLength = 512, pattern = "^[A-Za-z_$][A-Za-z0-9_$.]*$" },
    args = { type = array { "array", "null" }, maxItems = 200,
      items = { type = "string", maxLength = 4096, pattern = "^[^\\u0000]*$" } },
  },
}

local duration_schema = { anyOf = array {
  { type = "number", minimum = 0.001, maximum = 1e9 }, { type = "null" },
  { type = "string", pattern = "^(?=[0-9.]*[1-9])([0-9]{1,9}(\\.[0-9]{1,3})?s?|[0-9]{1,12}ms"
    .. "|[0-9]{1,7}(\\.[0-9]{1,3})?m|[0-9]{1,6}(\\.[0-9]{1,3})?h|[0-9]{1,4}(\\.[0-9]{1,3})?d)$" } } }

-- What may be asked for: a type and a platform that some template serves (`templates`: their names).
-- What is not said is the default's.
local function template_schemas(templates, defaults)
  local list = array {}
  local function add(kind, platform)
    local needed, fields = array {}, {}
    local function field(name, value)
      fields[name] = { enum = array { value } }
      if value == defaults[name] then
        fields[name].enum[2] = null
      else
        needed[#needed + 1] = name
      end
    end
    field("platform", platform)
    if kind then
      field("type", kind)
    end
    if platform == "external" then
      needed[#needed + 1] = "endpoint"
      fields.endpoint = { type = "string" }
      fields.app = { type = "null" }
    else
      fields.endpoint = { type = "null" }
    end
    list[#list + 1] = { properties = fields, required = #needed > 0 and needed or nil }
  end
  for name in templates:gmatch("[^, ]+") do
    local kind, platform = name:match("^(.*)_([^_]+)$")
    add(kind, platform or name)
  end
  return list
end

function validate.schema(templates, defaults)
  return {
    type = "object", required = array { "name" }, additionalProperties = false,
    properties = {
      name = name_schema(63), type = name_schema(32, may_be_null),
      platform = name_schema(32, may_be_null),
      version = version_schema, config = config_schema, labels = map_schema(64, word_schema),
      env = map_schema(256, word_schema, { minLength = 1, maxLength = 256,
        pattern = "^(?!RUCAT_INSTANCE$|RUCAT_EPOCH$)[A-Za-z_][A-Za-z0-9_]*$" }),
      endpoint = { type = may_be_null, maxLength = 1024,
        pattern = "^[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._-]+:[0-9]+$" },
      app = app_schema, idle_timeout = duration_schema, ttl = duration_schema,
    },
    anyOf = template_schemas(templates, defaults),
  }
end

-- The body of POST /engine, the original rucat's: engine_type is one of these templates' types.
function validate.compat_schema(templates)
  local types = array {}
  for name in templates:gmatch("([%w-]+)_local") do
    types[#types + 1] = name
    types[#types + 1] = name:sub(1, 1):upper() .. name:sub(2)
  end
  return {
    type = "object", required = array { "name", "engine_type" }, additionalProperties = false,
    properties = { name = name_schema(63), engine_type = { enum = types }, version = version_schema,
      config = config_schema },
  }
end

-- The list of what is wrong with a body that is to create an engine; empty when it is fine. The body
-- is a table from JSON; fields that are null count as not given and are taken out.
function validate.create(body)
  local errors = {}
  local function wrong(field, message)
    errors[#errors + 1] = { field = field, message = message }
  end
  if not is_map(body) then
    wrong("", "expected an object")
    return errors
  end
  for field, value in pairs(body) do
    if type(field) ~= "string" then
      wrong("", "expected an object")
    elseif value == null then
      body[field] = nil
    elseif not check[field] then
      wrong(field, "unknown field")
    else
      local message, read = check[field](value)
      if message then
        wrong(field, message)
      elseif read ~= nil then
        body[field] = read
      end
    end
  end
  if body.name == nil then
    wrong("name", "missing")
  end
  if body.endpoint ~= nil and body.platform ~= "external" then
    wrong("endpoint", "only for platform external")
  elseif body.platform == "external" and body.endpoint == nil then
    wrong("endpoint", "missing: platform external needs the engine's address")
  end
  if body.app ~= nil and body.platform == "external" then
    wrong("app", "not for platform external: rucat starts nothing there")
  end
  table.sort(errors, function(a, b) return a.field < b.field end)
  return errors
end

-- Reads the query by a table of field -> { read = function(text) -> value or nil, message, schema = JSON
-- Schema of it }. Returns the values, or nil and the list of errors.
function validate.query(query, readers)
  local values, errors = {}, {}
  for field, text in pairs(query) do
    local reader = readers[field]
    if not reader and field:find("%", 1, true) then -- kept as it came: it could not be decoded
      errors[#errors + 1] = { field = field:match("^[^=]*"),
        message = "not valid text: a broken escape, a NUL, or no UTF-8" }
    elseif not reader then
      errors[#errors + 1] = { field = field, message = "unknown parameter" }
    else
      local value, message = reader.read(text)
      if value == nil then
        errors[#errors + 1] = { field = field, message = message }
      else
        values[field] = value
      end
    end
  end
  if #errors > 0 then
    table.sort(errors, function(a, b) return a.field < b.field end)
    return nil, errors
  end
  return values
end

-- Readers for validate.query.

function validate.integer(low, high)
  return {
    schema = { type = "integer", minimum = low, maximum = high },
    read = function(text)
      local value = text:find("^%d+$") and math.tointeger(tonumber(text))
      if not value or value < low or value > high then
        return nil, ("expected a whole number from %d to %d"):format(low, high)
      end
      return value
    end,
  }
end

-- How long an answer may be held: at most five minutes, in any unit.
local HELD = "^(300(\\.0+)?s?|[12]?[0-9]?[0-9](\\.[0-9]{1,3})?s?|5m|[0-4](\\.[0-9]{1,3})?m|300000ms|[12]?[0-9]{1,5}ms)$"

function validate.wait()
  local most = 300
  return {
    schema = { type = "string", pattern = HELD,
      description = "how long to hold the answer at most: 10ms, 30s, 5m, or seconds; 5m is the most" },
    read = function(text)
      local value, why = rucat.clock.duration(text)
      if not value then
        return nil, why
      elseif value > most then
        return nil, ("at most %g seconds"):format(most)
      end
      return value
    end,
  }
end

function validate.one_of(...)
  local names = { ... }
  return {
    schema = { enum = rucat.json.array(names) },
    read = function(text)
      for _, name in ipairs(names) do
        if name == text then return text end
      end
      return nil, "expected one of " .. table.concat(names, ", ")
    end,
  }
end

validate.text = {
  schema = { type = "string", maxLength = 1024, pattern = "^[^\\u0000]*$" },
  read = function(text)
    if utf8.len(text) > 1024 then -- a query is valid UTF-8
      return nil, "at most 1024 characters"
    end
    return text
  end,
}

-- A cursor is the id of the last thing that was seen.
function validate.is_id(text)
  return #text == 26 and text:find("^[0-7][0-9a-hjkmnp-tv-z]+$") ~= nil
end

validate.cursor = {
  schema = { type = "string", pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$" },
  read = function(text)
    if not validate.is_id(text) then
      return nil, "not a cursor of this server"
    end
    return text
  end,
}

return validate
