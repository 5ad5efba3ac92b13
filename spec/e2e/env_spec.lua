-- What scripts can see: the list in .luacheckrc is the list that is in force, in each kind of file.

local support = require("support.server")

-- The names that .luacheckrc lets scripts use; { [name] = true or a list of fields }.
local function allowed()
  local env = { files = {} }
  assert(loadfile(".luacheckrc", "t", env))()
  local list = {}
  for key, value in pairs(env.files["lua"].read_globals) do
    if type(value) == "table" then
      list[key] = value.fields
    elseif value ~= "_ENV" then -- a name of the language
      list[value] = true
    end
  end
  return list
end

-- Code that gives "name=type name=type ..." for all those names, "-" for one that raises.
local function look(names)
  local quoted = {}
  for _, name in ipairs(names) do
    quoted[#quoted + 1] = ("%q"):format(name)
  end
  return [[(function()
  local out = {}
  for _, name in ipairs({ ]] .. table.concat(quoted, ", ") .. [[ }) do
    local ok, value = pcall(function() return _ENV[name] end)
    out[#out + 1] = name .. "=" .. (ok and type(value) or "-")
  end
  return table.concat(out, " ")
end)()]]
end

describe("what a script can see", function()
  local list, names = allowed(), {}

  setup(function()
    for name in pairs(_G) do -- a tool's: the whole standard library, and more
      if type(name) == "string" and not name:find("[^%w_]") then
        names[#names + 1] = name
      end
    end
    for _, name in ipairs({ "loadstring", "unpack", "setfenv", "module", "warn", "bit32" }) do
      names[#names + 1] = name
    end
    for name in pairs(list) do
      if not _G[name] then
        names[#names + 1] = name
      end
    end
    table.sort(names)
  end)

  local function check(text)
    local seen = 0
    for name, kind in text:gmatch("([%w_]+)=(%S+)") do
      seen = seen + 1
      assert.are.equal(list[name] ~= nil, kind ~= "-", name .. " is " .. kind)
    end
    assert.are.equal(#names, seen)
  end

  it("is what .luacheckrc says: handlers, policies, templates, modules", function()
    local code = look(names)
    local s <close> = support.start({ scripts = {
      ["mine/module.lua"] = "return " .. code,
      ["handlers/see.lua"] = 'local module = require("mine.module")\nreturn { ["GET /see"] = function() return 200, '
        .. code .. ' end, ["GET /module"] = function() return 200, module end }',
      ["policies/admission.lua"] = "return function(r) return nil, " .. code .. ", 422 end",
      ["templates/see_local.lua"] = "return { submit = function() return nil, 'Seen', " .. code .. " end }",
    } })
    check(s:http("GET", "/see").body)
    check(s:http("GET", "/module").body)
    local _, problem = s:json("POST", "/v1/engines", { name = "x", type = "test" })
    check(problem.detail)
    s:scripts({ ["policies/admission.lua"] = false })
    assert.are.equal(200, (s:reload()))
    s:create({ name = "see", type = "see" })
    check(s:until_state("see", "Stopped", "Seen").message)
  end)

  it("in the libraries too", function()
    local s <close> = support.start({ scripts = { ["handlers/see.lua"] = [[
return { ["GET /os"] = function()
  local out = {}
  for name in pairs(os) do out[#out + 1] = name end
  table.sort(out)
  return 200, table.concat(out, " ")
end }]] } })
    local fields = table.move(list.os, 1, #list.os, 1, {})
    table.sort(fields)
    assert.are.equal(table.concat(fields, " "), s:http("GET", "/os").body)
  end)

  it("is each file's own: what one sets, another does not have", function()
    local s <close> = support.start({ scripts = {
      ["handlers/one.lua"] = 'shared = 1\nreturn { ["GET /one"] = function() shared = shared + 1 return 200, shared end }',
      ["handlers/two.lua"] = 'return { ["GET /two"] = function() return 200, shared end }',
    } })
    assert.are.equal("2", s:http("GET", "/one").body)
    assert.are.equal("3", s:http("GET", "/one").body)
    assert.are.equal(500, s:http("GET", "/two").status)
    support.eventually(function()
      return s:output():find("unknown name 'shared'", 1, true)
    end)
  end)
end)
