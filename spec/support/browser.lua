-- browser.lua: a real headless Chromium, driven by chromedriver over the W3C WebDriver protocol
-- (https://www.w3.org/TR/webdriver2/).

local support = require("support.server")

local ELEMENT = "element-6066-11e4-a52e-4f735466cecf" -- the key of an element's id, WebDriver 12.1

local browser = {}
browser.__index = browser

local function call(self, method, path, body)
  local answer = assert(rucat.http.request({
    url = self.driver_url .. path, method = method, timeout = 60,
    headers = { ["content-type"] = "application/json" },
    body = method == "POST" and rucat.json.encode(body or {}) or nil,
  }))
  local value = assert(rucat.json.decode(answer.body)).value
  if answer.status ~= 200 then
    error("webdriver: " .. tostring(value.message), 0)
  end
  return value
end

-- Options: width, height, dark.
function browser.start(options)
  options = options or {}
  local self = setmetatable({ dir = support.tempdir() }, browser)
  self.process = assert(rucat.process.spawn({ argv = { "chromedriver", "--port=0" } }))
  self.driver_url = support.eventually(function()
    local port = self.process:output():match("started successfully on port (%d+)")
    return port and "http://127.0.0.1:" .. port
  end, 20, "chromedriver's port")
  local args = {
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--user-data-dir=" .. self.dir,
    ("--window-size=%d,%d"):format(options.width or 1400, options.height or 800),
  }
  if options.dark then
    args[#args + 1] = "--blink-settings=preferredColorScheme=0"
  end
  local session = call(self, "POST", "/session", { capabilities = { alwaysMatch = {
    browserName = "chrome", ["goog:chromeOptions"] = { args = args },
    ["goog:loggingPrefs"] = { browser = "ALL" },
  } } })
  self.session = "/session/" .. session.sessionId
  return self
end

function browser:open(url)
  call(self, "POST", self.session .. "/url", { url = url })
end

-- Runs JavaScript; `return` gives the value.
function browser:js(code, ...)
  return call(self, "POST", self.session .. "/execute/sync", { script = code, args = rucat.json.array({ ... }) })
end

function browser:find(css)
  return call(self, "POST", self.session .. "/element", { using = "css selector", value = css })[ELEMENT]
end

-- Acts on an element, once more where the page has drawn it anew between finding it and acting.
local function act(self, css, path, body)
  for try = 1, 5 do
    local fine, why = pcall(call, self, "POST", self.session .. "/element/" .. self:find(css) .. path, body)
    if fine then
      return
    elseif try == 5 or not tostring(why):find("stale element", 1, true) then
      error(why, 0)
    end
  end
end

function browser:click(css)
  act(self, css, "/click")
end

function browser:type(css, text)
  act(self, css, "/value", { text = text })
end

-- Presses keys wherever the keyboard is: "\u{E004}" is Tab, "\u{E007}" Enter, "\u{E00C}" Escape.
function browser:press(...)
  local actions = {}
  for _, key in ipairs({ ... }) do
    actions[#actions + 1] = { type = "keyDown", value = key }
    actions[#actions + 1] = { type = "keyUp", value = key }
  end
  call(self, "POST", self.session .. "/actions", {
    actions = { { type = "key", id = "keyboard", actions = actions } } })
end

-- What the page said on its console: errors of scripts, refused requests.
function browser:console()
  return call(self, "POST", self.session .. "/se/log", { type = "browser" })
end

function browser:stop()
  if self.session then
    pcall(call, self, "DELETE", self.session)
  end
  self.process:kill("TERM")
  self.process:wait(10)
  self.process:close()
  os.execute(("rm -rf '%s'"):format(self.dir))
end

return browser
