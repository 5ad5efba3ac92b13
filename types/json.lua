---@meta

---Strict JSON (RFC 8259): no NaN, no trailing comma, no duplicate key; 3 stays an integer.
---@class rucat.json
---@field null lightuserdata JSON's null, where nil would leave a gap; it equals only itself
rucat.json = {}

---Raises on what JSON cannot say: functions, NaN, a table that is neither a list nor an object, a
---cycle. An empty table is {} unless it was marked by `array`. At most 16 MiB.
---@param value rucat.Json
---@return string
function rucat.json.encode(value) end

---Reads a JSON text.
---@param text string
---@return rucat.Json value lists are marked as such, so that [] stays []
---@return string? message with line and column
---@return rucat.Code? code "INVALID"
function rucat.json.decode(text) end

---Marks a table as a list and returns it: `rucat.json.array({})` is [] and not {}. Without a table a
---new one.
---@generic T
---@param list? T[]
---@return T[]
function rucat.json.array(list) end
