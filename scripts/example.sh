# example.sh - what the examples share: steps with their times, the processes of a run, waiting.
# Sourced after common.sh. `work` is the run's directory, `servers` the pids of what it has started
# itself, `rucat` the program.

# shellcheck disable=SC2034
rucat=$root/build/rucat
work='' servers=() step_began=''

# step WORDS: ends the step before with its time, and begins this one.
step() {
    [ -z "$step_began" ] || say "    ($(seconds "$step_began"))"
    step_began=$(now)
    [ -z "${1:-}" ] || say "==> $1"
}

# ours: the processes that work for this run: their command line, directory or program is of it.
ours() {
    local dir pid
    [ -n "$work" ] || return 0
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [ "$pid" != $$ ] || continue
        if [[ " ${servers[*]:-} " == *" $pid "* ]] || [[ $(readlink "$dir/cwd" 2>/dev/null) == "$work"* ]] ||
            tr '\0' ' ' 2>/dev/null <"$dir/cmdline" | grep -qF "$work" 2>/dev/null; then
            # A process that has ended and only waits to be seen is none.
            case $(sed -n 's/^State:[[:space:]]*//p' "$dir/status" 2>/dev/null) in
            '' | Z* | X*) ;;
            *) printf '%s\n' "$pid" ;;
            esac
        fi
    done
}

# gone SECONDS: waits until none of them is left.
gone() {
    local deadline=$(($(now) + $1 * 1000))
    while [ -n "$(ours)" ]; do
        [ "$(now)" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# nothing_left: true when none of them is left; names them otherwise.
nothing_left() {
    local left
    left=$(ours)
    [ -n "$left" ] || return 0
    say "these processes are left:" >&2
    # shellcheck disable=SC2086
    ps -o pid,ppid,args -p "$(echo $left | tr ' ' ',')" >&2 || true
    return 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# answers URL PID WHAT: waits until something answers there, as long as that process lives.
answers() {
    local deadline=$(($(now) + 30000))
    until curl -fsS -o "$work/ready" "$1" 2>/dev/null; do
        kill -0 "$2" 2>/dev/null || die "$3 ended"
        [ "$(now)" -lt "$deadline" ] || die "$3 is not ready after 30 s"
        sleep 0.05
    done
}

# field ENGINE NAME: a member of an engine, by rucat get -o json; empty for null.
field() {
    "$rucat" get "$1" -o json | python3 -c '
import json, sys
value = json.load(sys.stdin)[sys.argv[1]]
print("" if value is None else value)' "$2"
}
