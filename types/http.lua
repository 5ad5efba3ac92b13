---@meta

---Requests to other servers, and the way a handler tells of a problem. Routes of our own come from
---handlers, not from here.
---@class rucat.http
rucat.http = {}

---@class rucat.http.Options
---@field url string http:// or https://
---@field method? string "GET" without it
---@field headers? table<string, string> at most 64
---@field body? string
---@field timeout? rucat.Seconds of the whole exchange; 30 without it
---@field max_body? integer bytes of the answer's body; 8 MiB without it, at most 64 MiB
---@field follow_redirects? boolean
---@field unix? string the path of a unix socket to speak over
---@field ca? string a file of certificates to trust instead of the system's
---@field fresh? boolean a connection of its own, closed afterwards
---@field http2? boolean HTTP/2 from the first byte, also without TLS, as gRPC wants it; trailers are among the headers
---@field insecure? boolean does not check the server's certificate

---@class rucat.http.Answer
---@field status integer
---@field headers table<string, string> names in lower case; repeated ones joined by ", "
---@field body string

---Waits. Any status is an answer; nil only when there was none.
---@param options rucat.http.Options
---@return rucat.http.Answer? answer
---@return string? message
---@return rucat.Code? code "ETIMEDOUT", "ECONNREFUSED", "TOOBIG", ...
function rucat.http.request(options) end

---Waits for the head of an answer whose body is then read piece by piece. `timeout` is for the head.
---Close it (`local stream <close> = ...` does) or it is closed when it is collected.
---@param options rucat.http.Options
---@return rucat.http.Stream? stream
---@return string? message
---@return rucat.Code? code
function rucat.http.stream(options) end

---@class rucat.http.Stream
---@field status integer
---@field headers table<string, string> names in lower case
local Stream = {}

---Waits for the next piece. Nil alone at the end.
---@param seconds? rucat.Seconds how long; without it as long as it takes
---@return string? piece
---@return string? message
---@return rucat.Code? code "ETIMEDOUT": nothing came in time, one may go on
function Stream:read(seconds) end

---Ends it; twice is fine.
function Stream:close() end

---What a handler returns to tell of a problem (RFC 9457): `return rucat.http.problem(404, "no such
---thing")`. A 429 or 503 gets Retry-After.
---@param status integer 400 to 599
---@param detail? string what is wrong, for people
---@param errors? table[] { field =, message = } each: what is wrong with which field
---@param title? string without it the name of the status
---@return integer status
---@return table body
---@return table<string, string> headers
function rucat.http.problem(status, detail, errors, title) end
