-- Never a signal to a process that is not ours: pids that are used again, and another boot.

local server = require("support.server")

describe("the number of a driver that is gone", function()
  it("may belong to somebody else, who is left alone", function()
    local try = server.run({ "unshare", "-pf", "--mount-proc", "test", "-w", "/proc/sys/kernel/ns_last_pid" })
    if try.code ~= 0 then
      pending("no pid namespace can be had")
      return
    end
    -- the shell is pid 1 in there and reaps what is left to it
    local exit, out, err = server.run({ "unshare", "-pf", "--mount-proc", "sh", "-c",
      '"$0" run spec/support/pid_reuse.lua; exit $?', server.binary },
      { env = { SPEC_BUILD = server.build, TMPDIR = os.getenv("TMPDIR"), ASAN_OPTIONS = os.getenv("ASAN_OPTIONS"),
                UBSAN_OPTIONS = os.getenv("UBSAN_OPTIONS") }, timeout = 120 })
    assert.are.same({ { code = 0 }, "fine\n" }, { exit, out }, err)
  end)
end)
