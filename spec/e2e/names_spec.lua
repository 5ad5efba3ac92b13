-- Names that are not there: loud when they are reached, warned of before that, never refused at load.

local server = require("support.server")

local SCRIPT = [[
local function probe(engine)
  return engnie.name
end
return {
  ["GET /local"] = function(req) return 200, probe({}) end,
  ["GET /base"] = function(req) pritn("x") end,
  ["GET /own"] = function(req) helper = print; helpr() end,
  ["GET /prim"] = function(req) return 200, rucat.clok.now() end,
  ["GET /field"] = function(req) return 200, rucat.store.engines.gte("x") end,
  ["GET /far"] = function(req) return 200, xyzzy end,
  ["GET /fine"] = function(req) return 200, "fine" end,
}
]]

describe("an unknown name", function()
  local s

  setup(function()
    s = server.start({ scripts = { ["handlers/names.lua"] = SCRIPT } })
  end)

  teardown(function()
    s:stop()
  end)

  for path, text in pairs({
    ["/local"] = "names.lua:2: unknown name 'engnie', did you mean 'engine'?",
    ["/base"] = "names.lua:6: unknown name 'pritn', did you mean 'print'?",
    ["/own"] = "names.lua:7: unknown name 'helpr', did you mean 'helper'?",
    ["/prim"] = "names.lua:8: unknown name 'rucat.clok', did you mean 'rucat.clock'?",
    ["/field"] = "names.lua:9: unknown name 'rucat.store.engines.gte', did you mean 'rucat.store.engines.get'?",
    ["/far"] = "names.lua:10: unknown name 'xyzzy'",
  }) do
    it("raises when it is reached: " .. text, function()
      assert.are.equal(500, s:http("GET", path).status)
      server.eventually(function()
        return s:output():find(text, 1, true), s:output()
      end)
      assert.are.equal("fine", s:http("GET", "/fine").body)
    end)
  end

  it("is warned of in the log, by the API, and no error", function()
    local scripts = server.eventually(function()
      local now = s:get("/v1/admin/scripts")
      return #now.warnings > 0 and now
    end)
    assert.are.equal(6, #scripts.warnings)
    assert.matches("^/.*/handlers/names.lua:2: warning: unknown name 'engnie', did you mean 'engine'%?$",
      scripts.warnings[1])
    assert.are.equal(rucat.json.null, scripts.last_error)
    assert.matches("names.lua:10: warning: unknown name 'xyzzy'", s:output(), 1, true)
  end)

  it("is warned of by rucat check: exit code 0, with --strict 1", function()
    local code, out, err = s:cli("check", "-c", s.config_file)
    assert.are.equal(0, code, err)
    assert.are.equal("configuration and scripts are fine, but for 6 warnings\n", out)
    assert.matches("names.lua:8: warning: unknown name 'rucat.clok', did you mean 'rucat.clock'?", err, 1, true)
    assert.are.equal(1, (s:cli("check", "--strict", "-c", s.config_file)))
  end)
end)

it("the shipped files are warned of nothing", function()
  local exit, out, err = server.run({ server.binary, "check", "--strict" },
    { env = { HOME = "/", ASAN_OPTIONS = os.getenv("ASAN_OPTIONS") } })
  assert.are.equal("", err)
  assert.are.equal("configuration and scripts are fine\n", out)
  assert.are.equal(0, exit.code)
end)
