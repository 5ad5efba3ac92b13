-- openapi.lua: the OpenAPI 3.1 description, made of the routes that serve: what a route says of itself
-- (rucat.api.route) is also what validates its requests, so that it cannot lie. Routes of operators
-- that are plain functions are listed with what is known of them.

local validate = require("rucat.validate")
local array = rucat.json.array

local function nullable(kind)
  return { type = array { kind, "null" } }
end

local text, integer, time = { type = "string" }, { type = "integer", minimum = 0 },
  { type = array { "string", "null" }, format = "date-time" }

local schemas = {
  Engine = {
    type = "object",
    required = array { "id", "name", "type", "platform", "state", "desired", "reason", "message",
      "health", "endpoint", "ui", "config", "labels", "epoch", "rev", "restarts", "next_start_at",
      "exit", "owner", "created_at", "heartbeat_at" },
    properties = {
      id = { type = "string", minLength = 26, maxLength = 26 }, name = text, type = text, platform = text,
      version = nullable("string"),
      state = { enum = array { "Pending", "Running", "Stopped" } },
      desired = { enum = array { "Running", "Stopped", "Deleted" } },
      reason = text, message = text, health = { enum = array { "healthy", "unhealthy", "unknown" } },
      endpoint = nullable("string"), ui = nullable("string"),
      config = { type = "object" }, labels = { type = "object", additionalProperties = text },
      epoch = integer, rev = integer, restarts = integer, next_start_at = time,
      exit = { type = "object", properties = {
        code = nullable("integer"), signal = nullable("string"), oom = nullable("boolean") } },
      owner = text, keeper = text, app = nullable("object"), env = { type = "object", additionalProperties = text },
      idle_timeout = nullable("number"), ttl = nullable("number"),
      created_at = { type = "string", format = "date-time" }, started_at = time, stopped_at = time,
      heartbeat_at = time,
    },
  },
  Event = {
    type = "object",
    required = array { "id", "engine", "name", "epoch", "at", "kind", "from", "to", "reason", "message", "by" },
    properties = {
      id = text, engine = text, name = text, epoch = integer, at = { type = "string", format = "date-time" },
      kind = { enum = array { "state", "policy", "health", "request" } },
      from = nullable("string"), to = nullable("string"), reason = text, message = text, by = text,
      data = { type = "object" },
    },
  },
  Stats = {
    type = "object",
    required = array { "id", "name", "pid", "processes", "cpu_seconds", "memory_bytes" },
    properties = {
      id = text, name = text, pid = nullable("integer"), processes = integer,
      cpu_seconds = nullable("number"), memory_bytes = nullable("integer"),
    },
  },
  Problem = {
    type = "object", required = array { "type", "title", "status" },
    properties = {
      type = text, title = text, status = { type = "integer" }, detail = text,
      errors = { type = "array", items = { type = "object", required = array { "field", "message" },
        properties = { field = text, message = text } } },
    },
  },
  EngineList = {
    type = "object", required = array { "engines", "next_cursor" },
    properties = {
      engines = { type = "array", items = { ["$ref"] = "#/components/schemas/Engine" } },
      next_cursor = nullable("string"),
    },
  },
  EventList = {
    type = "object", required = array { "events", "next_cursor" },
    properties = {
      events = { type = "array", items = { ["$ref"] = "#/components/schemas/Event" } },
      next_cursor = nullable("string"),
    },
  },
  StatsList = {
    type = "object", required = array { "stats", "next_cursor" },
    properties = {
      stats = { type = "array", items = { ["$ref"] = "#/components/schemas/Stats" } },
      next_cursor = nullable("string"),
    },
  },
  Object = { type = "object" },
  Ids = { type = "array", items = text },
  Id = { type = "object", required = array { "id" }, properties = { id = text } },
  CompatEngine = {
    type = "object", required = array { "id", "name", "engine_type", "version", "state", "config" },
    properties = { id = text, name = text, engine_type = text, version = nullable("string"),
      state = { enum = array { "Pending", "Running", "Stopped" } }, config = { type = "object" } },
  },
}

-- "Engine" is JSON of that schema; "text/plain" and the like are that content type; "" is no body.
local function content(kind)
  if kind == "" then
    return nil
  elseif kind:find("/", 1, true) then
    return { [kind] = { schema = text } }
  end
  local media = kind == "Problem" and "application/problem+json" or "application/json"
  return { [media] = { schema = { ["$ref"] = "#/components/schemas/" .. kind } } }
end

local reasons = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content", [304] = "Not Modified",
}

local function responses(doc)
  if not doc.answers then
    return { default = { description = "what the route's script says" } }
  end
  local all = {}
  for status, kind in pairs(doc.answers) do
    local kinds = type(kind) == "table" and kind or { kind }
    local media = {}
    for _, one in ipairs(kinds) do
      for name, value in pairs(content(one) or {}) do media[name] = value end
    end
    all[tostring(status)] = { description = reasons[status] or "a problem",
      content = next(media) and media or nil }
  end
  all.default = { description = "a problem (RFC 9457)", content = content("Problem") }
  return all
end

local function parameters(path, doc)
  local list = array {}
  for name in path:gmatch("{([^}]+)}") do
    list[#list + 1] = { name = name, ["in"] = "path", required = true,
      description = name == "id" and "id or name" or nil,
      schema = doc.params and doc.params[name] or { type = "string", minLength = 1 } }
  end
  local names = {}
  for name in pairs(doc.query or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    list[#list + 1] = { name = name, ["in"] = "query", required = false, schema = doc.query[name].schema }
  end
  for name, schema in pairs(doc.headers or {}) do -- a list of names, or name = schema
    list[#list + 1] = { name = type(name) == "number" and schema or name, ["in"] = "header", required = false,
      schema = type(name) == "number" and text or schema }
  end
  return list
end

-- The schemas of bodies that routes name; the templates there are make the difference.
local function bodies()
  local templates = rucat.server.templates()
  return {
    create = validate.schema(templates, rucat.server.config("defaults")),
    compat = validate.compat_schema(templates),
  }
end

return function()
  local paths, named = {}, bodies()
  for _, route in ipairs(rucat.server.routes()) do
    local method, path = route.route:match("^(%S+) (.*)$")
    local doc = route.doc or {}
    local operation = {
      summary = doc.summary or ("served by " .. route.file:match("[^/]+$")),
      parameters = parameters(path, doc), responses = responses(doc),
      operationId = route.route:lower():gsub("[^a-z0-9]+", "_"):gsub("_$", ""),
    }
    if doc.body then
      operation.requestBody = { required = true,
        content = { ["application/json"] = { schema = named[doc.body] or doc.body } } }
    end
    paths[path] = paths[path] or {}
    paths[path][method:lower()] = operation
  end
  return {
    openapi = "3.1.0",
    info = { title = "rucat", version = rucat.version,
      description = "Creates, watches, restarts, stops and connects people to data engines." },
    paths = paths,
    components = { schemas = schemas },
  }
end
