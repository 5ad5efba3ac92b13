#!/usr/bin/env bash
# bench/run.sh [--quick] [--no-write] - rucat beside nginx and haproxy, in one run.
#
#   --quick     short rounds: for a look, not for the record
#   --no-write  leaves docs/benchmarks.md as it is
#
# Every server has one worker on core 0, the load generator has core 1. Each peer does what rucat does
# for GET /v1/engines/NAME: a handler in Lua finds the engine, an auth policy in Lua is asked, a JSON
# record of the same size is sent. Servers take turns within each round and each one's least
# disturbed round counts, as what else the machine does only adds. CPU microseconds per request are
# utime + stime of the server's process over the answers: unlike requests per second they depend
# little on what else the machine does.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
cd "$root" || exit 1

rounds=5 span=3 write=true
for arg in "$@"; do
    case $arg in
    --quick) rounds=5 span=1 ;;
    --no-write) write=false ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
    esac
done

install_packages nginx libnginx-mod-http-lua haproxy wrk $(build_packages)
work=$(mktemp -d "${TMPDIR:-/tmp}/rucat-bench-XXXXXX")
pids=()
trap 'kill ${pids[@]+"${pids[@]}"} 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cmake --preset release >"$work/log" 2>&1 &&
    cmake --build build --target rucat rucat-engine bench_load bench_cas >>"$work/log" 2>&1 ||
    { cat "$work/log"; die "the build failed"; }
load=$root/build/bench_load

server() { exec taskset -c 0 "$@"; } # only in a subshell or behind &: the pid is the server's
client() { taskset -c 1 "$@"; }

# free_port: one that nobody uses now.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
    done
}

