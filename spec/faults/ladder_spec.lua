-- The stop ladder on machines that have less: no cgroup to be had, or one without cgroup.kill.

local ladder = require("support.ladder")

local busted = { describe = describe, it = it, setup = setup, teardown = teardown, assert = assert }
ladder.declare(busted, "without a cgroup the stop ladder ends", { FAILPOINTS_ENGINE = "cgroup.base=error" })
ladder.declare(busted, "without cgroup.kill the stop ladder ends", { FAILPOINTS_ENGINE = "cgroup.kill=error" })
