---@meta rucat

-- The module `rucat`: what a script can do beyond deciding. It is there as a global in every script,
-- and as require("rucat"). One file of this folder for each primitive, kinds.lua for what the kinds
-- of scripts are given and return. spec/e2e/types_spec.lua compares all of it with what C registers.
--
-- Of every function: wrong use (a type, a closed object, a place where it cannot be used) raises;
-- the world's failures return nil, a message for people and a code for programs ("ETIMEDOUT",
-- "NOTFOUND", "INVALID", "FULL", "CLOSED", "STORE", "SCRIPT", or what libuv says). "Waits" means
-- that the job is put aside until there is an answer: in handlers, the health probe, timers and the
-- console; not in the other policies, in templates, while a file is loaded, in a coroutine of the
-- script's own, a sort comparator or a gsub callback.

---@class rucat
---@field version string rucat's own version: "0.1.0"
rucat = {}

---@alias rucat.Code string the name of an error: "ETIMEDOUT", "NOTFOUND", ...
---@alias rucat.Seconds number

---A value that JSON can say: what crosses between states, is stored or sent.
---@alias rucat.Json string|number|boolean|table|lightuserdata|nil

return rucat
