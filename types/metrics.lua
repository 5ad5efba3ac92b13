---@meta

---Numbers for Prometheus, shown by GET /metrics. A metric of the same name, type and labels is the
---same one, so a file may define it anew at each load; another type or other labels raise.
---@class rucat.metrics
rucat.metrics = {}

---A number that only grows.
---@param name string as Prometheus has it: "acme_hits_total"
---@param help? string
---@param labels? string[] the names of its labels
---@return rucat.metrics.Counter
function rucat.metrics.counter(name, help, labels) end

---A number that goes up and down.
---@param name string
---@param help? string
---@param labels? string[]
---@return rucat.metrics.Gauge
function rucat.metrics.gauge(name, help, labels) end

---How often something took how long.
---@param name string
---@param help? string
---@param labels? string[]
---@param buckets? number[] upper bounds, rising
---@return rucat.metrics.Histogram
function rucat.metrics.histogram(name, help, labels, buckets) end

---All metrics as text, in Prometheus' format.
---@return string? text
---@return string? message
---@return rucat.Code? code
function rucat.metrics.render() end

---@class rucat.metrics.Counter
local Counter = {}

---Adds n, which is not negative.
---@param n number
---@param ... string a value for each label, in their order
function Counter:add(n, ...) end

---@class rucat.metrics.Gauge
local Gauge = {}

---Adds n.
---@param n number
---@param ... string
function Gauge:add(n, ...) end

---Sets it to n.
---@param n number
---@param ... string
function Gauge:set(n, ...) end

---@class rucat.metrics.Histogram
local Histogram = {}

---Counts n into its bucket.
---@param n number
---@param ... string
function Histogram:observe(n, ...) end
