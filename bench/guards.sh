#!/usr/bin/env bash
# bench/guards.sh [COMMIT] - what the budgets cost: CPU per request through a Lua handler and an auth
# policy in Lua, this tree against COMMIT (default: the last one without budgets), and what one call
# of a policy costs.
#
# Both are built from their own tree, serve on core 0 and take turns; the least disturbed round of
# each counts. CPU microseconds are utime + stime of the server's process over the answers.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
cd "$root" || exit 1
commit=${1:-f854744} rounds=${ROUNDS:-7} span=${SPAN:-2}

work=$(mktemp -d "${TMPDIR:-/tmp}/rucat-guards-XXXXXX")
pids=()
cleanup() {
    kill ${pids[@]+"${pids[@]}"} 2>/dev/null
    wait 2>/dev/null
    git worktree remove --force "$work/base" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
git worktree add --detach "$work/base" "$commit" >"$work/log" 2>&1 || { cat "$work/log"; die "no commit $commit here"; }
for tree in "$root" "$work/base"; do
    (cd "$tree" && cmake --preset release && cmake --build build --target rucat rucat-engine bench_load) \
        >"$work/log" 2>&1 || { tail -n 20 "$work/log"; die "the build of $tree failed"; }
done
load=$root/build/bench_load

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
}

declare -A port pid tree=([now]=$root [before]=$work/base)
mkdir -p "$work/scripts/handlers"
cat >"$work/scripts/handlers/bench.lua" <<'LUA'
-- What a call of the auth policy costs, in microseconds.
return { ["GET /bench/policy"] = function(req)
  local engine = rucat.store.engines.get("team-a")
  local began, n = rucat.clock.monotonic(), 2000
  for _ = 1, n do
    rucat.policy.allow(req.user, "read", engine)
  end
  return 200, ("%.3f"):format((rucat.clock.monotonic() - began) / n * 1e6)
end }
LUA
printf 'return { scripts = { "%s" } }\n' "$work/scripts" >"$work/rucat.lua"
for name in now before; do
    port[$name]=$(free_port)
    taskset -c 0 "${tree[$name]}/build/rucat" serve -c "$work/rucat.lua" --mode embedded \
        --listen "127.0.0.1:${port[$name]}" >"$work/$name.log" 2>&1 &
    pid[$name]=$!
    pids+=($!)
    end=$(($(now) + 10000))
    until curl -sf -o /dev/null "http://127.0.0.1:${port[$name]}/readyz"; do
        [ "$(now)" -lt $end ] || die "$(cat "$work/$name.log")"
        sleep 0.05
    done
    curl -s -o /dev/null "http://127.0.0.1:${port[$name]}/v1/engines" -H 'content-type: application/json' \
        -d '{"name":"team-a","platform":"external","endpoint":"sc://127.0.0.1:9"}'
done

cpu_round() { # NAME PATH
    local before after
    before=$("$load" cpu "${pid[$1]}")
    taskset -c 1 wrk -t1 -c64 -d${span}s "http://127.0.0.1:${port[$1]}$2" >"$work/wrk"
    after=$("$load" cpu "${pid[$1]}")
    ! grep -q 'Non-2xx' "$work/wrk" || die "$1: $(cat "$work/wrk")"
    awk -v ns=$((after - before)) '$2 == "requests" { printf "%.2f\n", ns / $1 / 1000 }' "$work/wrk"
}

for ((round = 0; round <= rounds; round++)); do # the first one warms up
    ((round % 2)) && order="now before" || order="before now"
    for name in $order; do
        us=$(cpu_round $name /v1/engines/team-a)
        policy=$(curl -s "http://127.0.0.1:${port[$name]}/bench/policy")
        [ $round = 0 ] || { echo "$us" >>"$work/$name.cpu"; echo "$policy" >>"$work/$name.policy"; }
    done
done
least() { sort -g "$1" | head -n 1; }
now_cpu=$(least "$work/now.cpu") before_cpu=$(least "$work/before.cpu")
now_policy=$(least "$work/now.policy") before_policy=$(least "$work/before.policy")
printf '| what | with budgets | without (%s) | ratio |\n|---|---|---|---|\n' "$commit"
printf '| CPU us per request through a Lua handler and the auth policy | %s | %s | %s |\n' "$now_cpu" "$before_cpu" \
    "$(awk -v a="$now_cpu" -v b="$before_cpu" 'BEGIN { printf "%.3fx", a / b }')"
printf '| us per call of the auth policy in a handler | %s | %s | %s |\n' "$now_policy" "$before_policy" \
    "$(awk -v a="$now_policy" -v b="$before_policy" 'BEGIN { printf "%.3fx", a / b }')"
