#!/usr/bin/env bash
# run.sh [--type spark|sail] [--keep] - from nothing to an answer of a real engine.
#
# Installs what is missing, builds, fetches Spark (or Sail), starts rucat in embedded mode on a free
# port with a state of its own, creates an engine over REST, waits for it, runs examples/query.py
# through the endpoint it is given, checks the answer, and cleans up.
#
#   --type sail  Sail, a Spark Connect server without a JVM, in place of Spark
#   --keep       leave the server and the engine running
#
# SPARK_HOME, when it is set, is the Spark that is used. Exit code 0 only if the answer is right.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
. "$root/scripts/example.sh"

type=spark keep=false
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=true ;;
    --type=*) type=${1#--type=} ;;
    --type)
        type=${2:-}
        shift
        ;;
    -h | --help)
        sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        printf 'run.sh: %s is not known (--type, --keep)\n' "$1" >&2
        exit 2
        ;;
    esac
    shift || break
done
case $type in
spark | sail) ;;
*)
    printf 'run.sh: --type is spark or sail, not "%s"\n' "$type" >&2
    exit 2
    ;;
esac

name=example
server='' answered=false
began=$(now)

# stop_server: gracefully, then by force; says what would not go.
stop_server() {
    [ -n "$server" ] || return 0
    kill -TERM "$server" 2>/dev/null || true
    if ! gone 30; then
        kill -KILL "$server" 2>/dev/null || true # its engines end with it
        gone 15 || true
    fi
    wait "$server" 2>/dev/null || true
    nothing_left || return 1
    server=''
}

# However this script ends, it leaves nothing behind (unless it was asked to).
clean_up() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP
    case $code in
    130 | 143) say "interrupted; cleaning up" >&2 ;;
    esac
    if [ -n "$server" ] && ! { $keep && $answered; }; then
        [ $code = 0 ] || [ $code -ge 128 ] || explain
        stop_server || code=1
    fi
    if [ -n "$work" ] && ! { $keep && $answered; }; then
        rm -rf "$work"
    fi
    exit $code
}

# explain: what is known when something went wrong.
explain() {
    say "--- the server's last lines" >&2
    tail -n 15 "$work/log" >&2 || true
    say "--- the engine's last lines" >&2
    "$rucat" logs $name -n 15 >&2 2>/dev/null </dev/null || say "(none)" >&2
    say "---" >&2
}

# --- rucat ---

start_server() {
    port=$(free_port)
    work=$(mktemp -d "${TMPDIR:-/tmp}/rucat-XXXXXX")
    unset RUCAT_TOKEN RUCAT_INSTANCE
    export RUCAT_URL=http://127.0.0.1:$port
    # A session of its own: Ctrl-C is for this script, which then ends the server in order.
    env -u RUCAT_URL -u RUCAT_CACHE setsid "$rucat" serve --mode embedded \
        --listen "127.0.0.1:$port" --state-dir "$work/state" >"$work/log" 2>&1 </dev/null &
    server=$!
    servers=("$server")
    answers "$RUCAT_URL/readyz" "$server" "the server"
}

create_engine() {
    local body code
    body="{\"name\": \"$name\", \"type\": \"$type\", \"labels\": {\"made-by\": \"examples/run.sh\"}}"
    say "    POST $RUCAT_URL/v1/engines  $body"
    code=$(curl -sS -o "$work/answer" -w '%{http_code}' -H 'content-type: application/json' \
        -d "$body" "$RUCAT_URL/v1/engines")
    if [ "$code" != 201 ]; then
        say "answered $code: $(cat "$work/answer")" >&2
        return 1
    fi
}

# --- the run ---

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step "installing what is missing, building"
# shellcheck disable=SC2046
install_packages curl $(build_packages; python_packages)
if [ $type = spark ]; then
    # shellcheck disable=SC2046
    install_packages $(python_packages jvm)
fi
build release build rucat rucat-engine

step "fetching $type into $cache"
if [ $type = sail ]; then
    fetch_sail
    export RUCAT_SAIL_COMMAND=${RUCAT_SAIL_COMMAND:-$sail_command}
    client=$sail_python
elif [ -n "${SPARK_HOME:-}" ]; then
    fetch_sail # for its PySpark client
    client=$sail_python
else
    fetch_spark
    client=$spark_python
fi
[ $type = sail ] || say "    Spark is $SPARK_HOME"

step "starting rucat"
start_server
say "    $RUCAT_URL, process $server, log $work/log"

step "creating an engine"
create_engine

step "waiting until it runs"
"$rucat" wait $name --for Running --timeout 180s
endpoint=$(field $name endpoint)
[ -n "$endpoint" ] || die "the engine runs, but has no endpoint"
mapfile -t processes < <(ours)
say "    endpoint $endpoint, ${#processes[@]} processes: ${processes[*]}"

step "asking it: examples/query.py $endpoint"
"$client" "$root/examples/query.py" "$endpoint"
answered=true

if $keep; then
    step
    cat <<END
==> left running, as asked. What to try next:
    export RUCAT_URL=$RUCAT_URL
    build/rucat list
    build/rucat logs $name -n 20
    $client examples/query.py $endpoint
    build/rucat restart $name && build/rucat wait $name
    build/rucat delete $name
    kill $server                            # ends the server and its engines
    rm -rf $work              # then, its state and log
END
    exit 0
fi

step "deleting the engine, stopping rucat"
"$rucat" delete $name
"$rucat" wait $name --for Deleted --timeout 60s
stop_server || die "not all processes ended"
say "    no process is left (there were ${#processes[@]})"
step
other='sail ' && [ $type = spark ] || other=spark
cat <<END
==> done in $(seconds "$began"): the answer was right. What to try next:
    bash examples/run.sh --keep             # and look around: build/rucat list, get, logs, events
    bash examples/run.sh --type $other       # another engine, the same query
    \$EDITOR lua/policies/restart.lua        # what happens when an engine dies
END
