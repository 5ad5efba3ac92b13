-- The dashboard in a real browser: what a person sees and can do.

local support = require("support.server")
local browser = require("support.browser")

local TAB, ENTER = "\u{E004}", "\u{E007}"
local UP = "echo up; exec sleep 600"

describe("the dashboard", function()
  local s, b

  before_each(function()
    s = support.start()
    b = browser.start()
  end)

  after_each(function()
    b:stop()
    s:stop()
  end)

  -- The text of an engine's row, or nil.
  local function row(name)
    return b:js([[
      const tr = [...document.querySelectorAll("#engines tbody tr")]
        .find((tr) => tr.querySelector(".name").textContent === arguments[0]);
      return tr ? tr.textContent : null;]], name)
  end

  local function until_row(name, pattern)
    return support.eventually(function()
      local text = row(name)
      return type(text) == "string" and text:find(pattern) and text, text
    end, 15, "the row of " .. name .. " with " .. pattern)
  end

  local function button(name, label)
    b:click(("[aria-label='%s %s']"):format(label, name))
  end

  it("is a page for browsers and a word for programs", function()
    assert.are.equal("welcome to rucat", s:http("GET", "/").body)
    local page = s:http("GET", "/", nil, { accept = "text/html,*/*" })
    assert.are.equal("text/html; charset=utf-8", page.headers["content-type"])
    assert.truthy(page.headers["content-security-policy"]:find("default-src 'none'", 1, true))
    assert.are.equal(404, s:http("GET", "/dashboard/../rucat/monitor.lua").status)
    assert.are.equal(404, s:http("GET", "/dashboard/monitor.lua").status)
  end)

  it("shows engines as they come, change and go", function()
    b:open(s.url)
    support.eventually(function() return b:js("return document.querySelector('#link').textContent") == "live" end,
      15, "the link")
    s:create({ name = "one", config = { run = UP, ready = "up" } })
    until_row("one", "Running")
    s:cli("stop", "one", "--wait")
    until_row("one", "StoppedByUser")
    s:cli("delete", "one", "--wait")
    support.eventually(function() return row("one") == rucat.json.null end, 15, "the row's end")
    for _, line in ipairs(b:console()) do -- a deleted engine is asked for once more; nothing else is wrong
      assert.truthy(line.message:find("/v1/engines/%w+ .*404"), line.message)
    end
  end)

  it("stops an engine only after a yes, and shows its events and log", function()
    s:create({ name = "two", config = { run = "echo hello from two; " .. UP, ready = "up" } })
    s:until_state("two", "Running")
    b:open(s.url)
    until_row("two", "Running")
    button("two", "Stop")
    b:click("#confirm [value=no]")
    button("two", "Details of")
    support.eventually(function()
      return b:js("return document.querySelector('#log').textContent"):find("hello from two", 1, true)
        and b:js("return document.querySelector('#events').textContent"):find("Pending → Running", 1, true)
    end, 15, "log and events")
    b:click("#details [data-close]")
    assert.are.equal("Running", s:engine("two").state)
    button("two", "Stop")
    b:click("#confirm-yes")
    until_row("two", "StoppedByUser")
  end)

  it("creates an engine by the form, names what is wrong, and does with the keyboard alone", function()
    b:open(s.url)
    support.eventually(function() return b:js("return document.querySelector('#link').textContent") == "live" end,
      15, "the link")
    b:press(TAB, TAB, ENTER) -- the skip link, the button
    support.eventually(function() return b:js("return document.querySelector('#create').open") end, 10, "the form")
    b:type("#f-name", "Bad Name")
    b:js([[
      const select = document.querySelector("#f-template");
      select.value = [...select.options].find((o) => o.value === "test|local").value;
      document.querySelector("#f-config").value = arguments[0];]], "run=" .. UP .. "\nready=up")
    b:press(ENTER)
    support.eventually(function()
      return b:js("return document.querySelector('#create-problem').textContent"):find("name: expected 1 to 63", 1, true)
    end, 10, "the problem")
    b:js("document.querySelector('#f-name').value = ''")
    b:type("#f-name", "by-hand")
    b:press(ENTER)
    until_row("by-hand", "Running")
    assert.is_false(b:js("return document.querySelector('#create').open"))
  end)

  it("shows hostile text as text", function()
    s:create({ name = "evil", config = {
      run = "echo '<img src=x onerror=\"document.title=1\"><script>document.title=2</script>'; exit 3", ready = "never" } })
    s:until_state("evil", "Stopped")
    b:open(s.url)
    until_row("evil", "Stopped")
    button("evil", "Details of")
    support.eventually(function()
      return b:js("return document.querySelector('#log').textContent"):find("<script>", 1, true)
    end, 15, "the log")
    assert.are.equal("rucat", b:js("return document.title"))
    assert.are.equal(0, b:js("return document.querySelectorAll('main img, dialog img, main script, dialog script').length"))
  end)

  it("says when the server is gone, and is live again when it is back", function()
    s:create({ name = "three", config = { run = UP, ready = "up" } })
    s:until_state("three", "Running")
    local address = s.address
    b:open(s.url)
    until_row("three", "Running")
    s:term()
    support.eventually(function()
      return b:js("return document.querySelector('#link').textContent"):find("gone", 1, true)
        and b:js("return document.body.classList.contains('stale')")
    end, 15, "the notice")
    assert.truthy(row("three"):find("Running", 1, true)) -- still shown, as stale
    s:start_again({ "--listen", address })
    support.eventually(function()
      return b:js("return document.querySelector('#link').textContent") == "live"
    end, 30, "the link")
  end)
end)
