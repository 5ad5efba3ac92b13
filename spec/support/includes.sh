#!/usr/bin/env bash
# includes.sh [SRC] - no lower room of src/ includes a higher one.
#
# Rooms, lowest first: core proc http store engine gateway lua console, then main.c. rucat-engine is
# a program of its own on core and proc. Lua's headers are for src/lua, src/console and main.c only.
# Prints each offence as FILE:LINE: what, and exits 1 when there is one.
set -u
cd "${1:-$(dirname "$0")/../../src}" || exit 2

find . -name '*.[ch]' -printf '%P\n' | sort | xargs awk '
    BEGIN {
        count = split("core proc http store engine gateway lua console", names, " ")
        for (i = 1; i <= count; i++) rank[names[i]] = i
    }
    function offence(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }
    FNR == 1 { files++; room = FILENAME; if (!sub(/\/.*/, "", room)) room = "main" }
    FNR == 1 && !(room in rank) && room != "main" && room != "rucat-engine" {
        offence("the room " room " is not in the list of spec/support/includes.sh")
    }
    /^[ \t]*#[ \t]*include[ \t]*</ && /<(lua|lauxlib|lualib|lua5\.4\/[a-z]*)\.h>/ {
        if (room != "lua" && room != "console" && room != "main") offence("only src/lua, src/console and main.c know Lua")
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, parts, "\"")
        other = parts[2]
        if (room == "main" && other !~ /\//) next # main.c and the commands beside it
        if (!sub(/\/.*/, "", other)) { offence("include \"room/file.h\", not \"" parts[2] "\""); next }
        if (room == "main") next
        if (room == "rucat-engine") {
            if (other != "core" && other != "proc" && other != room) offence("rucat-engine may include core and proc only, not " parts[2])
        } else if (!(other in rank)) {
            offence("there is no room " other)
        } else if (rank[other] > rank[room]) {
            offence(room " is below " other ": " parts[2])
        }
    }
    END { if (!files) { print "no sources"; bad = 1 } exit bad }
'
