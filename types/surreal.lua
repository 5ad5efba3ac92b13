---@meta

---Questions to the SurrealDB that the engines are in (mode "remote"), and its types that Lua has not.
---
---| SurrealDB | Lua |
---|---|---|
---| none | absent in an object and as a result; `rucat.surreal.none` in a list; nil and `none` as a parameter |
---| null | `rucat.json.null` |
---| bool, int, float, string | boolean, integer, float, string: an integer stays an integer |
---| array | a list, marked as by `rucat.json.array` |
---| object | a table with text keys |
---| record id, datetime, duration, decimal, uuid, bytes, set, range, table | a `rucat.surreal.Value`; goes back as it came |
---| geometry, file, regex | refused: ask for a part of it, or for its text |
---@class rucat.surreal
---@field none rucat.surreal.Value SurrealDB's NONE
rucat.surreal = {}

---A value of SurrealDB that Lua has no type for. `tostring` gives its text as SurrealDB writes it
---(engine:abc, 2026-11-23T01:02:03Z, 1h30m), bytes as they are; in JSON it is that text (bytes are not
---to be had there). Equal values are equal.
---@class rucat.surreal.Value
---@field kind "none"|"record"|"datetime"|"duration"|"decimal"|"uuid"|"bytes"|"set"|"range"|"table"
---@field text string as tostring gives it
---@field table string of a record: its table
---@field id any of a record: its key, as it is in the database
---@field seconds integer of a datetime (since 1970) or duration
---@field nanoseconds integer of a datetime or duration: the rest, 0 to 999,999,999
---@field time number of a datetime or duration: both, as rucat.clock counts
---@field values any[] of a set
---@field first any of a range: where it begins; nil when it is open
---@field last any of a range: where it ends; nil when it is open
---@field first_included boolean? of a range
---@field last_included boolean? of a range

---@class rucat.surreal.Options
---@field timeout? rucat.Seconds over all tries; 10 without it, at most 300
---@field again? boolean it may be carried out twice without harm (a read): a lost answer is asked for again

---@class rucat.surreal.Result
---@field status "OK"|"ERR"
---@field result any absent when it is NONE or failed
---@field error string? why the statement failed

---Waits. Asks SurrealDB, in the namespace and database of the engines, as the server's own user. One
---result for each statement; a statement that fails does not make the query fail. Values go into
---`vars`, never into the text. At most 1 MiB of text, 4 MiB in all, 200,000 values and 64 levels in an
---answer.
---@param sql string SurrealQL
---@param vars? table<string, any> the parameters: `$team` is vars.team
---@param options? rucat.surreal.Options
---@return rucat.surreal.Result[]? results
---@return string? message
---@return rucat.Code? code "REFUSED": not in this mode; "STORE": not reached in time, or refused as a whole; "UNSURE": no answer, it may have been done; "TOOBIG", "FULL"
function rucat.surreal.query(sql, vars, options) end

---A record id: `rucat.surreal.record("engine", id)`. A text "1" and a number 1 are different keys.
---@param table string
---@param id string|integer|table|rucat.surreal.Value a text, an integer, a list, an object, a uuid or a range
---@return rucat.surreal.Value
function rucat.surreal.record(table, id) end

---A table's name as a value.
---@param name string
---@return rucat.surreal.Value
function rucat.surreal.table(name) end

---A datetime, exact to the nanosecond.
---@param at number|string seconds since 1970, or a text as "2026-11-23T01:02:03.456Z"
---@param nanoseconds? integer beside whole seconds
---@return rucat.surreal.Value
function rucat.surreal.datetime(at, nanoseconds) end

---A length of time.
---@param length number|string seconds, not negative, or a text as "30s", "5m", "2h"
---@param nanoseconds? integer beside whole seconds
---@return rucat.surreal.Value
function rucat.surreal.duration(length, nanoseconds) end

---A decimal number, exact.
---@param digits string "-12.50"
---@return rucat.surreal.Value
function rucat.surreal.decimal(digits) end

---A uuid.
---@param text string "018f0c9a-0000-7000-8000-000000000000"; rucat.clock.uuid() makes one
---@return rucat.surreal.Value
function rucat.surreal.uuid(text) end

---Bytes: a Lua string is text for SurrealDB, and has to be UTF-8.
---@param data string any bytes, at most 4 MiB
---@return rucat.surreal.Value
function rucat.surreal.bytes(data) end

---A set.
---@param values any[]
---@return rucat.surreal.Value
function rucat.surreal.set(values) end

---A range of values; of the keys of a record: `rucat.surreal.record("event", rucat.surreal.range("a", "b"))`.
---@param first any nil: open
---@param last any nil: open
---@param options? { first_included: boolean?, last_included: boolean? } true and false without them
---@return rucat.surreal.Value
function rucat.surreal.range(first, last, options) end
