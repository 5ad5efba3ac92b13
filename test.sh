#!/usr/bin/env bash
# test.sh [--fast | --build] [--torture N] - installs what is missing, builds, runs every test.
#
#   --fast   without what needs a JVM
#   --build  installs and builds only
#   --torture N  N times as much of what is tried at random (crashes, reloads) as without it
#
# Quiet where all is well; what failed is shown whole. The last line is
# `N passed, N failed, N skipped`, where each test case and each static check counts as one; the exit
# code is 1 when anything failed. A program that crashes or runs no test has failed.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/scripts/common.sh"
cd "$root" || exit 1

fast=false build_only=false torture=1
while [ $# -gt 0 ]; do
    arg=$1
    shift
    case $arg in
    --torture)
        torture=${1:-}
        [[ $torture =~ ^[1-9][0-9]*$ ]] || {
            printf 'test.sh: --torture wants a number of times, 1 or more\n' >&2
            exit 2
        }
        shift
        ;;
    --fast) fast=true ;;
    --build) build_only=true ;;
    -h | --help)
        sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        printf 'test.sh: %s is not known (--fast, --build, --torture N)\n' "$arg" >&2
        exit 2
        ;;
    esac
done

began=$(now)
passed=0 failed=0 skipped=0
work=$(mktemp -d "${TMPDIR:-/tmp}/rucat-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# show NAME FILE...: the whole output of what failed.
show() {
    local name=$1 file
    shift
    printf -- '--- %s\n' "$name"
    for file in "$@"; do
        [ ! -s "$file" ] || cat "$file"
    done
    printf -- '---\n'
}

# check NAME COMMAND...: one test that is a command.
check() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        show "FAILED: $name" "$work/out"
    fi
}

# --- static checks ---

# The lines that clang-format would write otherwise. Each version has its own taste; 14 is ours.
format() {
    "$formatter" --dry-run -Werror "$@" 2>&1 |
        sed -nE 's/^([^: ]+:[0-9]+):.*/\1: clang-format -i/p' | uniq
    [ "${PIPESTATUS[0]}" = 0 ]
}

check_format() {
    formatter=$(command -v clang-format-14 || echo clang-format)
    if "$formatter" --version | grep -q 'version 14\.'; then
        check clang-format format "$@"
    else
        skipped=$((skipped + 1))
        say "skipped: clang-format 14 is not there"
    fi
}

no_plain_assert() {
    ! grep -rnE '(^|[^_[:alnum:]])assert[[:space:]]*\(' src | grep -vE '^[^:]*:[0-9]*: *(/\*|\*)'
}

shell_syntax() {
    local file bad=0
    while IFS= read -r file; do
        bash -n "$file" || bad=1
    done < <(find . -name '*.sh' -not -path './build*' && echo .ci/run)
    return $bad
}

# What includes.sh is there to find, it finds.
includes_sees() {
    mkdir -p "$work/src/core" "$work/src/rucat-engine" &&
        printf '#include "store/store.h"\n' >"$work/src/core/a.c" &&
        printf '#include <lua.h>\n' >"$work/src/core/b.c" &&
        printf '#include "http/server.h"\n' >"$work/src/rucat-engine/c.c" &&
        [ "$(bash spec/support/includes.sh "$work/src" | wc -l)" = 3 ]
}