# await PORT PATH: until it answers 200.
await() {
    local end=$(($(now) + 10000))
    until curl -sf -o /dev/null "http://127.0.0.1:$1$2"; do
        [ "$(now)" -lt $end ] || { cat "$work"/*.log; die "nobody answers on port $1"; }
        sleep 0.05
    done
}

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
least() { sort -g | head -n 1; }
kb() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }
mb() { awk -v kb="$1" 'BEGIN { printf "%.1f MB", kb / 1024 }'; }

# --- the servers ---

declare -A port pid path
names=(rucat nginx-lua haproxy-lua nginx-static)
for name in "${names[@]}"; do
    port[$name]=$(free_port)
    path[$name]=/v1/engines/team-a
done

start_rucat() {
    server "$root/build/rucat" serve --mode embedded --listen "127.0.0.1:${port[rucat]}" \
        >"$work/rucat.log" 2>&1 &
    pid[rucat]=$!
    pids+=($!)
    await "${port[rucat]}" /readyz
}

# create NAME...: external engines.
create() {
    local name
    for name in "$@"; do
        printf 'next\nurl = "http://127.0.0.1:%s/v1/engines"\noutput = "/dev/null"\n' "${port[rucat]}"
        printf 'header = "content-type: application/json"\n'
        printf 'data = "{\\"name\\":\\"%s\\",\\"platform\\":\\"external\\",\\"endpoint\\":\\"sc://127.0.0.1:9\\"}"\n' "$name"
    done | sed 1d >"$work/curl"
    curl -s --no-progress-meter -K "$work/curl"
}

# The record as rucat sends it is what the peers serve.
take_record() {
    create team-a
    local end=$(($(now) + 10000))
    until curl -s "http://127.0.0.1:${port[rucat]}/v1/engines/team-a" >"$work/record.json" &&
        grep -q '"state":"Running"' "$work/record.json"; do
        [ "$(now)" -lt $end ] || die "the engine does not come up"
        sleep 0.05
    done
    mkdir -p "$work/static/v1/engines" && cp "$work/record.json" "$work/static/v1/engines/team-a"
    chmod -R go+rX "$work"
}

start_nginx() { # NAME
    local modules=/usr/lib/nginx/modules
    sed -e "s|@WORK@|$work|g; s|@PORT@|${port[$1]}|g; s|@MODULES@|$modules|g; s|@BENCH@|$root/bench|g" \
        "$root/bench/$1.conf" >"$work/$1.conf"
    server nginx -p "$work" -e "$work/$1.log" -c "$work/$1.conf" >>"$work/$1.log" 2>&1 &
    pids+=($!)
    local master=$!
    await "${port[$1]}" "${path[$1]}"
    pid[$1]=$(pgrep -P $master | head -n 1)
}

start_haproxy() {
    sed -e "s|@PORT@|${port[haproxy-lua]}|g; s|@BENCH@|$root/bench|g" \
        "$root/bench/haproxy.cfg" >"$work/haproxy.cfg"
    RECORD=$work/record.json server haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
    pid[haproxy-lua]=$!
    pids+=($!)
    await "${port[haproxy-lua]}" "${path[haproxy-lua]}"
}

# --- what is measured ---

# cpu_round NAME: "us_per_request requests_per_second".
cpu_round() {
    local before after
    before=$("$load" cpu "${pid[$1]}")
    client wrk -t1 -c64 -d${span}s "http://127.0.0.1:${port[$1]}${path[$1]}" >"$work/wrk"
    after=$("$load" cpu "${pid[$1]}")
    if grep -q 'Non-2xx' "$work/wrk"; then
        die "$1 did not answer 200: $(cat "$work/wrk")"
    fi
    awk -v ns=$((after - before)) '$2 == "requests" { n = $1 } $1 == "Requests/sec:" { r = $2 }
        END { printf "%.2f %.0f\n", ns / n / 1000, r }' "$work/wrk"
}

engine_memory() { # COUNT
    local have=$1 n=0 names=()
    have=$(curl -s "http://127.0.0.1:${port[rucat]}/metrics" |
        awk '/^rucat_engines[{]/ { n += $2 } END { print n + 0 }')
    for ((n = have; n < $1; n++)); do names+=("engine-$n"); done
    create "${names[@]}"
    sleep 2 # for the last probe
    echo "RssAnon $(mb "$(kb "${pid[rucat]}" RssAnon)"), VmRSS $(mb "$(kb "${pid[rucat]}" VmRSS)")"
}

# Own share of a start: sail where it is there, else a shell that says it is ready.
own_share() {
    mkdir -p "$work/scripts/templates"
    cp "$root/bench/probe_local.lua" "$work/scripts/templates/"
    local p i end
    p=$(free_port)
    printf 'return { scripts = { "%s" } }\n' "$work/scripts" >"$work/own.lua"
    server "$root/build/rucat" serve -c "$work/own.lua" --mode embedded --listen "127.0.0.1:$p" \
        >"$work/own.log" 2>&1 &
    local own=$!
    pids+=($own)
    await "$p" /readyz
    for i in $(seq 20); do
        curl -s -o /dev/null "http://127.0.0.1:$p/v1/engines" -H 'content-type: application/json' \
            -d "{\"name\":\"p$i\",\"type\":\"probe\",\"platform\":\"local\"}"
        end=$(($(now) + 5000))
        until curl -s "http://127.0.0.1:$p/v1/engines/p$i" | grep -q '"state":"Running"'; do
            [ "$(now)" -lt $end ] || die "the probe engine does not come up: $(cat "$work/own.log")"
            sleep 0.02
        done
    done
    curl -s "http://127.0.0.1:$p/metrics" | awk '
        match($0, /^rucat_engine_own_seconds_(sum|count)[{]span="[a-z]+"[}]/) {
            split($0, q, "\""); if ($0 ~ /_sum/) s[q[2]] = $2; else c[q[2]] = $2 }
        END { printf "%.1f %.1f\n", s["exec"] / c["exec"] * 1000, s["running"] / c["running"] * 1000 }'
    kill $own
    wait $own 2>/dev/null
}

say "rucat $("$root/build/rucat" version | awk '{ print $2 }'), $rounds rounds of $span s"
ready_port=$(free_port)
ready_ms=$(server "$load" ready "$ready_port" 9 "$root/build/rucat" serve --mode embedded --listen "127.0.0.1:$ready_port")
start_rucat
sleep 1
idle_memory="RssAnon $(mb "$(kb "${pid[rucat]}" RssAnon)"), VmRSS $(mb "$(kb "${pid[rucat]}" VmRSS)")"
take_record
start_nginx nginx-lua
start_nginx nginx-static
start_haproxy

for name in "${names[@]}"; do cpu_round "$name" >/dev/null; done # warm
for ((round = 1; round <= rounds; round++)); do
    for name in "${names[@]}"; do
        cpu_round "$name" >>"$work/$name.cpu"
    done
done
slowest=$(for name in "${names[@]}"; do awk '{ print $2 }' "$work/$name.cpu" | median; done | sort -g | head -n 1)
rate=$((slowest * 3 / 10 / 100 * 100))
for ((round = 1; round <= rounds; round++)); do
    for name in "${names[@]}"; do
        client "$load" rate "${port[$name]}" "${path[$name]}" "$rate" "$span" 64 >>"$work/$name.rate"
    done
done

base=$(awk '{ print $1 }' "$work/nginx-lua.cpu" | least)
{
    printf '| server | CPU us/request | of nginx+Lua | requests/s | p50 us | p99 us | VmRSS |\n'
    printf '|---|---|---|---|---|---|---|\n'
    for name in "${names[@]}"; do
        cpu=$(awk '{ print $1 }' "$work/$name.cpu" | least)
        printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$cpu" \
            "$(awk -v a="$cpu" -v b="$base" 'BEGIN { printf "%.2fx", a / b }')" \
            "$(awk '{ print $2 }' "$work/$name.cpu" | sort -gr | head -n 1)" \
            "$(awk '{ print $1 }' "$work/$name.rate" | least)" \
            "$(awk '{ print $2 }' "$work/$name.rate" | least)" \
            "$(mb "$(kb "${pid[$name]}" VmRSS)")"
    done
} >"$work/table"
cat "$work/table"

memory_100=$(engine_memory 100)
memory_1000=$(engine_memory 1000)
read -r rucat_conn rucat_held < <("$load" idle "${port[rucat]}" "${path[rucat]}" 10000 "${pid[rucat]}")
read -r nginx_conn _ < <("$load" idle "${port[nginx-static]}" "${path[nginx-static]}" 10000 "${pid[nginx-static]}")
read -r own_exec own_running < <(own_share)
mkdir -p "$work/cas"
read -r cas cas50 cas99 < <(for ((i = 0; i < rounds; i++)); do build/bench_cas "$work/cas" 256 $span 0; done | sort -g | tail -n 1)
read -r case50 case_50 case_99 < <(for ((i = 0; i < rounds; i++)); do build/bench_cas "$work/cas" 256 $span 1; done | sort -g | tail -n 1)

{
    printf '| what | measured | target |\n|---|---|---|\n'
    printf '| memory, idle | %s | RssAnon <= 6 MB, VmRSS <= 20 MB |\n' "$idle_memory"
    printf '| memory, 100 external engines (after the load above) | %s | |\n' "$memory_100"
    printf '| memory, 1,000 external engines | %s | |\n' "$memory_1000"
    printf '| fork to `/readyz` 200, embedded, median of 9 | %s ms | <= 50 ms |\n' "$ready_ms"
    printf '| own share of a start: POST to exec, mean of 20 | %s ms | <= 10 ms |\n' "$own_exec"
    printf '| own share of a start: ready line to Running, mean of 20 | %s ms | <= 10 ms |\n' "$own_running"
    printf '| durable CAS writes, 256 writers | %s /s (p50 %s us, p99 %s us) | >= 50,000 /s |\n' "$cas" "$cas50" "$cas99"
    printf '| the same with an event each | %s /s (p50 %s us, p99 %s us) | >= 25,000 /s |\n' "$case50" "$case_50" "$case_99"
    printf '| memory per idle connection, %s held | %s bytes (nginx: %s) | <= 1,024 bytes |\n' "$rucat_held" "$rucat_conn" "$nginx_conn"
} >"$work/more"
cat "$work/more"

version() { dpkg-query -W -f '${Version}' "$1"; }
$write || exit 0
{
    printf '<!-- bench:begin, written by bench/run.sh -->\n'
    printf 'Measured %s on %s, %s cores, Linux %s, by `bash bench/run.sh%s`: rucat %s, nginx %s, haproxy %s, libuv %s, SQLite %s.\n' \
        "$(date -u +%Y-%m-%d)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)" \
        "${*:+ $*}" "$(build/rucat version | awk '{ print $2 }')" "$(version nginx)" "$(version haproxy)" \
        "$(version libuv1)" "$(version libsqlite3-0)"
    printf '%s rounds of %s s; a fixed rate of %s requests/s for p50 and p99, measured from when each request was due.\n\n' "$rounds" "$span" "$rate"
    cat "$work/table"
    printf '\n'
    cat "$work/more"
    printf '<!-- bench:end -->\n'
} >"$work/block"
page=docs/benchmarks.md
awk -v block="$work/block" '/^<!-- bench:begin/ { while ((getline line < block) > 0) print line; skip = 1 }
    !skip { print } /^<!-- bench:end/ { skip = 0 }' "$page" >"$work/page" && cp "$work/page" "$page"
