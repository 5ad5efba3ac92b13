---@meta

---Reading files.
---@class rucat.fs
rucat.fs = {}

---Waits. The text of a regular file of at most 1 MiB below a script directory or STATE_DIR/shared. A
---relative name is looked for in those in turn; a link that leads out of them is refused ("EACCES").
---@param name string
---@return string? text
---@return string? message names the file
---@return rucat.Code? code "ENOENT", "EACCES", "EISDIR", "TOOBIG", ...
function rucat.fs.read(name) end