static_checks() {
    local dirs=() dir
    mapfile -t sources < <(find src spec -name '*.[ch]' | sort)
    check_format "${sources[@]}"
    for dir in lua spec etc examples; do
        [ -z "$(find "$dir" -name '*.lua' -print -quit 2>/dev/null)" ] || dirs+=("$dir")
    done
    [ ${#dirs[@]} = 0 ] || check luacheck luacheck --quiet --no-color "${dirs[@]}"
    check "no lower room includes a higher one" bash spec/support/includes.sh
    check "a wrong include is seen" includes_sees
    check "no plain assert" no_plain_assert
    check "shell scripts parse" shell_syntax
}

# --- cmocka ---

# unit PROGRAM: its test cases, counted from its TAP output.
unit() {
    local program=$1 name=$1 code plan good bad none
    name=${program#"$root"/}
    (
        cd "$work" && CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 300 "$program"
        exit $? # so that it is this shell that tells of a signal
    ) >"$work/tap" 2>"$work/err" </dev/null
    code=$?
    plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$work/tap" | head -n 1)
    none=$(grep -cE '^(not )?ok [0-9]+ # SKIP' "$work/tap")
    good=$(grep -E '^ok [0-9]+' "$work/tap" | grep -vcE '^ok [0-9]+ # SKIP')
    bad=$(grep -E '^not ok [0-9]+' "$work/tap" | grep -vcE '^not ok [0-9]+ # SKIP')
    passed=$((passed + good)) skipped=$((skipped + none))
    # A name ends with the reason in brackets; without one it is that memory cannot be measured.
    sed -nE -e "s|^(not )?ok [0-9]+ # SKIP (.*\))$|skipped ($name): \\2|p" -e 't' \
        -e "s|^(not )?ok [0-9]+ # SKIP (.*)|skipped ($name): \\2: memory under sanitizers is theirs|p" "$work/tap"
    if [ "${plan:-0}" = 0 ]; then
        printf '%s ran no test\n' "$name" >>"$work/err"
        bad=$((bad + 1))
    elif [ $((good + bad + none)) -lt "$plan" ] || { [ "$code" != 0 ] && [ "$bad" = 0 ]; }; then
        printf '%s ended with code %s after %s of %s tests\n' "$name" "$code" \
            $((good + bad + none)) "$plan" >>"$work/err"
        bad=$((bad + 1))
    fi
    failed=$((failed + bad))
    [ "$bad" = 0 ] || show "FAILED: $name" "$work/tap" "$work/err"
}

units() {
    local dir=$root/$1/unit program found=false
    for program in "$dir"/*_test; do
        [ -x "$program" ] || continue
        # A test whose source is gone is not ours any more.
        [ -e "spec/unit/$(basename "$program").c" ] || continue
        found=true
        unit "$program"
    done
    $found || check "there are unit tests in $1" false
}

# --- busted ---

# specs BUILD DIR...: run by that build's own rucat, which ends with `RESULT passed failed skipped`.
specs() {
    local build=$1 code counts dir dirs=()
    shift
    for dir in "$@"; do
        [ -z "$(find "$dir" -name '*_spec.lua' -print -quit 2>/dev/null)" ] || dirs+=("$dir")
    done
    if [ ${#dirs[@]} = 0 ]; then
        failed=$((failed + 1))
        say "FAILED: there are no specs in $*"
        return
    fi
    SPEC_BUILD=$root/$build SPEC_TORTURE=$torture timeout -k 10 $((1800 * torture)) "$root/$build/rucat" run spec/run.lua "${dirs[@]}" \
        >"$work/out" 2>"$work/err" </dev/null
    code=$?
    counts=$(sed -nE 's/^RESULT ([0-9]+) ([0-9]+) ([0-9]+)$/\1 \2 \3/p' "$work/out" | tail -n 1)
    read -r good bad none <<<"${counts:-0 0 0}"
    passed=$((passed + good)) skipped=$((skipped + none))
    if [ $((good + bad + none)) = 0 ] || { [ "$code" != 0 ] && [ "$bad" = 0 ]; }; then
        printf '%s: the specs of %s ended with code %s: %s\n' "$build" "${dirs[*]}" "$code" \
            "${counts:-no RESULT line}" >>"$work/err"
        bad=$((bad + 1))
    fi
    failed=$((failed + bad))
    sed -n "s/^skipped - /skipped ($build): /p" "$work/out"
    [ "$bad" = 0 ] || show "FAILED: specs in ${dirs[*]} ($build)" "$work/out" "$work/err"
}

# --- processes ---

# The processes of this tree's programs that are there.
our_processes() {
    local link target
    for link in /proc/[0-9]*/exe; do
        target=$(readlink "$link" 2>/dev/null) || continue
        case ${target% (deleted)} in
        "$root"/build/* | "$root"/build-sanitize/* | "$root"/build-testing/*) basename "$(dirname "$link")" ;;
        esac
    done | sort
}

nothing_left() {
    local deadline=$(($(now) + 10000)) left
    while left=$(our_processes | comm -13 "$work/before" -); [ -n "$left" ]; do
        if [ "$(now)" -gt "$deadline" ]; then
            # shellcheck disable=SC2086
            ps -o pid,ppid,etime,args -p $(echo $left | tr ' ' ',')
            return 1
        fi
        sleep 0.2
    done
}

# --- the run ---

# shellcheck disable=SC2046
install_packages $(build_packages; test_packages)
step=$(now)
build release build >"$work/release" 2>&1 &
release=$!
build sanitize build-sanitize >"$work/sanitize" 2>&1
sanitize_code=$?
build testing build-testing >"$work/testing" 2>&1
testing_code=$?
wait "$release"
release_code=$?
cat "$work/release" "$work/sanitize" "$work/testing"
if [ $release_code != 0 ] || [ $sanitize_code != 0 ] || [ $testing_code != 0 ]; then
    say "0 passed, 1 failed, 0 skipped"
    exit 1
fi
say "built in $(seconds "$step")"
! $build_only || exit 0

# shellcheck disable=SC2046
install_packages $(python_packages; $fast || python_packages jvm)
our_processes >"$work/before"
fetch_sail
fetch_schemathesis
fetch_surreal
export SPEC_SURREAL=$surreal
export SPEC_SCHEMATHESIS=$schemathesis
export SPEC_SAIL=$sail_command SPEC_PYTHON=$sail_python SPEC_JVM=0
if ! $fast; then
    fetch_spark
    export SPEC_SPARK_HOME=$SPARK_HOME
fi
# The tests choose for themselves what they set of this.
unset SPARK_HOME RUCAT_URL RUCAT_TOKEN RUCAT_INSTANCE

static_checks
step=$(now)
units build
units build-sanitize
say "unit tests in $(seconds "$step")"
step=$(now)
specs build spec/lua spec/e2e
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
specs build-sanitize spec/lua spec/e2e
say "specs in $(seconds "$step")"
if [ -d spec/faults ]; then
    step=$(now)
    specs build-testing spec/faults
    say "specs of faults in $(seconds "$step")"
fi
step=$(now)
specs build spec/browser
say "specs with a browser in $(seconds "$step")"
if ! $fast; then
    step=$(now)
    SPEC_JVM=1 specs build spec/jvm
    say "specs with a JVM in $(seconds "$step")"
fi
unset SPEC_JVM
check "examples/run.sh --type sail" bash examples/run.sh --type sail
check "examples/remote.sh --type sail" bash examples/remote.sh --type sail
$fast || check "examples/run.sh" bash examples/run.sh
check "no process is left" nothing_left
say "all in $(seconds "$began")"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
