-- rucat is upgraded while its engines run: a newer server finds a rucat-engine that speaks the first
-- version of the RPC (BUILD/older/rucat-engine, compiled without what came later).

local server = require("support.server")
local ladder = require("support.ladder")

local null = rucat.json.null

-- A directory that is an install of this build, with that rucat-engine.
local function install(dir, helper)
  local _, here = server.run({ "realpath", server.build })
  here = here:gsub("\n", "")
  server.run({ "mkdir", "-p", dir })
  server.run({ "cp", here .. "/rucat", dir .. "/rucat" })
  server.run({ "cp", helper, dir .. "/rucat-engine" })
  server.run({ "ln", "-sfn", here .. "/../lua", dir .. "/../lua" })
  return dir .. "/rucat"
end

local function run_dir(s, e)
  return ("%s/engines/%s/%d"):format(s.state_dir, e.id, e.epoch)
end

describe("an upgrade", function()
  local dir, old, new, usual

  setup(function()
    dir = server.tempdir()
    old = install(dir .. "/old", server.build .. "/older/rucat-engine")
    new = install(dir .. "/new", server.build .. "/rucat-engine")
    usual = server.binary
  end)

  teardown(function()
    server.binary = usual
    server.run({ "rm", "-rf", dir })
  end)

  it("leaves running drivers alone and goes on with them", function()
    server.binary = old
    local s <close> = server.start(ladder.options())
    ladder.create(s, "kept", "closed", { grace = 20 })
    ladder.create(s, "ends", "leader 21", { grace = 20 })
    local e = s:until_state("kept", "Running")
    s:until_state("ends", "Running")
    local status = rucat.json.decode(server.read(run_dir(s, e) .. "/status.json"))
    assert.is_nil(status.kill_took_ms) -- it is the older one indeed
    s:term()

    server.binary = new
    s:start_again()
    local after = s:until_engine("kept", function(x) return x.state == "Running" and x.heartbeat_at ~= null end)
    assert.are.equal(e.epoch, after.epoch)
    assert.are.equal(status.driver.pid,
      rucat.json.decode(server.read(run_dir(s, e) .. "/status.json")).driver.pid)
    -- what only newer ones know is not asked of it
    server.write(s.config_file, (server.read(s.config_file):gsub("^return {", "return {limits={log_file=99999},", 1)))
    local code, report = s:reload()
    assert.are.equal(200, code, rucat.json.encode(report))
    local _, ended = s:json("POST", "/v1/engines/ends/stop?wait=20s")
    assert.are.same({ "Stopped", 21 }, { ended.state, ended.exit.code })
    -- the next epoch has the new one
    local _, next_one = s:json("POST", "/v1/engines/kept/restart?wait=20s")
    assert.are.same({ "Running", e.epoch + 1 }, { next_one.state, next_one.epoch })
    assert(rucat.json.decode(server.read(run_dir(s, next_one) .. "/status.json")).kill_took_ms)
    assert(not s:output():find("unknown_method", 1, true) and not s:output():find("rucat-engine: ", 1, true), s:output())
  end)

  it("a bound on logs that is changed counts for drivers that run", function()
    server.binary = new
    local s <close> = server.start(ladder.options())
    local e = ladder.create(s, "flood", "flood " .. s.dir .. "/progress", { grace = 5 })
    s:until_state("flood", "Running")
    server.write(s.config_file, (server.read(s.config_file):gsub("^return {", "return {limits={log_file=8192},", 1)))
    assert.are.equal(200, (s:reload()))
    server.eventually(function()
      local text = server.read(run_dir(s, e) .. "/log.1")
      return text and #text <= 8192 + 32768
    end, 10, "that the log is rotated at its new bound")
    s:json("POST", "/v1/engines/flood/stop?wait=20s")
  end)
end)
