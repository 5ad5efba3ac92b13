#!/usr/bin/env bash
# bench/guards.sh [COMMIT] - what the budgets cost: CPU per request through a Lua handler and an auth
# policy in Lua, this tree against COMMIT (default: the last one without budgets), and what one call
# of a policy costs.
#
# Both are built from their own tree, serve on core 0 and take turns; the median of each one's rounds
# counts. CPU microseconds are utime + stime of the server's process over the answers. As other
# work on the machine moves those by more than what is looked for, instructions in user mode are
# counted too (by valgrind): those are the same each time.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
cd "$root" || exit 1
install_packages wrk valgrind $(build_packages)
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
# instructions NAME: in user mode, per request, on one connection.
instructions() {
    local count n p
    for n in 500 3500; do
        p=$(free_port)
        valgrind --tool=callgrind --callgrind-out-file=/dev/null "${tree[$1]}/build/rucat" serve --mode embedded \
            --listen "127.0.0.1:$p" >"$work/valgrind" 2>&1 &
        count=$!
        until curl -sf -o /dev/null "http://127.0.0.1:$p/readyz"; do sleep 0.1; done
        curl -s -o /dev/null "http://127.0.0.1:$p/v1/engines" -H 'content-type: application/json' \
            -d '{"name":"team-a","platform":"external","endpoint":"sc://127.0.0.1:9"}'
        sleep 1
        for ((i = 0; i < n; i++)); do
            printf 'url = "http://127.0.0.1:%s/v1/engines/team-a"\noutput = "/dev/null"\n' "$p"
        done >"$work/urls"
        curl -s -K "$work/urls"
        kill "$count"
        wait "$count" 2>/dev/null
        awk '/Collected/ { print $NF }' "$work/valgrind"
    done | awk 'NR == 1 { a = $1 } NR == 2 { printf "%d\n", ($1 - a) / 3000 }'
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
now_count=$(instructions now) before_count=$(instructions before)
now_cpu=$(median "$work/now.cpu") before_cpu=$(median "$work/before.cpu")
now_policy=$(median "$work/now.policy") before_policy=$(median "$work/before.policy")
printf '| what | with budgets | without (%s) | ratio |\n|---|---|---|---|\n' "$commit"
printf '| CPU us per request through a Lua handler and the auth policy | %s | %s | %s |\n' "$now_cpu" "$before_cpu" \
    "$(awk -v a="$now_cpu" -v b="$before_cpu" 'BEGIN { printf "%.3fx", a / b }')"
printf '| instructions in user mode for the same | %s | %s | %s |\n' "$now_count" "$before_count" \
    "$(awk -v a="$now_count" -v b="$before_count" 'BEGIN { printf "%.3fx", a / b }')"
printf '| us per call of the auth policy in a handler | %s | %s | %s |\n' "$now_policy" "$before_policy" \
    "$(awk -v a="$now_policy" -v b="$before_policy" 'BEGIN { printf "%.3fx", a / b }')"
