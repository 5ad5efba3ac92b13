-- A store that was lost, or put back from an older copy, while drivers run: their engines are written
-- again from what stands beside their plans; the driver of an engine that was deleted is ended.

local support = require("spec.support.server")

local UP = { run = "echo up on 4321; exec sleep 1000", ready = "up on (%d+)", secret_token = "hush" }

-- Runs SQL on a store's file, while no server has it open.
local function sql(s, text)
  local code = ("import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.executescript(sys.argv[2])\nc.commit()")
  local exit, output = support.run({ "python3", "-c", code, s.state_dir .. "/rucat.db", text })
  assert.are.equal(0, exit.code, output)
end

local function pid_of(s, e)
  local status = support.read(("%s/engines/%s/%d/status.json"):format(s.state_dir, e.id, e.epoch))
  return rucat.json.decode(status).driver.pid
end

describe("a store without the record of an engine that runs", function()
  it("gets it back, and the driver is adopted", function()
    local s <close> = support.start({ mode = "local" })
    local e = s:create({ name = "kept", config = UP, labels = { team = "a" } })
    s:until_state("kept", "Running")
    s:create({ name = "ended", config = UP })
    s:until_state("ended", "Running")
    s:json("POST", "/v1/engines/ended/stop")
    s:until_state("ended", "Stopped")
    local pid = pid_of(s, e)
    s:kill9()
    support.run({ "sh", "-c", ("rm -f '%s'/rucat.db*"):format(s.state_dir) })
    s:start_again()
    local again = s:until_state("kept", "Running", "Ready")
    assert.are.equal(e.id, again.id)
    assert.are.equal(1, again.epoch)
    assert.are.same({ team = "a" }, again.labels)
    assert.are.equal("***", again.config.secret_token)
    assert.are.equal(pid, pid_of(s, e))
    local _, page = s:json("GET", "/v1/engines/kept/events")
    assert.truthy(page.events[1].message:find("written again", 1, true))
    assert.truthy(s:output():find("kept (" .. e.id .. ") was not in the store, but its driver runs", 1, true))
    assert.are.equal(404, (s:json("GET", "/v1/engines/ended"))) -- nothing of it runs
    -- and it goes on as any other
    s:json("POST", "/v1/engines/kept/restart")
    assert.are.equal(2, s:until_engine("kept", function(now) return now.epoch == 2 and now.state == "Running" end).epoch)
    assert.are.equal("hush", support.read(("%s/engines/%s/2/record.json"):format(s.state_dir, e.id)):match('"secret_token": ?"(%w+)"'))
    s:json("DELETE", "/v1/engines/kept")
    s:until_gone("kept")
    s:until_no_driver(10)
  end)

  it("ends the driver where the engine was deleted", function()
    local s <close> = support.start({ mode = "local" })
    local e = s:create({ name = "gone", config = UP })
    s:until_state("gone", "Running")
    s:kill9()
    sql(s, ("delete from engine where id='%s'; insert into event(id, engine, at_ms, kind, doc) values "
      .. "('7zzzzzzzzzzzzzzzzzzzzzzzzz','%s',1,'state','{\"reason\":\"Deleted\"}')"):format(e.id, e.id))
    s:start_again()
    s:until_no_driver(10)
    assert.are.equal(404, (s:json("GET", "/v1/engines/gone")))
    assert.truthy(s:output():find("is ended: its engine was deleted", 1, true))
  end)

  it("says so when another engine has its name now, and leaves it alone", function()
    local s <close> = support.start({ mode = "local" })
    local e = s:create({ name = "twice", config = UP })
    s:until_state("twice", "Running")
    s:kill9()
    support.run({ "sh", "-c", ("rm -f '%s'/rucat.db*; mv '%s'/engines '%s'/away"):format(s.state_dir, s.state_dir, s.state_dir) })
    s:start_again()
    s:create({ name = "twice", config = UP })
    s:until_state("twice", "Running")
    s:term()
    support.run({ "sh", "-c", ("mv '%s'/away/* '%s'/engines/"):format(s.state_dir, s.state_dir) })
    s:start_again()
    assert.truthy(s:output():find("its engine twice cannot be written again: it exists already", 1, true))
    assert.are.equal(2, #s:drivers() / 2) -- both run: a helper and a driver each
    support.run({ "kill", tostring(pid_of(s, e)) })
  end)
end)
