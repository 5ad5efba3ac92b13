---@meta

---Values that outlive calls and reloads, but not the server: one table for all scripts, in memory.
---What is stored is a copy (what JSON can hold), so that nobody shares a table with anybody. Nothing here
---waits: between a `get` and a `set` no other script runs. `limits.state` bounds the bytes,
---`limits.state_keys` the number. While a file is loaded it is an empty one of its own; templates may
---only read.
---@class rucat.state
rucat.state = {}

---A copy of the value.
---@param key string at most 256 bytes
---@return rucat.Json value nil: there is none, or its time is over
function rucat.state.get(key) end

---Stores a copy. Raises on what JSON cannot hold.
---@param key string
---@param value rucat.Json
---@param seconds? rucat.Seconds it is gone after that, at most a year; without it, it stays
---@return boolean? ok
---@return string? message
---@return rucat.Code? code "FULL"
function rucat.state.set(key, value, seconds) end

---Adds to a number; there is 0 where there is none. Raises where there is another value.
---@param key string
---@param by? number 1 without it
---@param seconds? rucat.Seconds counted from when it is made
---@return number? value the new one
---@return string? message
---@return rucat.Code? code "FULL"
function rucat.state.incr(key, by, seconds) end

---Forgets a key.
---@param key string
---@return boolean was there was one
function rucat.state.delete(key) end

---The keys that begin with a text.
---@param prefix? string
---@return string[] keys sorted
function rucat.state.keys(prefix) end

---How much of it is used.
---@return { keys: integer, bytes: integer }
function rucat.state.usage() end
