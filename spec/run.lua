-- spec/run.lua - busted inside rucat's own loop: `rucat run spec/run.lua DIR_OR_FILE...`.
--
-- Runs every *_spec.lua there, prints what failed whole, and ends with the line
-- `RESULT passed failed skipped`. The exit code is 1 when anything failed or nothing ran. A spec
-- file that does not load, and an error outside a test, count as failures. SPEC_FILTER (a Lua
-- pattern) runs only the tests whose whole name it is found in; SPEC_VERBOSE=1 names each as it
-- begins.

local here = (arg and arg[0] or debug.getinfo(1, "S").source:sub(2)):match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

-- busted wants the time and sleeps by lua-system, which needs nothing of ours.
local busted = require("busted.core")()
require("busted")(busted)

-- A spec that ends the program would hide what has not run yet.
os.exit = function() -- luacheck: ignore 122
  error("a spec must not call os.exit", 2)
end

local verbose = os.getenv("SPEC_VERBOSE") == "1"
local filter = os.getenv("SPEC_FILTER")
local passed, failed, skipped = 0, 0, 0
local files, current = 0, "?"
local slow = {}

-- "engines stop leaves no process"
local function whole_name(element)
  local names = {}
  while element and element.descriptor ~= "file" do
    if element.name and element.name ~= "" then
      table.insert(names, 1, tostring(element.name))
    end
    element = busted.context.parent(element)
  end
  return table.concat(names, " ")
end

local function complain(kind, element, message, trace)
  failed = failed + 1
  io.write("not ok - ", whole_name(element), "\n  in ", current, " (", kind, ")\n")
  for line in (tostring(message) .. "\n"):gmatch("(.-)\n") do
    io.write("  ", line, "\n")
  end
  for line in (trace and trace.traceback or ""):gmatch("[^\n]+") do
    if not line:find("/busted/", 1, true) and not line:find("[C]: in", 1, true) then
      io.write("  ", line, "\n")
    end
  end
  io.flush()
end

busted.subscribe({ "file", "start" }, function(file)
  current = file.name
  return nil, true
end)

busted.subscribe({ "test", "start" }, function(element)
  if verbose then
    io.write("# ", whole_name(element), "\n")
    io.flush()
  end
  return nil, true
end)

-- A failure of a test is told when the test ends, so that it is counted once.
busted.subscribe({ "test", "end" }, function(element, _, status, trace)
  if status == "success" then
    passed = passed + 1
  elseif status == "pending" then
    skipped = skipped + 1
    local why = type(trace) == "table" and trace.message or element.pending_why
    io.write("skipped - ", whole_name(element), why and ": " .. tostring(why) or "", "\n")
  else
    -- told below, once for each test
    if not element.told then
      complain(tostring(status), element, "no message")
    end
  end
  if element.duration and element.duration > 5 then
    slow[#slow + 1] = ("# %.1f s: %s"):format(element.duration, whole_name(element))
  end
  return nil, true
end)

local function on_trouble(kind)
  return function(element, _, message, trace)
    if element.descriptor == "it" and element.told then
      return nil, true
    end
    element.told = true
    complain(kind, element, message, trace)
    return nil, true
  end
end

busted.subscribe({ "failure" }, on_trouble("failure"))
busted.subscribe({ "error" }, on_trouble("error"))

-- ---- which files ----

local function spec_files(list)
  local found = {}
  for _, path in ipairs(list) do
    if path:match("_spec%.lua$") then
      found[#found + 1] = path
    else
      local p = assert(rucat.process.spawn({ argv = { "find", path, "-name", "*_spec.lua" } }))
      assert(p:wait(10))
      for name in (p:output()):gmatch("[^\n]+") do
        found[#found + 1] = name
      end
    end
  end
  table.sort(found)
  return found
end

-- A file is a block of its own, with its own globals.
local loader = {
  rewriteMessage = function(_, message)
    return message
  end,
  getTrace = function(_, info)
    info.traceback = info.traceback:gsub("\n%s*%[C%]: in [^\n]*xpcall.*$", "")
    return info
  end,
}

local function add_file(path)
  files = files + 1
  local chunk, why = loadfile(path)
  if not chunk then
    failed = failed + 1
    io.write("not ok - ", path, "\n  ", tostring(why), "\n")
    return
  end
  local run = setmetatable({ getTrace = loader.getTrace, rewriteMessage = loader.rewriteMessage }, {
    __call = chunk,
  })
  busted.executors.file(path, run)
end

-- Leaves out what the filter does not want; a test without its own name in it never begins.
local function use_filter()
  if filter then
    busted.subscribe({ "register", "it" }, function(name, _, _, _)
      local names = { tostring(name) }
      local context = busted.context.get()
      while context and context.descriptor ~= "file" do
        table.insert(names, 1, tostring(context.name or ""))
        context = busted.context.parent(context)
      end
      if not table.concat(names, " "):find(filter) then
        return nil, false
      end
      return nil, true
    end, { priority = 1 })
  end
end

local list = arg and table.move(arg, 1, #arg, 1, {}) or {}
if #list == 0 then
  list = { here .. "/lua" }
end
use_filter()
for _, path in ipairs(spec_files(list)) do
  add_file(path)
end
require("busted.execute")(busted)(1, {})
busted.publish({ "exit" })

table.sort(slow)
io.write(table.concat(slow, "\n"), #slow > 0 and "\n" or "")
if files == 0 then
  io.write("there are no spec files in ", table.concat(list, " "), "\n")
  failed = failed + 1
elseif passed + failed + skipped == 0 then
  io.write("no test ran\n")
  failed = failed + 1
end
io.write(("RESULT %d %d %d\n"):format(passed, failed, skipped))
io.flush()
return failed == 0 and 0 or 1
