#!/usr/bin/env bash
# remote.sh [--type spark|sail] [--keep] - two servers over one database; one is killed, nothing is lost.
#
# Installs what is missing, builds, finds or fetches SurrealDB and Spark (or Sail). Starts SurrealDB
# on a file, two rucat in mode remote, creates an engine through the first and asks it something. Then
# the first is killed by kill -9: the engine runs on, the second shows it, adopts its driver (the same
# process, not started again), and restarts it when it is told to. Cleans up.
#
#   --type sail  Sail, a Spark Connect server without a JVM, in place of Spark
#   --keep       leave the database, the second server and the engine running
#
# SURREAL, when it is set, is the SurrealDB that is used, SPARK_HOME the Spark. Exit code 0 only if all
# of that was so.
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
        sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        printf 'remote.sh: %s is not known (--type, --keep)\n' "$1" >&2
        exit 2
        ;;
    esac
    shift || break
done
case $type in
spark | sail) ;;
*)
    printf 'remote.sh: --type is spark or sail, not "%s"\n' "$type" >&2
    exit 2
    ;;
esac

name=example lease=5
database='' first='' second='' shown=false
began=$(now)

# --- processes ---

# stop_all: the engine, the servers, the database, in that order; then by force.
stop_all() {
    local pid
    if [ -n "$second" ] && kill -0 "$second" 2>/dev/null; then
        "$rucat" delete $name >/dev/null 2>&1 </dev/null &&
            "$rucat" wait $name --for Deleted --timeout 60s >/dev/null 2>&1 </dev/null || true
    fi
    for pid in $first $second; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    # SurrealDB may wait for connections that nobody has any more; what it has written it has written.
    [ -z "$database" ] || kill -TERM "$database" 2>/dev/null || true
    if ! gone 5; then
        # shellcheck disable=SC2046
        kill -KILL $(ours) 2>/dev/null || true
        gone 15 || true
    fi
    nothing_left || return 1
    database='' first='' second=''
}

# However this script ends, it leaves nothing behind (unless it was asked to).
clean_up() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP
    case $code in
    130 | 143) say "interrupted; cleaning up" >&2 ;;
    esac
    if ! { $keep && $shown; }; then
        [ $code = 0 ] || [ $code -ge 128 ] || explain
        stop_all || code=1
        [ -z "$work" ] || rm -rf "$work"
    fi
    exit $code
}

# explain: what is known when something went wrong.
explain() {
    local log
    for log in surreal a b; do
        [ -s "$work/$log.log" ] || continue
        say "--- $log.log" >&2
        tail -n 15 "$work/$log.log" >&2 || true
    done
    say "---" >&2
}

# start NAME COMMAND...: in a session of its own, as Ctrl-C is for this script; its pid is in `pid`.
start() {
    local log=$work/$1.log
    shift
    setsid "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    servers+=("$pid")
}

start_database() {
    local port pid
    port=$(free_port)
    work=$(mktemp -d "${TMPDIR:-/tmp}/rucat-XXXXXX")
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$work/password")
    start surreal env SURREAL_USER=root SURREAL_PASS="$(cat "$work/password")" \
        "$surreal" start --bind "127.0.0.1:$port" --log warn "surrealkv://$work/database"
    database=$pid
    store_url=http://127.0.0.1:$port
    answers "$store_url/health" "$database" SurrealDB
}

# start_replica NAME: its pid is in `pid`, its address in `url`.
start_replica() {
    local port
    port=$(free_port)
    url=http://127.0.0.1:$port
    start "$1" env -u RUCAT_URL -u RUCAT_CACHE -u RUCAT_TOKEN -u RUCAT_INSTANCE \
        RUCAT_STORE_KIND=surreal RUCAT_STORE_URL="$store_url" RUCAT_STORE_USER=root \
        RUCAT_STORE_PASSWORD_FILE="$work/password" RUCAT_MONITOR_LEASE=$lease \
        "$rucat" serve --mode remote --listen "127.0.0.1:$port" --state-dir "$work/$1"
    answers "$url/readyz" "$pid" "rucat $1"
}

# driver: the pid that the engine's driver has on this machine.
driver() {
    curl -fsS "$RUCAT_URL/v1/engines/$name/stats" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

# took_over: has somebody else than the first become its keeper?
took_over() {
    "$rucat" events $name -o json | grep -q '"TakenOver"'
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

step "looking for SurrealDB and $type"
fetch_surreal
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
say "    SurrealDB is $("$surreal" version) ($surreal)"

step "starting SurrealDB, and two rucat over it"
start_database
start_replica a
first=$pid first_url=$url
start_replica b
second=$pid second_url=$url
say "    SurrealDB $store_url, process $database, data in $work/database"
say "    rucat a   $first_url, process $first"
say "    rucat b   $second_url, process $second"

step "creating an engine through a, waiting for it through b"
RUCAT_URL=$first_url "$rucat" create $name --type $type --label made-by=examples/remote.sh
export RUCAT_URL=$second_url
"$rucat" wait $name --for Running --timeout 180s
endpoint=$(field $name endpoint)
before=$(driver)
say "    endpoint $endpoint, driver $before, started by a"

step "asking it: examples/query.py $endpoint"
"$client" "$root/examples/query.py" "$endpoint"

step "kill -9 of rucat a"
kill -KILL "$first"
wait "$first" 2>/dev/null || true
first=''
"$rucat" list
[ "$(field $name state)" = Running ] || die "the engine is not Running any more"
"$client" "$root/examples/query.py" "$endpoint" >"$work/query" || die "the engine does not answer any more: $(cat "$work/query")"
say "    b still shows it, and it answers: $(tail -n 1 "$work/query")"

step "waiting until b has taken it over (a lease is $lease s here, 15 s as shipped)"
deadline=$(($(now) + 1000 * (3 * lease + 10)))
until took_over; do
    [ "$(now)" -lt "$deadline" ] || die "nobody has taken the engine over"
    sleep 0.2
done
"$rucat" events $name
after=$(driver)
[ "$after" = "$before" ] || die "the driver is another process: $after, it was $before"
[ "$(field $name epoch)" = 1 ] && [ "$(field $name restarts)" = 0 ] || die "the engine was started again"
say "    the driver is the same process $after, nothing was started again"

step "b is its keeper now: restarting it"
"$rucat" restart $name --wait --timeout 180s
[ "$(field $name epoch)" = 2 ] || die "the engine is not in its second epoch"
"$client" "$root/examples/query.py" "$(field $name endpoint)" | tail -n 1
shown=true

if $keep; then
    step
    cat <<END
==> left running, as asked. What to try next:
    export RUCAT_URL=$RUCAT_URL
    build/rucat list; build/rucat replicas; build/rucat events $name
    kill -STOP $database; build/rucat list; build/rucat stop $name; kill -CONT $database    # the database away
    build/rucat delete $name && build/rucat wait $name --for Deleted
    kill $second $database; rm -rf $work
END
    exit 0
fi

step "deleting the engine, stopping b and SurrealDB"
stop_all || die "not all processes ended"
say "    no process is left"
step
cat <<END
==> done in $(seconds "$began"). What to try next:
    bash examples/remote.sh --keep    # and look around
    docs/modes.md                     # the modes, backups, several servers
END
