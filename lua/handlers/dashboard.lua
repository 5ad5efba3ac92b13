-- dashboard.lua: the page at / for people, `welcome to rucat` for programs, and what the page needs.
-- The files are in lua/dashboard; nothing is loaded from anywhere else.

local api = require("rucat.api")

local files = {
  ["app.js"] = "text/javascript; charset=utf-8",
  ["style.css"] = "text/css; charset=utf-8",
}

-- Nothing but what this server sends may run or be asked.
local headers = {
  ["content-security-policy"] = "default-src 'none'; script-src 'self'; style-src 'self'; "
    .. "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ["x-content-type-options"] = "nosniff",
  ["referrer-policy"] = "no-referrer",
  ["cache-control"] = "no-cache",
  ["vary"] = "accept",
}

local function file(name, kind)
  local text, why = rucat.fs.read("dashboard/" .. name)
  if not text then
    return rucat.http.problem(503, "the dashboard cannot be read: " .. why)
  end
  local all = { ["content-type"] = kind }
  for key, value in pairs(headers) do all[key] = value end
  return 200, text, all
end

return {
  ["GET /"] = api.route {
    summary = "The dashboard for browsers, a word of welcome for others",
    answers = { [200] = { "text/plain", "text/html" } },
    handle = function(req)
      if (req.headers.accept or ""):find("text/html", 1, true) then
        return file("index.html", "text/html; charset=utf-8")
      end
      return 200, "welcome to rucat", { vary = "accept" }
    end,
  },

  ["GET /dashboard/{file}"] = api.route {
    summary = "The parts of the dashboard",
    params = { file = { enum = rucat.json.array { "app.js", "style.css" } } },
    answers = { [200] = { "text/javascript", "text/css" } },
    handle = function(req)
      local kind = files[req.params.file]
      if not kind then
        return rucat.http.problem(404, "there is no such file")
      end
      return file(req.params.file, kind)
    end,
  },

  ["GET /v1/templates"] = api.route {
    summary = "The types and platforms there are templates for", answers = { [200] = "Object" },
    handle = function()
      local list = rucat.json.array()
      for name in rucat.server.templates():gmatch("[^, ]+") do
        local kind, platform = name:match("^(.*)_([^_]+)$")
        list[#list + 1] = { name = name, type = kind or rucat.json.null, platform = platform or name }
      end
      return 200, { templates = list, defaults = rucat.server.config("defaults") }
    end,
  },
}
